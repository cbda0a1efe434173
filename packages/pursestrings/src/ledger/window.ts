import { Temporal } from 'temporal-polyfill';

/**
 * The rule of a limit's windows. Calendar periods follow the limit's time zone; weeks are ISO
 * weeks, from Monday. `{ every }` steps by a fixed length, counted both ways from `from`.
 */
export type Period = 'hour' | 'day' | 'week' | 'month' | 'year' | 'total' | Every;

/**
 * Fixed windows: a whole number and `m`, `h`, `d`, `w` (of 24 and 168 hours) or `mo` (calendar
 * months, clamped to month ends), such as `'5h'` or `'3mo'`. `from` is an ISO time, by default the
 * Unix epoch; one without an offset is read in the limit's time zone.
 */
export interface Every {
  readonly every: string;
  readonly from?: string;
}

/** One concrete interval of a period: from `startMs`, up to but not including `endMs`. */
export interface Window {
  /** Names the window within its limit: a civil date, or for hours and fixed steps the UTC start. */
  readonly key: string;
  readonly startMs: number;
  /** `null` for a window that never ends. */
  readonly endMs: number | null;
}

/** Finds the window that contains a time. */
export type WindowFinder = (nowMs: number) => Window;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MAX_WINDOW_MS = 36_525 * DAY_MS;

/** The one window of a limit that never resets. */
export const TOTAL_WINDOW: Window = { key: 'total', startMs: 0, endMs: null };

/** True when a time lies in a window. */
export function contains(window: Window, nowMs: number): boolean {
  return window.endMs === null || (window.startMs <= nowMs && nowMs < window.endMs);
}

/**
 * Makes the finder of a period's windows in a time zone.
 *
 * The windows of one finder cover all time without gap or overlap, whatever the zone's clock does:
 * an hour is cut where the zone's offset changes, a day begins at its first moment.
 *
 * @throws RangeError that says what is wrong with the period.
 */
export function windowFinder(period: Period, timeZone: string): WindowFinder {
  if (typeof period === 'object' && period !== null) return everyFinder(period, timeZone);
  switch (period) {
    case 'total':
      return () => TOTAL_WINDOW;
    case 'hour':
      return (nowMs) => hourWindow(zoned(nowMs, timeZone));
    case 'day':
      return (nowMs) => dateWindow(zoned(nowMs, timeZone).toPlainDate(), { days: 1 }, timeZone);
    case 'week':
      return (nowMs) => {
        const date = zoned(nowMs, timeZone).toPlainDate();
        return dateWindow(date.subtract({ days: date.dayOfWeek - 1 }), { weeks: 1 }, timeZone);
      };
    case 'month':
      return (nowMs) =>
        dateWindow(zoned(nowMs, timeZone).toPlainDate().with({ day: 1 }), { months: 1 }, timeZone);
    case 'year':
      return (nowMs) =>
        dateWindow(
          zoned(nowMs, timeZone).toPlainDate().with({ month: 1, day: 1 }),
          { years: 1 },
          timeZone,
        );
    default:
      throw new RangeError(
        `is ${JSON.stringify(period)}; it must be 'hour', 'day', 'week', 'month', 'year', 'total' or { every: '5h' }`,
      );
  }
}

/** True when the windows of a period depend on the time zone; the others are alike everywhere. */
export function dependsOnTimeZone(period: Period): boolean {
  if (typeof period !== 'object') return period !== 'total';
  return period.every.endsWith('mo') || (period.from !== undefined && !hasOffset(period.from));
}

/**
 * The zone's name in its usual spelling: `europe/berlin` becomes `Europe/Berlin`.
 *
 * @throws RangeError when there is no such zone.
 */
export function resolveTimeZone(timeZone: string): string {
  return zoned(0, timeZone).timeZoneId;
}

function zoned(nowMs: number, timeZone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(nowMs).toZonedDateTimeISO(timeZone);
}

function dateWindow(
  first: Temporal.PlainDate,
  length: { days?: number; weeks?: number; months?: number; years?: number },
  timeZone: string,
): Window {
  return {
    key: first.toString(),
    startMs: first.toZonedDateTime(timeZone).epochMilliseconds,
    endMs: first.add(length).toZonedDateTime(timeZone).epochMilliseconds,
  };
}

