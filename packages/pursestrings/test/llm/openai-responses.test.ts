import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BudgetExceededError } from '../../src/errors.ts';
import { meteredFetch, readUsage } from '../../src/llm/index.ts';
import { rejection, until } from './fixture.ts';
import { openOpenaiBench } from './openai-fixture.ts';
import type { PeerAnswer } from './peers/openai-peer.ts';

/** A response's request, as small as can be. */
function ask(
  more: Record<string, unknown> = {},
): OpenAI.Responses.ResponseCreateParamsNonStreaming {
  return { model: 'gpt-5', max_output_tokens: 200, input: 'Say some words', ...more };
}

/** A whole stream, to its end. */
async function drain(stream: AsyncIterable<unknown>): Promise<number> {
  let events = 0;
  for await (const _event of stream) events += 1;
  return events;
}

/** One token in steps of 1e-8 USD: https://developers.openai.com/api/docs/pricing, 2026-11-22. */
const GPT_5 = { input: 125n, cachedTenths: 125n, output: 1_000n } as const;

/** Answers with tokens of every kind, what they cost in steps, and the model they are of. */
const BILLS: readonly [string, PeerAnswer, bigint, string?][] = [
  ['plain', { inputTokens: 100, text: 'a b c' }, 100n * GPT_5.input + 3n * GPT_5.output],
  [
    'cached and reasoning',
    { inputTokens: 60, cachedTokens: 40, reasoningTokens: 20, text: 'a b c' },
    60n * GPT_5.input + (40n * GPT_5.cachedTenths) / 10n + 23n * GPT_5.output,
  ],
  // Half: $0.625, $0.0625 and $5.
  [
    'flex',
    { serviceTier: 'flex', inputTokens: 64, cachedTokens: 32, text: 'a b' },
    (64n * 625n + (32n * 625n) / 10n + 2n * 5_000n) / 10n,
  ],
  // $2.50, $0.25 and $20.
  [
    'priority',
    { serviceTier: 'priority', inputTokens: 100, cachedTokens: 10, text: 'a b' },
    100n * 250n + 10n * 25n + 2n * 2_000n,
  ],
  ['fast', { serviceTier: 'fast', inputTokens: 100, text: 'a' }, 100n * 250n + 2_000n],
  // $0.20, $0.02, $0.25 for what is written to the cache, $1.20.
  [
    'cache writes',
    { inputTokens: 100, cachedTokens: 50, cacheWriteTokens: 200, text: 'a b' },
    100n * 20n + 50n * 2n + 200n * 25n + 2n * 120n,
    'gpt-5.6-luna',
  ],
  [
    'searches',
    {
      inputTokens: 10,
      text: 'a',
      items: [
        { id: 'ws_1', type: 'web_search_call', status: 'completed', action: { type: 'search' } },
        { id: 'ws_2', type: 'web_search_call', status: 'completed', action: { type: 'open_page' } },
        { id: 'ws_3', type: 'web_search_call', status: 'completed', action: { type: 'search' } },
        { id: 'fs_1', type: 'file_search_call', status: 'completed', queries: ['q'] },
      ],
    },
    // Two searches at a cent, one of files at a quarter of one.
    10n * 125n + 1_000n + 2n * 1_000_000n + 250_000n,
  ],
];

