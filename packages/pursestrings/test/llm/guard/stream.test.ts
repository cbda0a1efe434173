import { describe, expect, it } from 'vitest';

import {
  BudgetExceededError,
  guard,
  type GuardOptions,
  MemoryStore,
  type SpendStore,
  spentTotal,
} from '../../../src/llm/guard/index.ts';
import { rejection } from '../fixture.ts';
import { newProject, watchWarnings } from './fixture.ts';

interface Streamed {
  readonly model: string;
  readonly stream: true;
  readonly max_tokens?: number;
  readonly messages?: readonly object[];
  readonly stream_options?: { readonly include_usage?: boolean };
}

type Chunk = Readonly<Record<string, unknown>>;

const REQUEST: Streamed = {
  model: 'gpt-4o',
  stream: true,
  max_tokens: 1_000,
  messages: [{ role: 'user', content: 'hi' }],
};

const text = (content: string, finish: string | null = null): Chunk => ({
  choices: [{ index: 0, delta: { content }, finish_reason: finish }],
});
const DOLLAR: Chunk = { choices: [], usage: { prompt_tokens: 0, completion_tokens: 100_000 } };

/** A client that streams these chunks; an error among them is thrown. */
function streaming(chunks: readonly (Chunk | Error)[]): {
  closed: number;
  read: number;
  requests: Streamed[];
  create(args: Streamed): Promise<AsyncIterable<Chunk>>;
} {
  const client = {
    closed: 0,
    read: 0,
    requests: [] as Streamed[],
    async create(args: Streamed): Promise<AsyncIterable<Chunk>> {
      client.requests.push(args);
      let at = 0;
      return {
        [Symbol.asyncIterator]: () => ({
          async next() {
            const chunk = chunks[at];
            at += 1;
            client.read += 1;
            if (chunk instanceof Error) throw chunk;
            return chunk === undefined
              ? { done: true as const, value: undefined }
              : { done: false as const, value: chunk };
          },
          async return() {
            client.closed += 1;
            return { done: true as const, value: undefined };
          },
        }),
      };
    },
  };
  return client;
}

function kit(chunks: readonly (Chunk | Error)[], options: Partial<GuardOptions<Streamed>> = {}) {
  const project = newProject();
  const store = new MemoryStore();
  const client = streaming(chunks);
  const ai = guard(client, { project, dailyCapUSD: 5, store, ...options });
  return { client, ai, spent: () => spentTotal(project, store) };
}

