import { APICallError, generateText, UnsupportedFunctionalityError } from 'ai';
import { describe, expect, it } from 'vitest';

import { InvalidLabelError } from '../../src/ledger/invalid.ts';
import { rejection, STEPS, steps } from './fixture.ts';
import { both, metered, openDesk, ownModel, PROMPT } from './middleware-fixture.ts';
import type { CallOptions, StreamPart } from './middleware-fixture.ts';

describe('labels', () => {
  const usage = {
    inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 5, text: 5, reasoning: 0 },
  };

  it('come from the options and from each call, which wins, and are not passed on', async () => {
    const desk = await openDesk();
    const model = ownModel({ usage });
    await generateText({
      ...PROMPT,
      model: metered(desk, model, { labels: { agent: 'a1', feature: 'none' } }),
      providerOptions: {
        purse: { labels: { feature: 'chat' } },
        openai: { user: 'u1' },
      },
    });
    expect((await desk.charges())[0]?.labels).toMatchObject({ agent: 'a1', feature: 'chat' });
    expect(model.seen[0]?.providerOptions).toEqual({ openai: { user: 'u1' } });
    expect(model.seen[0]?.maxOutputTokens).toBe(50);
  });

  it.each([{ labels: 'chat' }, { labels: { feature: 7 } }, { labels: ['x'] }])(
    'are refused when they are none: %o',
    async (purse) => {
      const desk = await openDesk();
      const model = ownModel({ usage });
      const asked = generateText({
        ...PROMPT,
        model: metered(desk, model),
        providerOptions: { purse },
      });
      expect(await rejection(asked)).toBeInstanceOf(InvalidLabelError);
      expect(model.seen).toEqual([]);
    },
  );
});

describe('a usage in the terms of the AI SDK', () => {
  // gpt-4o, in steps of 1e-8 USD a token: 250 in, 125 cached, 1,000 out (fixture.ts says the source).
  it.each([
    [
      'v4',
      {
        inputTokens: { total: 100, noCache: 60, cacheRead: 40, cacheWrite: undefined },
        outputTokens: { total: 20, text: 15, reasoning: 5 },
      },
    ],
    [
      'v3',
      {
        inputTokens: { total: 100, noCache: 60, cacheRead: 40, cacheWrite: 0 },
        outputTokens: { total: 20, text: undefined, reasoning: undefined },
      },
    ],
    ['v2', { inputTokens: 100, outputTokens: 20, totalTokens: 120, cachedInputTokens: 40 }],
  ])('is charged exactly, %s', async (version, usage) => {
    const desk = await openDesk();
    await both(metered(desk, ownModel({ usage }, { version })));
    expect(await desk.spent()).toBe(2n * (60n * 250n + 40n * 125n + 20n * 1_000n));
  });

  it('gives way to the provider’s own where that says more', async () => {
    const desk = await openDesk();
    const usage = {
      inputTokens: { total: 100, noCache: 100, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: 20, text: 20, reasoning: 0 },
      raw: { prompt_tokens: 100, completion_tokens: 20, total_tokens: 150 },
    };
    await both(metered(desk, ownModel({ usage })));
    expect(await desk.spent()).toBe(2n * (100n * 250n + 50n * 1_000n));
  });

  it('is never less than the AI SDK makes of it', async () => {
    const desk = await openDesk();
    const usage = {
      inputTokens: { total: 130, noCache: 130, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: 40, text: 40, reasoning: 0 },
      raw: { prompt_tokens: 100, completion_tokens: 20 },
    };
    await both(metered(desk, ownModel({ usage })));
    expect(await desk.spent()).toBe(2n * (130n * 250n + 40n * 1_000n));
  });

  it('takes the tier that served the call, and the cost that a gateway tells', async () => {
    const usage = {
      inputTokens: { total: 100, noCache: 100, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: 20, text: 20, reasoning: 0 },
    };
    const flex = await openDesk();
    const tier = { providerMetadata: { openai: { serviceTier: 'flex' } } };
    await both(metered(flex, ownModel({ usage, more: tier })));
    expect(await flex.spent()).toBe(100n * 250n + 20n * 1_000n);
    const gateway = await openDesk();
    const cost = { providerMetadata: { gateway: { cost: '0.000123' } } };
    const named = { provider: 'gateway', modelId: 'openai/gpt-4o' };
    await both(metered(gateway, ownModel({ usage, more: cost }, named)));
    expect(await gateway.spent()).toBe(2n * 12_300n);
    expect((await gateway.charges())[0]?.labels).toMatchObject({
      provider: 'openai',
      model: 'gpt-4o',
    });
  });

  it.each([
    undefined,
    {},
    { inputTokens: {}, outputTokens: {} },
    { inputTokens: { total: undefined }, outputTokens: { total: undefined } },
    { inputTokens: { total: -1 }, outputTokens: { total: 5 } },
    { inputTokens: { total: 10, cacheRead: 11 }, outputTokens: { total: 5 } },
    { inputTokens: { total: Number.NaN }, outputTokens: { total: 5 } },
    { inputTokens: { total: '10' }, outputTokens: { total: 5 } },
    { inputTokens: { total: 0 }, outputTokens: { total: 0 } },
  ])('charges the hold when it cannot be right: %o', async (usage) => {
    const desk = await openDesk();
    const model = metered(desk, ownModel({ usage }));
    const params: CallOptions = { prompt: [], maxOutputTokens: 50 };
    await model.doGenerate(params);
    const { stream } = await model.doStream(params);
    for await (const _part of stream);
    const charges = await desk.charges();
    expect(charges).toHaveLength(2);
    for (const { amounts, held } of charges) expect(amounts).toEqual(held);
  });
});

