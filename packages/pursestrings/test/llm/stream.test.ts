import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import {
  ask,
  askStreamed,
  billedSteps,
  openBench,
  rejection,
  STEPS,
  steps,
  until,
} from './fixture.ts';
import type { Bench } from './fixture.ts';

async function read(bench: Bench, more: Record<string, unknown> = {}): Promise<string> {
  let text = '';
  for await (const chunk of await bench.openai.chat.completions.create(askStreamed(more))) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  return text;
}

/** The hold of `ask()`: what is charged when nobody knows the cost. Between its bill and a cent. */
async function expectCharge(bench: Bench, wanted: 'held' | 'billed' | 'nothing'): Promise<void> {
  await bench.provider.idle();
  const spent = await bench.spentSteps();
  const count = (await bench.charges()).length;
  expect(await bench.heldSteps()).toBe(0n);
  expect(count).toBe(wanted === 'nothing' ? 0 : 1);
  if (wanted === 'billed') expect(spent).toBe(billedSteps(bench.provider));
  if (wanted === 'nothing') expect(spent).toBe(0n);
  if (wanted === 'held') {
    expect(spent).toBeGreaterThanOrEqual(50n * STEPS.output + 10n * STEPS.input);
    expect(spent).toBeGreaterThan(billedSteps(bench.provider));
  }
}

