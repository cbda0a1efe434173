import { expect, it } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { postgres } from '../../src/stores/postgres.ts';
import { startChild } from '../contention/children.ts';
import { ask, freshSchema, makePool, migratedSchema, url } from './postgres-fixture.ts';
import { balanceOf } from './fixture.ts';

const WORKER = new URL('postgres-worker.ts', import.meta.url);

/** Starts so many workers, lets them go at one moment, and hands back the line that each ends with. */
async function runWorkers(many: number, args: readonly string[]): Promise<string[]> {
  const workers = Array.from({ length: many }, () => startChild(WORKER, [url, ...args]));
  for (const worker of workers) expect(await worker.line()).toBe('ready');
  for (const worker of workers) worker.say('go');
  return Promise.all(workers.map((worker) => worker.line()));
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
