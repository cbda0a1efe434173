import OpenAI from 'openai';
import type { ClientOptions } from 'openai';
import { onTestFinished } from 'vitest';

import type { Limit } from '../../src/ledger/limit.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import type { MeterOptions } from '../../src/llm/index.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import type { PurseOptions } from '../../src/purse-options.ts';
import { loopbackProvider } from '../../src/testing/loopback-provider.ts';
import type {
  LoopbackProvider,
  LoopbackProviderOptions,
} from '../../src/testing/loopback-provider.ts';
import { moneyOf } from './purse-money.ts';
import type { PurseMoney } from './purse-money.ts';

/**
 * What gpt-4o costs, USD per million tokens: https://platform.openai.com/docs/pricing, 2026-11-22.
 */
const GPT_4O = { input: '2.5', cachedInput: '1.25', output: '10' } as const;

/** One token of gpt-4o in steps of 1e-8 USD. */
export const STEPS = { input: 250n, cachedInput: 125n, output: 1_000n } as const;

export interface Bench extends PurseMoney {
  readonly purse: Purse;
  readonly provider: LoopbackProvider;
  readonly openai: OpenAI;
  readonly fetch: typeof fetch;
}

export interface BenchOptions {
  readonly limits?: readonly Limit[];
  readonly purse?: PurseOptions;
  readonly meter?: MeterOptions;
  readonly answer?: LoopbackProviderOptions['answer'];
  readonly provider?: Partial<LoopbackProviderOptions>;
  readonly client?: ClientOptions;
}

/**
 * A purse, a provider with its own bill, and the official SDK between them. All of it ends with
 * the test.
 */
export async function openBench(options: BenchOptions = {}): Promise<Bench> {
  const purse = await openPurse({
    limits: options.limits ?? [{ name: 'all', cap: { usd: 10 } }],
    ...options.purse,
  });
  const provider = await loopbackProvider({
    ratesUsdPerMillion: GPT_4O,
    ...(options.answer === undefined ? {} : { answer: options.answer }),
    ...options.provider,
  });
  onTestFinished(async () => {
    await provider.close();
    await purse.close();
  });
  const metered = meteredFetch(purse, options.meter);
  const openai = new OpenAI({
    apiKey: 'none',
    baseURL: provider.url,
    fetch: metered,
    maxRetries: 0,
    ...options.client,
  });
  return {
    purse,
    provider,
    openai,
    fetch: metered,
    ...moneyOf(purse),
  };
}

export { steps } from './purse-money.ts';

/** What the provider billed, in steps of 1e-8 USD; gpt-4o's rates are whole steps a token. */
export function billedSteps(provider: LoopbackProvider): bigint {
  return provider.bill.usdPicos / 10_000n;
}

/** A request for a chat completion, as small as can be. */
export function ask(
  more: Record<string, unknown> = {},
): OpenAI.ChatCompletionCreateParamsNonStreaming {
  return {
    model: 'gpt-4o',
    max_completion_tokens: 50,
    messages: [{ role: 'user', content: 'Say some words' }],
    ...more,
  };
}

/** The same, streamed. */
export function askStreamed(
  more: Record<string, unknown> = {},
): OpenAI.ChatCompletionCreateParamsStreaming {
  return { ...ask(more), stream: true };
}

/** Waits until something holds, for at most five seconds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await holds()) return;
    await new Promise((wake) => setTimeout(wake, 10));
  }
  throw new Error('It never came to hold');
}

/** What a promise rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('It did not reject');
    },
    (error: unknown) => error,
  );
}
