import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAI as createOpenAIPrevious } from '@ai-sdk/openai-previous';
import { ChatOpenAI } from '@langchain/openai';
import { OpenAI as LlamaOpenAI } from '@llamaindex/openai';
import { generateText, streamText, wrapLanguageModel } from 'ai';
import {
  generateText as generateTextPrevious,
  wrapLanguageModel as wrapPrevious,
} from 'ai-previous';
import { describe, expect, it, onTestFinished, vi } from 'vitest';

import {
  BudgetExceededError,
  budgetGuardHandler,
  budgetGuardMiddleware,
  guardLlamaIndex,
  MemoryStore,
  spendReport,
  spentTotal,
} from '../../../src/llm/guard/index.ts';
import {
  loopbackProvider,
  type LoopbackProviderOptions,
} from '../../../src/testing/loopback-provider.ts';
import { rejection } from '../fixture.ts';
import { newProject } from './fixture.ts';

/** https://platform.openai.com/docs/pricing, 2026-11-22. */
const GPT_4O = { input: '2.5', cachedInput: '1.25', output: '10' } as const;

async function kit(answer?: LoopbackProviderOptions['answer'], dailyCapUSD: number = 1) {
  const provider = await loopbackProvider({
    ratesUsdPerMillion: GPT_4O,
    ...(answer === undefined ? {} : { answer }),
  });
  onTestFinished(() => provider.close());
  const store = new MemoryStore();
  const project = newProject();
  return {
    provider,
    options: { project, dailyCapUSD, store, feature: 'chat' },
    spent: () => spentTotal(project, store),
    report: () => spendReport(project, undefined, store),
    billed: async () => {
      await provider.idle();
      return Number(provider.bill.usd);
    },
  };
}

describe('LangChain', () => {
  function chat(url: string): ChatOpenAI {
    const configuration = { baseURL: url };
    return new ChatOpenAI({
      model: 'gpt-4o',
      apiKey: 'none',
      maxTokens: 50,
      maxRetries: 0,
      configuration,
    });
  }

  it('is charged what the provider bills, whole and streamed', async () => {
    const { provider, options, spent, billed, report } = await kit(() => ({ cachedTokens: 4 }));
    const callbacks = [budgetGuardHandler(options)];
    const model = chat(provider.url);
    await model.invoke('Say some words', { callbacks });
    for await (const chunk of await model.stream('Say some words', { callbacks })) {
      expect(chunk.content).toBeTypeOf('string');
    }
    await model.batch(['one', 'two'], { callbacks });
    expect(provider.requests).toBe(4);
    expect(await spent()).toBe(await billed());
    expect(Object.keys(await report())).toEqual(['chat']);
  });

  it('is refused before the call, and gives back what failed', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    onTestFinished(() => void vi.restoreAllMocks());
    const failing = await kit(() => ({ status: 400 }));
    const handler = budgetGuardHandler(failing.options);
    const callbacks = [handler];
    await rejection(chat(failing.provider.url).invoke('hi', { callbacks }));
    expect(await failing.spent()).toBe(0);
    expect(handler.retryStats().totalRetries).toBe(1);
    const { provider, options } = await kit(undefined, 0);
    const refused = chat(provider.url).invoke('hi', { callbacks: [budgetGuardHandler(options)] });
    expect(await rejection(refused)).toBeInstanceOf(BudgetExceededError);
    expect(provider.requests).toBe(0);
  });
});

