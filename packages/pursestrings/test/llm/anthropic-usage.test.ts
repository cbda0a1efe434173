import { describe, expect, it } from 'vitest';

import { openPurse } from '../../src/purse.ts';
import { meteredFetch, readUsage } from '../../src/llm/index.ts';
import { steps } from './fixture.ts';

/**
 * USD per million tokens, in hundredths, of https://platform.claude.com/docs/en/about-claude/pricing
 * as of 2026-11-22. A hundredth of a dollar a million tokens is one step of 1e-8 USD a token.
 */
const HAIKU_4_5 = { input: 100n, write5m: 125n, write1h: 200n, read: 10n, output: 500n };
const OPUS_5_5 = { input: 400n, write5m: 500n, write1h: 800n, read: 20n, output: 2_000n };
/** The table has 30 cents for reading the cache, and twice the input past 200,000 tokens. */
const SONNET_4_5 = { input: 300n, write5m: 375n, write1h: 600n, read: 30n, output: 1_500n };
const SONNET_4_5_LONG = { input: 600n, write5m: 750n, write1h: 1_200n, read: 60n, output: 2_250n };
/** USD 10 for 1,000 searches. */
const SEARCH = 1_000_000n;

/** Sums in whole steps; the fractions of a step that tiers make are rounded up once. */
function bill(
  rates: typeof HAIKU_4_5,
  tokens: Partial<Record<keyof typeof HAIKU_4_5, bigint>>,
  times: readonly [bigint, bigint] = [1n, 1n],
): bigint {
  let sum = 0n;
  for (const kind of Object.keys(rates) as (keyof typeof HAIKU_4_5)[]) {
    sum += (tokens[kind] ?? 0n) * rates[kind];
  }
  return (sum * times[0] + times[1] - 1n) / times[1];
}

/** A usage as the API has reported it, in the shape of November 2026. */
const RECORDED = {
  input_tokens: 412,
  cache_creation_input_tokens: 2_148,
  cache_read_input_tokens: 18_211,
  cache_creation: { ephemeral_5m_input_tokens: 1_048, ephemeral_1h_input_tokens: 1_100 },
  output_tokens: 893,
  output_tokens_details: { thinking_tokens: 512 },
  server_tool_use: { web_search_requests: 3, web_fetch_requests: 2 },
  service_tier: 'standard',
  inference_geo: 'global',
  speed: 'standard',
};
const TOKENS = { input: 412n, write5m: 1_048n, write1h: 1_100n, read: 18_211n, output: 893n };

const SEARCHING = { tools: [{ type: 'web_search_20260318', name: 'web_search', max_uses: 5 }] };

interface Case {
  readonly what: string;
  readonly model: string;
  readonly request?: object;
  readonly usage: object;
  readonly cost: bigint;
}

