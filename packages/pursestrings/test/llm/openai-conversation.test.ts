import fc from 'fast-check';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';

import { PriceUnknownError } from '../../src/errors.ts';
import { estimateCall } from '../../src/llm/index.ts';
import {
  rememberedItem,
  rememberedTokens,
  rememberItems,
  rememberResponse,
} from '../../src/llm/providers/openai/responses-memory.ts';
import { rejection } from './fixture.ts';
import { openOpenaiBench } from './openai-fixture.ts';

const NO_SPECIALS = { disallowedSpecial: new Set<string>() };
const ASKED = { model: 'gpt-5', max_output_tokens: 50 };

describe('the estimate of a response', () => {
  it('is never under the bill, whatever is asked', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.lorem({ maxCount: 80 }),
      fc.constantFrom('<|endoftext|>', '日本語'.repeat(80), '\n'.repeat(300)),
    );
    const item = fc.oneof(
      text.map((content) => ({ role: 'user', content })),
      text.map((said) => ({ role: 'user', content: [{ type: 'input_text', text: said }] })),
      text.map((output) => ({ type: 'function_call_output', call_id: 'c', output })),
    );
    const tokens = (value: unknown): number =>
      typeof value === 'string'
        ? countTokens(value, NO_SPECIALS)
        : Object.values(value as object).reduce<number>((sum, each) => sum + tokens(each), 0);
    await fc.assert(
      fc.asyncProperty(fc.array(item, { maxLength: 4 }), text, async (input, instructions) => {
        const real = tokens(input) + countTokens(instructions, NO_SPECIALS) + 4 * input.length + 3;
        const small = await estimateCall({ ...ASKED, input, instructions });
        expect(small.inputTokens).toBeGreaterThanOrEqual(real - 3 * input.length);
        const padding = { role: 'user', content: 'padding '.repeat(2_000) };
        const long = await estimateCall({ ...ASKED, input: [...input, padding], instructions });
        expect(long.counted).toBe(true);
        expect(long.inputTokens).toBeGreaterThanOrEqual(real + 2_000 - 3 * input.length);
        expect(long.outputTokens).toBe(50);
      }),
      { numRuns: 40 },
    );
  });

  it.each([
    ['a stored prompt', { prompt: { id: 'pmpt_1' } }],
    ['a conversation', { conversation: 'conv_1' }],
    ['an earlier response', { previous_response_id: 'resp_never_seen' }],
    ['a referred item', { input: [{ type: 'item_reference', id: 'msg_never_seen' }] }],
    ['a referred item without a type', { input: [{ id: 'msg_never_seen' }] }],
    ['reasoning by its id', { input: [{ type: 'reasoning', id: 'rs_never_seen', summary: [] }] }],
    ['a compaction', { input: [{ type: 'compaction', encrypted_content: 'abc' }] }],
    ['a file', { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }] }],
    ['an odd part', { input: [{ role: 'user', content: [{ type: 'input_smell' }] }] }],
    ['an odd item', { input: [{ type: 'telepathy' }] }],
    ['a search', { tools: [{ type: 'web_search' }], max_tool_calls: 1 }],
    ['another server', { tools: [{ type: 'mcp', server_label: 'x', server_url: 'https://x' }] }],
  ])('is the whole window for %s', async (_name, more) => {
    const { inputTokens } = await estimateCall({ ...ASKED, input: 'x', ...more });
    expect(inputTokens).toBe(400_000);
  });

  it('counts images by their detail, not by their data', async () => {
    const url = `data:image/png;base64,${'A'.repeat(90_000)}`;
    const estimate = async (model: string, detail: string): Promise<number> => {
      const content = [{ type: 'input_image', image_url: url, detail }];
      const asked = { ...ASKED, model, input: [{ role: 'user', content }] };
      return (await estimateCall(asked)).inputTokens;
    };
    // https://developers.openai.com/api/docs/guides/images-vision, 2026-11-22.
    for (const [model, detail, least] of [
      ['gpt-4o', 'low', 85],
      ['gpt-4o', 'high', 1_445],
      ['gpt-5.6-sol', 'high', 3_000],
      // A picture of 12 megapixels in its original detail.
      ['gpt-6-astra', 'auto', 14_364],
    ] as const) {
      const tokens = await estimate(model, detail);
      expect(tokens).toBeGreaterThanOrEqual(least);
      expect(tokens).toBeLessThan(80_000);
    }
    const screen = { type: 'computer_screenshot', image_url: url };
    const output = { type: 'computer_call_output', call_id: 'c', output: screen };
    const { inputTokens } = await estimateCall({ ...ASKED, input: [output] });
    expect(inputTokens).toBeLessThan(3_000);
  });

  it('holds for the searches that are allowed, or fifty, or what the output can ask for', async () => {
    const tools = [{ type: 'web_search' }];
    const usd = async (more: object): Promise<number> =>
      (await estimateCall({ model: 'gpt-5', input: 'x', tools, ...more })).usd;
    const capped = { max_output_tokens: 1_000 };
    const [one, three, fifty, few] = await Promise.all([
      usd({ ...capped, max_tool_calls: 1 }),
      usd({ ...capped, max_tool_calls: 3 }),
      usd(capped),
      usd({ max_output_tokens: 16 }),
    ]);
    expect(three - one).toBeCloseTo(0.02, 9);
    expect(fifty - one).toBeCloseTo(0.49, 9);
    expect(fifty - few).toBeCloseTo(0.34 + 984 * 10e-6, 9);
  });

  it.each([
    ['x_search', { type: 'x_search' }],
    ['image_generations', { type: 'image_generation' }],
    ['container_sessions', { type: 'code_interpreter', container: 'cntr_1' }],
  ])('refuses a tool without a price by name: %s', async (name, tool) => {
    const error = await rejection(estimateCall({ ...ASKED, input: 'x', tools: [tool] }));
    expect(error).toBeInstanceOf(PriceUnknownError);
    expect(String(error)).toContain(name);
  });
});

