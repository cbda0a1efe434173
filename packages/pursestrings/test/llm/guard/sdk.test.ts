import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

import { withLabels } from '../../../src/ambient-labels.ts';
import {
  BudgetExceededError,
  guard,
  MemoryStore,
  spendReport,
  spentTotal,
} from '../../../src/llm/guard/index.ts';
import { openPurse } from '../../../src/purse.ts';
import {
  loopbackProvider,
  type LoopbackProvider,
  type LoopbackProviderOptions,
} from '../../../src/testing/loopback-provider.ts';
import { rejection } from '../fixture.ts';
import { openaiPeer } from '../peers/openai-peer.ts';
import { newProject } from './fixture.ts';

/** https://platform.openai.com/docs/pricing, 2026-11-22. */
const GPT_4O = { input: '2.5', cachedInput: '1.25', output: '10' } as const;

const ASK = {
  model: 'gpt-4o',
  max_completion_tokens: 50,
  messages: [{ role: 'user' as const, content: 'Say some words' }],
};

interface Kit {
  readonly provider: LoopbackProvider;
  readonly openai: OpenAI;
  readonly options: {
    readonly project: string;
    readonly dailyCapUSD: number;
    readonly store: MemoryStore;
  };
  spent(): Promise<number>;
  billed(): Promise<number>;
}

async function kit(
  answer?: LoopbackProviderOptions['answer'],
  dailyCapUSD: number = 1,
): Promise<Kit> {
  const provider = await loopbackProvider({
    ratesUsdPerMillion: GPT_4O,
    ...(answer === undefined ? {} : { answer }),
  });
  onTestFinished(() => provider.close());
  const store = new MemoryStore();
  const project = newProject();
  return {
    provider,
    openai: new OpenAI({ apiKey: 'none', baseURL: provider.url, maxRetries: 0 }),
    options: { project, dailyCapUSD, store },
    spent: () => spentTotal(project, store),
    billed: async () => {
      await provider.idle();
      return Number(provider.bill.usd);
    },
  };
}

describe('guard(openai.chat.completions)', () => {
  it('charges what the provider bills, whole and streamed', async () => {
    const { openai, options, provider, spent, billed } = await kit();
    const ai = guard(openai.chat.completions, options);
    const completion = await ai.create(ASK, { feature: 'chat' });
    expect(completion.choices[0]?.message.content).toContain('word1');
    let words = '';
    const stream = await ai.create({ ...ASK, stream: true }, { feature: 'stream' });
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      words += chunk.choices[0]?.delta.content ?? '';
    }
    expect(words).toContain('word20');
    expect(provider.requests).toBe(2);
    expect(await spent()).toBe(await billed());
    const report = await spendReport(options.project, undefined, options.store);
    expect(Object.keys(report)).toEqual(['chat', 'stream']);
  });

  it('gives the response beside the data', async () => {
    const { openai, options, spent, billed } = await kit();
    const ai = guard(openai.chat.completions, options);
    const { data, response } = await ai.create(ASK).withResponse();
    expect(data.choices).toHaveLength(1);
    expect(response.status).toBe(200);
    expect(await spent()).toBe(await billed());
    const streamed = await ai.create({ ...ASK, stream: true }).withResponse();
    for await (const chunk of streamed.data) expect(chunk.choices).toHaveLength(1);
    expect(await spent()).toBe(await billed());
  });

  it('gives the raw response, whose usage it reads from a copy', async () => {
    const { openai, options, spent, billed, provider } = await kit();
    const ai = guard(openai.chat.completions, options);
    const response = await ai.create(ASK).asResponse();
    expect(await response.json()).toMatchObject({ object: 'chat.completion' });
    expect(provider.requests).toBe(1);
    expect(await spent()).toBe(await billed());
  });

  it('has the members of the stream', async () => {
    const { openai, options, spent, billed } = await kit();
    const ai = guard(openai.chat.completions, options);
    const [left, right] = (await ai.create({ ...ASK, stream: true })).tee();
    let words = 0;
    for await (const chunk of left) words += chunk.choices.length;
    for await (const chunk of right) words -= chunk.choices.length;
    expect(words).toBe(0);
    expect(await spent()).toBe(await billed());
    const readable = (await ai.create({ ...ASK, stream: true })).toReadableStream();
    let lines = '';
    for await (const bytes of readable as unknown as AsyncIterable<Uint8Array>) {
      lines += Buffer.from(bytes).toString();
    }
    expect(
      lines
        .trim()
        .split('\n')
        .every((line) => JSON.parse(line).choices.length === 1),
    ).toBe(true);
    expect(await spent()).toBe(await billed());
  });

  it('charges a stream that is aborted by its controller', async () => {
    const { openai, options, spent } = await kit(() => ({ chunkDelayMs: 5 }));
    const ai = guard(openai.chat.completions, options);
    const stream = await ai.create({ ...ASK, stream: true });
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      stream.controller.abort();
    }
    expect(await spent()).toBeGreaterThanOrEqual(0.0005);
  });

  it('passes the SDK errors on, and charges no call that the provider did not bill', async () => {
    const { openai, options, spent } = await kit(() => ({ status: 429 }));
    const ai = guard(openai.chat.completions, options);
    expect(await rejection(ai.create(ASK))).toBeInstanceOf(OpenAI.RateLimitError);
    expect(await spent()).toBe(0);
  });

  it('charges what was held for a call that was cut', async () => {
    const { openai, options, spent, billed } = await kit(() => ({ cut: 'before-headers' }));
    const ai = guard(openai.chat.completions, options);
    expect(await rejection(ai.create(ASK))).toBeInstanceOf(OpenAI.APIConnectionError);
    expect(await spent()).toBeGreaterThanOrEqual(await billed());
  });

  it('sends nothing for a call that was aborted before', async () => {
    const { openai, options, spent, provider } = await kit();
    const ai = guard(openai.chat.completions, options);
    const signal = AbortSignal.abort(new Error('gone'));
    expect(await rejection(ai.create(ASK, { signal }))).toMatchObject({ message: 'gone' });
    expect(provider.requests).toBe(0);
    expect(await spent()).toBe(0);
  });

  it('charges 100 parallel streams, some of them left, never below the bill', async () => {
    const { openai, options, spent, billed } = await kit(undefined, 0.01);
    const ai = guard(openai.chat.completions, options);
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, async (_, index) => {
        for await (const chunk of await ai.create({ ...ASK, stream: true })) {
          if (index % 3 === 0 && chunk.choices.length > 0) break;
        }
      }),
    );
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused.length).toBeGreaterThan(50);
    expect(await spent()).toBeGreaterThanOrEqual(await billed());
    expect(await spent()).toBeLessThanOrEqual(0.01);
  });
});

