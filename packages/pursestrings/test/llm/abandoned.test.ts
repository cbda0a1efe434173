import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';

import { InvalidOptionError } from '../../src/errors.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import type { MeterOptions, PriceBook } from '../../src/llm/index.ts';
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
import { openPeerLedger } from './peers/peer-ledger.ts';
import type { PeerLedger } from './peers/peer-ledger.ts';
import { recordedPeer } from './recorded-peer.ts';

const RELEASE: MeterOptions = { ifAbandoned: 'release' };
const CHAT = 'https://api.openai.com/v1/chat/completions';

function chunk(delta: object): object {
  return { choices: [{ index: 0, delta, finish_reason: null }] };
}

/** Streams the deltas and then nothing; leaves when they have all come. */
async function leave(
  deltas: readonly object[],
  request: Record<string, unknown> = {},
  meter: MeterOptions = RELEASE,
): Promise<PeerLedger> {
  const peer = await recordedPeer(() => ({
    events: [...deltas.map(chunk), chunk({})],
    stallAfter: deltas.length,
  }));
  const ledger = await openPeerLedger(peer.url, { meter });
  const body = JSON.stringify(askStreamed({ max_completion_tokens: 4_000, ...request }));
  const response = await ledger.fetch(CHAT, { method: 'POST', body });
  const reader = response.body?.getReader();
  let seen = 0;
  let text = '';
  while (seen < deltas.length) {
    text += new TextDecoder().decode((await reader?.read())?.value, { stream: true });
    seen = text.split('\n\n').length - 1;
  }
  await reader?.cancel();
  await until(async () => (await ledger.charges()).length > 0);
  return ledger;
}

/** What was charged for the output, when the input of `ask()` is counted by OpenAI's formula. */
async function outputCharged(ledger: PeerLedger): Promise<bigint> {
  const [charge] = await ledger.charges();
  const spent = steps(charge?.amounts.usd ?? 0);
  const input = spent % STEPS.output;
  // The input is counted, with room for its frame.
  expect(input / STEPS.input).toBeLessThan(100n);
  return spent;
}

async function spentOn(deltas: readonly object[]): Promise<bigint> {
  return outputCharged(await leave(deltas));
}

describe('a stream that is left, where the rest of its hold comes back', () => {
  it('is charged its input and what was streamed, by the tokens of the model', async () => {
    const none = await spentOn([{ role: 'assistant', content: '' }]);
    const pieces = ['The purse', ' strings are', ' drawn tight.'];
    const text = await spentOn(pieces.map((content) => ({ content })));
    const tokens = BigInt(encode(pieces.join('')).length);
    expect(text - none).toBeGreaterThanOrEqual(tokens * STEPS.output);
    expect(text - none).toBeLessThanOrEqual((tokens + 4n) * STEPS.output);
  });

  it('counts text of many bytes to the character', async () => {
    const none = await spentOn([{ content: '' }]);
    const content = 'Geldbörse, кошелёк, 財布 und 👛 — zugezogen';
    const spent = await spentOn([{ content }]);
    const tokens = BigInt(encode(content).length);
    expect(spent - none).toBeGreaterThanOrEqual(tokens * STEPS.output);
    expect(spent - none).toBeLessThanOrEqual((tokens + 4n) * STEPS.output);
  });

  it('counts tool calls, refusals and thoughts', async () => {
    const none = await spentOn([{ content: '' }]);
    const spent = await spentOn([
      { reasoning_content: 'The city is Bern, so' },
      { tool_calls: [{ index: 0, id: 'call_1', function: { name: 'weather', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"city":"Bern"}' } }] },
      { refusal: 'I will not say more' },
    ]);
    const least = ['The city is Bern, so', 'weather', '{"city":"Bern"}', 'I will not say more'];
    const tokens = least.reduce((sum, text) => sum + BigInt(encode(text).length), 0n);
    expect(spent - none).toBeGreaterThanOrEqual(tokens * STEPS.output);
  });

  it('counts thinking that comes in parts, as with Mistral', async () => {
    // https://docs.mistral.ai/capabilities/reasoning/
    const text = 'Rain, perhaps, or snow that never settles';
    const none = await spentOn([{ content: '' }]);
    const spent = await spentOn([
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text }] }] },
    ]);
    expect(spent - none).toBeGreaterThanOrEqual(BigInt(encode(text).length) * STEPS.output);
  });

  it('counts long text in full', async () => {
    const word = ' purse'.repeat(10_000);
    const spent = await leave([{ content: word }, { content: word }], {
      max_completion_tokens: 100_000,
    });
    const [charge] = await spent.charges();
    expect(charge?.amounts.tokens).toBeGreaterThanOrEqual(20_000);
    expect(charge?.amounts.tokens).toBeLessThan(20_200);
  });

  it('is charged more than was held only where more was seen', async () => {
    const charged = async (words: number): Promise<readonly [number, number]> => {
      const content = 'purse strings '.repeat(words);
      const ledger = await leave([{ content }], { max_completion_tokens: 200 });
      const [charge] = await ledger.charges();
      return [charge?.amounts.usd ?? 0, charge?.held?.usd ?? 0];
    };
    const [within, held] = await charged(90);
    expect(within).toBeLessThanOrEqual(held);
    const [beyond] = await charged(400);
    expect(steps(beyond)).toBeGreaterThanOrEqual(800n * STEPS.output);
  });

  it('counts bytes where the tokens of the model are not known', async () => {
    const prices: PriceBook = { 'llama-x': { usdPerMillion: { input: 2.5, output: 10 } } };
    const content = 'Geldbörse 財布 👛';
    const bytes = BigInt(Buffer.byteLength(content));
    const spent = async (deltas: object[]): Promise<bigint> => {
      const ledger = await leave(deltas, { model: 'llama-x' }, { ...RELEASE, prices });
      return steps((await ledger.charges())[0]?.amounts.usd ?? 0);
    };
    const none = await spent([{ content: '' }]);
    expect((await spent([{ content }])) - none).toBe(bytes * STEPS.output);
  });

  it('gives the rest back for a stream that is cut or aborted, and never undercharges', async () => {
    const bench = await openBench({ meter: RELEASE, answer: () => ({ cutAfterChunks: 7 }) });
    const read = async (controller?: AbortController): Promise<void> => {
      const stream = await bench.openai.chat.completions.create(
        askStreamed({ max_completion_tokens: 4_000 }),
        controller === undefined ? {} : { signal: controller.signal },
      );
      for await (const part of stream) {
        if (part.choices[0]?.delta.content) controller?.abort();
      }
    };
    await rejection(read());
    await expectCounted(bench, 1);
    await read(new AbortController()).catch(() => undefined);
    await until(async () => (await bench.charges()).length === 2);
    await expectCounted(bench, 2);
  });

  it('still charges what its usage says, once that has come', async () => {
    const bench = await openBench({ meter: RELEASE });
    for await (const _part of await bench.openai.chat.completions.create(askStreamed()));
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('charges the hold of an answer that is no stream and was lost', async () => {
    const bench = await openBench({ meter: RELEASE, answer: () => ({ cut: 'before-headers' }) });
    await rejection(bench.openai.chat.completions.create(ask()));
    const [charge] = await bench.charges();
    expect(charge?.amounts).toEqual(charge?.held);
  });
});