describe.each([false, true])('a response, streamed: %s', (streamed) => {
  it.each(BILLS)(
    'is charged what the provider billed: %s',
    async (_name, answer, literal, model) => {
      const bench = await openOpenaiBench({ answer: () => answer });
      const tools = [{ type: 'web_search' }, { type: 'file_search', vector_store_ids: ['vs_1'] }];
      const body = ask({
        model: model ?? 'gpt-5',
        ...(answer.items === undefined ? {} : { tools }),
        ...(answer.serviceTier === undefined ? {} : { service_tier: answer.serviceTier }),
      });
      if (streamed) await drain(await bench.openai.responses.create({ ...body, stream: true }));
      else await bench.openai.responses.create(body);
      expect(bench.peer.steps).toBe(literal);
      expect(await bench.spentSteps()).toBe(literal);
      expect(await bench.heldSteps()).toBe(0n);
    },
  );

  it('is held at what it can cost at most, and never costs more', async () => {
    const bench = await openOpenaiBench({
      answer: () => ({ text: 'word '.repeat(500), deltaMs: 1 }),
    });
    const call = bench.openai.responses.create({ ...ask(), stream: streamed });
    await until(async () => (await bench.heldSteps()) > 0n || (await bench.spentSteps()) > 0n);
    const held = await bench.heldSteps();
    const answer = await call;
    if (Symbol.asyncIterator in answer) {
      expect(held).toBeGreaterThanOrEqual(200n * GPT_5.output);
      await drain(answer);
    }
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
    expect(await bench.charges()).toHaveLength(1);
  });

  it('is free when it failed before anything was counted', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ fails: true }) });
    const body = ask({ tools: [{ type: 'web_search' }] });
    if (streamed) await drain(await bench.openai.responses.create({ ...body, stream: true }));
    else await bench.openai.responses.create(body);
    expect(await bench.spentSteps()).toBe(0n);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('is not billed when it is refused', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ status: 429 }) });
    await rejection(bench.openai.responses.create({ ...ask(), stream: streamed }));
    expect(await bench.charges()).toEqual([]);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it.each([
    'none' as const,
    { input_tokens: -5, output_tokens: 3, total_tokens: 3 },
    { input_tokens: '5', output_tokens: 3, total_tokens: 8 },
    { input_tokens: 5, total_tokens: 8 },
    { input_tokens: 5, output_tokens: 3, input_tokens_details: { cached_tokens: 9 } },
    { input_tokens: 0, output_tokens: 0, total_tokens: 0 },
  ])('is charged whole when its usage is %o', async (usage) => {
    const bench = await openOpenaiBench({ answer: () => ({ text: 'a b c', usage }) });
    if (streamed) await drain(await bench.openai.responses.create({ ...ask(), stream: true }));
    else await bench.openai.responses.create(ask());
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(200n * GPT_5.output);
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
  });

  it('is denied at once, and nothing leaves', async () => {
    const limits = [{ name: 'all', cap: { usd: 0.0001 } }];
    const bench = await openOpenaiBench({ limits, client: { maxRetries: 5 } });
    const error = await rejection(bench.openai.responses.create({ ...ask(), stream: streamed }));
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(BudgetExceededError.from(error)?.denial).toMatchObject({ limit: 'all', unit: 'usd' });
    expect(bench.peer.requests).toBe(0);
    expect(await bench.charges()).toEqual([]);
  });
});

describe('the helpers of the SDK', () => {
  it('stream() gives every event on, and is settled by the last', async () => {
    const bench = await openOpenaiBench({ answer: () => 'some words of it' });
    let text = '';
    const stream = bench.openai.responses.stream({ model: 'gpt-5', input: 'Say it' });
    stream.on('response.output_text.delta', ({ delta }) => {
      text += delta;
    });
    const final = await stream.finalResponse();
    expect(text).toBe('some words of it');
    expect(final.output_text).toBe(text);
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
    expect(bench.peer.billed).toBe(1);
  });

  it('parse() reads what was asked for', async () => {
    const bench = await openOpenaiBench({ answer: () => '{"river":"Aare"}' });
    const river = z.object({ river: z.string() });
    const answer = await bench.openai.responses.parse({
      model: 'gpt-5',
      input: 'Name a river',
      text: { format: zodTextFormat(river, 'river') },
    });
    expect(answer.output_parsed).toEqual({ river: 'Aare' });
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
  });

  it('stream() denied is one error, with the denial in it', async () => {
    const limits = [{ name: 'all', cap: { usd: 0.0001 } }];
    const bench = await openOpenaiBench({ limits });
    const stream = bench.openai.responses.stream({ model: 'gpt-5', input: 'Say it' });
    const error = await rejection(stream.finalResponse());
    expect(BudgetExceededError.from(error)?.denial.limit).toBe('all');
    expect(bench.peer.requests).toBe(0);
  });
});

