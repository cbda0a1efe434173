import { onTestFinished } from 'vitest';

import type { Charge } from '../../../src/charge.ts';
import type { Limit } from '../../../src/ledger/limit.ts';
import { meteredFetch } from '../../../src/llm/index.ts';
import type { MeterOptions } from '../../../src/llm/index.ts';
import { openPurse, type Purse } from '../../../src/purse.ts';
import { steps } from '../fixture.ts';

/** A purse, and a metered fetch whose requests all go to one peer. */
export interface PeerLedger {
  readonly purse: Purse;
  readonly fetch: typeof fetch;
  charges(): Promise<Charge[]>;
  /** All USD recorded, in steps of 1e-8. */
  spentSteps(): Promise<bigint>;
  /** All USD still held, in steps of 1e-8. */
  heldSteps(): Promise<bigint>;
}

/** Opens both; the purse ends with the test. `peerUrl` replaces the origin of every request. */
export async function openPeerLedger(
  peerUrl: string,
  options: { readonly limits?: readonly Limit[]; readonly meter?: MeterOptions } = {},
): Promise<PeerLedger> {
  const purse = await openPurse({
    limits: options.limits ?? [{ name: 'all', cap: { usd: 100 } }],
  });
  onTestFinished(() => purse.close());
  const charges = async (): Promise<Charge[]> => {
    const all: Charge[] = [];
    for await (const charge of purse.journal({ order: 'oldest' })) all.push(charge);
    return all;
  };
  return {
    purse,
    fetch: meteredFetch(purse, { fetch: sentTo(peerUrl), ...options.meter }),
    charges,
    spentSteps: async () =>
      (await charges()).reduce((sum, { amounts }) => sum + steps(amounts.usd ?? 0), 0n),
    heldSteps: async () => {
      let held = 0n;
      for await (const balance of purse.balances({ limit: 'all' })) {
        if (balance.unit === 'usd') held += steps(balance.held);
      }
      return held;
    },
  };
}

/** A fetch that keeps path and query and goes to another origin. */
function sentTo(origin: string): typeof fetch {
  const moved = (url: string): URL => {
    const { pathname, search } = new URL(url);
    return new URL(pathname + search, origin);
  };
  return (input, init) => {
    if (input instanceof Request) return fetch(new Request(moved(input.url), input), init);
    return fetch(moved(String(input)), init);
  };
}

/** USD for a million of tokens, as picodollars for one. */
export function picos(usdPerMillion: string): bigint {
  const [whole = '0', fraction = ''] = usdPerMillion.split('.');
  return BigInt(whole + fraction.padEnd(6, '0'));
}

/** Picodollars as steps of 1e-8 USD, rounded up. */
export function stepsOf(picodollars: bigint): bigint {
  return (picodollars + 9_999n) / 10_000n;
}
