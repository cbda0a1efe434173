import { describe, expect, it } from 'vitest';

import { balanceOf, charges, makePurse, openFile, steps, tempFile } from '../stores/fixture.ts';
import { startChild } from './children.ts';
import type { Told } from './worker.ts';

const WORKER = new URL('worker.ts', import.meta.url);
const PROCESSES = 4;
const LONG = process.env['PURSE_TEST_LONG'] === '1';

/** Starts workers, lets them go at one moment, and hands back what each was told. */
async function runWorkers(path: string, mode: string, count: number): Promise<Told[]> {
  const workers = Array.from({ length: PROCESSES }, (_, index) =>
    startChild(WORKER, [path, mode, String(count), String(index + 1)]),
  );
  for (const worker of workers) expect(await worker.line()).toBe('ready');
  for (const worker of workers) worker.say('go');
  return Promise.all(workers.map(async (worker) => JSON.parse(await worker.line()) as Told));
}

describe('four processes on one SQLite file', () => {
  it('admit exactly 10 of 500 reserves of $1 on a cap of $10', async () => {
    const path = await tempFile();
    const told = await runWorkers(path, 'reserve', 125);
    expect(told.flatMap(({ failures }) => failures)).toEqual([]);
    expect(told.reduce((sum, { admitted }) => sum + admitted, 0)).toBe(10);
    const purse = await makePurse({ store: openFile(path) });
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 10, available: 0 });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('hold every cap and agree with their ledger on every step', async () => {
    const path = await tempFile();
    const told = await runWorkers(path, 'mixed', LONG ? 5000 : 400);
    expect(told.flatMap(({ failures }) => failures)).toEqual([]);
    const overruns = told.flatMap((one) => one.overruns).filter((lane) => lane === 'held');
    expect(overruns).toEqual([]);

    let announced = told.reduce((sum, one) => sum + one.announced, 0);
    const purse = await makePurse({ store: openFile(path) });
    // Holds that nobody has met since they expired are resolved here.
    purse.on('charge', ({ amounts }) => (announced += steps(amounts['usd'])));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const all = await balanceOf(purse, 'all');
    const late = await balanceOf(purse, 'late');
    expect(all.spent).toBeLessThanOrEqual(10);
    expect(all.spent).toBeGreaterThan(5);
    for await (const { spent } of purse.balances({ limit: 'worker' })) {
      expect(spent).toBeLessThanOrEqual(4);
    }
    expect([all.held, late.held]).toEqual([0, 0]);

    const journal = await charges(purse);
    const recorded = journal.reduce((sum, { amounts }) => sum + steps(amounts['usd']), 0);
    expect(recorded).toBe(steps(all.spent) + steps(late.spent));
    expect(announced).toBe(recorded);
    expect(journal.some((charge) => charge.late)).toBe(true);
    expect(journal.some((charge) => charge.corrects !== undefined)).toBe(true);
    expect(await purse.verify()).toMatchObject({ ok: true, charges: journal.length });
  });

  it('open a fresh file at one moment, and all find the same ledger', async () => {
    const path = await tempFile();
    const told = await runWorkers(path, 'open', 0);
    expect(told.flatMap(({ failures }) => failures)).toEqual([]);
    const purse = await makePurse({
      store: openFile(path),
      limits: [{ name: 'a', cap: { usd: 1 } }],
    });
    await purse.charge({ usd: 1 });
    expect(await purse.verify()).toMatchObject({ ok: true, envelopes: 1, charges: 1 });
  });
});