describe('a streamed call', () => {
  it('is charged what the provider billed, and hides the usage nobody asked for', async () => {
    const bench = await openBench({
      answer: () => ({ content: 'one two three', cachedTokens: 2 }),
    });
    let usages = 0;
    let text = '';
    for await (const chunk of await bench.openai.chat.completions.create(askStreamed())) {
      if (chunk.usage !== undefined && chunk.usage !== null) usages += 1;
      expect(chunk.choices).toHaveLength(1);
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe('one two three');
    expect(usages).toBe(0);
    expect(bench.provider.lastRequest?.body.stream_options).toEqual({ include_usage: true });
    expect(await bench.spentSteps()).toBe(
      8n * STEPS.input + 2n * STEPS.cachedInput + 3n * STEPS.output,
    );
    await expectCharge(bench, 'billed');
  });

  it('shows the usage to a caller that asked, and keeps its other stream options', async () => {
    const bench = await openBench();
    const options = { include_usage: true, include_obfuscation: false };
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    const stream = await bench.openai.chat.completions.create(
      askStreamed({ stream_options: options }),
    );
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(20);
    expect(bench.provider.lastRequest?.body.stream_options).toEqual(options);
    await expectCharge(bench, 'billed');
    const other = { include_obfuscation: false };
    await read(bench, { stream_options: other });
    expect(bench.provider.lastRequest?.body.stream_options).toEqual({
      ...other,
      include_usage: true,
    });
  });

  it('works through the `.stream()` helper, with tools and n', async () => {
    const bench = await openBench({
      answer: ({ number }) =>
        number === 1 ? { toolCalls: [{ name: 'f', arguments: '{"x": 1}' }] } : 'some words',
    });
    const tools: OpenAI.ChatCompletionFunctionTool[] = [
      { type: 'function', function: { name: 'f', parameters: {} } },
    ];
    const called = bench.openai.chat.completions.stream({ ...askStreamed(), tools });
    expect((await called.finalMessage()).tool_calls?.[0]).toMatchObject({
      function: { name: 'f' },
    });
    await expectCharge(bench, 'billed');
    await read(bench, { n: 3 });
    expect(bench.provider.bill.lines[1]?.completionTokens).toBe(6);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('is denied before it leaves, once', async () => {
    const limits = [{ name: 'all', cap: { usd: 0.0001 } }];
    const bench = await openBench({ limits, client: { maxRetries: 4 } });
    const error = await rejection(bench.openai.chat.completions.create(askStreamed()));
    expect(BudgetExceededError.from(error)?.denial.limit).toBe('all');
    expect(bench.provider.requests).toBe(0);
  });

  it('passes chunks on as they come', async () => {
    const bench = await openBench({ answer: () => ({ content: 'a b c d', chunkDelayMs: 40 }) });
    const times: number[] = [];
    for await (const chunk of await bench.openai.chat.completions.create(askStreamed())) {
      if (chunk.choices[0]?.delta.content) times.push(performance.now());
    }
    expect(times).toHaveLength(4);
    // Had they been gathered, they would have come at once.
    expect((times[3] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(60);
  });

  it('charges the hold when it ends without a usage', async () => {
    const bench = await openBench({ answer: () => ({ usage: 'none' }) });
    await read(bench);
    await expectCharge(bench, 'held');
  });

  it('charges the hold when the consumer leaves it', async () => {
    const bench = await openBench({ answer: () => ({ chunkDelayMs: 5 }) });
    for await (const chunk of await bench.openai.chat.completions.create(askStreamed())) {
      if (chunk.choices[0]?.delta.content) break;
    }
    await until(async () => (await bench.charges()).length > 0);
    await expectCharge(bench, 'held');
    expect(bench.provider.bill.completionTokens).toBeLessThan(20);
  });

  it('has charged when the cancel of its body resolves', async () => {
    const bench = await openBench({ answer: () => ({ chunkDelayMs: 5 }) });
    const response = await bench.fetch(`${bench.provider.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(askStreamed()),
    });
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    expect(await bench.charges()).toHaveLength(1);
    await expectCharge(bench, 'held');
  });

  it('charges the usage when the consumer leaves after it was seen', async () => {
    const bench = await openBench();
    const response = await bench.fetch(`${bench.provider.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(askStreamed({ stream_options: { include_usage: true } })),
    });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('"usage":{')) text += (await reader?.read())?.value ?? '';
    await reader?.cancel();
    await until(async () => (await bench.charges()).length > 0);
    await expectCharge(bench, 'billed');
  });

  it('charges the hold when it is aborted, also while nobody reads', async () => {
    const bench = await openBench({ answer: () => ({ chunkDelayMs: 5 }) });
    const controller = new AbortController();
    const response = await bench.fetch(`${bench.provider.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(askStreamed()),
      signal: controller.signal,
    });
    controller.abort();
    await until(async () => (await bench.charges()).length > 0);
    await rejection(response.text());
    await expectCharge(bench, 'held');
  });

  it.each([['cutAfterChunks'], ['stallAfterChunks']] as const)(
    'charges the hold on %s',
    async (how) => {
      const bench = await openBench({
        answer: () => ({ [how]: 3 }),
        purse: { holdTtlMs: 250 },
      });
      const controller = new AbortController();
      const reading = (async () => {
        const stream = await bench.openai.chat.completions.create(askStreamed(), {
          signal: controller.signal,
        });
        for await (const _chunk of stream);
      })();
      reading.catch(() => undefined);
      // A cut is charged at once; a stall when its hold expires, with the connection still open.
      await until(async () => (await bench.charges()).length > 0);
      const [charge] = await bench.charges();
      expect(charge?.late).toBe(false);
      controller.abort();
      await reading.catch(() => undefined);
      await bench.provider.idle();
      // What follows an expiry is a correction: here of nothing, for all that was held is charged.
      expect(await bench.spentSteps()).toBe(steps(charge?.amounts.usd ?? 0));
      expect(charge?.amounts).toEqual(charge?.held);
      expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
      expect(await bench.heldSteps()).toBe(0n);
    },
  );

  it('keeps the hold of a long stream alive', async () => {
    const bench = await openBench({
      answer: () => ({ content: 'a '.repeat(30), chunkDelayMs: 25 }),
      purse: { holdTtlMs: 300 },
    });
    let expired = 0;
    bench.purse.on('expired', () => {
      expired += 1;
    });
    await read(bench);
    const [charge] = await bench.charges();
    expect(charge?.late).toBe(false);
    expect(expired).toBe(0);
    await expectCharge(bench, 'billed');
  });

  it('charges at least what was seen when a provider ignores the cap', async () => {
    const sse = Array.from(
      { length: 200 },
      (_, index) => `data: {"choices":[{"index":0,"delta":{"content":"w${index}"}}]}\n\n`,
    ).join('');
    const bench = await openBench();
    const metered = meteredFetch(bench.purse, {
      fetch: () =>
        Promise.resolve(new Response(sse, { headers: { 'content-type': 'text/event-stream' } })),
    });
    const response = await metered('https://api.openai.com/v1/chat/completions', {
      method: 'POST',
      body: JSON.stringify(askStreamed({ max_completion_tokens: 16 })),
    });
    expect(await response.text()).toBe(sse);
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(200n * STEPS.output);
    expect((await bench.charges())[0]?.amounts.tokens).toBeGreaterThan(200);
  });

  it('is charged once when it goes on after an abort', async () => {
    const bench = await openBench({ answer: () => ({ chunkDelayMs: 2 }) });
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const metered = meteredFetch(bench.purse, {
      fetch: (input, init) => fetch(input, { ...init, signal: null }),
    });
    const controller = new AbortController();
    const response = await metered(`${bench.provider.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(askStreamed()),
      signal: controller.signal,
    });
    controller.abort();
    expect(await response.text()).toContain('[DONE]');
    await until(async () => (await bench.charges()).length > 0);
    await expectCharge(bench, 'held');
    await new Promise((turn) => setTimeout(turn, 10));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });

  it('reads JSON that came where a stream was asked for', async () => {
    const bench = await openBench();
    // A server that does not stream ignores the wish.
    const metered = meteredFetch(bench.purse, {
      fetch: (input, init) => fetch(input, { ...init, body: JSON.stringify(ask()) }),
    });
    const response = await metered(`${bench.provider.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(askStreamed()),
    });
    await response.json();
    await expectCharge(bench, 'billed');
  });
});

describe('a stream of 10,000 chunks', () => {
  it('leaves nothing behind', async () => {
    const bench = await openBench({
      answer: () => ({ content: `${'w'.repeat(3_000)} `.repeat(10_000) }),
      limits: [{ name: 'all', cap: { usd: 100 } }],
    });
    const stream = await bench.openai.chat.completions.create(
      askStreamed({ max_completion_tokens: 20_000 }),
    );
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const heaps: number[] = [];
    let chunks = 0;
    for await (const _chunk of stream) {
      chunks += 1;
      if (chunks % 1_000 !== 0) continue;
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      heaps.push(heapUsed + arrayBuffers);
    }
    expect(chunks).toBe(10_002);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
    // Sockets' buffers fill at first, and come and go, so the least of each four counts. Between
    // the two 12 MB passed.
    const growth = Math.min(...heaps.slice(5, 9)) - Math.min(...heaps.slice(1, 5));
    expect(growth).toBeLessThan(5_000_000);
  });
});
