const TIME =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,12}))?)?\s?(Z|[+-]\d{2}(?::?\d{2})?)?)?$/i;

/** The last millisecond that a four-digit year can name. */
export const MAX_TIME_MS: number = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * Reads a date or a time, with a space or a `T` between the two; one without a zone is UTC, and
 * digits finer than a millisecond are cut off. `null` for anything else, such as 30 February.
 */
export function parseTime(text: string): number | null {
  const match = TIME.exec(text);
  if (match === null) return null;
  const part = (index: number): number => Number(match[index] ?? 0);
  const [year, month, day] = [part(1), part(2), part(3)];
  const [hour, minute, second] = [part(4), part(5), part(6)];
  if (hour > 23 || minute > 59 || second > 59) return null;
  const milliseconds = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  const localMs = Date.UTC(year, month - 1, day, hour, minute, second, milliseconds);
  const date = new Date(localMs);
  // Date carries 30 February over into March, so what it made must be what was written.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || year < 100) return null;
  const offsetMs = parseOffset(match[8] ?? 'Z');
  return offsetMs === null ? null : localMs - offsetMs;
}

const SECONDS = /^(\d{1,15})(?:\.(\d*))?$/;

/** Reads seconds since the epoch as whole milliseconds; finer digits are cut off. `null` if none. */
export function parseSeconds(text: string): number | null {
  const match = SECONDS.exec(text);
  if (match === null) return null;
  return Number(match[1]) * 1000 + Number((match[2] ?? '').padEnd(3, '0').slice(0, 3));
}

function parseOffset(text: string): number | null {
  if (text === 'Z' || text === 'z') return 0;
  const [hours, minutes] = [Number(text.slice(1, 3)), Number(text.slice(3).replace(':', ''))];
  if (hours > 23 || minutes > 59) return null;
  return (text.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
