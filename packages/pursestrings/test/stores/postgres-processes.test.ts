import pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { migrate, postgres } from '../../src/stores/postgres.ts';
import { startChild } from '../contention/children.ts';
import { postgresServer } from '../servers/postgres-server.ts';
import { ask, freshSchema, makePool, migratedSchema, url } from './postgres-fixture.ts';
import { balanceOf } from './fixture.ts';

const WORKER = new URL('postgres-worker.ts', import.meta.url);

/** Starts so many workers, lets them go at one moment, and hands back the line that each ends with. */
async function runWorkers(
  many: number,
  args: readonly string[],
  at: string = url,
): Promise<string[]> {
  const workers = Array.from({ length: many }, () => startChild(WORKER, [at, ...args]));
  for (const worker of workers) expect(await worker.line()).toBe('ready');
  for (const worker of workers) worker.say('go');
  const said = await Promise.all(workers.map((worker) => worker.line()));
  await Promise.all(workers.map((worker) => worker.ended()));
  return said;
}

it('8 processes: 20,000 spends on a cap that affords 1,000 admit exactly 1,000', async () => {
  const schema = await migratedSchema();
  const told = await runWorkers(8, [schema, 'reserve', '2500']);
  expect(told.reduce((sum, line) => sum + Number(line), 0)).toBe(1000);
  const purse = await openPurse({ store: postgres(makePool(), { schema }) });
  expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 1000, available: 0 });
  expect(await purse.verify()).toMatchObject({ ok: true });
});

it('8 processes that bring one schema up to date at one moment make it once', async () => {
  const schema = freshSchema();
  expect(await runWorkers(8, [schema, 'migrate'])).toEqual(Array.from({ length: 8 }, () => 'done'));
  expect(await ask(`SELECT * FROM ${schema}.version`)).toEqual([{ version: 2 }]);
  const store = postgres(makePool(), { schema });
  const purse = await openPurse({ store, limits: [{ name: 'all', cap: { usd: 1 } }] });
  await purse.charge({ usd: 1 });
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
});

it('6 processes on overlapping envelopes, label sets and ids never wait for each other in a ring', async () => {
  // A server of its own: it counts deadlocks for all that use a database.
  const server = await postgresServer(['deadlock_timeout=20ms']);
  onTestFinished(() => server.remove());
  await server.start();
  await migrate(server.url, { schema: 'purse' });
  const told = await runWorkers(6, ['purse', 'mixed', '700'], server.url);
  const spentCents = told.reduce((sum, line) => sum + Number(line), 0);
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  onTestFinished(() => client.end());
  const counted = await client.query(
    'SELECT deadlocks::int, xact_commit > 300 AS busy FROM pg_stat_database WHERE datname = current_database()',
  );
  expect(counted.rows).toEqual([{ deadlocks: 0, busy: true }]);
  const store = postgres(server.url);
  onTestFinished(() => store.close());
  const purse = await openPurse({ store });
  expect(await purse.verify()).toMatchObject({ ok: true });
  expect((await purse.report()).total).toEqual({ usd: spentCents / 100 });
});
