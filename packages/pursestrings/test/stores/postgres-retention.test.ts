import { describe, expect, it } from 'vitest';

import type { Limit, Purse } from '../../src/index.ts';
import { postgres, type PostgresOptions } from '../../src/stores/postgres.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/index.ts';
import { balanceOf, charges, makePurse } from './fixture.ts';
import { ask, makePool, migratedSchema } from './postgres-fixture.ts';

const DAY_MS = 86_400_000;
const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1000 } },
  { name: 'day', cap: { usd: 100 }, per: 'day' },
];

const pool = makePool();
const schema = await migratedSchema();
let ledgers = 0;

/** A ledger that nobody has used. */
function makeStore(options: Omit<PostgresOptions, 'schema'> = {}): LedgerStore {
  ledgers += 1;
  return postgres(pool, { ...options, schema }).forLedger(`r-${ledgers}`);
}

describe('what Postgres forgets', () => {
  it('folds old charges into their envelopes and loses no step', async () => {
    const clock = manualClock('2026-02-01T12:00:00Z');
    const purse = await makePurse({ store: makeStore({ clock, journalDays: 2 }), limits: LIMITS });
    const old = Array.from({ length: 700 }, (_, index) =>
      purse.charge({ usd: 0.01 }, {}, { id: `old-${index}` }),
    );
    await Promise.all(old);
    const abandoned = await purse.reserve({ usd: 2 }, {}, { ttlMs: 1000, ifAbandoned: 'charge' });
    clock.advance(1000);
    await abandoned.settle({ usd: 0.5 });
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
  });

  it('keeps folding when more comes in at once than one batch folds', async () => {
    const clock = manualClock();
    const purse = await makePurse({ store: makeStore({ clock, journalDays: 1 }), limits: LIMITS });
    for (let day = 0; day < 5; day += 1) {
      await Promise.all(Array.from({ length: 900 }, () => purse.charge({ usd: 0.01 })));
      clock.advance(DAY_MS);
    }
    await purse.charge({ usd: 1 });
    const { ok, charges: listed } = await purse.verify();
    expect(ok).toBe(true);
    expect(listed).toBeLessThanOrEqual(1801);
    expect((await balanceOf(purse, 'all')).spent).toBe(46);
  });

  it('forgets a window a day after it closed, and never one with money held', async () => {
    const clock = manualClock('2026-02-01T12:00:00Z');
    const store = makeStore({ clock });
    const purse = await makePurse({ store, limits: LIMITS });
    const envelopes = async (): Promise<string[]> => {
      const { items } = await store.readBalances({});
      return items.map(({ limit, window }) => `${limit} ${window.key}`).sort();
    };
    await purse.charge({ usd: 3 });
    const hold = await purse.reserve({ usd: 5 }, {}, { ttlMs: 30 * DAY_MS, id: 'long' });
    clock.advance(3 * DAY_MS);
    await purse.charge({ usd: 1 });
    expect(await envelopes()).toEqual(['all total', 'day 2026-02-01', 'day 2026-02-04']);
    await hold.settle({ usd: 4 });
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
    const purse = await makePurse({ store: makeStore({ clock }), limits: LIMITS });
    const hold = await purse.reserve({ usd: 2 }, { agent: 'a' }, { ttlMs: 1000, id: 'gone' });
    const kept = await purse.reserve(
      { usd: 2 },
      {},
      { ttlMs: 1000, ifAbandoned: 'charge', id: 'kept' },
    );
    clock.advance(1000);
    await purse.report();
    clock.advance(7 * DAY_MS - 1);
    await expect(hold.extend(1000)).rejects.toMatchObject({ code: 'CONFLICT' });
    clock.advance(60_001);
    await purse.charge({ usd: 0 });
    await expect(hold.extend(1000)).rejects.toMatchObject({ code: 'HOLD_NOT_FOUND' });
    const late = await hold.settle({ usd: 3 });
    expect(late).toMatchObject({ id: 'gone', late: true, amounts: { usd: 3 }, replayed: false });
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
    const limits = [
      { name: 'all', cap: { usd: 100 } },
      { name: 'agent', cap: { usd: 100 }, each: ['agent'] },
    ];
    const purse = await makePurse({ store: makeStore({ maxEnvelopes: 3 }), limits });
    await purse.reserve({ usd: 1 }, { agent: 'a' });
    await purse.reserve({ usd: 1 }, { agent: 'b' });
    expect(await purse.tryReserve({ usd: 1 }, { agent: 'c' })).toMatchObject({
      ok: false,
      denial: { reason: 'too_many_envelopes', limit: 'agent' },
    });
    expect((await purse.tryReserve({ usd: 1 }, { agent: 'b' })).ok).toBe(true);
    await purse.charge({ usd: 1 }, { agent: 'd' });
    expect(await purse.verify()).toMatchObject({ ok: true, envelopes: 4 });
  });

  it('leaves no row behind of a ledger whose time is over', async () => {
    const clock = manualClock('2026-02-01T12:00:00Z');
    const store = makeStore({ clock, journalDays: 1 });
    const limits = [{ name: 'hour', cap: { usd: 1 }, per: 'hour', each: ['agent'] }] as const;
    const purse = await makePurse({ store, limits });
    for (let hour = 0; hour < 30; hour += 1) {
      const hold = await purse.reserve({ usd: 0.5 }, { agent: `a${hour % 3}` }, { ttlMs: 1000 });
      if (hour % 2 === 0) await hold.settle();
      clock.advance(3_600_000);
    }
    for (let turn = 0; turn < 3; turn += 1) {
      clock.advance(10 * DAY_MS);
      await store.apply([]);
    }
    const counts = await ask(
      ['groups', 'holds', 'journal', 'totals', 'slots']
        .map(
          (table) =>
            `(SELECT count(*)::int FROM ${schema}.${table} WHERE ledger = l.id) AS ${table}`,
        )
        .join(', ')
        .replace(/^/, 'SELECT ')
        .concat(` FROM ${schema}.ledgers l WHERE name = '${store.ledger}'`),
    );
    expect(counts).toEqual([{ groups: 0, holds: 0, journal: 0, totals: 0, slots: 0 }]);
  });
});