describe('LlamaIndex', () => {
  function llm(url: string): LlamaOpenAI {
    return new LlamaOpenAI({ model: 'gpt-4o', apiKey: 'none', baseURL: url, maxTokens: 50 });
  }
  const messages = [{ role: 'user' as const, content: 'Say some words' }];

  it('is charged what the provider bills, whole and streamed', async () => {
    const { provider, options, spent, billed, report } = await kit();
    const model = guardLlamaIndex(llm(provider.url), options);
    expect((await model.chat({ messages })).message.content).toContain('word1');
    let text = '';
    for await (const chunk of await model.chat({ messages, stream: true })) text += chunk.delta;
    expect(text).toContain('word20');
    expect((await model.complete({ prompt: 'hi' })).text).toContain('word1');
    for await (const chunk of await model.complete({ prompt: 'hi', stream: true })) {
      expect(chunk.text).toBeTypeOf('string');
    }
    await model.exec({ messages });
    expect(provider.requests).toBe(5);
    expect(await spent()).toBe(await billed());
    expect(Object.keys(await report())).toEqual(['chat']);
    expect(model.metadata.model).toBe('gpt-4o');
  });

  it('is charged for a stream that is left, and refused once the cap is used up', async () => {
    const { provider, options, spent, billed } = await kit(undefined, 0.0004);
    const model = guardLlamaIndex(llm(provider.url), options);
    for await (const chunk of await model.chat({ messages, stream: true })) {
      expect(chunk.delta).toBeTypeOf('string');
      break;
    }
    expect(await spent()).toBeGreaterThanOrEqual(await billed());
    expect(await rejection(model.chat({ messages }))).toBeInstanceOf(BudgetExceededError);
    expect(await rejection(model.complete({ prompt: 'hi' }))).toBeInstanceOf(BudgetExceededError);
    expect(provider.requests).toBe(1);
  });
});

describe('the AI SDK', () => {
  it('is charged what the provider bills, whole and streamed', async () => {
    const { provider, options, spent, billed, report } = await kit(() => ({ reasoningTokens: 5 }));
    const model = wrapLanguageModel({
      model: createOpenAI({ apiKey: 'none', baseURL: provider.url }).chat('gpt-4o'),
      middleware: budgetGuardMiddleware(options),
    });
    const asked = { model, prompt: 'Say some words', maxOutputTokens: 50, maxRetries: 0 };
    expect((await generateText(asked)).text).toContain('word1');
    let text = '';
    for await (const part of streamText(asked).textStream) text += part;
    expect(text).toContain('word20');
    expect(provider.requests).toBe(2);
    expect(await spent()).toBe(await billed());
    expect(Object.keys(await report())).toEqual(['chat']);
  });

  it('of the major before is too', async () => {
    const { provider, options, spent, billed } = await kit();
    const model = wrapPrevious({
      model: createOpenAIPrevious({ apiKey: 'none', baseURL: provider.url }).chat('gpt-4o'),
      middleware: budgetGuardMiddleware(options),
    });
    await generateTextPrevious({ model, prompt: 'hi', maxOutputTokens: 50, maxRetries: 0 });
    expect(await spent()).toBe(await billed());
  });

  it('is refused before the call, which is not tried again', async () => {
    const { provider, options } = await kit(undefined, 0);
    const model = wrapLanguageModel({
      model: createOpenAI({ apiKey: 'none', baseURL: provider.url }).chat('gpt-4o'),
      middleware: budgetGuardMiddleware(options),
    });
    const error = await rejection(generateText({ model, prompt: 'hi' }));
    expect(BudgetExceededError.from(error)).toMatchObject({ project: options.project });
    expect(provider.requests).toBe(0);
  });

  it('is charged for a stream that is left', async () => {
    const { provider, options, spent, billed } = await kit(() => ({ chunkDelayMs: 2 }));
    const model = wrapLanguageModel({
      model: createOpenAI({ apiKey: 'none', baseURL: provider.url }).chat('gpt-4o'),
      middleware: budgetGuardMiddleware(options),
    });
    const { stream } = await model.doStream({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
      maxOutputTokens: 50,
    });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    expect(await spent()).toBeGreaterThanOrEqual(await billed());
    expect(await spent()).toBeGreaterThanOrEqual(0.0005);
  });

  it('takes a call that shows nothing of its request', async () => {
    const { options, spent } = await kit();
    const usage = { inputTokens: 1_000, outputTokens: 1_000 };
    const middleware = budgetGuardMiddleware(options);
    const call = { doGenerate: async () => ({ usage }), model: { modelId: 'gpt-4o' } };
    expect(await middleware.wrapGenerate(call as never)).toEqual({ usage });
    // USD 2.50 and 10 a million: https://platform.openai.com/docs/pricing, 2026-11-22.
    expect(await spent()).toBe(0.0125);
  });
});
