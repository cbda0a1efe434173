import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { estimateCall, meteredFetch } from '../../src/llm/index.ts';
import { anthropicMessages } from '../../src/llm/providers/anthropic/messages.ts';
import { recognise } from '../../src/llm/providers/index.ts';
import type { CallShape, JsonObject } from '../../src/llm/providers/provider.ts';
import { openPurse } from '../../src/purse.ts';
import { say } from './anthropic-fixture.ts';
import { steps } from './fixture.ts';

const URL_OF_MESSAGES = 'https://api.anthropic.com/v1/messages';

function shapeOf(more: Readonly<Record<string, unknown>>): CallShape {
  const body = { ...say(more) } as unknown as JsonObject;
  const shape = anthropicMessages.readCall(body, new URL(URL_OF_MESSAGES));
  if (shape === null) throw new Error('It was not read');
  return shape;
}

function unboundedOf(more: Readonly<Record<string, unknown>>): string | null {
  const body = { ...say(more) } as unknown as JsonObject;
  return anthropicMessages.boundInput(body, shapeOf(more), JSON.stringify(body)).unbounded;
}

/** A request's answer, by its status and its message. */
async function answerTo(url: string, body: object): Promise<{ status: number; text: string }> {
  const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 1_000 } }] });
  const metered = meteredFetch(purse, { fetch: () => Promise.resolve(Response.json({})) });
  const response = await metered(url, { method: 'POST', body: JSON.stringify(body) });
  const text = await response.text();
  await purse.close();
  return { status: response.status, text };
}

describe('routes', () => {
  it.each([
    ['POST', 'https://api.anthropic.com/v1/messages', 'metered'],
    ['POST', 'https://api.anthropic.com/v1/messages?beta=true', 'metered'],
    ['POST', 'https://proxy.example/anthropic/v1/messages', 'metered'],
    ['POST', 'https://resource.services.ai.azure.com/anthropic/v1/messages', 'metered'],
    ['POST', 'http://127.0.0.1:1/v1/messages/', 'metered'],
    ['POST', 'https://api.anthropic.com/v1/messages/count_tokens', 'free'],
    ['POST', 'https://api.anthropic.com/v1/messages/batches', 'metered'],
    ['GET', 'https://api.anthropic.com/v1/messages/batches', 'free'],
    ['GET', 'https://api.anthropic.com/v1/messages/batches/msgbatch_1', 'result'],
    ['GET', 'https://api.anthropic.com/v1/messages/batches/msgbatch_1/results', 'result'],
    ['POST', 'https://api.anthropic.com/v1/messages/batches/msgbatch_1/cancel', 'free'],
    ['DELETE', 'https://api.anthropic.com/v1/messages/batches/msgbatch_1', 'free'],
    ['GET', 'https://api.anthropic.com/v1/models', 'free'],
    ['GET', 'https://api.anthropic.com/v1/files/file_1/content', 'free'],
    ['POST', 'https://api.anthropic.com/v1/files', 'free'],
  ])('%s %s is %s', (method, url, route) => {
    expect(recognise(method, new URL(url))?.route).toBe(route);
  });

  it.each([
    ['https://api.anthropic.com/v1/complete', { prompt: 'x', model: 'claude-2' }],
    ['https://api.anthropic.com/v1/sessions', {}],
    [
      'https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-5:rawPredict',
      { messages: [] },
    ],
    [
      'https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-5:streamRawPredict',
      { messages: [] },
    ],
    ['https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude/invoke', {}],
  ])('%s is refused by name', async (url, body) => {
    const { status, text } = await answerTo(url, body);
    expect(status).toBe(400);
    expect(text).toContain('would spend unmetered');
    expect(text).toContain(new URL(url).pathname);
  });

  it('reads a body without a URL only where it can be nothing else', () => {
    const read = (body: object): CallShape | null =>
      anthropicMessages.readCall(body as JsonObject, null);
    const messages = [{ role: 'user', content: 'x' }];
    expect(read(say())?.model).toBe('claude-haiku-4-5');
    expect(read({ model: 'm', max_tokens: 5, messages, system: 'Be kind' })?.model).toBe('m');
    expect(read({ model: 'm', max_tokens: 5, messages })).toBeNull();
    expect(read({ model: 'claude-x', messages })).toBeNull();
    expect(read({ model: 'claude-x', max_tokens: 5, messages, response_format: {} })).toBeNull();
  });
});