const CASES: readonly Case[] = [
  {
    what: 'cached, cache-writing, thinking tokens and searches',
    model: 'claude-haiku-4-5-20251001',
    request: SEARCHING,
    usage: RECORDED,
    cost: bill(HAIKU_4_5, TOKENS) + 3n * SEARCH,
  },
  {
    what: 'nothing but text, and no word of tools',
    model: 'claude-haiku-4-5',
    usage: { input_tokens: 12, output_tokens: 3 },
    cost: bill(HAIKU_4_5, { input: 12n, output: 3n }),
  },
  {
    what: 'no search, though searches were allowed',
    model: 'claude-haiku-4-5',
    request: SEARCHING,
    usage: { ...RECORDED, server_tool_use: null },
    cost: bill(HAIKU_4_5, TOKENS),
  },
  {
    what: 'inference in the US',
    model: 'claude-opus-5-5',
    request: { inference_geo: 'us' },
    usage: { ...RECORDED, inference_geo: 'us', server_tool_use: null },
    cost: bill(OPUS_5_5, TOKENS, [11n, 10n]),
  },
  {
    what: 'fast mode',
    model: 'claude-opus-5-5',
    request: { speed: 'fast' },
    usage: { ...RECORDED, speed: 'fast', server_tool_use: null },
    cost: bill(OPUS_5_5, TOKENS, [2n, 1n]),
  },
  {
    what: 'fast mode in the US, with searches at their own price',
    model: 'claude-opus-5-5',
    request: { speed: 'fast', inference_geo: 'us', ...SEARCHING },
    usage: { ...RECORDED, speed: 'fast', inference_geo: 'us' },
    cost: bill(OPUS_5_5, TOKENS, [22n, 10n]) + 3n * SEARCH,
  },
  {
    what: 'fast mode in the US asked for, and no word of either in the answer',
    model: 'claude-opus-5-5',
    request: { speed: 'fast', inference_geo: 'us' },
    usage: { input_tokens: 412, output_tokens: 893, service_tier: 'standard' },
    cost: bill(OPUS_5_5, { input: 412n, output: 893n }, [22n, 10n]),
  },
  {
    what: 'fast mode asked for, standard speed given',
    model: 'claude-opus-5-5',
    request: { speed: 'fast' },
    usage: { ...RECORDED, server_tool_use: null },
    cost: bill(OPUS_5_5, TOKENS),
  },
  {
    what: 'priority capacity at the standard rate',
    model: 'claude-haiku-4-5',
    usage: { ...RECORDED, service_tier: 'priority', inference_geo: 'not_available' },
    cost: bill(HAIKU_4_5, TOKENS) + 3n * SEARCH,
  },
  {
    what: 'a place that the request did not name',
    model: 'claude-opus-5-5',
    request: { max_tokens: 100_000 },
    usage: { ...RECORDED, inference_geo: 'us', server_tool_use: null },
    cost: bill(OPUS_5_5, TOKENS, [11n, 10n]),
  },
  {
    what: 'a long context, counted with what is cached',
    model: 'claude-sonnet-4-5',
    usage: { ...RECORDED, cache_read_input_tokens: 198_211, server_tool_use: null },
    cost: bill(SONNET_4_5_LONG, { ...TOKENS, read: 198_211n }),
  },
  {
    what: 'a context just as long as the threshold',
    model: 'claude-sonnet-4-5',
    usage: { ...RECORDED, cache_read_input_tokens: 197_440, server_tool_use: null },
    cost: bill(SONNET_4_5, { ...TOKENS, read: 197_440n }),
  },
  {
    what: 'steps that summed the conversation up, which lie beside the usage',
    model: 'claude-haiku-4-5',
    usage: {
      ...RECORDED,
      server_tool_use: null,
      iterations: [
        {
          type: 'compaction',
          input_tokens: 1_000,
          output_tokens: 300,
          cache_read_input_tokens: 200,
          cache_creation_input_tokens: 40,
          cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 0 },
        },
        { ...RECORDED, type: 'message', model: null },
      ],
    },
    cost:
      bill(HAIKU_4_5, TOKENS) +
      bill(HAIKU_4_5, { input: 1_000n, output: 300n, read: 200n, write5m: 40n }),
  },
  {
    what: 'cache writes that are not told apart, at the dearest the request may write',
    model: 'claude-haiku-4-5',
    request: { cache_control: { type: 'ephemeral', ttl: '1h' } },
    usage: { input_tokens: 5, output_tokens: 5, cache_creation_input_tokens: 70 },
    cost: bill(HAIKU_4_5, { input: 5n, output: 5n, write1h: 70n }),
  },
];

const URL = 'https://api.anthropic.com/v1/messages';

/** The cost of one call, as it was charged, and what was held for it. */
async function charged(
  request: object,
  response: () => Response,
): Promise<{ readonly cost: bigint; readonly held: bigint }> {
  const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 1_000 } }] });
  const metered = meteredFetch(purse, { fetch: () => Promise.resolve(response()) });
  const answer = await metered(URL, { method: 'POST', body: JSON.stringify(request) });
  expect(answer.status).toBe(200);
  await answer.text();
  for await (const { amounts, held } of purse.journal()) {
    await purse.close();
    return { cost: steps(amounts.usd ?? 0), held: steps(held?.usd ?? 0) };
  }
  throw new Error('Nothing was charged');
}

function requestOf({ model, request }: Case): object {
  const messages = [{ role: 'user', content: 'x' }];
  return { model, max_tokens: 4_000, messages, ...request };
}

function events(model: string, { start, last }: { start: object; last: object }): string {
  const list = [
    { type: 'message_start', message: { id: 'msg_1', type: 'message', model, usage: start } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hello' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: last },
    { type: 'message_stop' },
  ];
  return list.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
}

function sse(text: string): Response {
  return new Response(text, { headers: { 'content-type': 'text/event-stream' } });
}

describe('the price of an answer', () => {
  it.each(CASES)('$what', async (one) => {
    const body = { type: 'message', model: one.model, content: [], usage: one.usage };
    expect((await charged(requestOf(one), () => Response.json(body))).cost).toBe(one.cost);
  });

  it.each(CASES)('streamed: $what', async (one) => {
    const {
      service_tier: _tier,
      inference_geo: _geo,
      speed: _speed,
      cache_creation: _kept,
      ...last
    } = one.usage as Record<string, unknown>;
    const start = { ...one.usage, output_tokens: 1, server_tool_use: null, iterations: null };
    const text = events(one.model, { start, last });
    expect((await charged({ ...requestOf(one), stream: true }, () => sse(text))).cost).toBe(
      one.cost,
    );
  });

  it('counts the searches that are seen where the usage does not say', async () => {
    const request = { model: 'claude-haiku-4-5', max_tokens: 4_000, messages: [], ...SEARCHING };
    const search = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} };
    const usage = { input_tokens: 12, output_tokens: 3 };
    const body = { type: 'message', model: 'claude-haiku-4-5', content: [search, search], usage };
    const cost = bill(HAIKU_4_5, { input: 12n, output: 3n }) + 2n * SEARCH;
    expect((await charged(request, () => Response.json(body))).cost).toBe(cost);
    const start = events('claude-haiku-4-5', { start: usage, last: usage });
    const block = { type: 'content_block_start', index: 1, content_block: search };
    const seen = start.replace('event: ping', `data: ${JSON.stringify(block)}\n\nevent: ping`);
    expect((await charged({ ...request, stream: true }, () => sse(seen))).cost).toBe(
      bill(HAIKU_4_5, { input: 12n, output: 3n }) + SEARCH,
    );
  });

  it('is read by readUsage from an answer or its usage alone', () => {
    const usage = {
      inputTokens: 20_771,
      outputTokens: 893,
      cachedInputTokens: 18_211,
      cacheWriteTokens: 2_148,
      cacheWrite1hTokens: 1_100,
      reasoningTokens: 512,
      pieces: { web_searches: 3 },
      serviceTier: 'standard',
    };
    expect(readUsage(RECORDED)).toEqual(usage);
    expect(readUsage({ type: 'message', usage: RECORDED })).toEqual(usage);
  });
});

