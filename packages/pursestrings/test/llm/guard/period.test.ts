import { describe, expect, it } from 'vitest';

import {
  BudgetExceededError,
  createFixedClock,
  guard,
  type GuardOptions,
  MemoryStore,
  periodKey,
  spendReport,
} from '../../../src/llm/guard/index.ts';
import { fakeClient, type Request } from './fixture.ts';

const REQUEST: Request = { model: 'gpt-4o' };

/** Spends a dollar at a time, and says the period that it was counted in. */
function spender(options: Partial<GuardOptions<Request>>) {
  const store = new MemoryStore();
  let now = new Date(0);
  const ai = guard(
    fakeClient(),
    { project: 'p', dailyCapUSD: 1, store, ...options },
    { now: () => now },
  );
  return {
    store,
    async at(iso: string): Promise<'spent' | 'refused'> {
      now = new Date(iso);
      try {
        await ai.create(REQUEST);
        return 'spent';
      } catch (error) {
        if (error instanceof BudgetExceededError) return 'refused';
        throw error;
      }
    },
    async resetsAt(iso: string): Promise<string | undefined> {
      now = new Date(iso);
      const error: unknown = await ai.create(REQUEST).catch((thrown: unknown) => thrown);
      return BudgetExceededError.from(error)?.denial.resetsAt?.toISOString();
    },
  };
}

describe('a day', () => {
  it('of UTC ends at midnight', async () => {
    const { at, resetsAt } = spender({});
    expect(await at('2026-03-01T00:00:00.000Z')).toBe('spent');
    expect(await at('2026-03-01T23:59:59.999Z')).toBe('refused');
    expect(await resetsAt('2026-03-01T12:00:00Z')).toBe('2026-03-02T00:00:00.000Z');
    expect(await at('2026-03-02T00:00:00.000Z')).toBe('spent');
  });

  it('of a zone is 23 hours long when clocks go forward', async () => {
    // New York, 2026-03-08: 02:00 EST becomes 03:00 EDT.
    const { at, store, resetsAt } = spender({ timezone: 'America/New_York' });
    expect(await at('2026-03-08T04:59:59.999Z')).toBe('spent');
    expect(await at('2026-03-08T05:00:00.000Z')).toBe('spent');
    expect(await resetsAt('2026-03-08T12:00:00Z')).toBe('2026-03-09T04:00:00.000Z');
    expect(await at('2026-03-09T03:59:59.999Z')).toBe('refused');
    expect(await at('2026-03-09T04:00:00.000Z')).toBe('spent');
    expect(await spendReport('p', '2026-03-07', store)).toEqual({ default: 1 });
    expect(await spendReport('p', '2026-03-08', store)).toEqual({ default: 1 });
    expect(await spendReport('p', '2026-03-09', store)).toEqual({ default: 1 });
  });

  it('of a zone is 25 hours long when clocks go back', async () => {
    // Berlin, 2026-10-25: 03:00 CEST becomes 02:00 CET.
    const { at } = spender({ timezone: 'Europe/Berlin' });
    expect(await at('2026-10-24T22:00:00.000Z')).toBe('spent');
    expect(await at('2026-10-25T00:30:00.000Z')).toBe('refused');
    expect(await at('2026-10-25T01:30:00.000Z')).toBe('refused');
    expect(await at('2026-10-25T22:59:59.999Z')).toBe('refused');
    expect(await at('2026-10-25T23:00:00.000Z')).toBe('spent');
  });

  it('ends where another begins, whichever way a clock is set', async () => {
    const { at } = spender({});
    expect(await at('2026-03-02T12:00:00Z')).toBe('spent');
    expect(await at('2026-03-01T12:00:00Z')).toBe('spent');
    expect(await at('2026-03-02T12:00:00Z')).toBe('refused');
  });
});

describe('a month', () => {
  it('has one cap for all its days', async () => {
    const { at, store, resetsAt } = spender({ period: 'monthly', timezone: 'Asia/Tokyo' });
    expect(await at('2026-01-31T14:59:59.999Z')).toBe('spent');
    expect(await at('2026-01-31T15:00:00.000Z')).toBe('spent');
    expect(await at('2026-02-28T14:59:59.999Z')).toBe('refused');
    expect(await resetsAt('2026-02-14T00:00:00Z')).toBe('2026-02-28T15:00:00.000Z');
    expect(await at('2026-02-28T15:00:00.000Z')).toBe('spent');
    expect(await spendReport('p', '2026-02', store)).toEqual({ default: 1 });
  });

  it('is counted apart from days', async () => {
    const monthly = spender({ period: 'monthly', dailyCapUSD: 5 });
    const daily = guard(
      fakeClient(),
      { project: 'p', dailyCapUSD: 1, store: monthly.store },
      { now: createFixedClock('2026-01-31T12:00:00Z') },
    );
    expect(await monthly.at('2026-01-31T12:00:00Z')).toBe('spent');
    await daily.create(REQUEST);
    expect(await spendReport('p', '2026-01', monthly.store)).toEqual({ default: 1 });
    expect(await spendReport('p', '2026-01-31', monthly.store)).toEqual({ default: 1 });
  });
});

describe('periodKey', () => {
  it.each([
    ['2026-11-22T03:00:00Z', 'daily', undefined, '2026-11-22'],
    ['2026-11-22T03:00:00Z', 'daily', 'America/New_York', '2026-11-21'],
    ['2026-11-30T23:30:00Z', 'monthly', 'Europe/Berlin', '2026-12'],
    ['2026-11-30T23:30:00Z', 'monthly', undefined, '2026-11'],
  ] as const)('of %s, %s, in %s is %s', (iso, period, zone, key) => {
    expect(periodKey(new Date(iso), period, zone)).toBe(key);
  });

  it.each([
    [new Date('never'), undefined, undefined],
    [new Date(0), 'hourly' as never, undefined],
    [new Date(0), undefined, 'Mars/Olympus'],
  ])('throws for what is none (%s, %s, %s)', (date, period, zone) => {
    expect(() => periodKey(date, period, zone)).toThrow(/now|period|timezone/);
  });

  it('reckons with a zone once a day: a million keys take no minute', () => {
    const start = Date.UTC(2026, 2, 8);
    const keys = new Set<string>();
    for (let count = 0; count < 1_000_000; count += 1) {
      keys.add(periodKey(new Date(start + count * 172), 'daily', 'America/New_York'));
    }
    expect([...keys]).toEqual(['2026-03-07', '2026-03-08', '2026-03-09']);
  });
});

describe('spendReport', () => {
  it.each([['yesterday'], ['2026-13-01'], ['2026'], ['2026-02-30T00']])(
    'throws for the day %s',
    async (day) => {
      await expect(spendReport('p', day)).rejects.toThrow(/day/);
    },
  );
});
