import { describe, expect, it } from 'vitest';
import { dependsOnTimeZone, type Period, windowFinder } from '../../src/ledger/window.ts';

/** The starts of the windows from the one that contains a time on, as UTC. */
function starts(per: Period, timeZone: string, from: string, count: number): string[] {
  const find = windowFinder(per, timeZone);
  let window = find(Date.parse(from));
  const found = [window];
  while (found.length < count) {
    window = find(window.endMs ?? Number.NaN);
    found.push(window);
  }
  return found.map(({ startMs }) => new Date(startMs).toISOString().replace(':00.000Z', 'Z'));
}

describe('windows of a fixed length', () => {
  it('are counted both ways from their origin', () => {
    const per = { every: '5h', from: '2026-01-01T01:00:00Z' };
    expect(starts(per, 'UTC', '2025-12-31T16:00:00Z', 4)).toEqual([
      '2025-12-31T15:00Z',
      '2025-12-31T20:00Z',
      '2026-01-01T01:00Z',
      '2026-01-01T06:00Z',
    ]);
  });

  it('are counted from the Unix epoch by default, also before it', () => {
    expect(starts({ every: '1d' }, 'Asia/Tokyo', '1969-12-31T23:00:00Z', 2)).toEqual([
      '1969-12-31T00:00Z',
      '1970-01-01T00:00Z',
    ]);
    expect(starts({ every: '1w' }, 'UTC', '1970-01-08T00:00:00Z', 1)).toEqual([
      '1970-01-08T00:00Z',
    ]);
    expect(starts({ every: '7m' }, 'UTC', '1970-01-01T00:06:59Z', 2)).toEqual([
      '1970-01-01T00:00Z',
      '1970-01-01T00:07Z',
    ]);
  });

  it('are as long in the days when clocks change', () => {
    const per = { every: '1d', from: '2026-03-07T00:00:00' };
    expect(starts(per, 'America/New_York', '2026-03-07T12:00:00Z', 3)).toEqual([
      '2026-03-07T05:00Z',
      '2026-03-08T05:00Z',
      '2026-03-09T05:00Z',
    ]);
  });

  it.each([
    ['2026-01-31T00:00:00+02:00', '2026-01-30T22:00Z'],
    ['2026-01-31T00:00+02', '2026-01-30T22:00Z'],
    ['2026-01-31t00:00z', '2026-01-31T00:00Z'],
    ['2026-01-31 00:00:00+02:00', '2026-01-30T22:00Z'],
    ['2026-01-31T00:00:00-0530', '2026-01-31T05:30Z'],
    ['2026-01-31T00:00:00+02:00[Europe/Kyiv]', '2026-01-30T22:00Z'],
    ['2026-01-31T00:00:00', '2026-01-30T15:00Z'],
    ['2026-01-31', '2026-01-30T15:00Z'],
  ])('take %s for what it says, in Tokyo', (from, start) => {
    expect(starts({ every: '1d', from }, 'Asia/Tokyo', start, 1)).toEqual([start]);
  });
});

