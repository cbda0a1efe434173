import Anthropic from '@anthropic-ai/sdk';
import type { ClientOptions } from '@anthropic-ai/sdk';
import { onTestFinished } from 'vitest';

import type { Limit } from '../../src/ledger/limit.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import type { MeterOptions } from '../../src/llm/index.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import type { PurseOptions } from '../../src/purse-options.ts';
import { anthropicPeer } from './peers/anthropic-peer.ts';
import type { AnthropicPeer, AnthropicPeerOptions } from './peers/anthropic-peer.ts';
import { moneyOf } from './purse-money.ts';
import type { PurseMoney } from './purse-money.ts';

export interface AnthropicBench extends PurseMoney {
  readonly purse: Purse;
  readonly peer: AnthropicPeer;
  readonly anthropic: Anthropic;
  readonly fetch: typeof fetch;
}

export interface AnthropicBenchOptions {
  readonly limits?: readonly Limit[];
  readonly purse?: PurseOptions;
  readonly meter?: MeterOptions;
  readonly peer?: AnthropicPeerOptions;
  readonly client?: ClientOptions;
}

/** A purse, a peer with its own bill, and the official SDK between them, until the test ends. */
export async function openAnthropicBench(
  options: AnthropicBenchOptions = {},
): Promise<AnthropicBench> {
  const peer = await anthropicPeer(options.peer);
  onTestFinished(() => peer.close());
  return anthropicBench(peer, options);
}

/** Another process, as it were: a purse of its own before the same peer. */
export async function anthropicBench(
  peer: AnthropicPeer,
  options: AnthropicBenchOptions = {},
): Promise<AnthropicBench> {
  const purse = await openPurse({
    limits: options.limits ?? [{ name: 'all', cap: { usd: 10 } }],
    ...options.purse,
  });
  onTestFinished(() => purse.close());
  const metered = meteredFetch(purse, options.meter);
  const anthropic = new Anthropic({
    apiKey: 'none',
    baseURL: peer.url,
    fetch: metered,
    maxRetries: 0,
    ...options.client,
  });
  return {
    purse,
    peer,
    anthropic,
    fetch: metered,
    ...moneyOf(purse),
  };
}

/** A request for a message, as small as can be. */
export function say(
  more: Readonly<Record<string, unknown>> = {},
): Anthropic.MessageCreateParamsNonStreaming {
  return {
    model: 'claude-haiku-4-5',
    max_tokens: 50,
    messages: [{ role: 'user', content: 'Say some words' }],
    ...more,
  };
}
