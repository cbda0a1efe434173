import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText, wrapLanguageModel } from 'ai';
import { describe, expect, it, onTestFinished } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import { meteredFetch } from '../../src/llm/metered-fetch.ts';
import { purseMiddleware } from '../../src/llm/ai-sdk/middleware.ts';
import { openPurse } from '../../src/purse.ts';
import type { Purse } from '../../src/purse.ts';
import { ask, billedSteps, openBench, rejection, until } from './fixture.ts';
import type { Bench } from './fixture.ts';
import { PROMPT } from './middleware-fixture.ts';
import type { Wrapped } from './middleware-fixture.ts';

const answer = () => ({ promptTokens: 10, completionTokens: 40 });

/** A model that has both: the middleware, and a fetch, each with a purse. */
function both(bench: Bench, send: typeof fetch = bench.fetch, purse: Purse = bench.purse): Wrapped {
  const openai = createOpenAI({ apiKey: 'none', baseURL: bench.provider.url, fetch: send });
  return wrapLanguageModel({ model: openai.chat('gpt-4o'), middleware: purseMiddleware(purse) });
}

async function generate(model: Wrapped, maxRetries: number = 0): Promise<string> {
  return (await generateText({ ...PROMPT, model, maxRetries })).text;
}

/** Warnings about calls that are metered twice. */
function warnings(): readonly Error[] {
  const seen: Error[] = [];
  const listen = (warning: Error): void => {
    if ('code' in warning && warning.code === 'PURSE_METERED_TWICE') seen.push(warning);
  };
  process.on('warning', listen);
  onTestFinished(() => void process.off('warning', listen));
  return seen;
}

describe('a model with both the middleware and a metered fetch of one purse', () => {
  it('is held and charged once for each call, and warned about once', async () => {
    const seen = warnings();
    const bench = await openBench({ answer });
    const model = both(bench);
    await generate(model);
    const { fullStream } = streamText({ ...PROMPT, model, onError: () => undefined });
    for await (const part of fullStream) if (part.type === 'error') throw part.error;
    expect(bench.provider.requests).toBe(2);
    expect(await bench.charges()).toHaveLength(2);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
    expect(await bench.heldSteps()).toBe(0n);
    await until(() => seen.length > 0);
    await generate(model);
    await new Promise((wake) => setImmediate(wake));
    expect(seen).toHaveLength(1);
    expect(seen[0]?.message).toContain('"gpt-4o"');
    const other = await openBench({ answer });
    await generate(both(other));
    await until(() => seen.length === 2);
  });

  it('is refused by one denial', async () => {
    const bench = await openBench({ limits: [{ name: 'all', cap: { usd: 0.0001 } }] });
    let denials = 0;
    bench.purse.on('denied', () => (denials += 1));
    const error = await rejection(generate(both(bench)));
    expect(error).toBeInstanceOf(BudgetExceededError);
    expect(denials).toBe(1);
  });

  it('is charged once where the fetch tries again after a failure', async () => {
    const bench = await openBench({
      answer: ({ number }) => (number === 1 ? { status: 500 } : answer()),
    });
    const persistent: typeof fetch = async (input, init) => {
      const first = await bench.fetch(input, init);
      return first.ok ? first : bench.fetch(input, init);
    };
    await generate(both(bench, persistent));
    expect(bench.provider.requests).toBe(2);
    expect(await bench.charges()).toHaveLength(1);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('is charged once where the first try of the fetch never left', async () => {
    const bench = await openBench({ answer });
    let tries = 0;
    const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    const send = meteredFetch(bench.purse, {
      fetch: (input, init) => {
        tries += 1;
        const fails = tries === 1;
        return fails
          ? Promise.reject(new TypeError('fetch failed', { cause: refused }))
          : fetch(input, init);
      },
    });
    await generate(both(bench, (input, init) => send(input, init).catch(() => send(input, init))));
    expect(await bench.charges()).toHaveLength(1);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('pays for each answer that the fetch got', async () => {
    const bench = await openBench({ answer });
    const twice: typeof fetch = async (input, init) => {
      await (await bench.fetch(input, init)).text();
      return bench.fetch(input, init);
    };
    await generate(both(bench, twice));
    expect(bench.provider.bill.requests).toBe(2);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });
});

describe('a call inside of a metered model', () => {
  /** Another call by the metered fetch before the model's own, which is not metered by it. */
  function beside(bench: Bench, body: object, url: string = bench.provider.url): typeof fetch {
    return async (input, init) => {
      const side = { method: 'POST', body: JSON.stringify(body) };
      await (await bench.fetch(`${url}/chat/completions`, side)).text();
      return fetch(input, init);
    };
  }

  it('is metered where it asks another model', async () => {
    const seen = warnings();
    const bench = await openBench({ answer });
    await generate(both(bench, beside(bench, ask({ model: 'gpt-4o-mini' }))));
    const models = (await bench.charges()).map(({ labels }) => labels.model);
    expect(models).toEqual(['gpt-4o-mini', 'gpt-4o']);
    await new Promise((wake) => setImmediate(wake));
    expect(seen).toEqual([]);
  });

  it('is metered where another purse pays for it', async () => {
    const bench = await openBench({ answer });
    const other = await openPurse({ limits: [{ name: 'other', cap: { usd: 1 } }] });
    onTestFinished(() => other.close());
    await generate(both(bench, bench.fetch, other));
    expect(await bench.charges()).toHaveLength(1);
    const [{ spent } = { spent: 0 }] = (await other.report({})).rows.map(({ amounts }) => ({
      spent: amounts.usd,
    }));
    expect(spent).toBe(0.000425);
  });

  it('is metered where it goes on after the model has answered', async () => {
    const bench = await openBench({ answer });
    let later: Promise<Response> | undefined;
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    const lingering: typeof fetch = (input, init) => {
      later = answered.then(() => bench.fetch(input, init));
      return fetch(input, init);
    };
    await generate(both(bench, lingering));
    resolve();
    await (await later)?.text();
    expect(bench.provider.bill.requests).toBe(2);
    expect(await bench.charges()).toHaveLength(2);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('is covered through a model of another purse in between', async () => {
    const bench = await openBench({ answer });
    const other = await openPurse({ limits: [{ name: 'other', cap: { usd: 1 } }] });
    onTestFinished(() => other.close());
    const model = wrapLanguageModel({
      model: both(bench, bench.fetch, other),
      middleware: purseMiddleware(bench.purse),
    });
    await generate(model);
    expect(await bench.charges()).toHaveLength(1);
  });
});
