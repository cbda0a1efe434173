/**
 * A process that spends from a ledger in Postgres: `postgres-worker.ts <url> <schema> <mode> <count>`.
 * It waits for a line on standard input before it begins. `migrate`: brings the schema up to date.
 * `reserve`: asks for so many holds of $1, and says how many it got. `spend`: spends until it is
 * killed, a line for each charge once its purse has acknowledged it.
 */
import { once } from 'node:events';
import { migrate, postgres } from '../../src/stores/postgres.ts';
import { type Limit, openPurse, type Purse } from '../../src/index.ts';

const [url = '', schema = '', mode = '', count = '0'] = process.argv.slice(2);
export const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1_000 } },
  { name: 'agent', cap: { usd: 1000 }, each: ['agent'] },
];

process.stdout.write('ready\n');
await once(process.stdin, 'data');
process.stdin.pause();
if (mode === 'migrate') {
  await migrate(url, { schema });
  process.stdout.write('done\n');
} else {
  const store = postgres(url, { schema });
  const purse = await openPurse({ store, limits: LIMITS });
  if (mode === 'reserve') process.stdout.write(`${await reserveAll(purse)}\n`);
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
