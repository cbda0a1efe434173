import { describe, expect, it } from 'vitest';

import { BudgetExceededError } from '../../../src/errors.ts';
import { purseMiddleware } from '../../../src/llm/ai-sdk/middleware.ts';
import type { LoopbackAnswer } from '../../../src/testing/loopback-provider.ts';
import { billedSteps, openBench, rejection, STEPS, steps, until } from '../fixture.ts';
import type { Bench, BenchOptions } from '../fixture.ts';
import { MAJORS } from './vercel-majors.ts';
import type { Asking, Major } from './vercel-majors.ts';

type By = 'fetch' | 'middleware';

const WAYS: readonly (readonly [string, Major, By])[] = MAJORS.flatMap((major) => [
  [`${major.name} by fetch`, major, 'fetch'] as const,
  [`${major.name} by middleware`, major, 'middleware'] as const,
]);

/** What a call of the AI SDK is given to be metered one way or the other. */
function metered(bench: Bench, by: By, options: BenchOptions = {}): Asking {
  const { provider, purse } = bench;
  if (by === 'fetch') return { url: provider.url, fetch: bench.fetch };
  const { labels, whenTight, ifAbandoned, outputCeiling } = options.meter ?? {};
  const middleware = purseMiddleware(purse, {
    ...(labels === undefined ? {} : { labels }),
    ...(whenTight === undefined ? {} : { whenTight }),
    ...(ifAbandoned === undefined ? {} : { ifAbandoned }),
    ...(outputCeiling === undefined ? {} : { outputCeiling }),
  });
  return { url: provider.url, middleware };
}

/** Calls a tool a number of times, then says a word. */
function tooled(times: number): (request: { readonly number: number }) => LoopbackAnswer {
  return ({ number }) =>
    number <= times
      ? { toolCalls: [{ name: 'weather', arguments: '{"city":"Bern"}' }] }
      : { content: 'It rains in Bern' };
}

async function expectExact(bench: Bench, charges: number): Promise<void> {
  await bench.provider.idle();
  expect(await bench.charges()).toHaveLength(charges);
  expect(bench.provider.bill.requests).toBe(charges);
  expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  expect(await bench.heldSteps()).toBe(0n);
}