describe('an answer whose cost cannot be known', () => {
  const request = { model: 'claude-haiku-4-5', max_tokens: 50, messages: [] };
  const fine = { input_tokens: 10, output_tokens: 5 };

  it.each([
    null,
    {},
    { input_tokens: 10 },
    { output_tokens: 5 },
    { ...fine, input_tokens: -10 },
    { ...fine, input_tokens: '10' },
    { ...fine, output_tokens: 1.5 },
    { ...fine, output_tokens: null },
    { ...fine, cache_read_input_tokens: 'many' },
    { ...fine, cache_creation_input_tokens: -1 },
    { ...fine, cache_creation: { ephemeral_1h_input_tokens: {} } },
    { ...fine, server_tool_use: { web_search_requests: -2 } },
    { ...fine, iterations: [{ type: 'compaction' }] },
    { input_tokens: 0, output_tokens: 0 },
  ])('charges the hold for the usage %j', async (usage) => {
    const body = { type: 'message', model: 'claude-haiku-4-5', content: [], usage };
    const whole = await charged(request, () => Response.json(body));
    expect(whole.cost).toBe(whole.held);
    const text = events('claude-haiku-4-5', { start: usage ?? {}, last: usage ?? {} });
    const streamed = await charged({ ...request, stream: true }, () => sse(text));
    expect(streamed.cost).toBe(streamed.held);
  });

  it('never counts less than the start of the stream told', async () => {
    const start = { ...fine, cache_read_input_tokens: 90 };
    const last = { input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 7 };
    const text = events('claude-haiku-4-5', { start, last });
    expect((await charged({ ...request, stream: true }, () => sse(text))).cost).toBe(
      bill(HAIKU_4_5, { input: 10n, read: 90n, output: 7n }),
    );
  });

  it.each([
    ['no usage at the end', /event: message_delta[^]*$/, ''],
    ['an error in its place', /event: message_stop[^]*$/, 'data: {"type":"error","error":{}}\n\n'],
    ['no reason to stop', /"stop_reason":"end_turn"/, '"stop_reason":null'],
  ])('charges the hold for a stream with %s', async (_what, part, instead) => {
    const text = events('claude-haiku-4-5', { start: fine, last: fine }).replace(part, instead);
    const cut = text.includes('"stop_reason":null')
      ? text.replace(/event: message_stop[^]*$/, '')
      : text;
    const { cost, held } = await charged({ ...request, stream: true }, () => sse(cut));
    expect(cost).toBe(held);
  });

  it('charges the hold when a fallback model answered, which has its own price', async () => {
    const fallbacks = [{ model: 'claude-opus-5-5' }];
    const asking = { ...request, model: 'claude-fable-5-1', fallbacks };
    const answered = (model: string, usage: object): Promise<{ cost: bigint; held: bigint }> =>
      charged(asking, () => Response.json({ type: 'message', model, content: [], usage }));
    const other = await answered('claude-opus-5-5', fine);
    expect(other.cost).toBe(other.held);
    const mixed = await answered('claude-fable-5-1', {
      ...fine,
      iterations: [{ ...fine, type: 'fallback_message', model: 'claude-opus-5-5' }],
    });
    expect(mixed.cost).toBe(mixed.held);
    // Fable 5.1: USD 10 and 50.
    expect((await answered('claude-fable-5-1', fine)).cost).toBe(10n * 1_000n + 5n * 5_000n);
  });

  it('leaves the usages of others to them', () => {
    expect(
      readUsage({ object: 'response', usage: { ...fine, total_tokens: 15 } }),
    ).not.toMatchObject({ serviceTier: 'standard' });
    expect(readUsage({ prompt_tokens: 4, completion_tokens: 2 })).toMatchObject({ inputTokens: 4 });
  });
});
