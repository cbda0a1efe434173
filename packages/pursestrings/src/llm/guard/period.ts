import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import { resolveTimeZone, type Window, windowFinder } from '../../ledger/window.ts';

/** How often a guard's cap resets. */
export type GuardPeriod = 'daily' | 'monthly';

/** One day or month, in some zone. */
export interface PeriodSpan {
  /** `2026-11-22` of a day, `2026-11` of a month. */
  readonly key: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** Finds the period that contains a time. */
export type PeriodFinder = (now: Date) => PeriodSpan;

/** Makes a finder that remembers its last period: zones are reckoned with once a day. */
export function periodFinder(period: GuardPeriod, timezone: string): PeriodFinder {
  checkPeriod(period);
  const find = windowFinder(period === 'monthly' ? 'month' : 'day', zoneOf(timezone));
  let last: PeriodSpan | undefined;
  return (now) => {
    const nowMs = timeOf(now);
    if (last === undefined || nowMs < last.startMs || nowMs >= last.endMs) {
      last = spanOf(find(nowMs), period);
    }
    return last;
  };
}

const finders = new Map<string, PeriodFinder>();

/** Zones are few; past so many names somebody makes them up. */
const MAX_FINDERS = 1_000;

/**
 * The key of the period that contains a time: `2026-11-22` of a day, `2026-11` of a month.
 *
 * @param timezone An IANA zone. Default `'UTC'`.
 * @throws InvalidOptionError for an invalid date, an unknown period or zone.
 * @example
 * ```ts
 * import { periodKey } from 'pursestrings/guard';
 *
 * const night = new Date('2026-11-22T03:00:00Z');
 * console.log(periodKey(night), periodKey(night, 'daily', 'America/New_York')); // 2026-11-22 2026-11-21
 * ```
 */
export function periodKey(
  date: Date,
  period: GuardPeriod = 'daily',
  timezone: string = 'UTC',
): string {
  const name = `${period} ${timezone}`;
  let finder = finders.get(name);
  if (finder === undefined) {
    finder = periodFinder(period, timezone);
    if (finders.size >= MAX_FINDERS) finders.clear();
    finders.set(name, finder);
  }
  return finder(date).key;
}

/** The zone's usual name. @throws InvalidOptionError when there is none. */
export function zoneOf(timezone: string): string {
  try {
    return resolveTimeZone(timezone);
  } catch {
    throw new InvalidOptionError(
      `timezone is ${shown(timezone)}, which is no IANA time zone, such as 'Europe/Berlin'`,
    );
  }
}

function checkPeriod(period: GuardPeriod): void {
  if (period !== 'daily' && period !== 'monthly') {
    throw new InvalidOptionError(`period is ${shown(period)}; it must be 'daily' or 'monthly'`);
  }
}

function timeOf(now: Date): number {
  const nowMs = now instanceof Date ? now.getTime() : Number.NaN;
  if (!Number.isFinite(nowMs)) {
    throw new InvalidOptionError(`now() answered ${shown(now)}; it must be a valid Date`);
  }
  return nowMs;
}

function spanOf({ key, startMs, endMs }: Window, period: GuardPeriod): PeriodSpan {
  return {
    key: period === 'monthly' ? key.slice(0, -'-01'.length) : key,
    startMs,
    endMs: endMs ?? Number.POSITIVE_INFINITY,
  };
}
