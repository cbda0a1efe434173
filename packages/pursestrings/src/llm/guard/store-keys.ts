/** The feature of a key that holds the sum of all features. */
const TOTAL = '__total__';

/** The feature of a key that counts the calls which may pass the cap: one at a time. */
const LAST = '__last__';

/** The key of what a project has spent in a period. */
export function totalKey(project: string, period: string): string {
  return `${part(project)}|${TOTAL}|${period}`;
}

/** The key that a call takes which may pass the cap, so that no other does meanwhile. */
export function lastKey(project: string, period: string): string {
  return `${part(project)}|${LAST}|${period}`;
}

/** The key of what one feature of a project has spent in a period. */
export function featureKey(project: string, feature: string, period: string): string {
  const own = feature === TOTAL || feature === LAST;
  return `${part(project)}|${own ? feature.replace('_', '%5F') : part(feature)}|${period}`;
}

/** What all keys of a project, and no others, begin with. */
export function projectPrefix(project: string): string {
  return `${part(project)}|`;
}

/** The feature that a key of this project and period is for; `null` for every other key. */
export function featureOf(key: string, project: string, period: string): string | null {
  const prefix = projectPrefix(project);
  const suffix = `|${period}`;
  if (!key.startsWith(prefix) || !key.endsWith(suffix)) return null;
  const written = key.slice(prefix.length, -suffix.length);
  const own = written === TOTAL || written === LAST;
  if (own || written.includes('|') || key.length < prefix.length + suffix.length) return null;
  return written.replaceAll(/%(25|5F|7C)/g, decodeURIComponent);
}

/** True for a key of a month. */
export function isMonthly(key: string): boolean {
  return /\|\d{4}-\d{2}$/.test(key);
}

/**
 * Writes a part of a key so that no value can pass for two parts. Most names stand as they are, so
 * that totals which budget-guard has written today are found.
 */
function part(value: string): string {
  return value.replaceAll(/[%|]/g, encodeURIComponent);
}