describe('a stream', () => {
  const usage = {
    inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 5, text: 5, reasoning: 0 },
  };
  const text = (delta: string): object => ({ type: 'text-delta', id: '1', delta });
  const params: CallOptions = { prompt: [], maxOutputTokens: 5_000 };

  it('is passed on part by part, and charged before its finish is', async () => {
    const desk = await openDesk();
    const finish = { type: 'finish', finishReason: { unified: 'stop', raw: undefined }, usage };
    const parts = [text('one'), text(' two'), finish] as StreamPart[];
    const model = metered(desk, ownModel({ parts }));
    const reader = (await model.doStream(params)).stream.getReader();
    for (const part of parts.slice(0, 2)) {
      expect((await reader.read()).value).toBe(part);
      expect(await desk.charges()).toEqual([]);
    }
    expect((await reader.read()).value).toBe(finish);
    expect(await desk.charges()).toHaveLength(1);
    expect((await reader.read()).done).toBe(true);
    expect(await desk.spent()).toBe(10n * 250n + 5n * 1_000n);
  });

  it('that is left is charged its hold, or what was streamed', async () => {
    for (const ifAbandoned of ['charge', 'release'] as const) {
      const desk = await openDesk();
      const parts = [text('one two three'), text(' four'), text(' five')];
      const model = metered(desk, ownModel({ parts }), { ifAbandoned });
      const reader = (await model.doStream(params)).stream.getReader();
      await reader.read();
      await reader.read();
      await reader.cancel();
      const [charge] = await desk.charges();
      const held = charge?.held?.usd ?? 0;
      if (ifAbandoned === 'charge') expect(charge?.amounts.usd).toBe(held);
      else {
        expect(charge?.amounts.usd).toBeLessThan(held / 100);
        expect(steps(charge?.amounts.usd ?? 0)).toBeGreaterThanOrEqual(4n * STEPS.output);
      }
    }
  });

  it('that fails is charged its hold, and at least what was seen', async () => {
    const desk = await openDesk();
    const parts = Array.from({ length: 200 }, (_, index) => text(`w${index} `));
    const failing = ownModel({});
    failing.doStream = () =>
      Promise.resolve({
        stream: ReadableStream.from(
          (async function* stream() {
            yield* parts as StreamPart[];
            throw new TypeError('terminated');
          })(),
        ),
      });
    const model = metered(desk, failing);
    const { stream } = await model.doStream({ prompt: [], maxOutputTokens: 16 });
    await rejection(
      (async () => {
        for await (const _part of stream);
      })(),
    );
    expect(await desk.spent()).toBeGreaterThanOrEqual(200n * STEPS.output);
    expect(await desk.held()).toBe(0n);
  });

  it('is charged when it is aborted while nobody reads', async () => {
    const desk = await openDesk();
    const controller = new AbortController();
    const model = metered(desk, ownModel({ parts: [text('one')] }));
    await model.doStream({ ...params, abortSignal: controller.signal });
    expect(await desk.charges()).toEqual([]);
    controller.abort();
    await new Promise((turn) => setTimeout(turn, 20));
    expect(await desk.charges()).toHaveLength(1);
  });
});

describe('a model that fails', () => {
  const failure = (more: Partial<ConstructorParameters<typeof APICallError>[0]>): APICallError =>
    new APICallError({ message: 'no', url: 'http://x', requestBodyValues: {}, ...more });
  const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED', syscall: 'connect' });
  const told = JSON.stringify({ usage: { prompt_tokens: 7, completion_tokens: 3 } });

  it.each([
    ['nothing for an error status', failure({ statusCode: 500 }), 0n],
    ['nothing for a refusal', failure({ statusCode: 429 }), 0n],
    ['nothing when it never left', failure({ cause: refused }), 0n],
    [
      'nothing when it was never written',
      new UnsupportedFunctionalityError({ functionality: 'x' }),
      0n,
    ],
    ['what an unreadable answer used', failure({ statusCode: 200, responseBody: told }), 4_750n],
    ['the hold of a gateway’s answer', failure({ statusCode: 504 }), null],
    ['the hold of a cut connection', failure({ cause: new Error('other side closed') }), null],
    [
      'the hold of an error within a stream',
      failure({ statusCode: 500, responseHeaders: { 'content-type': 'text/event-stream' } }),
      null,
    ],
    ['the hold of what nobody knows', new Error('odd'), null],
    ['the hold of an abort', new DOMException('aborted', 'AbortError'), null],
  ])('is charged %s', async (_what, error, wanted) => {
    const desk = await openDesk();
    const model = metered(desk, ownModel({ error }));
    const params: CallOptions = { prompt: [], maxOutputTokens: 50 };
    expect(await rejection(Promise.resolve(model.doGenerate(params)))).toBe(error);
    expect(await rejection(Promise.resolve(model.doStream(params)))).toBe(error);
    const charges = await desk.charges();
    expect(await desk.held()).toBe(0n);
    if (wanted === 0n) expect(charges).toEqual([]);
    else if (wanted === null)
      for (const { amounts, held } of charges) expect(amounts).toEqual(held);
    else expect(await desk.spent()).toBe(2n * wanted);
    if (wanted !== 0n) expect(charges).toHaveLength(2);
  });

  it('is charged nothing when the call was aborted before it left', async () => {
    const desk = await openDesk();
    const model = ownModel({});
    const abortSignal = AbortSignal.abort(new Error('changed my mind'));
    const asked = metered(desk, model).doGenerate({ prompt: [], abortSignal });
    expect(await rejection(Promise.resolve(asked))).toMatchObject({ message: 'changed my mind' });
    expect(model.seen).toEqual([]);
    expect(await desk.held()).toBe(0n);
  });
});