describe('a stream that does not end', () => {
  it('is charged whole when it is left or cut, and never less than was billed', async () => {
    const bench = await openOpenaiBench({
      answer: ({ body }) => ({
        text: 'word '.repeat(100),
        deltaMs: 1,
        ...(body.user === 'cut' ? { cutAfter: 10 } : {}),
      }),
    });
    const left = await bench.openai.responses.create({ ...ask({ user: 'left' }), stream: true });
    let seen = 0;
    for await (const event of left) {
      if (event.type === 'response.output_text.delta') seen += 1;
      if (seen === 5) break;
    }
    const cut = await bench.openai.responses.create({ ...ask({ user: 'cut' }), stream: true });
    await rejection(drain(cut));
    await bench.peer.idle();
    await until(async () => (await bench.charges()).length === 2);
    for (const { amounts } of await bench.charges()) {
      expect(amounts.usd).toBeGreaterThanOrEqual(200 * 10e-6);
    }
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('is counted by its text where the rest comes back', async () => {
    const bench = await openOpenaiBench({
      meter: { ifAbandoned: 'release' },
      answer: () => ({ text: 'wörter '.repeat(100), cutAfter: 40 }),
    });
    const cut = await bench.openai.responses.create({ ...ask(), stream: true });
    await rejection(drain(cut));
    await bench.peer.idle();
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
    expect(await bench.spentSteps()).toBeLessThan(200n * GPT_5.output);
  });
});

describe('many streams at once', () => {
  it('never cost less than was billed, nor more than the cap', async () => {
    const bench = await openOpenaiBench({
      // Twenty answers of 200 tokens, and a little for what is asked.
      limits: [{ name: 'all', cap: { usd: 0.045 } }],
      client: { maxRetries: 2 },
      answer: ({ body }) => ({
        text: 'word '.repeat(100),
        deltaMs: 1,
        ...(body.user === 'cut' ? { cutAfter: 30 } : {}),
        ...(body.user === 'refused' ? { status: 400 } : {}),
      }),
    });
    const kinds = ['whole', 'left', 'cut', 'refused'];
    let denied = 0;
    await Promise.all(
      Array.from({ length: 80 }, async (_, index) => {
        const kind = kinds[index % kinds.length];
        try {
          const stream = await bench.openai.responses.create({
            ...ask({ user: kind }),
            stream: true,
          });
          for await (const event of stream) {
            if (kind === 'left' && event.type === 'response.output_text.delta') break;
          }
        } catch (error) {
          if (BudgetExceededError.from(error) !== null) denied += 1;
        }
      }),
    );
    await bench.peer.idle();
    await until(async () => (await bench.heldSteps()) === 0n);
    const spent = await bench.spentSteps();
    expect(denied).toBeGreaterThan(0);
    expect(spent).toBeGreaterThanOrEqual(bench.peer.steps);
    expect(spent).toBeLessThanOrEqual(4_500_000n);
    expect((await bench.purse.verify()).ok).toBe(true);
  });
});

describe('other ways to ask', () => {
  it('an answer that is cut by its cap is charged what it used', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ text: 'word '.repeat(90) }) });
    const asked = ask({ max_output_tokens: 16 });
    const whole = await bench.openai.responses.create(asked);
    expect(whole.status).toBe('incomplete');
    await drain(await bench.openai.responses.create({ ...asked, stream: true }));
    const [first, second] = await bench.charges();
    expect(first?.amounts.usd).toBe(second?.amounts.usd);
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
  });

  it('a conversation that is compacted is charged what it used', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ inputTokens: 50, text: 'a b' }) });
    const input = [{ role: 'user' as const, content: 'Once upon a time' }];
    await bench.openai.responses.compact({ model: 'gpt-5', input });
    expect(await bench.spentSteps()).toBe(50n * GPT_5.input + 2n * GPT_5.output);
  });

  it('counting the tokens of an input is free', async () => {
    const bench = await openOpenaiBench();
    await rejection(bench.openai.responses.inputTokens.count({ model: 'gpt-5', input: 'x' }));
    expect(await bench.charges()).toEqual([]);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('a stream whose last event does not say its status ends all the same', async () => {
    const bench = await openOpenaiBench();
    const usage = { input_tokens: 7, output_tokens: 3, total_tokens: 10 };
    const done = {
      response: { id: 'resp_1', object: 'response', usage },
      type: 'response.completed',
    };
    const metered = meteredFetch(bench.purse, {
      fetch: () =>
        Promise.resolve(
          new Response(`data: ${JSON.stringify(done)}\n\n`, {
            headers: { 'content-type': 'text/event-stream' },
          }),
        ),
    });
    const body = JSON.stringify({ ...ask(), stream: true });
    const response = await metered('https://llm.example.com/v1/responses', {
      method: 'POST',
      body,
    });
    await response.text();
    expect(await bench.spentSteps()).toBe(7n * GPT_5.input + 3n * GPT_5.output);
  });

  it('Azure takes the deployment that the path names, whatever the body says', async () => {
    const bench = await openOpenaiBench();
    const prices = { mine: { usdPerMillion: { input: 3, output: 0 } } };
    const metered = meteredFetch(bench.purse, {
      prices,
      fetch: () => Promise.resolve(Response.json({ usage: { prompt_tokens: 9, total_tokens: 9 } })),
    });
    await metered('https://x.openai.azure.com/openai/deployments/mine/embeddings?api-version=1', {
      method: 'POST',
      body: JSON.stringify({ model: 'text-embedding-3-small', input: 'some text' }),
    });
    expect(await bench.spentSteps()).toBe(9n * 300n);
  });
});

describe('readUsage', () => {
  it('reads a response, and its usage alone, and leaves the usages of others', () => {
    const usage = {
      input_tokens: 100,
      input_tokens_details: { cached_tokens: 40 },
      output_tokens: 9,
      output_tokens_details: { reasoning_tokens: 4 },
      total_tokens: 109,
    };
    const read = { inputTokens: 100, cachedInputTokens: 40, outputTokens: 9, reasoningTokens: 4 };
    expect(readUsage(usage)).toMatchObject(read);
    expect(readUsage({ object: 'response', usage, service_tier: 'fast' })).toMatchObject({
      ...read,
      serviceTier: 'priority',
    });
    // Anthropic's has no total: https://platform.claude.com/docs/en/api/messages
    const anthropic = { input_tokens: 10, output_tokens: 2, cache_read_input_tokens: 5 };
    expect(readUsage(anthropic)).toMatchObject({ inputTokens: 15, cachedInputTokens: 5 });
  });
});
