/**
 * A process that spends from a shared file: `worker.ts <path> reserve|mixed|open <count> <seed>`.
 * It waits for a line on standard input before it opens the file, and ends with one line of JSON.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Limit, openPurse, type Purse } from '../../src/index.ts';
import { sqlite } from '../../src/stores/sqlite.ts';

/** What a worker was told by the ledger. */
export interface Told {
  /** How many reserves were admitted. */
  readonly admitted: number;
  /** The steps of every charge that was announced to this process. */
  readonly announced: number;
  /** The steps of every charge that a call of this process was answered with. */
  readonly answered: number;
  readonly charges: number;
  readonly overruns: readonly string[];
  readonly failures: readonly string[];
}

/** What all workers spend under. */
export const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 10 }, where: { lane: 'held' } },
  { name: 'worker', cap: { usd: 4 }, where: { lane: 'held' }, each: ['worker'] },
  { name: 'late', cap: { usd: 1e6 }, where: { lane: 'late' } },
];

/** How many spends one worker has under way. */
const IN_FLIGHT = 24;

const [path = '', mode = '', count = '0', seed = '0'] = process.argv.slice(2);
async function work(): Promise<Told> {
  const store = sqlite(path, { durability: 'normal', lockTimeoutMs: 60_000 });
  const purse = await openPurse({ store, limits: mode === 'open' ? [] : LIMITS });
  const told = new Teller(purse);
  if (mode === 'reserve') await reserveAll(purse, told);
  if (mode === 'mixed') await spendMixed(purse, told);
  if (mode === 'open') await purse.limits();
  await purse.close();
  await store.close();
  return told;
}

class Teller implements Told {
  admitted = 0;
  announced = 0;
  answered = 0;
  charges = 0;
  readonly overruns: string[] = [];
  readonly failures: string[] = [];

  constructor(purse: Purse) {
    purse.on('charge', ({ amounts }) => {
      this.announced += stepsOf(amounts);
      this.charges += 1;
    });
    purse.on('overrun', ({ labels }) => this.overruns.push(labels['lane'] ?? ''));
  }

  failed = (error: unknown): void => {
    this.failures.push(String(error));
  };
}

async function reserveAll(purse: Purse, told: Teller): Promise<void> {
  const asked = Array.from({ length: Number(count) }, (_, index) =>
    purse.tryReserve({ usd: 1 }, { lane: 'held', worker: `${seed}-${index}` }).then(({ ok }) => {
      told.admitted += ok ? 1 : 0;
    }, told.failed),
  );
  await Promise.all(asked);
}

async function spendMixed(purse: Purse, told: Teller): Promise<void> {
  const random = lcg(Number(seed));
  let left = Number(count);
  const lanes = Array.from({ length: IN_FLIGHT }, async () => {
    while (left > 0) {
      left -= 1;
      const spend = random() < 0.5 ? spendHeld : spendLate;
      await spend(purse, told, random).catch(told.failed);
    }
  });
  await Promise.all(lanes);
}

/** Reserves under hard caps, and never spends more than it holds: no cap may be passed. */
async function spendHeld(purse: Purse, told: Teller, random: () => number): Promise<void> {
  const cents = 1 + Math.floor(random() * 20);
  const labels = { lane: 'held', worker: seed };
  // Some are left behind with a short life: what they held must come back.
  const left = random() < 0.2;
  const options = left ? { ttlMs: 1 + Math.floor(random() * 5) } : {};
  const reserved = await purse.tryReserve({ usd: cents / 100 }, labels, options);
  if (!reserved.ok) return;
  told.admitted += 1;
  if (left) return;
  const newId = `renamed-${seed}-${told.admitted}`;
  const hold = random() < 0.3 ? await reserved.hold.rename(newId) : reserved.hold;
  if (random() < 0.5) return hold.release();
  const charge = await hold.settle({ usd: (cents * Math.floor(random() * 9)) / 800 });
  told.answered += stepsOf(charge.amounts);
}

/** Settles, releases and charges while holds expire under it: the money must be exact all the same. */
async function spendLate(purse: Purse, told: Teller, random: () => number): Promise<void> {
  const labels = { lane: 'late', worker: seed };
  const usd = 1 + Math.floor(random() * 100);
  if (random() < 0.3) {
    const charge = await purse.charge({ usd }, labels);
    told.answered += stepsOf(charge.amounts);
    return;
  }
  const hold = await purse.reserve({ usd }, labels, {
    ttlMs: 1 + Math.floor(random() * 8),
    ifAbandoned: random() < 0.5 ? 'charge' : 'release',
  });
  told.admitted += 1;
  await sleep(random() * 8);
  const what = random();
  if (what < 0.2) return;
  if (what < 0.5) return hold.release();
  const charge = await hold.settle({ usd: usd * 2 });
  told.answered += stepsOf(charge.amounts);
}

function stepsOf(amounts: Readonly<Record<string, number>>): number {
  return Math.round((amounts['usd'] ?? 0) * 1e8);
}

function lcg(start: number): () => number {
  let state = start * 7919 + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

// Last, for it needs the class above.
process.stdout.write('ready\n');
await once(process.stdin, 'data');
process.stdout.write(`${JSON.stringify(await work())}\n`);
process.stdin.destroy();