async function expectCounted(bench: Bench, charges: number): Promise<void> {
  await bench.provider.idle();
  const all = await bench.charges();
  expect(all).toHaveLength(charges);
  for (const { amounts, held } of all) {
    expect(amounts.usd).toBeLessThan((held?.usd ?? 0) / 10);
  }
  expect(await bench.spentSteps()).toBeGreaterThanOrEqual(billedSteps(bench.provider));
  expect(await bench.heldSteps()).toBe(0n);
}

describe('`unmetered`', () => {
  const spy = (): { urls: string[]; fetch: typeof fetch } => {
    const urls: string[] = [];
    return {
      urls,
      fetch: (input) => {
        urls.push(input instanceof Request ? input.url : String(input));
        return Promise.resolve(Response.json({}));
      },
    };
  };
  const video = 'https://api.openai.com/v1/videos';
  const odd = 'https://llm.example.com/v1/rerank';
  const post = { method: 'POST', body: '{"model":"sora-2"}' };

  it('lets out what nobody understands, if allowed', async () => {
    const { purse } = await openBench();
    const sent = spy();
    const metered = meteredFetch(purse, { fetch: sent.fetch, unmetered: 'allow' });
    expect((await metered(video, post)).status).toBe(200);
    expect((await metered(odd, post)).status).toBe(200);
    expect(sent.urls).toEqual([video, odd]);
  });

  it('asks a function for each request', async () => {
    const { purse } = await openBench();
    const sent = spy();
    const asked: string[] = [];
    const metered = meteredFetch(purse, {
      fetch: sent.fetch,
      unmetered: ({ method, url }) => {
        asked.push(`${method} ${url.href}`);
        return url.host === 'llm.example.com';
      },
    });
    expect((await metered(video, post)).status).toBe(400);
    expect((await metered(odd, post)).status).toBe(200);
    expect((await metered('https://api.openai.com/v1/models')).status).toBe(200);
    expect(asked).toEqual([`POST ${video}`, `POST ${odd}`]);
    expect(sent.urls).toEqual([odd, 'https://api.openai.com/v1/models']);
  });

  it('does not let out a call that is metered', async () => {
    const bench = await openBench({
      limits: [{ name: 'all', cap: { usd: 0.0001 } }],
      meter: { unmetered: 'allow' },
    });
    expect(await rejection(bench.openai.chat.completions.create(ask()))).toMatchObject({
      status: 402,
    });
    expect(bench.provider.requests).toBe(0);
  });

  it.each(['maybe', 1, null])('is not %s', async (unmetered) => {
    const { purse } = await openBench();
    expect(() => meteredFetch(purse, { unmetered: unmetered as 'deny' })).toThrow(
      InvalidOptionError,
    );
  });
});

describe('`prices` as a function', () => {
  it('is asked at each call, and a new book counts from the next', async () => {
    let book: PriceBook = { mine: { usdPerMillion: { input: 1, output: 2 } } };
    const bench = await openBench({
      meter: { prices: () => book },
      answer: () => ({ promptTokens: 10, completionTokens: 5 }),
    });
    const spent = async (): Promise<bigint> => {
      const before = await bench.spentSteps();
      await bench.openai.chat.completions.create(ask({ model: 'mine' }));
      return (await bench.spentSteps()) - before;
    };
    expect(await spent()).toBe(10n * 100n + 5n * 200n);
    expect(await spent()).toBe(10n * 100n + 5n * 200n);
    book = { mine: { usdPerMillion: { input: 3, output: 4 } } };
    expect(await spent()).toBe(10n * 300n + 5n * 400n);
    book = {};
    expect(await rejection(spent())).toMatchObject({ code: 'price_unknown' });
  });

  it('refuses a call whose book is none, and sends nothing', async () => {
    let book: PriceBook = {};
    const bench = await openBench({ meter: { prices: () => book } });
    book = { 'gpt-4o': { usdPerMillion: { input: -1, output: 2 } } };
    await rejection(bench.openai.chat.completions.create(ask()));
    expect(bench.provider.requests).toBe(0);
    expect(await bench.heldSteps()).toBe(0n);
  });
});
