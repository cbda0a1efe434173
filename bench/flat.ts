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

/** Opens 100,000 envelopes, then lets 20 projects and 500 agents spend for a month. */
async function fill(purse: Purse, clock: ManualClock): Promise<void> {
  for (let done = 0; done < CHARGES;) {
    const batch = Array.from({ length: 1000 }, (_, index) => {
      const turn = done + index;
      return purse.charge(
        { usd: 0.001 },
        turn < ENVELOPES ? { agent: `b${turn}` } : labelsOf(turn),
      );
    });
    await Promise.all(batch);
    done += batch.length;
    if (done >= ENVELOPES) clock.set(START + Math.floor((done / CHARGES) * MONTH_MS));
  }
}

async function lifecycleMs(purse: Purse, turn: number): Promise<number> {
  const startMs = performance.now();
  const hold = await purse.reserve({ usd: 0.01 }, labelsOf(turn));
  await hold.settle({ usd: 0.007 });
  return performance.now() - startMs;
}

async function measure(name: string, empty: Purse, full: Purse): Promise<void> {
  const fullMs: number[] = [];
  const emptyMs: number[] = [];
  for (let turn = 0; turn < LIFECYCLES; turn += 1) {
    const took = { full: await lifecycleMs(full, turn), empty: await lifecycleMs(empty, turn) };
    if (turn < LIFECYCLES / 4) continue;
    fullMs.push(took.full);
    emptyMs.push(took.empty);
  }
  const ratio = median(fullMs) / median(emptyMs);
  const verdict = ratio <= 1.2 ? 'reached' : 'MISSED';
  console.log(
    `${name.padEnd(8)} after ${CHARGES.toLocaleString('en-US')} charges ${micros(fullMs)}, ` +
      `empty ${micros(emptyMs)}, ratio ${ratio.toFixed(2)} (at most 1.2: ${verdict})`,
  );
  await measureReport(name, full);
}

/** A month that begins and ends in the middle of days, so that its edges are read in quarter-hours. */
async function measureReport(name: string, purse: Purse): Promise<void> {
  const span = { since: new Date(START + 3.2e7), until: new Date(START + MONTH_MS - 3.2e7) };
  const times: number[] = [];
  for (let count = 0; count < 9; count += 1) {
    const startMs = performance.now();
    await purse.report({ ...span, by: ['project'] });
    times.push(performance.now() - startMs);
  }
  const took = median(times);
  const verdict = took < 50 ? 'reached' : 'MISSED';
  console.log(
    `${name.padEnd(8)} report() of that month: ${took.toFixed(1)} ms (under 50: ${verdict})`,
  );
}

function micros(timesMs: readonly number[]): string {
  return `${(median(timesMs) * 1000).toFixed(1)} µs`;
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
    const stores = {
      full: sqlite(join(directory, 'full.db'), { clock }),
      empty: sqlite(join(directory, 'empty.db'), { clock }),
    };
    const full = await openPurse({ store: stores.full, limits });
    const empty = await openPurse({ store: stores.empty, limits });
    await fill(full, clock);
    await measure('SQLite', empty, full);
    await stores.full.close();
    await stores.empty.close();
  }
} finally {
  rmSync(directory, { recursive: true });
}
