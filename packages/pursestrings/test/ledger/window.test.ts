import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contains, type Period, type Window, windowFinder } from '../../src/ledger/window.ts';
import { addDays, civilTime, mondayOf } from './civil-clock.ts';

const HOUR_MS = 3_600_000;

const ZONES = [
  'UTC',
  'America/New_York',
  'Europe/Berlin',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
  'America/Sao_Paulo',
  'America/Havana',
  'Pacific/Apia',
  'Africa/Casablanca',
  'America/St_Johns',
  'Antarctica/Troll',
  'Antarctica/Casey',
  'Asia/Beirut',
  'Pacific/Chatham',
];

const PERIODS: readonly Period[] = [
  'hour',
  'day',
  'week',
  'month',
  'year',
  { every: '1m' },
  { every: '90m', from: '2020-02-29T12:34:56Z' },
  { every: '5h' },
  { every: '7h', from: '2026-03-08T01:30:00' },
  { every: '30d' },
  { every: '10d', from: '2031-01-01' },
  { every: '2w', from: '2026-01-05T00:00:00+05:30' },
  { every: '1mo' },
  { every: '1mo', from: '2024-01-31T00:00:00' },
  { every: '3mo', from: '2026-11-30T23:59:59Z' },
  { every: '12mo', from: '2024-02-29' },
];

/** Times with something special near: changes of the clock, skipped days, ends of years. */
const SPECIAL = [
  '2026-03-08T07:00:00Z', // New York springs forward
  '2026-11-01T06:00:00Z', // and falls back
  '2026-03-29T01:00:00Z', // Berlin, Troll
  '2026-10-25T01:00:00Z',
  '2026-04-04T15:00:00Z', // Lord Howe, by half an hour
  '2026-10-03T15:30:00Z',
  '2018-11-04T03:00:00Z', // Sao Paulo has no midnight
  '2018-02-18T02:00:00Z',
  '2026-03-08T05:00:00Z', // Havana has no midnight
  '2026-11-01T05:00:00Z',
  '2011-12-30T10:00:00Z', // Apia has no such day
  '2026-02-15T02:00:00Z', // Casablanca, Ramadan
  '2026-03-22T02:00:00Z',
  '2010-11-07T02:31:00Z', // St John's goes back from 00:01 to 23:01 of the day before
  '2010-03-04T15:00:00Z', // Casey goes back from 02:00 to 23:00 of the day before
  '2026-10-24T21:00:00Z', // Beirut goes back from 00:00 to 23:00
  '2024-02-29T12:00:00Z',
  '2024-12-31T23:59:59Z',
  '1970-01-01T00:00:00Z',
  '1969-12-31T23:59:59Z',
].map((time) => Date.parse(time));

const time = fc.oneof(
  fc.integer({ min: Date.UTC(1950, 0), max: Date.UTC(2060, 0) }),
  fc
    .tuple(fc.constantFrom(...SPECIAL), fc.integer({ min: -2 * HOUR_MS, max: 2 * HOUR_MS }))
    .map(([special, away]) => special + away),
);
const zone = fc.constantFrom(...ZONES);
const period = fc.constantFrom(...PERIODS);

/** The windows from one on, in order of time. */
function walk(find: (nowMs: number) => Window, fromMs: number, count: number): Window[] {
  const windows = [find(fromMs)];
  while (windows.length < count) windows.push(find(windows.at(-1)?.endMs ?? Number.NaN));
  return windows;
}

