import OpenAI from 'openai';
import type { ClientOptions } from 'openai';
import { onTestFinished } from 'vitest';

import type { Limit } from '../../src/ledger/limit.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import type { MeterOptions } from '../../src/llm/index.ts';
import { openPurse } from '../../src/purse.ts';
import type { Purse } from '../../src/purse.ts';
import { openaiPeer } from './peers/openai-peer.ts';
import type { OpenaiPeer, OpenaiPeerOptions } from './peers/openai-peer.ts';
import { moneyOf } from './purse-money.ts';
import type { PurseMoney } from './purse-money.ts';

export interface OpenaiBench extends PurseMoney {
  readonly purse: Purse;
  readonly peer: OpenaiPeer;
  readonly openai: OpenAI;
  readonly fetch: typeof fetch;
}

export interface OpenaiBenchOptions {
  readonly limits?: readonly Limit[];
  /** The address of a store that several purses share. */
  readonly store?: string;
  readonly meter?: MeterOptions;
  readonly answer?: OpenaiPeerOptions['answer'];
  readonly client?: ClientOptions;
}

/** A purse, a peer with its own bill, and the official SDK between them, until the test ends. */
export async function openOpenaiBench(options: OpenaiBenchOptions = {}): Promise<OpenaiBench> {
  const { answer } = options;
  const peer = await openaiPeer(answer === undefined ? {} : { answer });
  onTestFinished(() => peer.close());
  return openaiBench(peer, options);
}

/** Another process, as it were: a purse of its own before the same peer. */
export async function openaiBench(
  peer: OpenaiPeer,
  options: OpenaiBenchOptions = {},
): Promise<OpenaiBench> {
  const purse = await openPurse({
    limits: options.limits ?? [{ name: 'all', cap: { usd: 100 } }],
    ...(options.store === undefined ? {} : { store: options.store }),
  });
  onTestFinished(() => purse.close());
  const metered = meteredFetch(purse, options.meter);
  const openai = new OpenAI({
    apiKey: 'none',
    baseURL: peer.url,
    fetch: metered,
    maxRetries: 0,
    ...options.client,
  });
  return {
    purse,
    peer,
    openai,
    fetch: metered,
    ...moneyOf(purse),
  };
}
