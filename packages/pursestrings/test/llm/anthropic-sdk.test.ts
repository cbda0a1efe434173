import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BudgetExceededError } from '../../src/errors.ts';
import { openAnthropicBench, say } from './anthropic-fixture.ts';
import type { AnthropicBench } from './anthropic-fixture.ts';
import { rejection, until } from './fixture.ts';

/** Every call was charged what the peer billed for it, and nothing is held any more. */
async function expectBilled(bench: AnthropicBench, calls: number): Promise<void> {
  await bench.peer.idle();
  expect(bench.peer.billed).toBe(calls);
  expect(await bench.charges()).toHaveLength(calls);
  expect(await bench.spentSteps()).toBe(bench.peer.steps);
  expect(await bench.heldSteps()).toBe(0n);
}

/** Every call was charged all that was held for it, which covers the peer's bill. */
async function expectHeld(bench: AnthropicBench, calls: number): Promise<void> {
  await until(async () => (await bench.charges()).length >= calls);
  await bench.peer.idle();
  const charges = await bench.charges();
  expect(charges).toHaveLength(calls);
  for (const { amounts, held } of charges) expect(amounts).toEqual(held);
  expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
  expect(await bench.heldSteps()).toBe(0n);
}

async function expectNothing(bench: AnthropicBench): Promise<void> {
  expect(await bench.charges()).toEqual([]);
  expect(await bench.heldSteps()).toBe(0n);
}

const CACHED = {
  cache_read_input_tokens: 4_000,
  cache_creation_input_tokens: 300,
  cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
};

describe("Anthropic's SDK", () => {
  it('creates a message', async () => {
    const bench = await openAnthropicBench({ peer: { answer: () => ({ usage: CACHED }) } });
    const message = await bench.anthropic.messages.create(say());
    expect(message.content[0]).toMatchObject({ type: 'text', text: 'Some words to say' });
    await expectBilled(bench, 1);
    expect((await bench.charges())[0]?.labels).toEqual({
      provider: 'anthropic',
      model: 'claude-haiku-4-5',
      price: 'genai-prices:anthropic/claude-haiku-4-5',
    });
  });

  it('streams events', async () => {
    const bench = await openAnthropicBench({ peer: { answer: () => ({ usage: CACHED }) } });
    const types: string[] = [];
    for await (const { type } of await bench.anthropic.messages.create({
      ...say(),
      stream: true,
    })) {
      types.push(type);
    }
    expect(types.at(0)).toBe('message_start');
    expect(types.at(-1)).toBe('message_stop');
    await expectBilled(bench, 1);
  });

  it('streams with its helper', async () => {
    const bench = await openAnthropicBench();
    const stream = bench.anthropic.messages.stream(say());
    const heard: string[] = [];
    stream.on('text', (text) => heard.push(text));
    const message = await stream.finalMessage();
    expect(heard.join('')).toBe('Some words to say');
    expect(message.usage.output_tokens).toBe(4);
    await expectBilled(bench, 1);
  });

  it('creates and streams beta messages', async () => {
    const bench = await openAnthropicBench();
    const betas = ['context-management-2025-06-27'];
    await bench.anthropic.beta.messages.create({ ...say(), betas } as never);
    await bench.anthropic.beta.messages.stream({ ...say(), betas } as never).finalMessage();
    await expectBilled(bench, 2);
  });

  it('counts tokens and lists models for nothing', async () => {
    const bench = await openAnthropicBench();
    const { model, messages } = say();
    const counted = await bench.anthropic.messages.countTokens({ model, messages });
    expect(counted.input_tokens).toBeGreaterThan(0);
    await bench.anthropic.models.list();
    await expectNothing(bench);
  });

  it('fills the cache and writes nothing', async () => {
    const bench = await openAnthropicBench({
      peer: { answer: () => ({ usage: { ...CACHED, output_tokens: 0 } }) },
    });
    await bench.anthropic.messages.create(say({ max_tokens: 0 }));
    await expectBilled(bench, 1);
  });

  it('goes through a loop of tools', async () => {
    const bench = await openAnthropicBench({
      peer: {
        answer: ({ number, body }) =>
          number < 3
            ? {
                blocks: [
                  {
                    type: 'tool_use',
                    id: `toolu_${number}`,
                    name: 'weather',
                    input: { place: 'Rome' },
                  },
                ],
              }
            : `After ${(body.messages as unknown[]).length} messages`,
      },
    });
    const weather = betaZodTool({
      name: 'weather',
      description: 'Tells the weather',
      inputSchema: z.object({ place: z.string() }),
      run: ({ place }) => `Sunny in ${place}`,
    });
    for (const stream of [false, true]) {
      const runner = bench.anthropic.beta.messages.toolRunner({
        ...(say() as object),
        tools: [weather],
        stream,
      } as Parameters<typeof bench.anthropic.beta.messages.toolRunner>[0]);
      const message = await runner;
      expect(message.content[0]).toMatchObject({ type: 'text' });
    }
    await expectBilled(bench, 4);
  });

  it('ends a loop of tools with one clear error when the task has no money left', async () => {
    const use = { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { place: 'Rome' } };
    const bench = await openAnthropicBench({
      limits: [{ name: 'all', cap: { usd: 0.012 }, each: ['task'] }],
      meter: { labels: { task: 't-1' } },
      client: { maxRetries: 3 },
      peer: {
        answer: ({ number }) =>
          number === 2 ? { status: 529 } : { blocks: [use], usage: { output_tokens: 1_000 } },
      },
    });
    const weather = betaZodTool({
      name: 'weather',
      description: 'Tells the weather',
      inputSchema: z.object({ place: z.string() }),
      run: () => 'Sunny',
    });
    const error = await rejection(
      Promise.resolve(
        bench.anthropic.beta.messages.toolRunner({
          ...(say({ max_tokens: 1_000 }) as object),
          tools: [weather],
        } as Parameters<typeof bench.anthropic.beta.messages.toolRunner>[0]),
      ),
    );
    expect(BudgetExceededError.from(error)?.denial.labels).toEqual({ task: 't-1' });
    await bench.peer.idle();
    expect(bench.peer.billed).toBeGreaterThan(0);
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
    expect(await bench.spentSteps()).toBeLessThanOrEqual(1_200_000n);
  });
});

