import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { BudgetEnforcer, type Period } from '../../src/envelopes/index.ts';
import { HoldNotFoundError } from '../../src/index.ts';
import { type ManualClock, manualClock } from '../../src/testing/index.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LIMIT = 100;

/** The start of the period that a time is in, by arithmetic of the test's own. */
function periodStartMs(period: Period, sinceMs: number, nowMs: number): number {
  if (period === 'total') return sinceMs;
  if (period === 'monthly') return monthStartMs(sinceMs, nowMs);
  const lengthMs = { hourly: HOUR_MS, daily: DAY_MS, weekly: 7 * DAY_MS }[period];
  return nowMs - ((nowMs - sinceMs) % lengthMs);
}

function monthStartMs(sinceMs: number, nowMs: number): number {
  let startMs = sinceMs;
  for (let month = 1; ; month += 1) {
    const nextMs = monthsLater(sinceMs, month);
    if (nextMs > nowMs) return startMs;
    startMs = nextMs;
  }
}

/** The same day and time so many months later, or the month's last day where it has no such day. */
function monthsLater(sinceMs: number, months: number): number {
  const since = new Date(sinceMs);
  const [year, month] = [since.getUTCFullYear(), since.getUTCMonth() + months];
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const day = Math.min(since.getUTCDate(), lastDay);
  return Date.UTC(year, month, day) + (sinceMs % DAY_MS);
}

/** What an enforcer should say: it adds up all that ever happened, at every question. */
class Oracle {
  readonly #period: Period;
  readonly #sinceMs: number;
  readonly #clock: ManualClock;
  readonly #spends: { readonly cents: number; readonly windowMs: number }[] = [];
  readonly #commits = new Map<string, { cents: number; windowMs: number; untilMs: number }>();

  constructor(period: Period, clock: ManualClock) {
    this.#period = period;
    this.#sinceMs = clock.now();
    this.#clock = clock;
  }