describe('tools with a price', () => {
  it('charges a container once, a search by its action, and a drawing by the piece', async () => {
    const prices = {
      'gpt-5': {
        usdPerMillion: { input: '1.25', output: 10 },
        contextWindow: 400_000,
        usdPerPiece: { container_sessions_4g: '0.12', image_generations: '0.2', web_searches: 1 },
      },
    };
    const call = { type: 'code_interpreter_call', container_id: 'cntr_1', code: '1', outputs: [] };
    const items = [call, call, { type: 'image_generation_call', id: 'ig_1', result: 'AAAA' }];
    const bench = await openOpenaiBench({
      meter: { prices },
      answer: () => ({ inputTokens: 100, text: 'a', items }),
    });
    await bench.openai.responses.create({
      ...ASKED,
      max_tool_calls: 5,
      input: 'Draw',
      tools: [
        { type: 'code_interpreter', container: { type: 'auto', memory_limit: '4g' } },
        { type: 'image_generation' },
        { type: 'web_search' },
      ],
    });
    // $0.12 for the container, $0.20 for the drawing, no search; tokens as the peer bills them.
    expect(await bench.spentSteps()).toBe(12_000_000n + 20_000_000n + bench.peer.steps);
  });

  it('adds the fixed block that each search costs with small models', async () => {
    const item = {
      type: 'web_search_call',
      id: 'ws',
      status: 'completed',
      action: { type: 'search' },
    };
    const usage = { input_tokens: 10, output_tokens: 1, total_tokens: 11 };
    const { meteredFetch } = await import('../../src/llm/index.ts');
    const bench = await openOpenaiBench();
    const tools = [{ type: 'web_search' }];
    const metered = meteredFetch(bench.purse, {
      fetch: () =>
        Promise.resolve(
          Response.json({
            id: 'resp_block',
            object: 'response',
            status: 'completed',
            model: 'gpt-4o-mini-2024-07-18',
            output: [item],
            tools,
            usage,
          }),
        ),
    });
    const body = JSON.stringify({ ...ASKED, model: 'gpt-4o-mini', input: 'x', tools });
    await metered('https://api.openai.com/v1/responses', { method: 'POST', body });
    // $0.15 and $0.60 a million, a cent for the search, 8,000 tokens for what it found.
    expect(await bench.spentSteps()).toBe(8_010n * 15n + 60n + 1_000_000n);
  });
});

