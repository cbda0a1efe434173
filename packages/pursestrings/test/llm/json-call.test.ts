import { Readable } from 'node:stream';

import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

import { BudgetExceededError, PriceUnknownError, PurseError } from '../../src/errors.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import { ask, billedSteps, openBench, rejection, STEPS, steps } from './fixture.ts';

describe('a JSON call', () => {
  it('is charged what the provider billed, to the step', async () => {
    const bench = await openBench({
      answer: () => ({ content: 'one two three', cachedTokens: 4, reasoningTokens: 7 }),
    });
    const answer = await bench.openai.chat.completions.create(ask());
    expect(answer.choices[0]?.message.content).toBe('one two three');
    // 3 words and the frame: 3 for the message, 3 for the reply, one for the role.
    const literal = 6n * STEPS.input + 4n * STEPS.cachedInput + 10n * STEPS.output;
    expect(bench.provider.bill.lines).toMatchObject([{ promptTokens: 10, completionTokens: 10 }]);
    expect(await bench.spentSteps()).toBe(literal);
    expect(billedSteps(bench.provider)).toBe(literal);
    expect(await bench.heldSteps()).toBe(0n);
    const [charge] = await bench.charges();
    expect(charge?.amounts).toEqual({ usd: Number(literal) / 1e8, tokens: 20, calls: 1 });
    expect(charge?.labels).toEqual({
      provider: 'openai',
      model: 'gpt-4o',
      price: 'genai-prices:openai/gpt-4o',
    });
  });

  it('holds the most it can cost while it is under way', async () => {
    const bench = await openBench({ answer: () => ({ delayMs: 100 }) });
    const call = bench.openai.chat.completions.create(ask());
    await new Promise((wake) => setTimeout(wake, 50));
    const held = await bench.heldSteps();
    expect(held).toBeGreaterThan(50n * STEPS.output + 9n * STEPS.input);
    await call;
    expect(await bench.spentSteps()).toBeLessThanOrEqual(held);
  });

  it('takes labels from the options and the header, which is not sent', async () => {
    const bench = await openBench({ meter: { labels: { agent: 'a1', feature: 'none' } } });
    await bench.openai.chat.completions.create(ask(), {
      headers: { 'x-purse-labels': 'feature=chat, task=t%2C9 , model=mine' },
    });
    const [charge] = await bench.charges();
    expect(charge?.labels).toMatchObject({
      agent: 'a1',
      feature: 'chat',
      task: 't,9',
      model: 'mine',
      provider: 'openai',
    });
    expect(bench.provider.lastRequest?.headers).not.toHaveProperty('x-purse-labels');
    expect(bench.provider.lastRequest?.headers.authorization).toBe('Bearer none');
  });

  it('counts every choice of n', async () => {
    const bench = await openBench({ answer: () => 'three words here' });
    const answer = await bench.openai.chat.completions.create(ask({ n: 4 }));
    expect(answer.choices).toHaveLength(4);
    expect(bench.provider.bill.completionTokens).toBe(12);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('prices calls with tools', async () => {
    const bench = await openBench({
      answer: () => ({ toolCalls: [{ name: 'weather', arguments: '{"city": "Bern"}' }] }),
    });
    const tools: OpenAI.ChatCompletionFunctionTool[] = [
      {
        type: 'function',
        function: {
          name: 'weather',
          description: 'Says what the sky does over a city',
          parameters: { type: 'object', properties: { city: { type: 'string' } } },
        },
      },
    ];
    const answer = await bench.openai.chat.completions.create(ask({ tools }));
    expect(answer.choices[0]?.message.tool_calls?.[0]).toMatchObject({ type: 'function' });
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('runs on a Request, a URL, and bodies of every kind', async () => {
    const bench = await openBench();
    const url = `${bench.provider.url}/chat/completions`;
    const text = JSON.stringify(ask());
    const headers = { 'content-type': 'application/json', 'x-purse-labels': 'kind=x' };
    const post = { method: 'POST', headers };
    const bytes = new TextEncoder().encode(text);
    const stream = new Blob([bytes]).stream();
    const calls: [string | URL | Request, RequestInit?][] = [
      [new Request(url, { ...post, body: text })],
      [new Request(url, { method: 'POST' }), { headers, body: bytes }],
      [new URL(url), { ...post, body: new Blob([bytes]) }],
      [url, { ...post, body: stream, duplex: 'half' }],
      [url, { ...post, body: bytes.buffer }],
    ];
    for (const [input, init] of calls) {
      const response = await bench.fetch(input, init);
      expect(response.status).toBe(200);
      expect(response.url).toBe(url);
      expect(bench.provider.lastRequest?.headers).not.toHaveProperty('x-purse-labels');
      expect(await response.json()).toMatchObject({ object: 'chat.completion' });
    }
    expect(await bench.charges()).toHaveLength(calls.length);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('gives the answer on, byte for byte, with its headers', async () => {
    const body = '{ "usage": {"prompt_tokens": 7, "completion_tokens": 3},\n "odd": "\\u00e9é" }';
    const inner: typeof fetch = () =>
      Promise.resolve(new Response(body, { headers: { 'content-type': 'x/json', 'x-a': 'b' } }));
    const bench = await openBench();
    const metered = meteredFetch(bench.purse, { fetch: inner });
    const response = await metered('https://api.openai.com/v1/chat/completions', {
      method: 'POST',
      body: JSON.stringify(ask()),
    });
    expect(await response.text()).toBe(body);
    expect(response.headers.get('x-a')).toBe('b');
    expect(await bench.spentSteps()).toBe(7n * STEPS.input + 3n * STEPS.output);
  });

  it('takes the answers of other implementations of fetch, JSON and streamed', async () => {
    const bench = await openBench();
    const foreign = (streamed: boolean): typeof fetch => {
      return async (input, init) => {
        const response = await fetch(input, init);
        const { ok, status, statusText, headers, url } = response;
        const body = streamed && response.body !== null ? Readable.from(response.body) : {};
        const arrayBuffer = (): Promise<ArrayBuffer> => response.arrayBuffer();
        // The point is an object that is no Response of this process.
        return { ok, status, statusText, headers, url, body, arrayBuffer } as unknown as Response;
      };
    };
    for (const stream of [false, true]) {
      const openai = new OpenAI({
        apiKey: 'none',
        baseURL: bench.provider.url,
        fetch: meteredFetch(bench.purse, { fetch: foreign(stream) }),
      });
      const body = { ...ask(), stream };
      const answer = await openai.chat.completions.create(body);
      if (Symbol.asyncIterator in answer) for await (const _chunk of answer);
    }
    expect(await bench.charges()).toHaveLength(2);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('records in full what a provider bills past the cap it was given', async () => {
    const bench = await openBench({ answer: () => ({ completionTokens: 5_000 }) });
    await bench.openai.chat.completions.create(ask());
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
    expect(bench.provider.bill.completionTokens).toBe(5_000);
  });
});

describe('a denied call', () => {
  const poor = [{ name: 'all', cap: { usd: 0.0001 } }];

  it('is answered in the shape of the SDK, which raises at once, and never leaves', async () => {
    const bench = await openBench({ limits: poor, client: { maxRetries: 5 } });
    const error = await rejection(bench.openai.chat.completions.create(ask()));
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ status: 402, code: 'budget_exceeded', type: 'budget_exceeded' });
    const denied = BudgetExceededError.from(error);
    expect(denied?.denial).toMatchObject({ limit: 'all', unit: 'usd', cap: 0.0001, spent: 0 });
    expect(denied?.remaining).toBe(0.0001);
    expect(bench.provider.requests).toBe(0);
    expect(await bench.charges()).toEqual([]);
  });

  it('is one denial, whatever was tried and however often the SDK would retry', async () => {
    const limits = [{ name: 'all', cap: { usd: 0.0008 } }];
    const bench = await openBench({ limits, client: { maxRetries: 5 } });
    let denials = 0;
    bench.purse.on('denied', () => {
      denials += 1;
    });
    // It is refused by its bytes; counted, some 500 tokens, it would still cost twice what is left.
    const content = 'word '.repeat(500);
    const long = ask({ max_completion_tokens: 20, messages: [{ role: 'user', content }] });
    await rejection(bench.openai.chat.completions.create(long));
    expect(bench.provider.requests).toBe(0);
    expect(denials).toBe(1);
  });

  it('rejects with the error itself under `throw`', async () => {
    const bench = await openBench({ limits: poor, meter: { onDenied: 'throw' } });
    const direct = await rejection(
      bench.fetch(`${bench.provider.url}/chat/completions`, {
        method: 'POST',
        body: JSON.stringify(ask()),
      }),
    );
    expect(BudgetExceededError.isInstance(direct)).toBe(true);
    const wrapped = await rejection(bench.openai.chat.completions.create(ask()));
    expect(BudgetExceededError.from(wrapped)?.denial.limit).toBe('all');
    expect(bench.provider.requests).toBe(0);
  });

  it('counts the input before it gives up', async () => {
    const content = 'word '.repeat(500);
    // 2,500 bytes, some 500 tokens: $0.00625 by its bytes, some $0.0014 when counted.
    const bench = await openBench({ limits: [{ name: 'all', cap: { usd: 0.003 } }] });
    let denied = 0;
    bench.purse.on('denied', () => (denied += 1));
    await bench.openai.chat.completions.create(
      ask({ max_completion_tokens: 20, messages: [{ role: 'user', content }] }),
    );
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
    // The call went through, so nothing was denied.
    expect(denied).toBe(0);
    expect((await bench.purse.report()).rows.map(({ denials }) => denials)).toEqual([0]);
  });
});

describe('what cannot be priced', () => {
  it('is refused by name before anything goes out', async () => {
    const bench = await openBench({ client: { maxRetries: 5 } });
    const error = await rejection(bench.openai.chat.completions.create(ask({ model: 'llama-x' })));
    expect(error).toMatchObject({ status: 400, code: 'price_unknown' });
    expect(String(error)).toContain('"llama-x"');
    expect(bench.provider.requests).toBe(0);
    const thrown = await rejection(
      meteredFetch(bench.purse, { onDenied: 'throw' })(`${bench.provider.url}/chat/completions`, {
        method: 'POST',
        body: JSON.stringify(ask({ model: 'llama-x' })),
      }),
    );
    expect(PriceUnknownError.isInstance(thrown)).toBe(true);
  });

  it('runs under a ceiling price, or a price of the book', async () => {
    const ceiling = { usdPerMillion: { input: 3, output: 20 } };
    const bench = await openBench({
      meter: {
        unknownModel: ceiling,
        prices: { mine: { usdPerMillion: { input: 1, output: 2 } } },
      },
      answer: () => ({ promptTokens: 10, completionTokens: 5 }),
    });
    await bench.openai.chat.completions.create(ask({ model: 'llama-x' }));
    await bench.openai.chat.completions.create(ask({ model: 'mine' }));
    const charges = await bench.charges();
    expect(charges.map(({ amounts }) => steps(amounts.usd ?? 0))).toEqual([
      10n * 300n + 5n * 2_000n,
      10n * 100n + 5n * 200n,
    ]);
    expect(charges.map(({ labels }) => labels.price)).toEqual(['unknownModel', 'prices']);
  });

  it.each([
    ['a premium tier', { service_tier: 'ultrafast' }],
    ['audio', { modalities: ['text', 'audio'] }],
    ['a hosted tool', { tools: [{ type: 'hosted_oracle' }] }],
  ])('refuses %s without a rate of its own', async (_name, more) => {
    const bench = await openBench();
    const error = await rejection(bench.openai.chat.completions.create(ask(more)));
    expect(error).toMatchObject({ code: 'price_unknown' });
    expect(bench.provider.requests).toBe(0);
  });

  it('refuses a body that is no chat completion, and a bad label header', async () => {
    const bench = await openBench();
    const url = `${bench.provider.url}/chat/completions`;
    const broken = await bench.fetch(url, { method: 'POST', body: '{"model":' });
    expect(broken.status).toBe(400);
    expect(await broken.json()).toMatchObject({ error: { code: 'unreadable_request' } });
    const unlabelled = await bench.fetch(url, {
      method: 'POST',
      body: JSON.stringify(ask()),
      headers: { 'x-purse-labels': 'just words' },
    });
    expect(await unlabelled.json()).toMatchObject({ error: { code: 'invalid_label' } });
    expect(bench.provider.requests).toBe(0);
  });
});

describe('other routes', () => {
  function spy(): { readonly urls: string[]; readonly fetch: typeof fetch } {
    const urls: string[] = [];
    return {
      urls,
      fetch: (input) => {
        urls.push(String(input instanceof Request ? input.url : input));
        return Promise.resolve(new Response('{}'));
      },
    };
  }

  it.each([
    ['GET', 'https://api.openai.com/v1/models'],
    ['POST', 'https://api.openai.com/v1/moderations'],
    ['POST', 'https://example.com/feedback'],
    ['DELETE', 'https://api.openai.com/v1/chat/completions/x'],
    ['DELETE', 'https://api.openai.com/v1/responses/resp_x'],
    ['GET', 'https://api.openai.com/v1/responses/resp_x/input_items'],
    ['POST', 'https://api.openai.com/v1/responses/input_tokens'],
    ['POST', 'https://llm.example.com/v1/responses/resp_x/cancel'],
  ])('passes %s %s as it is', async (method, url) => {
    const { purse } = await openBench();
    const sent = spy();
    const response = await meteredFetch(purse, { fetch: sent.fetch })(url, { method });
    expect(response.status).toBe(200);
    expect(sent.urls).toEqual([url]);
  });

  it.each([
    ['https://api.openai.com/v1/videos', {}],
    ['https://api.openai.com/v1/something/new', {}],
    ['https://llm.example.com/v1/rerank', {}],
    ['https://llm.example.com/v1/models/some-model:predict', {}],
    ['https://llm.example.com/odd', { model: 'gpt-4o' }],
  ])('refuses POST %s by name', async (url, body) => {
    const { purse } = await openBench();
    const sent = spy();
    const post = { method: 'POST', body: JSON.stringify(body) };
    const response = await meteredFetch(purse, { fetch: sent.fetch })(url, post);
    expect(response.status).toBe(400);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(JSON.stringify(await response.json())).toContain(new URL(url).pathname);
    const thrown = await rejection(
      meteredFetch(purse, { fetch: sent.fetch, onDenied: 'throw' })(url, post),
    );
    expect(PurseError.isInstance(thrown) && thrown.code).toBe('UNMETERED_ROUTE');
    expect(sent.urls).toEqual([]);
  });

  it('strips the label header from them too', async () => {
    const { purse } = await openBench();
    const seen: Headers[] = [];
    const metered = meteredFetch(purse, {
      fetch: (input, init) => {
        seen.push(input instanceof Request ? input.headers : new Headers(init?.headers));
        return Promise.resolve(new Response('{}'));
      },
    });
    const headers = { 'x-purse-labels': 'a=b', other: 'c' };
    await metered('https://api.openai.com/v1/models', { headers });
    await metered(new Request('https://api.openai.com/v1/models', { headers }));
    expect(seen.map((each) => [...each])).toEqual([[['other', 'c']], [['other', 'c']]]);
  });
});

describe('options', () => {
  it.each([
    { onDenied: 'shout' },
    { whenTight: 'beg' },
    { outputCeiling: 0 },
    { prices: { x: { usdPerMillion: { input: -1, output: 1 } } } },
    { unknownModel: { usdPerMillion: { input: Number.NaN, output: 1 } } },
    { unknownModel: 'allow' },
  ])('refuses %o', async (options) => {
    const { purse } = await openBench();
    // The point is a caller without types.
    expect(() => meteredFetch(purse, options as object)).toThrow(PurseError);
  });

  it('sends `outputCeiling` where nobody knows a maximum, and holds for it', async () => {
    const prices = { mine: { usdPerMillion: { input: 1, output: 2 } } };
    const bench = await openBench({ meter: { prices } });
    const open = { model: 'mine', max_completion_tokens: undefined };
    const refused = await rejection(bench.openai.chat.completions.create(ask(open)));
    expect(refused).toMatchObject({ status: 400, code: 'invalid_option' });
    const capped = await openBench({ meter: { prices, outputCeiling: 12 } });
    const answer = await capped.openai.chat.completions.create(ask(open));
    expect(capped.provider.lastRequest?.body.max_completion_tokens).toBe(12);
    expect(answer.choices[0]?.finish_reason).toBe('length');
  });

  it('does not touch the body of a call whose cap is known', async () => {
    const bench = await openBench();
    const body = `{ "n": 1,  "model": "gpt-4o", "seed": 12345678901234567890, "messages": [] }`;
    let sent: unknown;
    const metered = meteredFetch(bench.purse, {
      fetch: (input, init) => {
        sent = init?.body;
        return fetch(input, init);
      },
    });
    await metered(`${bench.provider.url}/chat/completions`, { method: 'POST', body });
    expect(sent).toBe(body);
  });
});
