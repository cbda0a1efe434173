import type { AnthropicProviderOptions } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, wrapLanguageModel } from 'ai';
import type { ModelMessage } from 'ai';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Charge } from '../../src/charge.ts';
import { PriceUnknownError } from '../../src/errors.ts';
import { InvalidOptionError } from '../../src/ledger/invalid.ts';
import { LoopDetectedError } from '../../src/llm/loop-breaker.ts';
import { purseMiddleware } from '../../src/llm/ai-sdk/middleware.ts';
import type { MiddlewareOptions } from '../../src/llm/ai-sdk/middleware.ts';
import { billedSteps, openBench, rejection, steps } from './fixture.ts';
import { metered, openDesk, ownModel, PROMPT } from './middleware-fixture.ts';
import type { CallOptions, Wrapped } from './middleware-fixture.ts';

describe('what cannot be priced', () => {
  const usage = {
    inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 5, text: 5, reasoning: 0 },
  };

  it('is refused by name before anything goes out, and not retried', async () => {
    const desk = await openDesk();
    const model = ownModel({ usage }, { modelId: 'llama-x', provider: 'acme.chat' });
    const asked = generateText({ ...PROMPT, maxRetries: 5, model: metered(desk, model) });
    const error = await rejection(asked);
    expect(PriceUnknownError.isInstance(error)).toBe(true);
    expect(String(error)).toContain('"llama-x" of acme');
    expect(model.seen).toEqual([]);
  });

  it('runs under a ceiling price, a price of the book, or where nothing costs', async () => {
    const desk = await openDesk();
    const named = (modelId: string, provider = 'acme.chat'): Wrapped =>
      ownModel({ usage }, { modelId, provider });
    const options: MiddlewareOptions = {
      unknownModel: { usdPerMillion: { input: 3, output: 20 } },
      prices: { mine: { usdPerMillion: { input: 1, output: 2 } } },
    };
    await metered(desk, named('llama-x'), options).doGenerate({ prompt: [], maxOutputTokens: 50 });
    await metered(desk, named('mine'), options).doGenerate({ prompt: [], maxOutputTokens: 50 });
    await metered(desk, named('qwen3:8b', 'ollama.chat')).doGenerate({ prompt: [] });
    const charges = await desk.charges();
    expect(charges.map(({ amounts }) => steps(amounts.usd ?? 0))).toEqual([
      10n * 300n + 5n * 2_000n,
      10n * 100n + 5n * 200n,
      0n,
    ]);
    expect(charges.map(({ labels }) => labels.price)).toEqual(['unknownModel', 'prices', 'ollama']);
  });

  it.each([
    ['a premium tier', { providerOptions: { openai: { serviceTier: 'performance' } } }, 'tier'],
    [
      'a tool of the provider',
      { tools: [{ type: 'provider', id: 'openai.code_interpreter', name: 'ci', args: {} }] },
      'code_interpreter',
    ],
    [
      'audio',
      {
        prompt: [
          {
            role: 'user',
            content: [{ type: 'file', mediaType: 'audio/wav', data: new Uint8Array(9_000) }],
          },
        ],
      },
      'audio',
    ],
  ])('refuses %s without a rate of its own', async (_what, more, named) => {
    const desk = await openDesk();
    const params = { prompt: [], maxOutputTokens: 50, ...more } as CallOptions;
    const model = ownModel({ usage });
    const error = await rejection(Promise.resolve(metered(desk, model).doGenerate(params)));
    expect(PriceUnknownError.isInstance(error)).toBe(true);
    expect(String(error)).toContain(named);
    expect(model.seen).toEqual([]);
  });
});