  get windowMs(): number {
    return periodStartMs(this.#period, this.#sinceMs, this.#clock.now());
  }

  get spent(): number {
    return sum(this.#spends.filter(({ windowMs }) => windowMs === this.windowMs));
  }

  get committed(): number {
    const nowMs = this.#clock.now();
    const open = [...this.#commits.values()].filter(({ untilMs }) => untilMs > nowMs);
    return sum(open.filter(({ windowMs }) => windowMs === this.windowMs));
  }

  fits(cents: number): boolean {
    return cents <= Math.max(0, LIMIT * 100 - this.spent - this.committed);
  }

  record(cents: number): void {
    this.#spends.push({ cents, windowMs: this.windowMs });
  }

  commit(id: string, cents: number, ttlMs: number): void {
    const untilMs = this.#clock.now() + ttlMs;
    this.#commits.set(id, { cents, windowMs: this.windowMs, untilMs });
  }

  expiredForMs(id: string): number {
    return this.#clock.now() - (this.#commits.get(id)?.untilMs ?? Number.POSITIVE_INFINITY);
  }

  release(id: string): void {
    this.#commits.delete(id);
  }

  /** It counts in the period that it was set aside in. */
  settle(id: string, cents: number): void {
    const commit = this.#commits.get(id);
    if (commit !== undefined) this.#spends.push({ cents, windowMs: commit.windowMs });
    this.#commits.delete(id);
  }
}

/** False when a commit has expired so long ago that its id is forgotten. */
function isKnown(settle: () => unknown): boolean {
  try {
    settle();
    return true;
  } catch (error) {
    if (HoldNotFoundError.isInstance(error)) return false;
    throw error;
  }
}

function sum(amounts: readonly { readonly cents: number }[]): number {
  return amounts.reduce((total, { cents }) => total + cents, 0);
}

const steps = fc.array(
  fc.record({
    does: fc.constantFrom('record', 'commit', 'settle', 'release', 'wait', 'check'),
    cents: fc.integer({ min: 0, max: 6000 }),
    /** Of a wait: how many periods, and how much of one; of a commit: how long it lives. */
    turns: fc.double({ min: 0, max: 2.5, noNaN: true }),
  }),
  { minLength: 1, maxLength: 40 },
);

const LENGTH_MS = {
  hourly: HOUR_MS,
  daily: DAY_MS,
  weekly: 7 * DAY_MS,
  monthly: 31 * DAY_MS,
  total: 100 * DAY_MS,
};

it.each(['hourly', 'daily', 'weekly', 'monthly', 'total'] as const)(
  'an enforcer and a simple oracle agree over periods that are %s',
  (period) => {
    const start = fc.date({
      min: new Date('2023-12-25'),
      max: new Date('2028-03-05'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(start, steps, (at, commands) => {
        const clock = manualClock(at);
        const enforcer = new BudgetEnforcer({ clock });
        enforcer.createEnvelope({ category: 'c', limit: LIMIT, period });
        const oracle = new Oracle(period, clock);
        const commits: string[] = [];
        for (const { does, cents, turns } of commands) {
          const amount = cents / 100;
          const spanMs = Math.max(1, Math.round(turns * LENGTH_MS[period]));
          const id = commits[cents % Math.max(1, commits.length)];
          if (does === 'wait') clock.advance(spanMs);
          else if (does === 'record') {
            enforcer.record('c', amount);
            oracle.record(cents);
          } else if (does === 'commit') {
            const { permitted, commitId } = enforcer.commit('c', amount, { ttlMs: spanMs });
            expect(permitted).toBe(oracle.fits(cents));
            if (commitId === null) continue;
            commits.push(commitId);
            oracle.commit(commitId, cents, spanMs);
          } else if (does === 'check') {
            expect(enforcer.check('c', amount).permitted).toBe(oracle.fits(cents));
          } else if (id !== undefined) {
            commits.splice(commits.indexOf(id), 1);
            if (does === 'settle') {
              if (isKnown(() => enforcer.settle(id, amount))) oracle.settle(id, cents);
              else expect(oracle.expiredForMs(id)).toBeGreaterThanOrEqual(7 * DAY_MS);
            } else {
              enforcer.release(id);
              oracle.release(id);
            }
          }
          const { spent, committed, periodStart } = enforcer.utilization('c');
          expect({ spent, committed, startMs: periodStart.getTime() }).toEqual({
            spent: oracle.spent / 100,
            committed: oracle.committed / 100,
            startMs: oracle.windowMs,
          });
        }
      }),
      { numRuns: 120 },
    );
  },
);

test('months keep the day and the hour of their creation, over leap days and ends of months', () => {
  const clock = manualClock('2027-10-31T23:30:00Z');
  const enforcer = new BudgetEnforcer({ clock });
  enforcer.createEnvelope({ category: 'c', limit: 1, period: 'monthly' });
  const starts = [];
  for (let month = 1; month <= 6; month += 1) {
    clock.set(monthsLater(Date.parse('2027-10-31T23:30:00Z'), month));
    starts.push(enforcer.utilization('c').periodStart.toISOString());
    clock.advance(-1);
    expect(enforcer.utilization('c').periodStart.getTime()).toBeLessThan(clock.now() - 27 * DAY_MS);
  }
  expect(starts).toEqual([
    '2027-11-30T23:30:00.000Z',
    '2027-12-31T23:30:00.000Z',
    '2028-01-31T23:30:00.000Z',
    '2028-02-29T23:30:00.000Z',
    '2028-03-31T23:30:00.000Z',
    '2028-04-30T23:30:00.000Z',
  ]);
});

test('months follow the wall clock of a time zone, and days are 24 hours whatever it does', () => {
  // Berlin goes from UTC+1 to UTC+2 on 2027-03-28, and back on 2027-10-31.
  const clock = manualClock('2027-03-15T08:00:00Z');
  const enforcer = new BudgetEnforcer({ clock, timeZone: 'Europe/Berlin' });
  enforcer.createEnvelope({ category: 'm', limit: 1, period: 'monthly' });
  enforcer.createEnvelope({ category: 'd', limit: 1, period: 'daily' });
  clock.set('2027-04-15T06:59:59Z');
  expect(enforcer.utilization('m').periodStart).toEqual(new Date('2027-03-15T08:00:00Z'));
  clock.set('2027-04-15T07:00:00Z');
  expect(enforcer.utilization('m').periodStart).toEqual(new Date('2027-04-15T07:00:00Z'));
  expect(enforcer.utilization('d').periodStart).toEqual(new Date('2027-04-14T08:00:00Z'));
  clock.set('2027-11-15T08:00:00Z');
  expect(enforcer.utilization('m').periodStart).toEqual(new Date('2027-11-15T08:00:00Z'));
});
