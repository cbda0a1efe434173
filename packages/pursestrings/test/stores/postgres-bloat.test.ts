import pg from 'pg';
import { afterAll, expect, it } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { migrate, postgres } from '../../src/stores/postgres.ts';
import { manualClock } from '../../src/testing/index.ts';
import { postgresServer } from '../servers/postgres-server.ts';
import { balanceOf } from './fixture.ts';

const DAY_MS = 86_400_000;
const LIMITS = [{ name: 'all', cap: { usd: 1000 } }];

// A server of its own: a reader elsewhere would keep old rows from being taken away, and autovacuum
// comes when it likes. Here it comes when the test says so.
const server = await postgresServer(['autovacuum=off']);
await server.start();
const pool = new pg.Pool({ connectionString: server.url, max: 4 });
pool.on('error', () => undefined);
afterAll(async () => {
  await pool.end();
  await server.remove();
});

async function bytesOf(schema: string, table: string): Promise<number> {
  const sizes = await pool.query<{ bytes: string }>(
    `SELECT pg_total_relation_size('${schema}.${table}') AS bytes`,
  );
  return Number(sizes.rows[0]?.bytes);
}

it('a hot envelope is rewritten within its pages, without a vacuum', async () => {
  await migrate(pool, { schema: 'hot' });
  const purse = await openPurse({ store: postgres(pool, { schema: 'hot' }), limits: LIMITS });
  const spend = async (times: number): Promise<void> => {
    for (let turn = 0; turn < times; turn += 1) {
      await (await purse.reserve({ usd: 0.02 })).settle({ usd: 0.01 });
    }
  };
  const sizes = (): Promise<number[]> =>
    Promise.all(['envelopes', 'totals', 'slots', 'tending'].map((table) => bytesOf('hot', table)));
  await spend(60);
  const before = await sizes();
  await spend(340);
  expect(await sizes()).toEqual(before);
});

it('a journal that is pruned uses its space again', async () => {
  await migrate(pool, { schema: 'pruned' });
  const clock = manualClock('2026-02-01T12:00:00Z');
  const store = postgres(pool, { schema: 'pruned', clock, journalDays: 1 });
  const purse = await openPurse({ store, limits: LIMITS });
  const bytesAfterADay = async (): Promise<number> => {
    for (let part = 0; part < 4; part += 1) {
      const charges = Array.from({ length: 300 }, (_, turn) =>
        purse.charge({ usd: 0.01 }, { task: `t${turn % 50}` }),
      );
      await Promise.all(charges);
      clock.advance(DAY_MS / 4);
    }
    await pool.query('VACUUM pruned.journal, pruned.totals');
    return (await bytesOf('pruned', 'journal')) + (await bytesOf('pruned', 'totals'));
  };
  const days: number[] = [];
  for (let day = 0; day < 10; day += 1) days.push(await bytesAfterADay());
  // A vacuum gives back the end of a table only where it happens to be empty: the sizes go up and down.
  expect(Math.max(...days.slice(6))).toBeLessThan(1.1 * Math.max(...days.slice(2, 6)));
  expect(await purse.verify()).toMatchObject({ ok: true });
  expect(await balanceOf(purse, 'all')).toMatchObject({ spent: 120 });
});