describe('guard(openai)', () => {
  it('guards calls wherever they stand, and passes all else', async () => {
    const { openai, options, provider, spent, billed } = await kit();
    const ai = guard(openai, options);
    expect(ai).toBeInstanceOf(OpenAI);
    expect(ai.baseURL).toBe(openai.baseURL);
    await ai.chat.completions.create(ASK);
    await withLabels({ feature: 'labelled' }, () => ai.chat.completions.create(ASK));
    await ai.withOptions({ timeout: 5_000 }).chat.completions.create(ASK);
    expect(provider.requests).toBe(3);
    expect(await spent()).toBe(await billed());
    const report = await spendReport(options.project, undefined, options.store);
    expect(Object.keys(report).sort()).toEqual(['default', 'labelled']);
    expect((await ai.models.list()).data).toEqual([]);
    expect(ai.retryStats()).toEqual({ totalRetries: 0, retryStorms: 0 });
  });

  it('guards the helpers: parse, stream and runTools', async () => {
    const { openai, options, provider, spent, billed } = await kit(({ body, number }) => {
      if (body.response_format !== undefined) return '{"n":5}';
      return body.tools !== undefined && number === 3
        ? { toolCalls: [{ name: 'look', arguments: '{}' }] }
        : 'some words';
    });
    const ai = guard(openai, options);
    const format = zodResponseFormat(z.object({ n: z.number() }), 'answer');
    const parsed = await ai.chat.completions.parse({ ...ASK, response_format: format });
    expect(parsed.choices[0]?.message.parsed).toEqual({ n: 5 });
    const final = await ai.chat.completions.stream(ASK).finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe('some words');
    const tools = [
      {
        type: 'function' as const,
        function: {
          name: 'look',
          description: 'Looks',
          parameters: { type: 'object', properties: {} },
          function: () => 'seen',
          parse: JSON.parse,
        },
      },
    ];
    const content = await ai.chat.completions.runTools({ ...ASK, tools }).finalContent();
    expect(content).toBe('some words');
    expect(provider.requests).toBe(4);
    expect(await spent()).toBe(await billed());
  });

  it('refuses every kind of call once the cap is used up', async () => {
    const { openai, options, provider } = await kit(undefined, 0);
    const ai = guard(openai, options);
    const refused = [
      ai.chat.completions.create(ASK),
      ai.chat.completions.create({ ...ASK, stream: true }),
      ai.chat.completions.parse(ASK),
      ai.chat.completions.stream(ASK).finalChatCompletion(),
      ai.responses.create({ model: 'gpt-4o', input: 'hi' }),
      ai.responses.parse({ model: 'gpt-4o', input: 'hi' }),
      ai.responses.stream({ model: 'gpt-4o', input: 'hi' }).finalResponse(),
      ai.embeddings.create({ model: 'text-embedding-3-small', input: 'hi' }),
      ai.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: 'hi' }),
      ai.images.generate({ model: 'gpt-image-1', prompt: 'hi' }),
    ];
    for (const call of refused) {
      const error = await rejection(Promise.resolve(call));
      expect(BudgetExceededError.from(error)).toMatchObject({ project: options.project });
    }
    expect(provider.requests).toBe(0);
  });

  it('refuses what it cannot meter, by name', async () => {
    const { openai, options, provider } = await kit();
    const ai = guard(openai, options);
    const batch = {
      input_file_id: 'f',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    };
    await expect(ai.batches.create(batch as never)).rejects.toThrow(/batches/);
    await expect(guard(openai.batches, options).create(batch as never)).rejects.toThrow(/batches/);
    await expect(ai.responses.create({ input: 'hi' })).rejects.toThrow(/price/);
    await expect(ai.videos.remix('v', { prompt: 'hi' })).rejects.toThrow(/videos/);
    const compacted = ai.responses.compact({ model: 'nobody-9000', input: 'hi' });
    await expect(compacted).rejects.toThrow(/price/);
    expect(provider.requests).toBe(0);
  });

  it('charges responses and embeddings what is billed', async () => {
    const peer = await openaiPeer();
    onTestFinished(() => peer.close());
    const openai = new OpenAI({ apiKey: 'none', baseURL: peer.url, maxRetries: 0 });
    const store = new MemoryStore();
    const ai = guard(openai, { project: 'p', dailyCapUSD: 1, store });
    const ask = { model: 'gpt-5', input: 'Say some words', max_output_tokens: 64 };
    expect((await ai.responses.create(ask)).output_text).not.toBe('');
    for await (const event of await ai.responses.create({ ...ask, stream: true })) {
      expect(event.type).toBeTypeOf('string');
    }
    await ai.responses.parse(ask);
    await ai.responses.stream(ask).finalResponse();
    await ai.embeddings.create({ model: 'text-embedding-3-small', input: 'Some words' });
    await peer.idle();
    expect(peer.billed).toBe(5);
    expect(BigInt(Math.round((await spentTotal('p', store)) * 1e8))).toBe(peer.steps);
  });
});

