/**
 * A process that spends until it is killed: `spender.ts <ledger file> <acknowledgements> <ttl>`.
 * It waits for a line with the number of its life, opens the ledger and says `busy`. Every id tells
 * the amount, in cents; an id is written down only after its purse has acknowledged it.
 */
import { once } from 'node:events';
import { openSync, writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';

import { type Limit, openPurse, type Purse } from '../../src/index.ts';
import { sqlite } from '../../src/stores/sqlite.ts';

/** How long holds live that nobody comes back to. */
const ORPHAN_TTL_MS = 150;

/** `life` is reached in every life, and must hold in each. */
const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1e6 } },
  { name: 'life', cap: { usd: 1 }, where: { kind: 'capped' }, each: ['life'] },
];

const LANES = 12;
const [path = '', acknowledgements = '', ttl = ''] = process.argv.slice(2);

async function live(life: string): Promise<void> {
  const store = sqlite(path, { durability: 'normal' });
  const purse = await openPurse({ store, limits: LIMITS, holdTtlMs: Number(ttl) });
  const log = openSync(acknowledgements, 'a');
  const acknowledge = (id: string): void => void writeSync(log, `${id}\n`);
  process.stdout.write('busy\n');
  await Promise.all(
    Array.from({ length: LANES }, async (_, lane) => {
      for (let turn = 0; ; turn += 1) {
        await spend(purse, life, { lane, turn }, acknowledge);
      }
    }),
  );
}

async function spend(
  purse: Purse,
  life: string,
  { lane, turn }: { readonly lane: number; readonly turn: number },
  acknowledge: (id: string) => void,
): Promise<void> {
  const cents = 1 + ((lane * 31 + turn * 17) % 40);
  const id = `${life}-${lane}-${turn}-${cents}`;
  const labels = { life, kind: 'free' };
  switch ((lane + turn) % 6) {
    case 0:
      await purse.charge({ usd: cents / 100 }, labels, { id: `charge-${id}` });
      return acknowledge(`charge-${id}`);
    case 1: {
      const hold = await purse.reserve({ usd: 0.5 }, labels, { id: `settle-${id}` });
      await hold.settle({ usd: cents / 100 });
      return acknowledge(hold.id);
    }
    case 2: {
      const reserved = await purse.tryReserve({ usd: cents / 100 }, { life, kind: 'capped' });
      if (reserved.ok) await reserved.hold.settle();
      return;
    }
    case 3: {
      const hold = await purse.reserve({ usd: cents / 100 }, labels, { id: `release-${id}` });
      await hold.release();
      return acknowledge(hold.id);
    }
    case 4: {
      // Work that is told its id once it has begun.
      const early = await purse.reserve({ usd: 0.5 }, labels, { id: `early-${id}` });
      const hold = await early.rename(`rename-${id}`);
      await hold.settle({ usd: cents / 100 });
      return acknowledge(hold.id);
    }
    default: {
      const ifAbandoned = turn % 2 === 0 ? 'charge' : 'release';
      const hold = await purse.reserve({ usd: cents / 100 }, labels, {
        id: `orphan_${ifAbandoned}-${id}`,
        ttlMs: ORPHAN_TTL_MS,
        ifAbandoned,
      });
      return acknowledge(hold.id);
    }
  }
}

// Nobody who is killed would do this at their end.
flushCompileCache();
process.stdout.write('ready\n');
const [life] = (await once(process.stdin, 'data')) as [Buffer];
await live(life.toString().trim());
