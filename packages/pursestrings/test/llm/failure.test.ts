import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { describe, expect, it } from 'vitest';

import { StoreError } from '../../src/errors.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import { neverLeft } from '../../src/llm/never-left.ts';
import { ask, billedSteps, openBench, rejection, STEPS, until } from './fixture.ts';
import type { Bench } from './fixture.ts';

const HELD_AT_LEAST: bigint = 50n * STEPS.output + 10n * STEPS.input;

async function expectHeldCharges(bench: Bench, count: number): Promise<void> {
  await until(async () => (await bench.charges()).length >= count);
  await bench.provider.idle();
  const charges = await bench.charges();
  expect(charges).toHaveLength(count);
  for (const { amounts, held } of charges) expect(amounts).toEqual(held);
  expect(await bench.spentSteps()).toBeGreaterThanOrEqual(BigInt(count) * HELD_AT_LEAST);
  expect(await bench.spentSteps()).toBeGreaterThanOrEqual(billedSteps(bench.provider));
  expect(await bench.heldSteps()).toBe(0n);
}

async function expectNothing(bench: Bench): Promise<void> {
  expect(await bench.charges()).toEqual([]);
  expect(await bench.heldSteps()).toBe(0n);
}

describe('an answer that says nothing of its cost', () => {
  it('charges the hold when the usage is missing', async () => {
    const bench = await openBench({ answer: () => ({ usage: 'none' }) });
    await bench.openai.chat.completions.create(ask());
    await expectHeldCharges(bench, 1);
  });

  it('charges the hold when the JSON is broken', async () => {
    const bench = await openBench({ answer: () => ({ malformed: true }) });
    await rejection(Promise.resolve(bench.openai.chat.completions.create(ask())));
    await expectHeldCharges(bench, 1);
  });

  it.each([
    { prompt_tokens: 10, completion_tokens: -1 },
    { prompt_tokens: 10 },
    { prompt_tokens: 'ten', completion_tokens: 1 },
    { prompt_tokens: 10, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 11 } },
    { prompt_tokens: 0, completion_tokens: 0 },
    { prompt_tokens: 10, completion_tokens: 1.5 },
    null,
  ])('charges the hold for the usage %o', async (usage) => {
    const bench = await openBench();
    const metered = meteredFetch(bench.purse, {
      fetch: () => Promise.resolve(Response.json({ usage })),
    });
    await metered('https://api.openai.com/v1/chat/completions', {
      method: 'POST',
      body: JSON.stringify(ask()),
    });
    await expectHeldCharges(bench, 1);
  });

  it('charges the hold, or twice the rates, for a premium tier that was not asked for', async () => {
    const bench = await openBench();
    const answer = async (tokens: number): Promise<unknown> => {
      const usage = { prompt_tokens: 10, completion_tokens: tokens };
      const metered = meteredFetch(bench.purse, {
        fetch: () => Promise.resolve(Response.json({ service_tier: 'first-class', usage })),
      });
      return metered('https://api.openai.com/v1/chat/completions', {
        method: 'POST',
        body: JSON.stringify(ask()),
      });
    };
    await answer(1);
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(HELD_AT_LEAST);
    const before = await bench.spentSteps();
    await answer(400);
    expect((await bench.spentSteps()) - before).toBe(
      2n * (10n * STEPS.input + 400n * STEPS.output),
    );
  });
});

describe('an answer that is an error', () => {
  it.each([400, 401, 404, 429, 500, 503])('costs nothing with status %i', async (status) => {
    const bench = await openBench({ answer: () => ({ status }) });
    const error = await rejection(bench.openai.chat.completions.create(ask()));
    expect(error).toMatchObject({ status });
    await expectNothing(bench);
  });

  it.each([408, 502, 504])('may hide a generated answer with status %i', async (status) => {
    const bench = await openBench({ answer: () => ({ status }) });
    await rejection(bench.openai.chat.completions.create(ask()));
    await expectHeldCharges(bench, 1);
  });
});

