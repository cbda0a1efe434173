import { describe, expect, it } from 'vitest';

import type { Limit, Purse } from '../../src/index.ts';
import { postgres, type PostgresOptions } from '../../src/stores/postgres.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/index.ts';
import { makePurse } from './fixture.ts';
import { ask, makePool, migratedSchema } from './postgres-fixture.ts';
import { retentionCases } from './retention-cases.ts';

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
  retentionCases(makeStore);

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
