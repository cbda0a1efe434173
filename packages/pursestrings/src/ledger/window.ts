import { Temporal } from 'temporal-polyfill';
import { shown } from './invalid.ts';

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
      return (nowMs) => dateWindow(nowMs, timeZone, { days: 1 }, (date) => date);
    case 'week':
      return (nowMs) =>
        dateWindow(nowMs, timeZone, { weeks: 1 }, (date) =>
          date.subtract({ days: date.dayOfWeek - 1 }),
        );
    case 'month':
      return (nowMs) => dateWindow(nowMs, timeZone, { months: 1 }, (date) => date.with({ day: 1 }));
    case 'year':
      return (nowMs) =>
        dateWindow(nowMs, timeZone, { years: 1 }, (date) => date.with({ month: 1, day: 1 }));
    default:
      throw new RangeError(
        `is ${shown(period)}; it must be 'hour', 'day', 'week', 'month', 'year', 'total' or { every: '5h' }`,
      );
  }
}

/** True when the windows of a period depend on the time zone; the others are alike everywhere. */
export function dependsOnTimeZone(period: Period): boolean {
  if (typeof period !== 'object' || period === null) return period !== 'total';
  const { every, from } = period;
  return (
    (typeof every === 'string' && every.endsWith('mo')) || (from !== undefined && !hasOffset(from))
  );
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
  nowMs: number,
  timeZone: string,
  length: { days?: number; weeks?: number; months?: number; years?: number },
  firstOf: (date: Temporal.PlainDate) => Temporal.PlainDate,
): Window {
  let first = firstOf(zoned(nowMs, timeZone).toPlainDate());
  for (;;) {
    const next = first.add(length);
    const endMs = next.toZonedDateTime(timeZone).epochMilliseconds;
    if (nowMs < endMs) {
      const startMs = first.toZonedDateTime(timeZone).epochMilliseconds;
      return { key: first.toString(), startMs, endMs };
    }
    // A clock set back over midnight shows the old date again, but the new one has begun.
    first = next;
  }
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
  const { every, from, ...others } = period;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new RangeError(`has the field ${shown(unknown)}; those of a period are every, from`);
  }
  const match = typeof every === 'string' ? EVERY_TEXT.exec(every) : null;
  if (match === null) {
    throw new RangeError(
      `has every ${shown(every)}; write a whole number and m, h, d, w or mo, such as '5h'; at least '1m'`,
    );
  }
  const count = Number(match[1]);
  const origin = originOf(from, timeZone);
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
    throw new RangeError(`has every ${shown(period.every)}, over 100 years; use 'total' instead`);
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
  const civilStart = (index: number): Temporal.PlainDateTime =>
    civil.add({ months: index * monthCount });
  const startOf = (index: number): number =>
    civilStart(index).toZonedDateTime(timeZone).epochMilliseconds;
  return (nowMs) => {
    const now = zoned(nowMs, timeZone);
    const months = (now.year - civil.year) * 12 + now.month - civil.month;
    // The month of `now` may begin before or after its window's own day: at most one step off.
    let index = Math.floor(months / monthCount);
    while (startOf(index) > nowMs) index -= 1;
    while (startOf(index + 1) <= nowMs) index += 1;
    return {
      key: civilStart(index).toString({ smallestUnit: 'second' }),
      startMs: startOf(index),
      endMs: startOf(index + 1),
    };
  };
}

function originOf(from: string | undefined, timeZone: string): Temporal.ZonedDateTime {
  try {
    if (from === undefined) return zoned(0, timeZone);
    if (hasOffset(from)) return Temporal.Instant.from(from).toZonedDateTimeISO(timeZone);
    // Without an offset, `[Asia/Tokyo]` would be read over, and the limit has a zone of its own.
    if (typeof from !== 'string' || from.includes('[')) throw new RangeError('not a local time');
    return Temporal.PlainDateTime.from(from).toZonedDateTime(timeZone);
  } catch (cause) {
    throw new RangeError(
      `has from ${shown(from)}, which is not an ISO time such as '2026-01-31T00:00:00Z'`,
      { cause },
    );
  }
}

/** True for an ISO time that says where on Earth it is meant: it ends in `Z` or in an offset. */
function hasOffset(from: string): boolean {
  try {
    Temporal.Instant.from(from);
    return true;
  } catch {
    return false;
  }
}

function utcKey(startMs: number): string {
  return Temporal.Instant.fromEpochMilliseconds(startMs).toString();
}