describe('a retry by the SDK', () => {
  it('charges only the try that was billed', async () => {
    const bench = await openBench({
      answer: ({ number }) =>
        number === 1
          ? { status: 500 }
          : number === 2
            ? { status: 429, retryAfterSeconds: 0 }
            : 'done at last',
      client: { maxRetries: 3 },
    });
    await bench.openai.chat.completions.create(ask());
    expect(bench.provider.requests).toBe(3);
    expect(bench.provider.bill.requests).toBe(1);
    expect(await bench.charges()).toHaveLength(1);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('charges every try that may have been billed', async () => {
    const bench = await openBench({
      answer: ({ number }) => (number <= 2 ? { cut: 'before-headers' } : 'done'),
      client: { maxRetries: 3 },
    });
    await bench.openai.chat.completions.create(ask());
    const charges = await bench.charges();
    expect(bench.provider.bill.requests).toBe(3);
    expect(charges).toHaveLength(3);
    expect(charges.slice(0, 2).map(({ amounts }) => amounts)).toEqual(
      charges.slice(0, 2).map(({ held }) => held),
    );
    expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
    expect(await bench.heldSteps()).toBe(0n);
  });
});

describe('a call that is lost', () => {
  it.each(['before-headers', 'after-headers'] as const)('charges the hold, cut %s', async (cut) => {
    const bench = await openBench({ answer: () => ({ cut }) });
    await rejection(Promise.resolve(bench.openai.chat.completions.create(ask())));
    await expectHeldCharges(bench, 1);
  });

  it('charges the hold when it is aborted under way', async () => {
    const bench = await openBench({ answer: () => ({ delayMs: 200 }) });
    const signal = AbortSignal.timeout(50);
    const error = await rejection(bench.openai.chat.completions.create(ask(), { signal }));
    expect(String(error)).toContain('aborted');
    await expectHeldCharges(bench, 1);
    expect(bench.provider.bill.requests).toBe(1);
  });

  it('costs nothing when it is aborted before it left', async () => {
    const bench = await openBench();
    await rejection(
      bench.fetch(`${bench.provider.url}/chat/completions`, {
        method: 'POST',
        body: JSON.stringify(ask()),
        signal: AbortSignal.abort(new Error('changed my mind')),
      }),
    );
    await expectNothing(bench);
    expect(bench.provider.requests).toBe(0);
  });

  it('costs nothing when there was nobody to connect to', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((open) => server.once('listening', open));
    const { port } = server.address() as AddressInfo;
    await new Promise((closed) => server.close(closed));
    const bench = await openBench();
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, 'no-such-host.invalid']) {
      const post = { method: 'POST', body: JSON.stringify(ask()) };
      await rejection(bench.fetch(`http://${host}/v1/chat/completions`, post));
    }
    await expectNothing(bench);
  });

  it('charges the hold when an inner fetch fails and does not say when', async () => {
    const bench = await openBench();
    const metered = meteredFetch(bench.purse, { fetch: () => Promise.reject(new Error('odd')) });
    const post = { method: 'POST', body: JSON.stringify(ask()) };
    await rejection(metered('https://api.openai.com/v1/chat/completions', post));
    await expectHeldCharges(bench, 1);
  });
});

describe('a cost that no ledger can record', () => {
  const MOST = Number.MAX_SAFE_INTEGER;

  it.each([
    { prompt_tokens: MOST, completion_tokens: MOST },
    { prompt_tokens: MOST, completion_tokens: 1 },
    { prompt_tokens: 10, completion_tokens: MOST },
  ])('is the hold: %o', async (usage) => {
    for (const ifAbandoned of ['charge', 'release'] as const) {
      const bench = await openBench();
      const metered = meteredFetch(bench.purse, {
        ifAbandoned,
        fetch: () => Promise.resolve(Response.json({ usage })),
      });
      await metered('https://api.openai.com/v1/chat/completions', {
        method: 'POST',
        body: JSON.stringify(ask()),
      });
      await expectHeldCharges(bench, 1);
    }
  });
});