describe('a call that is denied', () => {
  const broke = { limits: [{ name: 'all', cap: { usd: 0.0001 } }], client: { maxRetries: 4 } };

  it('never leaves, is not retried, and tells why', async () => {
    const bench = await openAnthropicBench(broke);
    const calls: readonly (() => PromiseLike<unknown>)[] = [
      () => bench.anthropic.messages.create(say()),
      () => bench.anthropic.messages.create({ ...say(), stream: true }),
      () => bench.anthropic.messages.stream(say()).finalMessage(),
      () => bench.anthropic.beta.messages.create(say() as never),
      () =>
        bench.anthropic.messages.batches.create({ requests: [{ custom_id: 'a', params: say() }] }),
    ];
    let denied = 0;
    bench.purse.on('denied', () => (denied += 1));
    for (const [index, call] of calls.entries()) {
      const error = await rejection(Promise.resolve(call()));
      expect(error).toBeInstanceOf(Anthropic.APIError);
      expect(error).toMatchObject({ status: 402, type: 'billing_error' });
      expect(BudgetExceededError.from(error)?.denial).toMatchObject({
        reason: 'exceeds',
        limit: 'all',
        cap: 0.0001,
      });
      expect(denied).toBe(index + 1);
    }
    expect(bench.peer.log).toEqual([]);
    await expectNothing(bench);
  });

  it('can be thrown instead', async () => {
    const bench = await openAnthropicBench({
      ...broke,
      meter: { onDenied: 'throw' },
      client: { maxRetries: 0 },
    });
    const error = await rejection(Promise.resolve(bench.anthropic.messages.create(say())));
    expect(BudgetExceededError.from(error)?.denial.limit).toBe('all');
    expect(bench.peer.log).toEqual([]);
  });

  it('is clamped to what is left, where the caller wants that', async () => {
    const bench = await openAnthropicBench({
      limits: [{ name: 'all', cap: { usd: 0.001 } }],
      meter: { whenTight: 'clamp' },
      peer: { answer: () => 'word '.repeat(500) },
    });
    const message = await bench.anthropic.messages.create(say({ max_tokens: 4_000 }));
    const { max_tokens: sent } = bench.peer.lastRequest?.body ?? {};
    expect(sent).toBe(message.usage.output_tokens);
    expect(sent).toBeLessThan(200);
    await expectBilled(bench, 1);
    const thinking = { thinking: { type: 'enabled', budget_tokens: 1_024 } };
    const error = await rejection(
      Promise.resolve(bench.anthropic.messages.create(say({ max_tokens: 4_000, ...thinking }))),
    );
    expect(BudgetExceededError.from(error)).not.toBeNull();
  });

  it('names a model without a price', async () => {
    const bench = await openAnthropicBench();
    const error = await rejection(
      Promise.resolve(bench.anthropic.messages.create(say({ model: 'claude-unheard-of' }))),
    );
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(String(error)).toContain('claude-unheard-of');
    expect(bench.peer.log).toEqual([]);
  });
});