describe('what a request may cost', () => {
  it('reads tiers, cache marks and pieces', () => {
    expect(shapeOf({})).toMatchObject({
      serviceTier: null,
      cacheWrites: 'none',
      outputCap: 50,
      extraOutputTokens: 0,
      pieces: {},
    });
    expect(shapeOf({ max_tokens: 0 }).outputCap).toBe(0);
    expect(shapeOf({ thinking: { type: 'adaptive' } }).cappable).toBe(true);
    expect(shapeOf({ thinking: { type: 'enabled', budget_tokens: 40 } }).cappable).toBe(false);
    expect(shapeOf({ service_tier: 'auto', inference_geo: 'global' }).serviceTier).toBeNull();
    expect(shapeOf({ speed: 'fast', inference_geo: 'us' }).serviceTier).toBe('fast+us');
    const mark = (ttl?: string): Readonly<Record<string, unknown>> => ({
      cache_control: { type: 'ephemeral', ttl },
    });
    const text = { type: 'text', text: 'x' };
    const nested = { type: 'tool_result', content: [{ ...text, ...mark('1h') }] };
    expect(shapeOf(mark()).cacheWrites).toBe('5m');
    expect(shapeOf(mark('1h')).cacheWrites).toBe('1h');
    expect(shapeOf({ system: [{ ...text, ...mark('5m') }] }).cacheWrites).toBe('5m');
    expect(shapeOf({ tools: [{ name: 't', ...mark('1h') }] }).cacheWrites).toBe('1h');
    expect(shapeOf({ messages: [{ role: 'user', content: [nested] }] }).cacheWrites).toBe('1h');
  });

  it('bounds the steps of server tools, each of which may write as much as the cap', () => {
    const search = { type: 'web_search_20250305', name: 'web_search' };
    expect(shapeOf({ tools: [{ ...search, max_uses: 2 }] })).toMatchObject({
      pieces: { web_searches: 2 },
      outputCap: 50,
      extraOutputTokens: 100,
      cacheWrites: '5m',
    });
    expect(shapeOf({ tools: [search] })).toMatchObject({
      pieces: { web_searches: 100 },
      extraOutputTokens: 450,
    });
    expect(shapeOf({ mcp_servers: [{ type: 'url' }] }).extraOutputTokens).toBe(450);
  });

  it('refuses by name what has no price', async () => {
    const code = { type: 'code_execution_20260521', name: 'code_execution' };
    const advisor = { type: 'advisor_20260301', name: 'advisor', model: 'claude-opus-5' };
    const newer = { type: 'web_fetch_20260318', name: 'web_fetch' };
    expect(shapeOf({ tools: [code, newer] }).pieces).toEqual({});
    for (const [more, name] of [
      [{ tools: [code] }, 'code_executions'],
      [{ tools: [advisor] }, 'advisor_calls'],
      [{ fallbacks: 'default' }, 'default_fallbacks'],
      [{ inference_geo: 'atlantis' }, 'atlantis'],
      [{ speed: 'fast' }, 'fast'],
      [{ fallbacks: [{ model: 'claude-unheard-of' }] }, 'claude-unheard-of'],
    ] as const) {
      const { status, text } = await answerTo(URL_OF_MESSAGES, say(more));
      expect(status).toBe(400);
      expect(text).toContain(name);
    }
  });

  it('holds a call with fallbacks at the dearest model, once for each', async () => {
    const alone = await estimateCall(say({ model: 'claude-fable-5-1' }));
    const fallbacks = [{ model: 'claude-fable-5-1', max_tokens: 100 }];
    const both = await estimateCall(say({ fallbacks }), { url: URL_OF_MESSAGES });
    expect(both.outputTokens).toBe(200);
    expect(both.usd).toBeGreaterThan(alone.usd * 2);
    expect(both.inputTokens).toBeGreaterThan(alone.inputTokens * 2);
  });

  it('caps every model that may answer, and raises no cap', () => {
    const body = say({
      fallbacks: [{ model: 'a', max_tokens: 900 }, { model: 'b', max_tokens: 20 }, { model: 'c' }],
    }) as unknown as JsonObject;
    expect(anthropicMessages.rewrite(body, { outputCap: 300 }, null)).toEqual({
      ...body,
      fallbacks: [{ model: 'a', max_tokens: 300 }, { model: 'b', max_tokens: 20 }, { model: 'c' }],
    });
    expect(anthropicMessages.rewrite(body, { outputCap: 30 }, null).max_tokens).toBe(30);
    const { max_tokens: _cap, ...uncapped } = body;
    expect(anthropicMessages.rewrite(uncapped, { outputCap: 30 }, null).max_tokens).toBe(30);
    expect(anthropicMessages.rewrite(body, {}, null)).toBe(body);
  });

  it('names input whose size the request does not tell', () => {
    const content = (block: object): object => ({ messages: [{ role: 'user', content: [block] }] });
    const pdf = { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' };
    for (const more of [
      content({ type: 'document', source: pdf }),
      content({ type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } }),
      content({ type: 'document', source: { type: 'file', file_id: 'file_1' } }),
      content({ type: 'container_upload', file_id: 'file_1' }),
      content({ type: 'tool_result', content: [{ type: 'document', source: pdf }] }),
      { tools: [{ type: 'web_fetch_20250910', name: 'web_fetch' }] },
      { tools: [{ type: 'tool_search_tool_bm25', name: 't' }] },
      { mcp_servers: [{ type: 'url', url: 'https://mcp.example', name: 'm' }] },
      { container: { skills: [] } },
      { thread: { type: 'continue', previous_message_id: 'msg_1' } },
      { context_management: { edits: [{ type: 'compact_20260112' }] } },
    ]) {
      expect(unboundedOf(more as Record<string, unknown>)).not.toBeNull();
    }
    for (const more of [
      {},
      { thread: { type: 'create' } },
      { context_management: { edits: [{ type: 'clear_tool_uses_20250919' }] } },
      {
        tools: [
          { type: 'bash_20250124', name: 'bash' },
          { name: 'mine', input_schema: {} },
        ],
      },
      content({ type: 'document', source: { type: 'text', data: 'x' } }),
      content({ type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } }),
    ]) {
      expect(unboundedOf(more as Record<string, unknown>)).toBeNull();
    }
  });

  it('does not count the data of an image as text', async () => {
    const image = (data: string): object => ({
      messages: [
        {
          role: 'user',
          content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }],
        },
      ],
    });
    const small = await estimateCall(say(image('AAAA') as Record<string, unknown>));
    const large = await estimateCall(say(image('A'.repeat(400_000)) as Record<string, unknown>));
    expect(large.inputTokens).toBe(small.inputTokens);
    expect(small.inputTokens).toBeGreaterThan(1_600);
  });
});