describe('the windows of a period', () => {
  const midnights = SPECIAL.map((at): [number, string, Period] => [at, 'America/St_Johns', 'day']);

  it('cover all time, without gap or overlap, wherever one looks', () => {
    fc.assert(
      fc.property(time, zone, period, (nowMs, timeZone, per) => {
        const find = windowFinder(per, timeZone);
        const window = find(nowMs);
        const endMs = window.endMs ?? Number.NaN;
        expect(window.startMs).toBeLessThanOrEqual(nowMs);
        expect(nowMs).toBeLessThan(endMs);
        expect(find(window.startMs)).toEqual(window);
        expect(find(endMs - 1)).toEqual(window);
        expect(find(endMs).startMs).toBe(endMs);
        expect(find(window.startMs - 1).endMs).toBe(window.startMs);
      }),
      { numRuns: 1200, examples: midnights },
    );
  });

  it.each(ZONES)('have keys of their own, in %s', (timeZone) => {
    for (const per of PERIODS) {
      for (const startMs of [SPECIAL[0], SPECIAL[10], SPECIAL[13], Date.UTC(1969, 11, 20)]) {
        const windows = walk(windowFinder(per, timeZone), (startMs ?? 0) - 20 * HOUR_MS, 50);
        expect(new Set(windows.map(({ key }) => key)).size).toBe(windows.length);
      }
    }
  });

  it('is found alike by clocks that stand at different times', () => {
    const forward = windowFinder('day', 'Europe/Berlin');
    const backward = windowFinder('day', 'Europe/Berlin');
    const times = Array.from({ length: 60 }, (_, index) => Date.UTC(2026, 9, 20) + index * 7.3e6);
    const found = times.map(forward);
    expect(times.toReversed().map(backward).toReversed()).toEqual(found);
  });

  it('is one for ever when the period is total', () => {
    const find = windowFinder('total', 'UTC');
    expect(find(-1e15)).toBe(find(8e15));
    expect(contains(find(0), -1e15)).toBe(true);
  });
});

