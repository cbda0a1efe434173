import OpenAI from 'openai';
import { describe, expect, it, onTestFinished } from 'vitest';

import { loopbackProvider } from '../../src/testing/loopback-provider.ts';
import type { LoopbackAnswer, LoopbackProvider } from '../../src/testing/loopback-provider.ts';
import { ask, askStreamed, rejection } from './fixture.ts';

const RATES = { input: 2.5, output: '10', cachedInput: 0.000001 };

async function start(
  answer?: LoopbackAnswer,
): Promise<{ readonly provider: LoopbackProvider; readonly openai: OpenAI }> {
  const provider = await loopbackProvider({
    ratesUsdPerMillion: RATES,
    ...(answer === undefined ? {} : { answer: () => answer }),
  });
  onTestFinished(() => provider.close());
  const openai = new OpenAI({ apiKey: 'none', baseURL: provider.url, maxRetries: 0 });
  return { provider, openai };
}

describe('loopbackProvider', () => {
  it('bills words and frames at its rates, in whole picodollars', async () => {
    const { provider, openai } = await start({ content: 'a b c', cachedTokens: 4 });
    const answer = await openai.chat.completions.create(ask());
    expect(answer.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 3 });
    // 6 x $2.50 + 4 x $0.000001 + 3 x $10 a million.
    expect(provider.bill).toMatchObject({
      requests: 1,
      usd: '0.000045000004',
      usdPicos: 45_000_004n,
    });
    expect(provider.bill.lines).toEqual([
      { request: 1, promptTokens: 10, cachedTokens: 4, completionTokens: 3, usdPicos: 45_000_004n },
    ]);
  });

  it('honours either cap, in JSON and streamed alike, and the usage that was asked for', async () => {
    const { provider, openai } = await start({ content: 'a b c d e f' });
    const short = await openai.chat.completions.create(ask({ max_completion_tokens: 2 }));
    expect(short.choices[0]).toMatchObject({
      finish_reason: 'length',
      message: { content: 'a b ' },
    });
    const old = { max_completion_tokens: undefined, max_tokens: 4 };
    const options = { stream_options: { include_usage: true } };
    let text = '';
    let usage: unknown;
    for await (const chunk of await openai.chat.completions.create(
      askStreamed({ ...old, ...options }),
    )) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe('a b c d ');
    expect(usage).toMatchObject({ completion_tokens: 4 });
    expect(provider.bill.completionTokens).toBe(6);
  });

  it('bills nothing for an error, and everything for an answer that was lost', async () => {
    const refused = await start({ status: 429, retryAfterSeconds: 7 });
    const error = await rejection(refused.openai.chat.completions.create(ask()));
    expect(error).toMatchObject({ status: 429, type: 'invalid_request_error' });
    expect((error as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe('7');
    expect(refused.provider.bill).toMatchObject({ requests: 0, usd: '0' });
    const lost = await start({ cut: 'before-headers' });
    await rejection(lost.openai.chat.completions.create(ask()));
    expect(lost.provider.bill.requests).toBe(1);
    expect(lost.provider.requests).toBe(1);
  });

  it('bills a stream that is left for what it generated until it noticed', async () => {
    const { provider, openai } = await start({ content: 'w '.repeat(100), chunkDelayMs: 2 });
    for await (const _chunk of await openai.chat.completions.create(askStreamed())) break;
    await provider.idle();
    expect(provider.bill.requests).toBe(1);
    expect(provider.bill.completionTokens).toBeLessThan(50);
  });

  it('answers GET for free, and 404 for what it does not speak', async () => {
    const { provider, openai } = await start();
    expect((await openai.models.list()).data).toEqual([]);
    const error = await rejection(openai.embeddings.create({ model: 'x', input: 'y' }));
    expect(error).toMatchObject({ status: 404 });
    expect(provider.requests).toBe(0);
  });

  it.each([-1, 'much', 0.0000001, Number.NaN])('refuses the rate %s', async (input) => {
    const options = { ratesUsdPerMillion: { input, output: 1 } };
    await expect(loopbackProvider(options)).rejects.toThrow(RangeError);
  });
});