/**
 * Steps of 1e-8 USD a token, as https://platform.claude.com/docs/en/about-claude/pricing lists them,
 * 2026-11-22.
 */
const LISTED = {
  'claude-haiku-4-5': { write5m: 125n, write1h: 200n, output: 500n, image: 1_600 },
  'claude-opus-5-5': { write5m: 500n, write1h: 800n, output: 2_000n, image: 4_784 },
  'claude-fable-5-1': { write5m: 1_250n, write1h: 2_000n, output: 5_000n, image: 4_784 },
} as const;

const word: fc.Arbitrary<string> = fc.string({ unit: 'grapheme', maxLength: 60 });
const block: fc.Arbitrary<object> = fc.oneof(
  word.map((text) => ({ type: 'text', text })),
  fc.constant({ type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } }),
  word.map((data) => ({
    type: 'document',
    source: { type: 'text', media_type: 'text/plain', data },
  })),
  word.map((content) => ({ type: 'tool_result', tool_use_id: 'toolu_1', content })),
);
const tool: fc.Arbitrary<object> = fc.record({
  name: word,
  description: word,
  input_schema: fc.constant({ type: 'object', properties: {} }),
});

/** Every text in a value, whatever its place. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap((part) => textsOf(part));
}

describe('an estimate', () => {
  it('is never under the bill, though every byte be a token and all be kept an hour', async () => {
    const request = fc.record({
      model: fc.constantFrom(...(Object.keys(LISTED) as (keyof typeof LISTED)[])),
      max_tokens: fc.nat({ max: 5_000 }),
      messages: fc.array(
        fc.record({ role: fc.constant('user'), content: fc.array(block, { maxLength: 5 }) }),
        { minLength: 1, maxLength: 4 },
      ),
      tools: fc.array(tool, { maxLength: 3 }),
      system: word,
      cache_control: fc.constantFrom(undefined, { type: 'ephemeral' }, { ttl: '1h' }),
    });
    await fc.assert(
      fc.asyncProperty(request, async (body) => {
        const rates = LISTED[body.model];
        const contents = body.messages.flatMap(({ content }) => content);
        const images = contents.filter((part) => 'type' in part && part.type === 'image').length;
        const told = [body.system, ...textsOf(contents), ...textsOf(body.tools)];
        const tokens =
          told.reduce((sum, text) => sum + Buffer.byteLength(text), 0) +
          images * rates.image +
          body.messages.length * 8 +
          (body.tools.length > 0 ? 804 : 0);
        const { ttl } = (body.cache_control ?? {}) as { ttl?: string };
        const rate =
          body.cache_control === undefined
            ? rates.write5m - rates.write5m / 5n
            : ttl === '1h'
              ? rates.write1h
              : rates.write5m;
        const bill = BigInt(tokens) * rate + BigInt(body.max_tokens) * rates.output;
        const { usd } = await estimateCall(body, { url: URL_OF_MESSAGES });
        expect(steps(usd)).toBeGreaterThanOrEqual(bill);
      }),
      { numRuns: 200 },
    );
  });
});