describe('a calendar window', () => {
  // The clock is never set back over midnight there in these years: each date is one piece of time.
  const plain = ZONES.filter((name) => !/St_Johns|Casey/.test(name));
  const modern = fc.integer({ min: Date.UTC(2000, 0), max: Date.UTC(2037, 0) });
  const somewhere = fc.constantFrom(...plain);

  it('of a day holds exactly what the wall clock dates so', () => {
    fc.assert(
      fc.property(modern, somewhere, fc.double({ min: 0, max: 1, noNaN: true }), (at, tz, part) => {
        const { key, startMs, endMs } = windowFinder('day', tz)(at);
        const insideMs = Math.min(
          Math.floor(startMs + part * ((endMs ?? 0) - startMs)),
          (endMs ?? 0) - 1,
        );
        expect(civilTime(at, tz).date).toBe(key);
        expect(civilTime(insideMs, tz).date).toBe(key);
        expect(civilTime(startMs - 1, tz).date).not.toBe(key);
        expect(civilTime(endMs ?? 0, tz).date).not.toBe(key);
      }),
      { numRuns: 600 },
    );
  });

  it('of a week, month or year begins with its Monday or its first', () => {
    fc.assert(
      fc.property(modern, somewhere, (at, tz) => {
        const { date } = civilTime(at, tz);
        expect(windowFinder('week', tz)(at).key).toBe(mondayOf(date));
        expect(windowFinder('month', tz)(at).key).toBe(`${date.slice(0, 7)}-01`);
        expect(windowFinder('year', tz)(at).key).toBe(`${date.slice(0, 4)}-01-01`);
        for (const per of ['week', 'month', 'year'] as const) {
          const { key, startMs } = windowFinder(per, tz)(at);
          expect(civilTime(startMs, tz).date >= key).toBe(true);
          expect(civilTime(startMs - 1, tz).date < key).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('of an hour is one hour of one offset on the wall clock', () => {
    const anywhere = fc.tuple(fc.oneof(modern, fc.constantFrom(...SPECIAL)), zone);
    fc.assert(
      fc.property(anywhere, fc.integer({ min: -HOUR_MS, max: HOUR_MS }), ([at, tz], away) => {
        const { startMs, endMs } = windowFinder('hour', tz)(at + away);
        const lastMs = (endMs ?? 0) - 1;
        const [first, last] = [civilTime(startMs, tz), civilTime(lastMs, tz)];
        expect(lastMs - startMs).toBeLessThan(HOUR_MS);
        expect(last.hour).toBe(first.hour);
        expect(last.offsetMs).toBe(first.offsetMs);
        const next = civilTime(lastMs + 1, tz);
        expect(next.hour !== last.hour || next.offsetMs !== last.offsetMs).toBe(true);
      }),
      { numRuns: 600 },
    );
  });
});

describe('when clocks change', () => {
  const lengthOf = (per: Period, tz: string, at: string): number => {
    const { startMs, endMs } = windowFinder(per, tz)(Date.parse(at));
    return ((endMs ?? Number.NaN) - startMs) / HOUR_MS;
  };

  it.each([
    ['America/New_York', '2026-03-08T12:00:00Z', 23],
    ['America/New_York', '2026-11-01T12:00:00Z', 25],
    ['Europe/Berlin', '2026-03-29T12:00:00Z', 23],
    ['Europe/Berlin', '2026-10-25T12:00:00Z', 25],
    ['Australia/Lord_Howe', '2026-10-04T00:00:00Z', 23.5],
    ['Australia/Lord_Howe', '2026-04-05T00:00:00Z', 24.5],
    ['Antarctica/Troll', '2026-03-29T12:00:00Z', 22],
    ['America/Sao_Paulo', '2018-11-04T12:00:00Z', 23],
    ['America/Sao_Paulo', '2018-02-17T12:00:00Z', 25],
    ['Asia/Kathmandu', '2026-03-29T12:00:00Z', 24],
    ['Pacific/Apia', '2011-12-30T08:00:00Z', 24],
  ])('a day in %s at %s has %d hours', (tz, at, hours) => {
    expect(lengthOf('day', tz, at)).toBe(hours);
  });

  it('a day without midnight begins at its first moment', () => {
    const day = windowFinder('day', 'America/Sao_Paulo')(Date.parse('2018-11-04T12:00:00Z'));
    expect(new Date(day.startMs).toISOString()).toBe('2018-11-04T03:00:00.000Z');
  });

  it('a day that is skipped has no window', () => {
    const find = windowFinder('day', 'Pacific/Apia');
    const windows = walk(find, Date.parse('2011-12-29T12:00:00Z'), 3);
    expect(windows.map(({ key }) => key)).toEqual(['2011-12-29', '2011-12-31', '2012-01-01']);
  });

  it('an hour that is repeated is two windows', () => {
    const find = windowFinder('hour', 'America/New_York');
    const windows = walk(find, Date.parse('2026-11-01T05:30:00Z'), 2);
    expect(windows.map(({ key }) => key)).toEqual(['2026-11-01T05:00:00Z', '2026-11-01T06:00:00Z']);
  });

  it('half an hour that is repeated is a window too', () => {
    const find = windowFinder('hour', 'Australia/Lord_Howe');
    const windows = walk(find, Date.parse('2026-04-04T14:10:00Z'), 3);
    expect(windows.map(({ endMs, startMs }) => ((endMs ?? 0) - startMs) / HOUR_MS)).toEqual([
      1, 0.5, 1,
    ]);
  });

  it('an hour ends where the clock is changed in the middle of it', () => {
    const find = windowFinder('hour', 'America/St_Johns');
    const windows = walk(find, Date.parse('2010-11-07T02:00:00Z'), 4);
    expect(windows.map(({ endMs, startMs }) => ((endMs ?? 0) - startMs) / 60_000)).toEqual([
      60, 1, 59, 60,
    ]);
  });

  it('midnight that comes twice ends the day the first time', () => {
    const windows = walk(
      windowFinder('day', 'America/St_Johns'),
      Date.parse('2010-11-06T12:00:00Z'),
      3,
    );
    expect(windows.map(({ key }) => key)).toEqual(['2010-11-06', '2010-11-07', '2010-11-08']);
    const twice = Date.parse('2010-11-07T03:00:00Z'); // 23:30 of the 6th, for the second time
    expect(civilTime(twice, 'America/St_Johns').date).toBe('2010-11-06');
    expect(contains(windows.at(1) as Window, twice)).toBe(true);
  });

  it('half-hour zones have hours of their own', () => {
    const hour = windowFinder('hour', 'Asia/Kolkata')(Date.parse('2026-01-01T00:00:00Z'));
    expect(hour.key).toBe('2025-12-31T23:30:00Z');
  });
});

describe('weeks', () => {
  it.each([
    ['2021-01-03T23:59:59Z', '2020-12-28'],
    ['2021-01-04T00:00:00Z', '2021-01-04'],
    ['2024-12-31T00:00:00Z', '2024-12-30'],
    ['2016-02-29T00:00:00Z', '2016-02-29'],
    ['1969-12-31T00:00:00Z', '1969-12-29'],
  ])('are ISO weeks, also across years: %s', (at, monday) => {
    expect(windowFinder('week', 'UTC')(Date.parse(at)).key).toBe(monday);
  });

  it('end seven dates later', () => {
    const { key, endMs } = windowFinder(
      'week',
      'Europe/Berlin',
    )(Date.parse('2026-10-21T00:00:00Z'));
    expect(civilTime(endMs ?? 0, 'Europe/Berlin').date).toBe(addDays(key, 7));
  });
});
