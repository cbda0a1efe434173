import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText } from 'ai';
import { describe, expect, it, onTestFinished } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import { rejection } from './fixture.ts';
import { both, metered, openDesk, PROMPT } from './middleware-fixture.ts';
import { anthropicPeer } from './peers/anthropic-peer.ts';
import type { PeerAnswer } from './peers/anthropic-wire.ts';
import { recordedPeer } from './recorded-peer.ts';

describe('Anthropic by the middleware', () => {
  async function bill(answer: PeerAnswer, more: object = {}): Promise<void> {
    const peer = await anthropicPeer({ answer: () => answer });
    onTestFinished(() => peer.close());
    const desk = await openDesk();
    const anthropic = createAnthropic({ apiKey: 'none', baseURL: `${peer.url}/v1` });
    const model = metered(desk, anthropic('claude-haiku-4-5'));
    const asking = { ...PROMPT, ...more, model };
    await generateText(asking);
    const { fullStream } = streamText({ ...asking, onError: () => undefined });
    for await (const part of fullStream) if (part.type === 'error') throw part.error;
    await peer.idle();
    expect(peer.billed).toBe(2);
    expect(await desk.spent()).toBe(peer.steps);
    expect(await desk.held()).toBe(0n);
    const [charge] = await desk.charges();
    expect(charge?.labels).toMatchObject({ provider: 'anthropic', model: 'claude-haiku-4-5' });
  }

  it('costs what it bills for plain calls', () => bill({ text: 'one two three' }));

  it('costs what it bills for caches of both kinds', () =>
    bill({
      usage: {
        input_tokens: 21,
        cache_read_input_tokens: 1_024,
        cache_creation_input_tokens: 600,
        cache_creation: { ephemeral_5m_input_tokens: 200, ephemeral_1h_input_tokens: 400 },
        output_tokens: 40,
      },
    }));

  it('costs what it bills for thinking', () =>
    bill(
      {
        usage: { output_tokens: 900, output_tokens_details: { thinking_tokens: 850 } },
        blocks: [{ type: 'thinking', thinking: 'Well now', signature: 'x' }],
      },
      {
        providerOptions: { anthropic: { thinking: { type: 'enabled', budgetTokens: 2_000 } } },
      },
    ));

  it('costs what it bills for searches', () =>
    bill(
      {
        usage: {
          input_tokens: 9_000,
          server_tool_use: { web_search_requests: 3, web_fetch_requests: 0 },
        },
      },
      {
        tools: {
          search: createAnthropic({ apiKey: 'x' }).tools.webSearch_20250305({ maxUses: 4 }),
        },
      },
    ));

  it('is denied at once', async () => {
    const peer = await anthropicPeer();
    onTestFinished(() => peer.close());
    const desk = await openDesk([{ name: 'all', cap: { usd: 0.0001 } }]);
    const anthropic = createAnthropic({ apiKey: 'none', baseURL: `${peer.url}/v1` });
    const model = metered(desk, anthropic('claude-haiku-4-5'));
    const error = await rejection(generateText({ ...PROMPT, maxRetries: 4, model }));
    expect(error).toBeInstanceOf(BudgetExceededError);
    expect(peer.requests).toBe(0);
  });
});

describe('Gemini by the middleware', () => {
  it('costs its thoughts, which lie beside the candidates', async () => {
    const usageMetadata = {
      promptTokenCount: 1_000,
      cachedContentTokenCount: 400,
      candidatesTokenCount: 50,
      thoughtsTokenCount: 700,
      totalTokenCount: 1_750,
    };
    const answer = {
      candidates: [
        {
          content: { role: 'model', parts: [{ text: 'One two' }] },
          finishReason: 'STOP',
          index: 0,
        },
      ],
      usageMetadata,
      modelVersion: 'gemini-2.5-flash',
    };
    const peer = await recordedPeer(({ path }) =>
      path.includes('stream') ? { events: [answer] } : { json: answer },
    );
    const desk = await openDesk();
    const google = createGoogleGenerativeAI({ apiKey: 'none', baseURL: `${peer.url}/v1beta` });
    await both(metered(desk, google('gemini-2.5-flash')));
    // USD 0.30, 0.03 cached and 2.50 a million, by the bundled price list of 2026-11-22: in steps of
    // 1e-8 USD a token 30, 3 and 250.
    expect(await desk.spent()).toBe(2n * (600n * 30n + 400n * 3n + 750n * 250n));
  });
});

describe('searches of OpenAI by the middleware', () => {
  // USD 0.01 a search, and 0.025 by the older tool with GPT-4 and its kin, in steps of 1e-8:
  // https://developers.openai.com/api/docs/pricing#built-in-tools, 2026-11-22.
  const [PLAIN, PREVIEW] = [1_000_000n, 2_500_000n];
  const search = { id: 'ws_1', type: 'web_search_call', status: 'completed' };

  it.each([
    ['gpt-4o', 'webSearchPreview', PREVIEW, 250n, 1_000n],
    ['gpt-4o', 'webSearch', PLAIN, 250n, 1_000n],
    ['gpt-5', 'webSearchPreview', PLAIN, 125n, 1_000n],
  ] as const)('%s by %s', async (modelId, tool, piece, input, output) => {
    const type = tool === 'webSearch' ? 'web_search' : 'web_search_preview';
    const response = {
      id: 'resp_1',
      object: 'response',
      created_at: 1_795_000_000,
      status: 'completed',
      model: modelId,
      output: [
        { ...search, action: { type: 'search', query: 'rivers' } },
        {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          content: [{ type: 'output_text', text: 'Aare', annotations: [] }],
        },
      ],
      tools: [{ type }],
      usage: { input_tokens: 100, output_tokens: 10, total_tokens: 110 },
    };
    const events = response.output.flatMap((item, index) => [
      { type: 'response.output_item.added', output_index: index, item },
      { type: 'response.output_item.done', output_index: index, item },
    ]);
    const peer = await recordedPeer(({ body }) =>
      body.stream === true
        ? { events: [...events, { type: 'response.completed', response }] }
        : { json: response },
    );
    const desk = await openDesk();
    const openai = createOpenAI({ apiKey: 'none', baseURL: peer.url });
    const model = metered(desk, openai.responses(modelId));
    const asking = { ...PROMPT, model, tools: { search: openai.tools[tool]({}) } };
    await generateText(asking);
    const { fullStream } = streamText({ ...asking, onError: () => undefined });
    for await (const part of fullStream) if (part.type === 'error') throw part.error;
    expect(await desk.spent()).toBe(2n * (100n * input + 10n * output + piece));
  });

  it('are billed for a model that searches at every call', async () => {
    const usage = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 };
    const choice = { index: 0, message: { role: 'assistant', content: 'Aare' } };
    const choices = [{ ...choice, finish_reason: 'stop' }];
    const peer = await recordedPeer(() => ({ json: { id: 'c', choices, usage } }));
    const desk = await openDesk();
    const openai = createOpenAI({ apiKey: 'none', baseURL: peer.url });
    const model = metered(desk, openai.chat('gpt-4o-search-preview'));
    await generateText({ ...PROMPT, model });
    expect(await desk.spent()).toBe(100n * 250n + 10n * 1_000n + PREVIEW);
  });
});