describe('the hold of a call', () => {
  const usage = {
    inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 5, text: 5, reasoning: 0 },
  };
  const held = async (
    params: Partial<Record<keyof CallOptions, unknown>>,
    options: MiddlewareOptions = {},
    named: { readonly provider?: string; readonly modelId?: string } = {},
  ): Promise<{ usd: number; tokens: number; sent: CallOptions | undefined }> => {
    const desk = await openDesk([{ name: 'all', cap: { usd: 1_000 } }]);
    const model = ownModel({ usage }, named);
    const call = { prompt: [], ...params } as unknown as CallOptions;
    await metered(desk, model, options).doGenerate(call);
    const [charge] = await desk.charges();
    const { usd = 0, tokens = 0 } = charge?.held ?? {};
    return { usd, tokens, sent: model.seen[0] };
  };

  it('sends the ceiling where nothing else bounds the answer', async () => {
    const prices: MiddlewareOptions['prices'] = {
      mine: { usdPerMillion: { input: 1, output: 2 } },
    };
    const options = { outputCeiling: 700, prices };
    const { sent, tokens } = await held({}, options, { modelId: 'mine' });
    expect(sent?.maxOutputTokens).toBe(700);
    expect(tokens).toBeGreaterThanOrEqual(700);
    expect((await held({ maxOutputTokens: 90 }, options)).sent?.maxOutputTokens).toBe(90);
  });

  it('covers thinking, which the AI SDK adds to the cap', async () => {
    const named = { provider: 'anthropic.messages', modelId: 'claude-haiku-4-5' };
    const plain = await held({ maxOutputTokens: 50 }, {}, named);
    const anthropic: AnthropicProviderOptions = {
      thinking: { type: 'enabled', budgetTokens: 9_000 },
    };
    const thinking = await held({ maxOutputTokens: 50, providerOptions: { anthropic } }, {}, named);
    expect(thinking.tokens - plain.tokens).toBeGreaterThanOrEqual(9_000);
    const mapped = await held({ maxOutputTokens: 50, reasoning: 'high' }, {}, named);
    expect(mapped.tokens - plain.tokens).toBeGreaterThanOrEqual(60_000);
  });

  it('covers images, files and what tools returned', async () => {
    const user = (...content: object[]): object => ({ role: 'user', content });
    const image = { type: 'file', mediaType: 'image/png', data: new Uint8Array(100_000) };
    const tagged = { ...image, data: { type: 'data', data: 'AAAA' } };
    const pdf = { ...image, mediaType: 'application/pdf' };
    const output = { type: 'content', value: [image, { type: 'text', text: 'x'.repeat(3_000) }] };
    const tool = { role: 'tool', content: [{ type: 'tool-result', toolName: 'f', output }] };
    const json = { type: 'json', value: { data: 'y'.repeat(3_000) } };
    const told = { role: 'tool', content: [{ type: 'tool-result', toolName: 'f', output: json }] };
    const tokens = async (...prompt: object[]): Promise<number> =>
      (await held({ prompt, maxOutputTokens: 50 })).tokens;
    const none = await tokens();
    // An image costs gpt-4o 1,445 tokens at most, and its window holds 128,000.
    expect((await tokens(user(image))) - none).toBeGreaterThan(1_445);
    expect((await tokens(user(image))) - none).toBeLessThan(2_000);
    expect((await tokens(user(tagged))) - none).toBeLessThan(2_000);
    const claude = { provider: 'anthropic.messages', modelId: 'claude-haiku-4-5' };
    const seen = await held({ prompt: [user(image)], maxOutputTokens: 50 }, {}, claude);
    expect(seen.tokens).toBeGreaterThan(4_784);
    expect(seen.tokens).toBeLessThan(6_500);
    expect(await tokens(user(pdf))).toBeGreaterThanOrEqual(128_000);
    expect((await tokens(tool)) - none).toBeGreaterThan(1_445 + 3_000);
    expect((await tokens(told)) - none).toBeGreaterThan(3_000);
  });

  it('covers reasoning that the provider keeps, by what it was when it came through here', async () => {
    const desk = await openDesk([{ name: 'all', cap: { usd: 1_000 } }]);
    const reasoning = (itemId: string, more: object = {}): object => ({
      role: 'assistant',
      content: [{ type: 'reasoning', text: '', providerOptions: { openai: { itemId, ...more } } }],
    });
    const tokens = async (...prompt: object[]): Promise<number> =>
      (await held({ prompt, maxOutputTokens: 50 }, {}, { modelId: 'gpt-5' })).tokens;
    // The window of gpt-5 holds 400,000 tokens.
    expect(await tokens(reasoning('rs_1'))).toBeGreaterThanOrEqual(400_000);
    expect(await tokens(reasoning('rs_1', { reasoningEncryptedContent: 'x' }))).toBeLessThan(1_000);
    const thought = {
      usage: {
        inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
        outputTokens: { total: 9_000, text: 10, reasoning: 8_990 },
      },
      more: {
        content: [
          { type: 'reasoning', text: '', providerMetadata: { openai: { itemId: 'rs_1' } } },
        ],
      },
    };
    const model = metered(desk, ownModel(thought, { modelId: 'gpt-5' }));
    await model.doGenerate({ prompt: [], maxOutputTokens: 50 });
    const twice = [reasoning('rs_1'), reasoning('rs_1')];
    expect(await tokens(...twice)).toBeGreaterThanOrEqual(9_000);
    expect(await tokens(...twice)).toBeLessThan(11_000);
    expect(await tokens(reasoning('rs_1'), reasoning('rs_2'))).toBeGreaterThanOrEqual(400_000);
  });

  it('is never under the bill, whatever is asked', async () => {
    const bench = await openBench({ limits: [{ name: 'all', cap: { usd: 1_000 } }] });
    const openai = createOpenAI({ apiKey: 'none', baseURL: bench.provider.url });
    const middleware = purseMiddleware(bench.purse);
    const model = wrapLanguageModel({ model: openai.chat('gpt-4o'), middleware });
    const message: fc.Arbitrary<ModelMessage> = fc.record({
      role: fc.constantFrom('user' as const, 'assistant' as const),
      content: fc.string({ unit: 'grapheme', maxLength: 300 }).map((text) => `${text} a b c`),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 40 }),
        async (messages, maxOutputTokens) => {
          await generateText({ model, messages, maxOutputTokens, maxRetries: 0 });
          const all: Charge[] = [];
          for await (const charge of bench.purse.journal({ order: 'newest' })) {
            all.push(charge);
            break;
          }
          const [charge] = all;
          expect(charge?.amounts.usd).toBeLessThanOrEqual(charge?.held?.usd ?? 0);
          expect(charge?.amounts.tokens).toBeLessThanOrEqual(charge?.held?.tokens ?? 0);
        },
      ),
      { numRuns: 60 },
    );
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });
});

describe('a loop', () => {
  it('is stopped by name, and not retried by the AI SDK', async () => {
    const desk = await openDesk();
    const model = ownModel({ error: new Error('odd') });
    const wrapped = metered(desk, model, { loopBreaker: { failures: 2 } });
    for (let round = 0; round < 2; round += 1) {
      await rejection(generateText({ ...PROMPT, model: wrapped }));
    }
    const error = await rejection(generateText({ ...PROMPT, maxRetries: 4, model: wrapped }));
    expect(error).toBeInstanceOf(LoopDetectedError);
    expect(model.seen).toHaveLength(2);
    expect(await desk.charges()).toHaveLength(2);
  });
});

describe('the options', () => {
  it.each([
    [{ whenTight: 'squeeze' }],
    [{ ifAbandoned: 'forget' }],
    [{ outputCeiling: 0 }],
    [{ unknownModel: 'allow' }],
  ])('are refused when they are none: %o', async (options) => {
    const { purse } = await openDesk();
    expect(() => purseMiddleware(purse, options as unknown as MiddlewareOptions)).toThrow(
      InvalidOptionError,
    );
  });
});
