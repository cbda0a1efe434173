import { expect, it } from 'vitest';

import type { Limit } from '../../src/index.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/index.ts';
import { balanceOf, charges, makePurse, type StoreOptions } from './fixture.ts';

const DAY_MS = 86_400_000;
const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1000 } },
  { name: 'day', cap: { usd: 100 }, per: 'day' },
];

/** What every store forgets and keeps: declared inside of a `describe`, for an empty store of a kind. */
export function retentionCases(
  makeStore: (options: StoreOptions) => LedgerStore | Promise<LedgerStore>,
): void {
  it('folds old charges into their envelopes and loses no step', async () => {
    const clock = manualClock('2026-02-01T12:00:00Z');
    const store = await makeStore({ clock, journalDays: 2 });
    const purse = await makePurse({ store, limits: LIMITS });
    for (let index = 0; index < 700; index += 1) {
      await purse.charge({ usd: 0.01 }, {}, { id: `old-${index}` });
    }
    const refund = await purse.reserve({ usd: 2 }, {}, { ttlMs: 1000, ifAbandoned: 'charge' });
    clock.advance(1000);
    await refund.settle({ usd: 0.5 });
    expect(await balanceOf(purse, 'all')).toMatchObject({ spent: 7.5, held: 0 });

    clock.advance(2 * DAY_MS);
    await purse.charge({ usd: 1 }, {}, { id: 'new' });
    for (let turn = 0; turn < 5; turn += 1) {
      clock.advance(60_000);
      await purse.charge({ usd: 0 }, {}, { id: `turn-${turn}` });
      expect((await purse.verify()).ok).toBe(true);
    }
    expect(await balanceOf(purse, 'all')).toMatchObject({ spent: 8.5, held: 0 });
    expect((await charges(purse)).map(({ id }) => id)).toEqual([
      'new',
      ...Array.from({ length: 5 }, (_, turn) => `turn-${turn}`),
    ]);
    // An id lives as long as its row: forgotten, it is a new spend.
    expect((await purse.charge({ usd: 0.01 }, {}, { id: 'old-3' })).replayed).toBe(false);
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 7 });
  });

  it('keeps folding when more comes in at once than one batch folds', async () => {
    const clock = manualClock();
    const store = await makeStore({ clock, journalDays: 1 });
    const purse = await makePurse({ store, limits: LIMITS });
    for (let day = 0; day < 6; day += 1) {
      await Promise.all(Array.from({ length: 900 }, () => purse.charge({ usd: 0.01 })));
      clock.advance(DAY_MS);
    }
    await purse.charge({ usd: 1 });
    // At most what one day brought is still to be folded.
    const { ok, charges: listed } = await purse.verify();
    expect(ok).toBe(true);
    expect(listed).toBeLessThanOrEqual(1801);
    expect((await balanceOf(purse, 'all')).spent).toBe(55);
  });

  it('forgets a window a day after it closed, and never one with money held', async () => {
    const clock = manualClock('2026-02-01T12:00:00Z');
    const store = await makeStore({ clock });
    const purse = await makePurse({ store, limits: LIMITS });
    await purse.charge({ usd: 3 });
    const hold = await purse.reserve({ usd: 5 }, {}, { ttlMs: 30 * DAY_MS, id: 'long' });
    const envelopes = async (): Promise<string[]> => {
      const { items } = await store.readBalances({});
      return items.map(({ limit, window }) => `${limit} ${window.key}`).sort();
    };
    clock.advance(3 * DAY_MS);
    await purse.charge({ usd: 1 });
    expect(await envelopes()).toEqual(['all total', 'day 2026-02-01', 'day 2026-02-04']);
    await hold.settle({ usd: 4 });
    const { items } = await store.readBalances({});
    const first = items.find(({ window }) => window.key === '2026-02-01');
    expect(first).toMatchObject({ spent: 7e8, held: 0 });
    for (let day = 0; day < 2; day += 1) {
      clock.advance(DAY_MS);
      await purse.charge({ usd: 0 });
    }
    expect(await envelopes()).not.toContain('day 2026-02-01');
    expect((await balanceOf(purse, 'all')).spent).toBe(8);
    expect((await purse.verify()).ok).toBe(true);
  });

  it('forgets a resolved hold after seven days, and still records what it cost', async () => {
    const clock = manualClock();
    const store = await makeStore({ clock });
    const purse = await makePurse({ store, limits: LIMITS });
    const options = { ttlMs: 1000, id: 'gone' };
    const hold = await purse.reserve({ usd: 2 }, { agent: 'a' }, options);
    const other = await purse.reserve({ usd: 2 }, {}, { ttlMs: 1000, id: 'other' });
    const kept = await purse.reserve(
      { usd: 2 },
      {},
      { ttlMs: 1000, ifAbandoned: 'charge', id: 'kept' },
    );
    clock.advance(1000);
    await purse.report();
    clock.advance(7 * DAY_MS - 1);
    await expect(other.extend(1000)).rejects.toMatchObject({ code: 'CONFLICT' });
    clock.advance(60_001);
    await purse.charge({ usd: 0 });
    await expect(hold.extend(1000)).rejects.toMatchObject({ code: 'HOLD_NOT_FOUND' });
    await expect(hold.release()).rejects.toMatchObject({ code: 'HOLD_NOT_FOUND' });
    const late = await hold.settle({ usd: 3 });
    expect(late).toMatchObject({ id: 'gone', late: true, amounts: { usd: 3 }, replayed: false });
    expect(late.labels).toEqual({ agent: 'a' });
    expect(await hold.settle({ usd: 3 })).toMatchObject({ id: 'gone', replayed: true });
    // Its charge stands in the journal, and is set right all the same.
    const correction = await kept.settle({ usd: 0.5 });
    expect(correction).toMatchObject({ corrects: 'kept', amounts: { usd: -1.5 }, late: true });
    expect(await kept.settle({ usd: 0.5 })).toMatchObject({ corrects: 'kept', replayed: true });
    await expect(kept.settle({ usd: 0.6 })).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await balanceOf(purse, 'all')).spent).toBe(3.5);
    expect((await purse.verify()).ok).toBe(true);
  });

  it('opens no envelope past maxEnvelopes, by name, and still records what was spent', async () => {
    const store = await makeStore({ maxEnvelopes: 3 });
    const limits = [
      { name: 'all', cap: { usd: 100 } },
      { name: 'agent', cap: { usd: 100 }, each: ['agent'] },
    ];
    const purse = await makePurse({ store, limits });
    await purse.reserve({ usd: 1 }, { agent: 'a' });
    await purse.reserve({ usd: 1 }, { agent: 'b' });
    const refused = await purse.tryReserve({ usd: 1 }, { agent: 'c' });
    expect(refused).toMatchObject({
      ok: false,
      denial: { reason: 'too_many_envelopes', limit: 'agent' },
    });
    expect((await purse.tryReserve({ usd: 1 }, { agent: 'b' })).ok).toBe(true);
    await purse.charge({ usd: 1 }, { agent: 'd' });
    expect((await balanceOf(purse, 'all')).spent).toBe(1);
    expect(await purse.verify()).toMatchObject({ ok: true, envelopes: 4 });
  });

  it('folds label sets past 1,000 in a quarter-hour into (other), with exact totals', async () => {
    const clock = manualClock();
    const store = await makeStore({ clock });
    const purse = await makePurse({ store, limits: LIMITS });
    const spend = (task: number): Promise<unknown> =>
      purse.charge({ usd: 0.01 }, { task: `t${task}` });
    await Promise.all(Array.from({ length: 1200 }, (_, task) => spend(task)));
    // One that is told apart already goes on being so.
    await spend(5);
    const { rows, total } = await purse.report({ by: ['task'] });
    expect(total).toEqual({ usd: 12.01 });
    expect(rows).toHaveLength(1001);
    expect(rows.find(({ labels }) => labels['task'] === '(other)')).toMatchObject({
      amounts: { usd: 2 },
      charges: 200,
    });
    expect(rows.find(({ labels }) => labels['task'] === 't5')?.amounts).toEqual({ usd: 0.02 });
    clock.advance(15 * 60_000);
    await spend(1100);
    const later = await purse.report({ by: ['task'] });
    expect(later.rows.find(({ labels }) => labels['task'] === 't1100')?.charges).toBe(1);
  });

  it('counts denials, each once', async () => {
    const store = await makeStore({});
    const purse = await makePurse({ store, limits: [{ name: 'all', cap: { usd: 1 } }] });
    // Alone, with others, beside something that is written, and frozen.
    await purse.tryReserve({ usd: 2 }, { agent: 'a' });
    await Promise.all([purse.tryReserve({ usd: 2 }, { agent: 'a' }), purse.tryReserve({ usd: 3 })]);
    await Promise.all([purse.tryReserve({ usd: 4 }, { agent: 'a' }), purse.charge({ usd: 1 })]);
    await purse.freeze({ agent: 'b' });
    await purse.tryReserve({ usd: 0 }, { agent: 'b' });
    const counted = async (): Promise<unknown> => {
      const { rows } = await purse.report({ by: ['agent'] });
      return rows.map(({ labels, denials }) => [labels['agent'], denials]);
    };
    const expected = [
      ['', 1],
      ['a', 3],
      ['b', 1],
    ];
    expect(await counted()).toEqual(expected);
    expect(await counted()).toEqual(expected);
  });
}