describe('guard with a purse', () => {
  it('spends from it, under its limits, with its labels', async () => {
    const { openai, provider, billed } = await kit();
    const purse = await openPurse({
      limits: [{ name: 'agent', cap: { usd: 0.001 }, each: ['agent'] }],
    });
    const ai = guard(openai.chat.completions, { project: 'shared', purse });
    await withLabels({ agent: 'a1' }, () => ai.create(ASK, { feature: 'chat' }));
    const { total, rows } = await purse.report({ by: ['agent', 'feature', 'model', 'project'] });
    expect(total['usd']).toBe(await billed());
    expect(rows[0]?.labels).toEqual({
      agent: 'a1',
      feature: 'chat',
      model: 'gpt-4o',
      project: 'shared',
    });
    await purse.charge({ usd: 0.001 }, { agent: 'a1' });
    const error = await rejection(withLabels({ agent: 'a1' }, () => ai.create(ASK)));
    expect(error).toBeInstanceOf(BudgetExceededError);
    expect(error).toMatchObject({ denial: { limit: 'agent', labels: { agent: 'a1' } } });
    expect(provider.requests).toBe(1);
    await withLabels({ agent: 'a2' }, () => ai.create(ASK));
    expect(await spendReport('shared', undefined, purse)).toMatchObject({
      chat: expect.any(Number) as number,
    });
    await purse.close();
  });

  it('sets its cap as a limit of the purse', async () => {
    const { openai } = await kit();
    const purse = await openPurse();
    const options = { project: 'shared', purse, dailyCapUSD: 0.0003 };
    const ai = guard(openai.chat.completions, options);
    await ai.create(ASK);
    await ai.create(ASK);
    await expect(ai.create(ASK)).rejects.toThrow(/guard-day:shared/);
    expect(await purse.limits()).toMatchObject([
      { name: 'guard-day:shared', cap: { usd: 0.0003 }, per: 'day' },
    ]);
    expect((await purse.verify()).ok).toBe(true);
    await purse.close();
  });
});