describe('a conversation that continues', () => {
  it('is held for what it has become, and not for the whole window', async () => {
    const bench = await openOpenaiBench({
      answer: ({ body }) => ({
        inputTokens: body.previous_response_id === undefined ? 20 : 60,
        text: 'a b',
      }),
      // The whole window of gpt-5 costs half a dollar.
      limits: [{ name: 'all', cap: { usd: 0.01 } }],
    });
    const first = await bench.openai.responses.create({ ...ASKED, input: 'One' });
    const more = { ...ASKED, input: 'Two', previous_response_id: first.id };
    const second = await bench.openai.responses.create(more);
    const third = await bench.openai.responses.create({
      ...more,
      previous_response_id: second.id,
      stream: true,
    });
    let id = '';
    for await (const event of third) if ('response' in event) id = event.response.id;
    await bench.openai.responses.create({ ...more, previous_response_id: id });
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
    expect(bench.peer.billed).toBe(4);
    const other = { ...more, model: 'gpt-4o', previous_response_id: id };
    expect(await rejection(bench.openai.responses.create(other))).toMatchObject({ status: 402 });
    const unknown = { ...more, previous_response_id: 'resp_of_somebody_else' };
    expect(await rejection(bench.openai.responses.create(unknown))).toMatchObject({ status: 402 });
  });

  it('is forgotten when ten thousand others came after it', () => {
    rememberResponse('resp_first', 'gpt-5', 70);
    for (let other = 1; other < 10_000; other += 1) rememberResponse(`resp_${other}`, 'gpt-5', 5);
    expect(rememberedTokens('resp_first', 'gpt-5')).toBe(70);
    rememberResponse('resp_last', 'gpt-5', 5);
    expect(rememberedTokens('resp_first', 'gpt-5')).toBeNull();
    expect(rememberedTokens('resp_last', 'gpt-5')).toBe(5);
  });

  it.each([false, true])(
    'is held for the items that it refers to, not for the window; streamed: %s',
    async (streamed) => {
      const kind = streamed ? 's' : 'w';
      const written = [
        { type: 'reasoning', id: `rs_${kind}`, summary: [] },
        { type: 'function_call', id: `fc_${kind}`, call_id: 'c', name: 'f', arguments: '{"a":1}' },
        { type: 'web_search_call', id: `ws_${kind}`, action: { type: 'open_page' } },
      ];
      const bench = await openOpenaiBench({
        answer: ({ body }) =>
          Array.isArray(body.input)
            ? { inputTokens: 200, text: 'a' }
            : { inputTokens: 20, reasoningTokens: 90, items: written, text: 'a b' },
        // The whole window of gpt-5 costs half a dollar.
        limits: [{ name: 'all', cap: { usd: 0.01 } }],
      });
      const first = await bench.openai.responses.create({ ...ASKED, input: 'x', stream: streamed });
      if (Symbol.asyncIterator in first) for await (const _event of first);
      const refer = (id: string): object => ({ type: 'item_reference', id });
      const output = { type: 'function_call_output', call_id: 'c', output: 'ok' };
      const ask = async (...input: readonly object[]): Promise<number> =>
        (await estimateCall({ ...ASKED, input })).inputTokens;
      const [reasoning, call] = [refer(`rs_${kind}`), refer(`fc_${kind}`)];
      // It wrote 92 tokens in all, of which 90 are hidden.
      expect(await ask(reasoning)).toBeGreaterThanOrEqual(92);
      expect(await ask(reasoning)).toBeLessThan(300);
      expect(await ask(reasoning, call, output)).toBeLessThan(700);
      expect(await ask({ type: 'reasoning', id: `rs_${kind}`, summary: [] })).toBeLessThan(400);
      expect(await ask(refer(`ws_${kind}`))).toBe(400_000);
      expect(await ask(reasoning, refer('rs_of_somebody_else'))).toBe(400_000);
      const input = [reasoning, call, output] as never;
      await bench.openai.responses.create({ ...ASKED, input });
      expect(bench.peer.billed).toBe(2);
      expect(await bench.spentSteps()).toBe(bench.peer.steps);
    },
  );

  it('knows an item by its bytes where another model wrote it, or the answer did not count', () => {
    const text = 'word '.repeat(100);
    const content = [{ type: 'output_text', text }];
    const said = { type: 'message', role: 'assistant', id: 'msg_bytes', content };
    const bytes = JSON.stringify(said).length;
    rememberItems([said, { type: 'reasoning', id: 'rs_bytes' }], 'gpt-5', 120);
    expect(rememberedItem('msg_bytes', 'gpt-5')).toBe(120);
    expect(rememberedItem('msg_bytes', 'gpt-4o')).toBe(bytes);
    expect(rememberedItem('rs_bytes', 'gpt-5')).toBe(120);
    expect(rememberedItem('rs_bytes', 'gpt-4o')).toBeNull();
    const uncounted = { ...said, id: 'msg_uncounted' };
    rememberItems([uncounted, { type: 'reasoning', id: 'rs_uncounted' }], 'gpt-5', null);
    expect(rememberedItem('msg_uncounted', 'gpt-5')).toBe(JSON.stringify(uncounted).length);
    expect(rememberedItem('rs_uncounted', 'gpt-5')).toBeNull();
    // Others may have put a file into it.
    rememberItems([{ ...said, id: 'msg_user', role: 'user' }, null, 'x', {}], 'gpt-5', 120);
    expect(rememberedItem('msg_user', 'gpt-5')).toBeNull();
  });

  it('takes the longest of the items that bear one id', () => {
    const item = (words: number): object => ({
      type: 'message',
      role: 'assistant',
      id: 'msg_0',
      content: [{ type: 'output_text', text: 'word '.repeat(words) }],
    });
    rememberItems([item(500)], 'gpt-5', 500);
    rememberItems([item(1)], 'gpt-5', 1);
    expect(rememberedItem('msg_0', 'gpt-5')).toBe(500);
    rememberItems([item(1)], 'gpt-4o', 1);
    expect(rememberedItem('msg_0', 'gpt-4o')).toBe(JSON.stringify(item(500)).length);
  });

  it('forgets an item when fifty thousand others came after it', () => {
    const item = (id: string): object => ({ type: 'reasoning', id });
    rememberItems([item('rs_first')], 'gpt-5', 70);
    const others = Array.from({ length: 49_999 }, (_, other) => item(`rs_other_${other}`));
    rememberItems(others, 'gpt-5', 5);
    expect(rememberedItem('rs_first', 'gpt-5')).toBe(70);
    rememberItems([item('rs_last')], 'gpt-5', 5);
    expect(rememberedItem('rs_first', 'gpt-5')).toBeNull();
  });

  it('clamps the output to what is left', async () => {
    const bench = await openOpenaiBench({
      limits: [{ name: 'all', cap: { usd: 0.001 } }],
      meter: { whenTight: 'clamp' },
      answer: () => ({ inputTokens: 10, text: 'word '.repeat(500) }),
    });
    const answer = await bench.openai.responses.create({ model: 'gpt-5', input: 'Say words' });
    expect(answer.status).toBe('incomplete');
    expect(bench.peer.lastRequest?.body.max_output_tokens).toBeLessThan(100);
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
  });
});