describe('what Postgres keeps', () => {
  it('counts denials, each once, also where nothing else is written', async () => {
    const purse = await makePurse({
      store: makeStore(),
      limits: [{ name: 'all', cap: { usd: 1 } }],
    });
    await purse.tryReserve({ usd: 2 }, { agent: 'a' });
    await Promise.all([purse.tryReserve({ usd: 2 }, { agent: 'a' }), purse.tryReserve({ usd: 3 })]);
    await Promise.all([purse.tryReserve({ usd: 4 }, { agent: 'a' }), purse.charge({ usd: 1 })]);
    await purse.freeze({ agent: 'b' });
    await purse.tryReserve({ usd: 0 }, { agent: 'b' });
    const counted = async (): Promise<unknown> =>
      (await purse.report({ by: ['agent'] })).rows.map(({ labels, denials }) => [
        labels['agent'],
        denials,
      ]);
    for (let time = 0; time < 2; time += 1) {
      expect(await counted()).toEqual([
        ['', 1],
        ['a', 3],
        ['b', 1],
      ]);
    }
  });

  it('folds label sets past 1,000 in a quarter-hour, and knows the others again', async () => {
    const clock = manualClock();
    const purse = await makePurse({ store: makeStore({ clock }), limits: LIMITS });
    const spend = (task: number): Promise<unknown> =>
      purse.charge({ usd: 0.01 }, { task: `t${task}` });
    await Promise.all(Array.from({ length: 1200 }, (_, task) => spend(task)));
    await spend(5);
    const { rows, total } = await purse.report({ by: ['task'] });
    expect(total).toEqual({ usd: 12.01 });
    expect(rows).toHaveLength(1001);
    const row = (task: string): unknown => rows.find(({ labels }) => labels['task'] === task);
    expect(row('(other)')).toMatchObject({ amounts: { usd: 2 }, charges: 200 });
    expect(row('t5')).toMatchObject({ amounts: { usd: 0.02 }, charges: 2 });
    clock.advance(15 * 60_000);
    await spend(1100);
    const later = await purse.report({ by: ['task'] });
    expect(later.rows.find(({ labels }) => labels['task'] === 't1100')?.charges).toBe(1);
  });

  it.each([
    ['NUL and its kin', '\u0000\u0001\u0002\u001F'],
    ['quotes', `'"\\$$;--`],
    ['the longest value', '%'.repeat(1024)],
    ['other alphabets', '😀 ж ʼ \u2028'],
  ])('keeps text as it is: %s', async (_, text) => {
    const limits = [{ name: `l${text.slice(0, 20)}`, cap: { usd: 10 }, each: ['a', 'b'] }];
    const store = makeStore();
    const purse = await makePurse({ store, limits });
    const labels = { a: text, b: `${text.slice(0, 500)}|` };
    const id = text.slice(0, 200);
    const options = { id, description: text };
    const hold = await purse.reserve({ usd: 9 }, labels, options);
    expect((await purse.reserve({ usd: 9 }, labels, options)).replayed).toBe(true);
    const taken = await purse.hold(id);
    expect([taken?.id, taken?.labels]).toEqual([id, labels]);
    const charge = await hold.settle();
    expect([charge.id, charge.labels, charge.description]).toEqual([id, labels, text]);
    expect(charge.crossed.map(({ limit }) => limit)).toEqual([limits[0]?.name]);
    const [row] = await Array.fromAsync(purse.journal({ labels }));
    expect(row).toMatchObject({ id, labels, description: text });
    const [balance] = await Array.fromAsync(purse.balances({ labels }));
    expect(balance).toMatchObject({ spent: 9, labels });
    expect(await purse.check({ usd: 2 }, labels)).toMatchObject({ allowed: false });
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
  });

  it('finds charges by labels as they were written, and by their absence', async () => {
    const purse: Purse = await makePurse({ store: makeStore(), limits: LIMITS });
    const sets = [{ a: 'x' }, { a: 'x', b: 'y' }, { b: '"a":"x"' }, { 'a"': 'x' }, {}, { a: '' }];
    for (const labels of sets) await purse.charge({ usd: 1 }, labels);
    const found = async (labels: Record<string, string>): Promise<unknown> =>
      (await Array.fromAsync(purse.journal({ labels, order: 'oldest' }))).map((one) => one.labels);
    expect(await found({ a: 'x' })).toEqual([sets[0], sets[1]]);
    expect(await found({ a: '' })).toEqual([sets[2], sets[3], sets[4], sets[5]]);
    expect(await found({ b: '"a":"x"' })).toEqual([sets[2]]);
  });
});

it('goes by its own time when the clocks of its clients are hours wrong', async () => {
  const store = makeStore();
  const { nowMs } = await store.apply([]);
  const [{ now = 0 } = {}] = await ask('SELECT extract(epoch FROM now()) * 1000 AS now');
  expect(Math.abs(nowMs - Number(now))).toBeLessThan(5000);
});