function hourWindow(now: Temporal.ZonedDateTime): Window {
  const nowMs = now.epochMilliseconds;
  const offsetMs = now.offsetNanoseconds / 1e6;
  let startMs = Math.floor((nowMs + offsetMs) / HOUR_MS) * HOUR_MS - offsetMs;
  let endMs = startMs + HOUR_MS;
  // The zone's last change of offset can lie in the hour, and is then `now` at the latest.
  const changed = now.add({ milliseconds: 1 }).getTimeZoneTransition('previous');
  if (changed !== null && changed.epochMilliseconds <= nowMs) {
    startMs = Math.max(startMs, changed.epochMilliseconds);
  }
  const changes = now.getTimeZoneTransition('next');
  if (changes !== null) endMs = Math.min(endMs, changes.epochMilliseconds);
  return { key: utcKey(startMs), startMs, endMs };
}

const EVERY_TEXT = /^([1-9]\d{0,8})(m|h|d|w|mo)$/;

function everyFinder(period: Every, timeZone: string): WindowFinder {
  const match = EVERY_TEXT.exec(String(period.every));
  if (match === null) {
    throw new RangeError(
      `has every ${JSON.stringify(period.every)}; write a whole number and m, h, d, w or mo, such as '5h'; at least '1m'`,
    );
  }
  const count = Number(match[1]);
  const origin = originOf(period.from, timeZone);
  if (match[2] === 'mo')
    return monthsFinder(origin, checkedLength(count, 31 * DAY_MS, period), timeZone);
  const unitMs = { m: MINUTE_MS, h: HOUR_MS, d: DAY_MS, w: 7 * DAY_MS }[
    match[2] as 'm' | 'h' | 'd' | 'w'
  ];
  const lengthMs = checkedLength(count, unitMs, period) * unitMs;
  const originMs = origin.epochMilliseconds;
  return (nowMs) => {
    const startMs = originMs + Math.floor((nowMs - originMs) / lengthMs) * lengthMs;
    return { key: utcKey(startMs), startMs, endMs: startMs + lengthMs };
  };
}

function checkedLength(count: number, unitMs: number, period: Every): number {
  if (count * unitMs > MAX_WINDOW_MS) {
    throw new RangeError(
      `has every ${JSON.stringify(period.every)}, over 100 years; use 'total' instead`,
    );
  }
  return count;
}

/** Windows of whole calendar months: each counted from the origin, so that a clamped end heals. */
function monthsFinder(
  origin: Temporal.ZonedDateTime,
  monthCount: number,
  timeZone: string,
): WindowFinder {
  const civil = origin.toPlainDateTime();
  const startOf = (index: number): Temporal.ZonedDateTime =>
    civil.add({ months: index * monthCount }).toZonedDateTime(timeZone);
  return (nowMs) => {
    const now = zoned(nowMs, timeZone);
    const months = (now.year - civil.year) * 12 + now.month - civil.month;
    // The month of `now` may begin before or after its window's own day: at most one step off.
    let index = Math.floor(months / monthCount);
    while (startOf(index).epochMilliseconds > nowMs) index -= 1;
    while (startOf(index + 1).epochMilliseconds <= nowMs) index += 1;
    const start = startOf(index);
    return {
      key: start.toPlainDateTime().toString({ smallestUnit: 'second' }),
      startMs: start.epochMilliseconds,
      endMs: startOf(index + 1).epochMilliseconds,
    };
  };
}

function originOf(from: string | undefined, timeZone: string): Temporal.ZonedDateTime {
  try {
    if (from === undefined) return zoned(0, timeZone);
    if (hasOffset(from)) return Temporal.Instant.from(from).toZonedDateTimeISO(timeZone);
    return Temporal.PlainDateTime.from(from).toZonedDateTime(timeZone);
  } catch (cause) {
    throw new RangeError(
      `has from ${JSON.stringify(from)}, which is not an ISO time such as '2026-01-31T00:00:00Z'`,
      { cause },
    );
  }
}

function hasOffset(from: string): boolean {
  return /[zZ]$|[+-]\d\d:?\d\d$/.test(from) && from.includes('T');
}

function utcKey(startMs: number): string {
  return new Date(startMs).toISOString().replace('.000Z', 'Z');
}
