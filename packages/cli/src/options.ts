import { InputError } from './input-error.ts';
import { parseTime } from './time.ts';

/** Gathers the values of an option that may be repeated. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/**
 * Reads `name=value` pairs, as given by an option that may be repeated.
 *
 * @throws InputError that names the option and the value.
 */
export function readPairs(
  option: string,
  values: readonly string[],
): readonly (readonly [name: string, value: string])[] {
  return values.map((text) => {
    const at = text.indexOf('=');
    if (at < 1) {
      throw new InputError(
        `${option} is ${JSON.stringify(text)}; write name=value, such as ${option} agent=a1.`,
      );
    }
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
}

/**
 * Reads labels, as given by an option that may be repeated.
 *
 * @throws InputError when a label is named twice with different values.
 */
export function readLabels(option: string, values: readonly string[]): Record<string, string> {
  const labels = new Map<string, string>();
  for (const [name, value] of readPairs(option, values)) {
    const standing = labels.get(name);
    if (standing !== undefined && standing !== value) {
      throw new InputError(
        `${option} names ${JSON.stringify(name)} twice, as ${JSON.stringify(standing)} and ` +
          `${JSON.stringify(value)}; give it one value.`,
      );
    }
    labels.set(name, value);
  }
  return Object.fromEntries(labels);
}

/** Splits a list at its commas; an option that is repeated adds to the list. */
export function readList(option: string, values: readonly string[]): readonly string[] {
  const items = values.flatMap((value) => value.split(',')).map((item) => item.trim());
  if (items.includes('')) {
    throw new InputError(
      `${option} is ${JSON.stringify(values.join(','))}; write names with commas between them.`,
    );
  }
  return items;
}

const AGO = /^(\d{1,6})(m|h|d|w)$/;
const AGO_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * Reads a time: an ISO date or time (UTC when it names no zone), or how long ago, such as `24h`.
 *
 * @throws InputError that names the option and the value.
 */
export function readTime(option: string, text: string, nowMs: number): Date {
  const ago = AGO.exec(text);
  if (ago !== null) return new Date(nowMs - Number(ago[1]) * (AGO_MS[ago[2] ?? ''] ?? 0));
  const timeMs = parseTime(text);
  if (timeMs === null) {
    throw new InputError(
      `${option} is ${JSON.stringify(text)}; write an ISO time such as 2026-03-01T09:00:00Z, ` +
        'or how long ago, such as 24h or 7d.',
    );
  }
  return new Date(timeMs);
}