describe('a URL with a name and a password in it', () => {
  it('is not sent by `fetch`, and costs nothing', async () => {
    const bench = await openBench();
    const url = new URL(`${bench.provider.url}/chat/completions`);
    url.username = 'me';
    url.password = 'secret';
    const sending = bench.fetch(url, { method: 'POST', body: JSON.stringify(ask()) });
    await expect(sending).rejects.toThrow(TypeError);
    expect(bench.provider.requests).toBe(0);
    await expectNothing(bench);
  });
});

describe('neverLeft', () => {
  const because = (cause: unknown): TypeError => new TypeError('fetch failed', { cause });

  it.each([
    [because(Object.assign(new Error('x'), { code: 'ECONNREFUSED' })), true],
    [because(Object.assign(new Error('x'), { code: 'ETIMEDOUT', syscall: 'connect' })), true],
    [because(Object.assign(new Error('x'), { code: 'ETIMEDOUT', syscall: 'read' })), false],
    [because(Object.assign(new Error('x'), { code: 'ECONNRESET', syscall: 'read' })), false],
    // A route that is lost while the answer is awaited.
    [because(Object.assign(new Error('x'), { code: 'EHOSTUNREACH', syscall: 'read' })), false],
    [because(Object.assign(new Error('x'), { code: 'ENETUNREACH', syscall: 'write' })), false],
    [because(Object.assign(new Error('x'), { code: 'EHOSTUNREACH', syscall: 'connect' })), true],
    [because(new AggregateError([{ code: 'ECONNREFUSED' }, { code: 'ENETUNREACH' }])), true],
    [because(new AggregateError([{ code: 'ECONNREFUSED' }, { code: 'ECONNRESET' }])), false],
    [new DOMException('aborted', 'AbortError'), false],
    [new TypeError('fetch failed'), false],
    [null, false],
  ])('judges %s', (error, left) => {
    expect(neverLeft(error)).toBe(left);
  });
});

describe('a store that fails', () => {
  it('lets nothing out when it fails before', async () => {
    const bench = await openBench();
    await bench.purse.close();
    const error = await rejection(bench.openai.chat.completions.create(ask()));
    expect(error).toMatchObject({ code: 'store_unavailable' });
    expect(bench.provider.requests).toBe(0);
  });

  it('still gives the answer when it fails after, and says so', async () => {
    const bench = await openBench({ answer: () => 'paid for' });
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const reserve = bench.purse.reserve.bind(bench.purse);
    Object.defineProperty(bench.purse, 'reserve', {
      value: async (...parts: Parameters<typeof reserve>) => {
        const hold = await reserve(...parts);
        const failure = new StoreError('STORE_UNAVAILABLE', 'unreachable', 'The store is gone');
        return Object.defineProperty(hold, 'settle', { value: () => Promise.reject(failure) });
      },
    });
    const answer = await bench.openai.chat.completions.create(ask());
    expect(answer.choices[0]?.message.content).toBe('paid for');
    expect(await bench.heldSteps()).toBeGreaterThanOrEqual(HELD_AT_LEAST);
    await until(() => warnings.length > 0);
    process.off('warning', onWarning);
    expect(warnings[0]).toMatchObject({ code: 'PURSE_SETTLE_FAILED' });
  });
});

describe('a hold that expires', () => {
  it.each(['charge', 'release'] as const)(
    'is charged, as nobody saw how its call ended: %s',
    async (ifAbandoned) => {
      const bench = await openBench({ purse: { holdTtlMs: 100 } });
      const metered = meteredFetch(bench.purse, {
        ifAbandoned,
        fetch: async () => {
          // As where the process dies, or the store fails once the answer is there.
          await until(async () => (await bench.charges()).length > 0);
          throw new TypeError('fetch failed', { cause: { code: 'ECONNRESET' } });
        },
      });
      const body = JSON.stringify(ask());
      const sending = metered(`${bench.provider.url}/chat/completions`, { method: 'POST', body });
      await expect(sending).rejects.toThrow(TypeError);
      const charges = await bench.charges();
      expect(charges[0]?.amounts).toEqual(charges[0]?.held);
      expect(await bench.spentSteps()).toBeGreaterThanOrEqual(HELD_AT_LEAST);
      expect(await bench.heldSteps()).toBe(0n);
    },
  );
});