describe('a call that fails', () => {
  it.each([400, 401, 403, 404, 413, 429, 500, 503, 529])('is free with %i', async (status) => {
    const bench = await openAnthropicBench({ peer: { answer: () => ({ status }) } });
    expect(await rejection(Promise.resolve(bench.anthropic.messages.create(say())))).toMatchObject({
      status,
    });
    await expectNothing(bench);
  });

  it('is charged once when the SDK tries again', async () => {
    const bench = await openAnthropicBench({
      client: { maxRetries: 3 },
      peer: {
        answer: ({ number }) =>
          number < 3
            ? { status: number === 1 ? 529 : 500, retryAfterSeconds: 0 }
            : 'There it is at last',
      },
    });
    await bench.anthropic.messages.create(say());
    expect(bench.peer.requests).toBe(3);
    await expectBilled(bench, 1);
  });

  it('is charged as held when its connection was cut, and tried again', async () => {
    const bench = await openAnthropicBench({
      client: { maxRetries: 2 },
      peer: { answer: ({ number }) => (number === 1 ? { cut: 'before-headers' } : 'There it is') },
    });
    await bench.anthropic.messages.create(say());
    expect(bench.peer.billed).toBe(2);
    const [lost, answered] = await bench.charges();
    expect(lost?.amounts).toEqual(lost?.held);
    expect(answered?.amounts.usd).toBeLessThan(answered?.held?.usd ?? 0);
    expect(await bench.spentSteps()).toBeGreaterThan(bench.peer.steps);
  });

  it('is charged as held when its answer was cut', async () => {
    const bench = await openAnthropicBench({ peer: { answer: () => ({ cut: 'after-headers' }) } });
    await rejection(Promise.resolve(bench.anthropic.messages.create(say())));
    await expectHeld(bench, 1);
  });

  it.each([{ cutAfterDeltas: 2 }, { errorAfterDeltas: 2 }, { cut: 'after-headers' as const }])(
    'is charged as held when its stream ends with %j',
    async (answer) => {
      const bench = await openAnthropicBench({ peer: { answer: () => answer } });
      await rejection(bench.anthropic.messages.stream(say()).finalMessage());
      await expectHeld(bench, 1);
    },
  );

  it('is charged as held when its stream is left, and then or never more', async () => {
    const bench = await openAnthropicBench({
      peer: { answer: () => ({ text: 'word '.repeat(40), deltaDelayMs: 2 }) },
    });
    for await (const event of await bench.anthropic.messages.create({ ...say(), stream: true })) {
      if (event.type === 'content_block_delta') break;
    }
    await expectHeld(bench, 1);
  });

  it('is charged what was streamed, where the rest of such holds comes back', async () => {
    const bench = await openAnthropicBench({
      meter: { ifAbandoned: 'release' },
      peer: { answer: () => ({ text: 'word '.repeat(40), deltaDelayMs: 2 }) },
    });
    const stream = await bench.anthropic.messages.create({
      ...say({ max_tokens: 4_000 }),
      stream: true,
    });
    for await (const event of stream) if (event.type === 'content_block_delta') break;
    await until(async () => (await bench.charges()).length > 0);
    const [charge] = await bench.charges();
    expect(charge?.amounts.usd).toBeLessThan((charge?.held?.usd ?? 0) / 4);
    // The input is bounded by its bytes, and one word of five bytes was seen: USD 5 a million.
    expect(charge?.amounts.usd).toBeGreaterThan(5 * 5e-6);
  });
});
