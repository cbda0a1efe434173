/**
 * Does a ledger get slower as it grows?
 *
 * One ledger is empty; the other has 1,000,000 charges of a month behind it and 100,000 envelopes.
 * Lifecycles alternate between the two, on labels that both know, one in flight; the medians are
 * compared. The raw limit is the empty ledger itself. Then a month is reported.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Limit, openPurse, type Purse } from 'pursestrings';
import { memory } from 'pursestrings/stores/memory';
import { sqlite } from 'pursestrings/stores/sqlite';
import { type ManualClock, manualClock } from 'pursestrings/testing';
import { median } from './harness.ts';

const CHARGES = 1_000_000;
const ENVELOPES = 100_000;
const LIFECYCLES = 4000;
const MONTH_MS = 30 * 86_400_000;
const START = Date.UTC(2026, 5, 1);

const limits: readonly Limit[] = [
  { name: 'all', cap: { usd: 9_000_000 } },
  { name: 'project', cap: { usd: 9_000_000 }, each: ['project'] },
  { name: 'agent', cap: { usd: 9_000_000 }, each: ['agent'] },
];

const labelsOf = (turn: number): Record<string, string> => ({
  project: `p${turn % 20}`,
  agent: `a${turn % 500}`,
});

async function fill(purse: Purse, clock: ManualClock): Promise<void> {
  for (let done = 0; done < CHARGES;) {
    const batch = Array.from({ length: 1000 }, (_, index) => {
      const turn = done + index;
      // Every tenth charge opens or finds one of 100,000 envelopes; the others are everyday ones.
      const labels = turn % 10 === 0 ? { agent: `b${(turn / 10) % ENVELOPES}` } : labelsOf(turn);
      return purse.charge({ usd: 0.001 }, labels);
    });
    await Promise.all(batch);
    done += batch.length;
    clock.set(START + Math.floor((done / CHARGES) * MONTH_MS));
  }
}

async function lifecycleMs(purse: Purse, turn: number): Promise<number> {
  const startMs = performance.now();
  const hold = await purse.reserve({ usd: 0.01 }, labelsOf(turn));
  await hold.settle({ usd: 0.007 });
  return performance.now() - startMs;
}

async function measure(name: string, empty: Purse, full: Purse): Promise<void> {
  const times: [number[], number[]] = [[], []];
  for (let turn = 0; turn < LIFECYCLES; turn += 1) {
    const ours = [await lifecycleMs(full, turn), await lifecycleMs(empty, turn)];
    if (turn < LIFECYCLES / 4) continue;
    times[0].push(ours[0] as number);
    times[1].push(ours[1] as number);
  }
  const [old, fresh] = [median(times[0]), median(times[1])];
  const ratio = old / fresh;
  const verdict = ratio <= 1.2 ? 'reached' : 'MISSED';
  console.log(
    `${name.padEnd(8)} after ${CHARGES.toLocaleString('en-US')} charges ${(old * 1000).toFixed(1)} µs, ` +
      `empty ${(fresh * 1000).toFixed(1)} µs, ratio ${ratio.toFixed(2)} (at most 1.2: ${verdict})`,
  );
  const span = { since: new Date(START + 3_600_000), until: new Date(START + MONTH_MS) };
  const reports: number[] = [];
  for (let count = 0; count < 9; count += 1) {
    const startMs = performance.now();
    await full.report({ ...span, by: ['project'] });
    reports.push(performance.now() - startMs);
  }
  console.log(
    `${name.padEnd(8)} report() of that month: median ${median(reports).toFixed(1)} ms (under 50)`,
  );
}

const directory = mkdtempSync(join(tmpdir(), 'purse-bench-'));
try {
  {
    const clock = manualClock(START);
    const full = await openPurse({ store: memory({ clock }), limits });
    const empty = await openPurse({ store: memory({ clock }), limits });
    await fill(full, clock);
    await measure('memory', empty, full);
  }
  {
    const clock = manualClock(START);
    const stores = ['full', 'empty'].map((name) =>
      sqlite(join(directory, `${name}.db`), { clock }),
    );
    const [full, empty] = await Promise.all(stores.map((store) => openPurse({ store, limits })));
    await fill(full as Purse, clock);
    await measure('SQLite', empty as Purse, full as Purse);
    for (const store of stores) await store.close();
  }
} finally {
  rmSync(directory, { recursive: true });
}