async function all(stream: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

function expectHeld(usd: number): void {
  expect(usd).toBeGreaterThanOrEqual(0.01);
  expect(usd).toBeLessThanOrEqual(0.011);
}

describe('a stream', () => {
  it('passes its chunks on, and is charged when it ends', async () => {
    const { client, ai, spent } = kit([text('a'), text('b', 'stop'), DOLLAR]);
    const stream = await ai.create(REQUEST);
    expect(await spent()).toBe(0);
    expect(await all(stream)).toEqual([text('a'), text('b', 'stop')]);
    expect(await spent()).toBe(1);
    expect(client.requests[0]?.stream_options).toEqual({ include_usage: true });
  });

  it('shows the chunk with the usage to a caller that asked for it', async () => {
    const { ai, spent } = kit([text('a', 'stop'), DOLLAR]);
    const stream = await ai.create({ ...REQUEST, stream_options: { include_usage: true } });
    expect(await all(stream)).toEqual([text('a', 'stop'), DOLLAR]);
    expect(await spent()).toBe(1);
  });

  it.each([
    ['another provider', { provider: 'anthropic' as const }, REQUEST],
    ['another model', {}, { ...REQUEST, model: 'claude-sonnet-4-5' }],
    ['another format', {}, { model: 'gpt-4o', stream: true as const, max_tokens: 9, input: 'hi' }],
  ])('of %s is not asked for its usage', async (_, options, request) => {
    const { client, ai } = kit([text('a')], options);
    await all(await ai.create(request));
    expect(client.requests[0]).toEqual(request);
  });

  it.each([
    ['completions', { ...REQUEST, messages: undefined, prompt: ['hi'] }, 1],
    ['a client that writes its own requests', { model: 'gpt-4o', stream: true as const }, 2],
  ])('of %s is asked for its usage, and only a chunk of our asking is hidden', async (...row) => {
    const [, request, shown] = row;
    const { client, ai, spent } = kit([text('a', 'stop'), DOLLAR]);
    expect(await all(await ai.create(request as Streamed))).toHaveLength(shown);
    expect(client.requests[0]?.stream_options).toEqual({ include_usage: true });
    expect(await spent()).toBe(1);
  });

  it('that is left is charged what was held before return() resolves', async () => {
    const { client, ai, spent } = kit([text('a'), text('b'), text('c', 'stop'), DOLLAR]);
    for await (const chunk of await ai.create(REQUEST)) {
      expect(chunk).toEqual(text('a'));
      break;
    }
    expectHeld(await spent());
    expect(client.closed).toBe(1);
  });

  it('that is left is charged before return() resolves, however slow its store is', async () => {
    const totals = new Map<string, number>();
    const pause = (): Promise<void> => new Promise((wake) => setTimeout(wake, 5));
    const store: SpendStore = {
      add: async (key, usd) => {
        await pause();
        totals.set(key, (totals.get(key) ?? 0) + usd);
        return totals.get(key) ?? 0;
      },
      get: async (key) => totals.get(key) ?? 0,
      entries: async () => [...totals],
    };
    const { ai } = kit([text('a'), text('b')], { store });
    for await (const chunk of await ai.create(REQUEST)) {
      expect(chunk).toEqual(text('a'));
      break;
    }
    const feature = [...totals].find(([key]) => key.includes('|default|'));
    expectHeld(feature?.[1] ?? 0);
  });

  it('that is left after its last word is charged its usage, which is waited for', async () => {
    const { ai, spent } = kit([text('a', 'stop'), DOLLAR]);
    for await (const chunk of await ai.create(REQUEST)) {
      expect(chunk).toEqual(text('a', 'stop'));
      break;
    }
    expect(await spent()).toBe(1);
  });

  it('that is left before it was read is charged too', async () => {
    const { ai, spent } = kit([text('a')]);
    const stream = await ai.create(REQUEST);
    await stream[Symbol.asyncIterator]().return?.();
    expectHeld(await spent());
  });

  it('that breaks is charged what was held, and its error goes on', async () => {
    const { ai, spent } = kit([text('a'), new Error('cut')]);
    expect(await rejection(all(await ai.create(REQUEST)))).toMatchObject({ message: 'cut' });
    expectHeld(await spent());
  });

  it('that ends without a usage is charged what was held', async () => {
    const { ai, spent } = kit([text('a', 'stop')]);
    expect(await all(await ai.create(REQUEST))).toHaveLength(1);
    expectHeld(await spent());
  });

  it("that ends without a usage throws under 'throw', when all of it was read", async () => {
    const { ai, spent } = kit([text('a', 'stop')], { onMissingUsage: 'throw' });
    await expect(all(await ai.create(REQUEST))).rejects.toThrow(/usage/);
    expectHeld(await spent());
  });

  it('of Anthropic is charged by how it began and how it ended', async () => {
    watchWarnings();
    const { ai, spent } = kit([
      {
        type: 'message_start',
        message: {
          type: 'message',
          usage: {
            input_tokens: 1_000,
            cache_read_input_tokens: 10_000,
            cache_creation_input_tokens: 2_000,
            output_tokens: 1,
          },
        },
      },
      { type: 'content_block_delta', delta: { type: 'text_delta', text: 'a' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 100 } },
      { type: 'message_stop' },
    ]);
    await all(await ai.create({ ...REQUEST, model: 'claude-sonnet-4-5' }));
    // USD 3, 0.30, 3.75 and 15 a million: https://platform.claude.com/docs/en/pricing, 2026-11-22.
    const steps = 1_000n * 300n + 10_000n * 30n + 2_000n * 375n + 100n * 1_500n;
    expect(await spent()).toBe(Number(steps) / 1e8);
  });

  it('of Gemini is charged by its last chunk', async () => {
    const chunk = (candidatesTokenCount: number): Chunk => ({
      candidates: [{ content: { parts: [{ text: 'a' }] } }],
      usageMetadata: {
        promptTokenCount: 1_000,
        candidatesTokenCount,
        thoughtsTokenCount: 50,
        totalTokenCount: 1_050 + candidatesTokenCount,
      },
    });
    const { ai, spent } = kit([chunk(1), chunk(50)]);
    await all(await ai.create({ ...REQUEST, model: 'gemini-2.5-flash' }));
    // USD 0.30 and 2.50 a million: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22.
    expect(await spent()).toBe(Number(1_000n * 30n + 100n * 250n) / 1e8);
  });

  it('of the responses format is charged by the response that is complete', async () => {
    const usage = { input_tokens: 1_000, output_tokens: 100, total_tokens: 1_100 };
    const { ai, spent } = kit([
      { type: 'response.created', response: { object: 'response', status: 'in_progress' } },
      {
        type: 'response.completed',
        response: { object: 'response', status: 'completed', output: [], usage },
      },
    ]);
    await all(await ai.create(REQUEST));
    expect(await spent()).toBe(0.0035);
  });

  it('is read by its own methods where it is an iterator', async () => {
    const project = newProject();
    const client = {
      create: async ({ model }: Streamed) =>
        (async function* () {
          yield text(model, 'stop');
          yield DOLLAR;
        })(),
    };
    const ai = guard(client, { project, dailyCapUSD: 5 });
    const stream = await ai.create(REQUEST);
    expect(await stream.next()).toEqual({ done: false, value: text('gpt-4o', 'stop') });
    expect(await stream.next()).toMatchObject({ done: true });
    expect(await spentTotal(project)).toBe(1);
  });

  it('is charged when it is disposed of', async () => {
    const project = newProject();
    const client = {
      create: async ({ model }: Streamed) =>
        (async function* () {
          yield text(model);
          yield DOLLAR;
        })(),
    };
    const ai = guard(client, { project, dailyCapUSD: 5 });
    {
      await using stream = await ai.create(REQUEST);
      await stream.next();
    }
    expectHeld(await spentTotal(project));
  });

  describe('of the platform', () => {
    function platformKit() {
      const project = newProject();
      const state = { cancelled: false };
      const client = {
        create: async ({ model }: Streamed) =>
          new ReadableStream<Chunk>({
            start(chunks) {
              chunks.enqueue(text(model, 'stop'));
              chunks.enqueue(DOLLAR);
              chunks.close();
            },
            cancel() {
              state.cancelled = true;
            },
          }),
      };
      const ai = guard(client, { project, dailyCapUSD: 5 });
      return { ai, state, spent: () => spentTotal(project) };
    }

    it('is charged when it ends, whoever reads it', async () => {
      const { ai, spent } = platformKit();
      const stream = await ai.create(REQUEST);
      expect(stream).toBeInstanceOf(ReadableStream);
      const reader = stream.getReader();
      expect(await reader.read()).toEqual({ done: false, value: text('gpt-4o', 'stop') });
      expect(await reader.read()).toEqual({ done: true, value: undefined });
      expect(await spent()).toBe(1);
    });

    it('is charged before cancel() resolves', async () => {
      const { ai, state, spent } = platformKit();
      const stream = await ai.create(REQUEST);
      await stream.cancel();
      expectHeld(await spent());
      expect(state.cancelled).toBe(true);
    });
  });

  it('is refused before it begins once the cap is used up', async () => {
    const { client, ai } = kit([text('a', 'stop'), DOLLAR], { dailyCapUSD: 1 });
    await all(await ai.create(REQUEST));
    await expect(ai.create(REQUEST)).rejects.toThrow(BudgetExceededError);
    expect(client.requests).toHaveLength(1);
  });
});
