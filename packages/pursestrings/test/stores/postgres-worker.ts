/**
 * A process that spends from a ledger in Postgres: `postgres-worker.ts <url> <schema> <mode> <count>`.
 * It waits for a line on standard input before it begins. `migrate`: brings the schema up to date.
 * `reserve`: asks for so many holds of $1, and says how many it got. `spend`: spends until it is
 * killed, a line for each charge once its purse has acknowledged it. `mixed`: does so many things
 * at random on envelopes, label sets and ids that others use too, and says how much it has spent.
 */
import { once } from 'node:events';
import { migrate, postgres } from '../../src/stores/postgres.ts';
import { type Limit, openPurse, type Purse } from '../../src/index.ts';

const [url = '', schema = '', mode = '', count = '0'] = process.argv.slice(2);
export const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1_000 } },
  { name: 'agent', cap: { usd: 1000 }, each: ['agent'] },
];
const MIXED_LIMITS: readonly Limit[] = [
  { name: 'project', cap: { usd: 10_000 }, per: 'day', each: ['project'] },
  { name: 'agent', cap: { usd: 10_000 }, each: ['agent'] },
  { name: 'both', cap: { usd: 10_000 }, per: 'hour', each: ['agent', 'project'] },
];

process.stdout.write('ready\n');
await once(process.stdin, 'data');
process.stdin.pause();
if (mode === 'migrate') {
  await migrate(url, { schema });
  process.stdout.write('done\n');
} else {
  const store = postgres(url, { schema });
  const purse = await openPurse({ store, limits: mode === 'mixed' ? MIXED_LIMITS : LIMITS });
  if (mode === 'mixed') process.stdout.write(`${await mix(purse)}\n`);
  else if (mode === 'reserve') process.stdout.write(`${await reserveAll(purse)}\n`);
  else await spendForever(purse);
  await purse.close();
  await store.close();
}

async function reserveAll(purse: Purse): Promise<number> {
  let left = Number(count);
  let admitted = 0;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const { ok } = await purse.tryReserve({ usd: 1 }, { agent: `a${left % 10}` });
      if (ok) admitted += 1;
    }
  };
  // Small batches share the ledger, large ones hold it alone: both are to meet.
  await Promise.all(Array.from({ length: process.pid % 2 === 0 ? 32 : 256 }, lane));
  return admitted;
}

async function spendForever(purse: Purse): Promise<void> {
  const lane = async (number: number): Promise<void> => {
    for (let turn = 0; ; turn += 1) {
      const id = `${process.pid}-${number}-${turn}`;
      try {
        const hold = await purse.reserve({ usd: 0.02 }, { agent: `a${number % 3}` }, { id });
        await hold.settle({ usd: 0.01 });
        process.stdout.write(`${id}\n`);
      } catch (error) {
        if (String(error).includes('exceed')) return;
      }
    }
  };
  await Promise.all(Array.from({ length: 24 }, (_, number) => lane(number)));
}

function below(bound: number): number {
  return Math.floor(Math.random() * bound);
}

/** Answers with the cents that it has spent. */
async function mix(purse: Purse): Promise<number> {
  let left = Number(count);
  let cents = 0;
  const once = async (): Promise<void> => {
    const labels = { agent: `a${below(7)}`, project: `p${below(5)}` };
    const what = below(10);
    if (what < 3) {
      // Of the processes that charge under one id at one moment, one charges and the others hear of it.
      const id = `charge-${left}-${below(2)}`;
      const { replayed } = await purse.charge(
        { usd: 0.01 },
        { agent: 'a0', project: 'p0' },
        { id },
      );
      if (!replayed) cents += 1;
      return;
    }
    const ttlMs = what < 5 ? 1000 : 60_000;
    const hold = await purse.reserve({ usd: 0.05 }, labels, { ttlMs });
    if (what < 5) return;
    if (what === 5) await hold.release();
    else if (what === 6) await hold.extend(120_000);
    else {
      await hold.settle({ usd: 0.02 });
      cents += 2;
    }
  };
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await once();
    }
  };
  await Promise.all(Array.from({ length: 1 + below(40) }, lane));
  return cents;
}
