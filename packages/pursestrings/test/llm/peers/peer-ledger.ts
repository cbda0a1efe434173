import { onTestFinished } from 'vitest';

import type { Limit } from '../../../src/ledger/limit.ts';
import { meteredFetch } from '../../../src/llm/index.ts';
import type { MeterOptions } from '../../../src/llm/index.ts';
import { openPurse, type Purse } from '../../../src/purse.ts';
import { moneyOf } from '../purse-money.ts';
import type { PurseMoney } from '../purse-money.ts';

/** A purse, and a metered fetch whose requests all go to one peer. */
export interface PeerLedger extends PurseMoney {
  readonly purse: Purse;
  readonly fetch: typeof fetch;
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
  return {
    purse,
    fetch: meteredFetch(purse, { fetch: sentTo(peerUrl), ...options.meter }),
    ...moneyOf(purse),
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