describe('windows of calendar months', () => {
  it('are clamped to the ends of months, and heal', () => {
    const per = { every: '1mo', from: '2024-01-31T00:00:00Z' };
    expect(starts(per, 'UTC', '2023-11-30T00:00:00Z', 7)).toEqual([
      '2023-11-30T00:00Z',
      '2023-12-31T00:00Z',
      '2024-01-31T00:00Z',
      '2024-02-29T00:00Z',
      '2024-03-31T00:00Z',
      '2024-04-30T00:00Z',
      '2024-05-31T00:00Z',
    ]);
    expect(starts(per, 'UTC', '2100-02-28T00:00:00Z', 1)).toEqual(['2100-02-28T00:00Z']);
    expect(starts(per, 'UTC', '2100-02-27T23:59:59Z', 1)).toEqual(['2100-01-31T00:00Z']);
  });

  it('keep a leap day for the years that have one', () => {
    const per = { every: '12mo', from: '2024-02-29T00:00:00Z' };
    expect(starts(per, 'UTC', '2019-06-01T00:00:00Z', 6)).toEqual([
      '2019-02-28T00:00Z',
      '2020-02-29T00:00Z',
      '2021-02-28T00:00Z',
      '2022-02-28T00:00Z',
      '2023-02-28T00:00Z',
      '2024-02-29T00:00Z',
    ]);
  });

  it('follow the wall clock of the zone', () => {
    const per = { every: '1mo', from: '2026-02-15T09:00:00' };
    expect(starts(per, 'America/New_York', '2026-02-15T14:00:00Z', 3)).toEqual([
      '2026-02-15T14:00Z',
      '2026-03-15T13:00Z',
      '2026-04-15T13:00Z',
    ]);
  });

  it('count before 1970 too', () => {
    expect(starts({ every: '5mo' }, 'UTC', '1969-12-31T00:00:00Z', 2)).toEqual([
      '1969-08-01T00:00Z',
      '1970-01-01T00:00Z',
    ]);
  });

  it('are named by the wall clock as written, also where it is skipped', () => {
    const find = windowFinder({ every: '1mo', from: '2026-01-08T02:30:00' }, 'America/New_York');
    const window = find(Date.parse('2026-03-08T12:00:00Z'));
    expect(window.key).toBe('2026-03-08T02:30:00');
    expect(new Date(window.startMs).toISOString()).toBe('2026-03-08T07:30:00.000Z');
  });
});

describe('a period that is none', () => {
  it.each<unknown>([
    'fortnight',
    'Day',
    '',
    5,
    null,
    undefined,
    [],
    ['day'],
    {},
    { every: '0m' },
    { every: '1.5h' },
    { every: '-1h' },
    { every: '1y' },
    { every: '1s' },
    { every: '1 h' },
    { every: 'h' },
    { every: '60' },
    { every: 60 },
    { every: ['5h'] },
    { every: 5n },
    { every: '101y' },
    { every: '36526d' },
    { every: '1201mo' },
    { every: '999999999w' },
    { every: '9999999999m' },
    { every: '5h', form: '2026-01-01' },
    { every: '5h', from: null },
    { every: '5h', from: 0 },
    { every: '5h', from: '' },
    { every: '5h', from: 'yesterday' },
    { every: '5h', from: '2026-02-30' },
    { every: '5h', from: '2026-01-31T25:00:00Z' },
    { every: '5h', from: '2026-01-31T00:00[Asia/Tokyo]' },
    { every: '1mo', from: { year: 2026, month: 1, day: 1 } },
    { every: '1mo', from: '2026-01-31[u-ca=hebrew]' },
    { every: '1mo', from: new Date(0) },
  ])('is refused: %o', (per) => {
    expect(() => windowFinder(per as Period, 'UTC')).toThrow(RangeError);
  });
});

describe('dependsOnTimeZone', () => {
  it.each<[Period, boolean]>([
    ['total', false],
    ['hour', true],
    ['day', true],
    [{ every: '5h' }, false],
    [{ every: '1d', from: '2026-01-01T00:00:00Z' }, false],
    [{ every: '1d', from: '2026-01-01T00:00:00+02' }, false],
    [{ every: '1d', from: '2026-01-01' }, true],
    [{ every: '1d', from: '2026-01-01T00:00:00' }, true],
    [{ every: '1mo', from: '2026-01-01T00:00:00Z' }, true],
  ])('says of %j: %s', (per, depends) => {
    expect(dependsOnTimeZone(per)).toBe(depends);
    const differs = [-11, 3, 12].some((month) => {
      const at = Date.UTC(2026, month, 1, 3);
      const keys = ['America/New_York', 'Asia/Kolkata'].map((tz) => {
        const { startMs, endMs } = windowFinder(per, tz)(at);
        return `${startMs}/${String(endMs)}`;
      });
      return keys[0] !== keys[1];
    });
    expect(differs).toBe(depends);
  });
});