describe.each(WAYS)('%s', (_name, major, by) => {
  it('generates, and is charged what the provider billed', async () => {
    const bench = await openBench({
      answer: () => ({ content: 'one two three', cachedTokens: 4, reasoningTokens: 7 }),
    });
    const said = await major.generate(metered(bench, by));
    expect(said.text).toBe('one two three');
    // 3 words and the frame: 3 for the message, 3 for the reply, one for the role.
    const literal = 6n * STEPS.input + 4n * STEPS.cachedInput + 10n * STEPS.output;
    expect(await bench.spentSteps()).toBe(literal);
    await expectExact(bench, 1);
    const [charge] = await bench.charges();
    expect(charge?.amounts).toEqual({ usd: Number(literal) / 1e8, tokens: 20, calls: 1 });
    expect(charge?.labels).toMatchObject({
      provider: 'openai',
      model: 'gpt-4o',
      price: 'genai-prices:openai/gpt-4o',
    });
  });

  it('streams, and is charged what the provider billed', async () => {
    const bench = await openBench({
      answer: () => ({ content: 'one two three', cachedTokens: 4, reasoningTokens: 7 }),
    });
    const said = await major.stream(metered(bench, by));
    expect(said.text).toBe('one two three');
    const literal = 6n * STEPS.input + 4n * STEPS.cachedInput + 10n * STEPS.output;
    expect(await bench.spentSteps()).toBe(literal);
    await expectExact(bench, 1);
  });

  it('runs a tool loop, each step a call', async () => {
    const bench = await openBench({ answer: tooled(3) });
    const said = await major.generate({ ...metered(bench, by), tools: true });
    expect(said).toEqual({ text: 'It rains in Bern', steps: 4 });
    await expectExact(bench, 4);
  });

  it('runs a streamed tool loop, each step a call', async () => {
    const bench = await openBench({ answer: tooled(2) });
    const said = await major.stream({ ...metered(bench, by), tools: true });
    expect(said).toEqual({ text: 'It rains in Bern', steps: 3 });
    await expectExact(bench, 3);
  });

  it('makes an object', async () => {
    const bench = await openBench({ answer: () => '{"river": "Aare"}' });
    expect(await major.object(metered(bench, by))).toEqual({ river: 'Aare' });
    await expectExact(bench, 1);
  });

  it('holds the most the call can cost while it is under way', async () => {
    const bench = await openBench({ answer: () => ({ delayMs: 150 }) });
    const call = major.generate(metered(bench, by));
    await until(async () => (await bench.heldSteps()) > 0n);
    const held = await bench.heldSteps();
    expect(held).toBeGreaterThan(50n * STEPS.output + 10n * STEPS.input);
    await call;
    expect(await bench.spentSteps()).toBeLessThanOrEqual(held);
  });

  it('pays nothing for a try that failed, and for the retry what it cost', async () => {
    const bench = await openBench({
      answer: ({ number }) =>
        number === 1 ? { status: 500, retryAfterSeconds: 0 } : { content: 'done at last' },
    });
    const said = await major.generate({ ...metered(bench, by), maxRetries: 2 });
    expect(said.text).toBe('done at last');
    expect(bench.provider.requests).toBe(2);
    await expectExact(bench, 1);
  });

  it('pays a try that was cut off, for it may have been billed', async () => {
    const bench = await openBench({
      answer: ({ number }) => (number === 1 ? { cut: 'before-headers' } : { content: 'done' }),
    });
    const said = await major.generate({ ...metered(bench, by), maxRetries: 1 });
    expect(said.text).toBe('done');
    await bench.provider.idle();
    const charges = await bench.charges();
    expect(charges).toHaveLength(2);
    expect(charges[0]?.amounts).toEqual(charges[0]?.held);
    expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('is denied at once: nothing leaves, nothing is retried', async () => {
    const bench = await openBench({ limits: [{ name: 'all', cap: { usd: 0.0001 } }] });
    let denials = 0;
    bench.purse.on('denied', () => {
      denials += 1;
    });
    const asking = { ...metered(bench, by), maxRetries: 5 };
    for (const how of ['generate', 'stream', 'object'] as const) {
      const denied = BudgetExceededError.from(await rejection(major[how](asking)));
      expect(denied?.denial).toMatchObject({ limit: 'all', unit: 'usd', cap: 0.0001, spent: 0 });
    }
    expect(denials).toBe(3);
    expect(bench.provider.requests).toBe(0);
    expect(await bench.charges()).toEqual([]);
  });

  it('stops a tool loop at the cap of its task, with one clear error', async () => {
    const limits = [{ name: 'task', cap: { usd: 0.003 }, each: ['task'] }];
    const options = { limits, meter: { labels: { task: 't-9' } } };
    for (const how of ['generate', 'stream'] as const) {
      const bench = await openBench({ ...options, answer: tooled(100) });
      const asking = { ...metered(bench, by, options), tools: true, maxRetries: 3 };
      const denied = BudgetExceededError.from(await rejection(major[how](asking)));
      expect(denied?.message).toContain('task');
      expect(denied?.denial).toMatchObject({ limit: 'task', labels: { task: 't-9' } });
      expect(bench.provider.requests).toBeGreaterThan(1);
      await expectExact(bench, bench.provider.requests);
      expect(await bench.spentSteps()).toBeLessThanOrEqual(300_000n);
    }
  });

  it('charges the hold of a stream that is aborted', async () => {
    const bench = await openBench({ answer: () => ({ chunkDelayMs: 10 }) });
    const controller = new AbortController();
    const reading = major.stream({ ...metered(bench, by), signal: controller.signal });
    reading.catch(() => undefined);
    await until(() => bench.provider.requests === 1);
    await new Promise((wake) => setTimeout(wake, 60));
    controller.abort();
    await reading.catch(() => undefined);
    await until(async () => (await bench.charges()).length > 0);
    await bench.provider.idle();
    const [charge] = await bench.charges();
    expect(charge?.amounts).toEqual(charge?.held);
    expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
  });

  it('settles a stream that is left once, never under the bill', async () => {
    // Version 7 does not tell the model that its reader left; then the hold expires, and is charged.
    const bench = await openBench({
      answer: () => ({ chunkDelayMs: 5 }),
      purse: { holdTtlMs: 300 },
    });
    await major.stream({ ...metered(bench, by), leaveAfter: 2 });
    await until(async () => (await bench.charges()).length > 0);
    await bench.provider.idle();
    expect(await bench.charges()).toHaveLength(1);
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(billedSteps(bench.provider));
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('charges the hold of a stream that breaks', async () => {
    const bench = await openBench({ answer: () => ({ cutAfterChunks: 3 }) });
    await major.stream(metered(bench, by)).catch(() => undefined);
    await until(async () => (await bench.charges()).length > 0);
    await bench.provider.idle();
    const [charge] = await bench.charges();
    expect(charge?.amounts).toEqual(charge?.held);
    expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
  });

  it('charges the hold when there is no usage', async () => {
    const bench = await openBench({ answer: () => ({ usage: 'none' }) });
    await major.generate(metered(bench, by));
    await major.stream(metered(bench, by));
    for (const charge of await bench.charges()) {
      expect(charge.amounts).toEqual(charge.held);
      expect(steps(charge.amounts.usd ?? 0)).toBeGreaterThan(50n * STEPS.output);
    }
    expect(await bench.charges()).toHaveLength(2);
  });

  it('lowers the cap to what the money left affords', async () => {
    const content = 'word '.repeat(200);
    const options: BenchOptions = {
      limits: [{ name: 'all', cap: { usd: 0.005 } }],
      meter: { whenTight: 'clamp' },
    };
    const bench = await openBench({ ...options, answer: () => content });
    const asking = { ...metered(bench, by, options), maxOutputTokens: 10_000 };
    await major.generate(asking);
    const sent = bench.provider.lastRequest?.body;
    const cap = Number(sent?.max_completion_tokens ?? sent?.max_tokens);
    expect(cap).toBeGreaterThan(100);
    expect(cap).toBeLessThan(500);
    await expectExact(bench, 1);
  });
});
