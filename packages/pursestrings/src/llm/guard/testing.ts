import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import { MemoryStore } from './memory-store.ts';
import type { SpendStore } from './types.ts';

/** A usage object of OpenAI's chat completions. */
export interface OpenAIUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number };
}

/** A usage object of Anthropic's messages. */
export interface AnthropicUsage {
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_read_input_tokens?: number;
  readonly cache_creation_input_tokens?: number;
}

/** Makes a usage as OpenAI reports it, for tests; what is left out is 0. */
export function buildOpenAIUsage(given: Partial<OpenAIUsage> = {}): OpenAIUsage {
  return { prompt_tokens: 0, completion_tokens: 0, ...given };
}

/** Makes a usage as Anthropic reports it, for tests; what is left out is 0. */
export function buildAnthropicUsage(given: Partial<AnthropicUsage> = {}): AnthropicUsage {
  return { input_tokens: 0, output_tokens: 0, ...given };
}

/**
 * A clock that stands still, for a guard's `internals.now` in tests.
 *
 * @throws InvalidOptionError for what is no ISO time.
 * @example
 * ```ts
 * import { createFixedClock, guard } from 'pursestrings/guard';
 *
 * const client = { create: async (_: { model: string }) => ({ usage: { input: 9, output: 9 } }) };
 * const internals = { now: createFixedClock('2026-01-31T23:59:00Z') };
 * guard(client, { project: 'clock', dailyCapUSD: 5, period: 'monthly' }, internals);
 * ```
 */
export function createFixedClock(iso: string): () => Date {
  const timeMs = new Date(iso).getTime();
  if (Number.isNaN(timeMs)) {
    throw new InvalidOptionError(`${shown(iso)} is no ISO time, such as '2026-01-31T23:59:00Z'`);
  }
  return () => new Date(timeMs);
}

/** One thing that was asked of a `FakeSpendStore`. */
export interface SpendOp {
  readonly op: 'add' | 'get' | 'entries';
  readonly key: string;
  readonly amountUSD?: number;
}

/** A store that writes down what is asked of it, for tests. */
export class FakeSpendStore implements SpendStore {
  readonly ops: SpendOp[] = [];
  readonly #inner = new MemoryStore();

  add(key: string, amountUSD: number): number {
    this.ops.push({ op: 'add', key, amountUSD });
    return this.#inner.add(key, amountUSD);
  }

  get(key: string): number {
    this.ops.push({ op: 'get', key });
    return this.#inner.get(key);
  }

  entries(prefix: string): [string, number][] {
    this.ops.push({ op: 'entries', key: prefix });
    return this.#inner.entries(prefix);
  }

  clear(): void {
    this.ops.length = 0;
    this.#inner.clear();
  }
}

/**
 * Adds to one key so many times at once, and answers with its total: with a store whose `add` is
 * atomic, all of them.
 */
export async function simulateConcurrentIncrements(
  store: SpendStore,
  key: string,
  times: number,
  amountUSD: number,
): Promise<number> {
  await Promise.all(Array.from({ length: times }, async () => store.add(key, amountUSD)));
  return store.get(key);
}
