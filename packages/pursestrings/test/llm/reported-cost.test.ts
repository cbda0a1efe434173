import { describe, expect, it } from 'vitest';

import { readUsage } from '../../src/llm/index.ts';
import { openPeerLedger } from './peers/peer-ledger.ts';
import { recordedPeer } from './recorded-peer.ts';

/**
 * What hosts say of a response's cost, read on 2026-11-22, and the steps of 1e-8 USD that it is:
 * https://docs.x.ai/developers/cost-tracking (a tick is 1e-10 USD),
 * https://openrouter.ai/docs/agent-sdk/typescript/models/openresponsesusage,
 * https://docs.perplexity.ai/docs/agent-api (usage.cost).
 */
const RESPONSES: readonly (readonly [string, string, string, object, bigint])[] = [
  [
    'xAI',
    'https://api.x.ai/v1/responses',
    'grok-4-0709',
    { cost_in_usd_ticks: 37_756_000 },
    377_560n,
  ],
  [
    'OpenRouter',
    'https://openrouter.ai/api/v1/responses',
    'openai/gpt-4o',
    { cost: 0.00123, is_byok: false, cost_details: { upstream_inference_cost: null } },
    123_000n,
  ],
  [
    'OpenRouter with a key of the caller',
    'https://openrouter.ai/api/v1/responses',
    'openai/gpt-4o',
    { cost: 0.0001, is_byok: true, cost_details: { upstream_inference_cost: 0.002 } },
    210_000n,
  ],
  [
    'Perplexity',
    'https://api.perplexity.ai/v1/responses',
    'sonar-pro',
    { cost: { currency: 'USD', input_cost: 0.0001, output_cost: 0.0002, total_cost: 0.0053 } },
    530_000n,
  ],
];

function response(model: string, cost: object): object {
  return {
    id: 'resp_1',
    object: 'response',
    status: 'completed',
    model,
    output: [],
    usage: {
      input_tokens: 100,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 20,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 120,
      ...cost,
    },
  };
}

describe.each(RESPONSES)('a response of %s', (_name, url, model, cost, literal) => {
  it.each([['JSON', false] as const, ['streamed', true] as const])(
    'costs what its host says, %s',
    async (_how, stream) => {
      const body = response(model, cost);
      const peer = await recordedPeer(() =>
        stream ? { events: [{ type: 'response.completed', response: body }] } : { json: body },
      );
      const ledger = await openPeerLedger(peer.url);
      const input = 'Say some words. '.repeat(20);
      const asked = JSON.stringify({ model, stream, input, max_output_tokens: 500 });
      await (await ledger.fetch(url, { method: 'POST', body: asked })).text();
      expect(await ledger.spentSteps()).toBe(literal);
      const [charge] = await ledger.charges();
      expect(charge?.amounts.tokens).toBe(120);
    },
  );
});

describe('what is not all of a cost', () => {
  const foreign = { cost: 0.0001, is_byok: true };

  it('leaves a response at its hold', async () => {
    const peer = await recordedPeer(() => ({ json: response('openai/gpt-4o', foreign) }));
    const ledger = await openPeerLedger(peer.url);
    const body = JSON.stringify({ model: 'openai/gpt-4o', input: 'x', max_output_tokens: 50 });
    await ledger.fetch('https://openrouter.ai/api/v1/responses', { method: 'POST', body });
    const [charge] = await ledger.charges();
    expect(charge?.amounts).toEqual(charge?.held);
  });

  it('is no usage of an embedding or a completion', () => {
    const counts = { prompt_tokens: 100, total_tokens: 100 };
    expect(readUsage({ usage: { ...counts, ...foreign } })).toBeNull();
    expect(readUsage({ usage: { ...counts, completion_tokens: 0, ...foreign } })).toBeNull();
    expect(readUsage({ usage: counts })).toEqual({ inputTokens: 100, outputTokens: 0 });
  });
});

describe('other calls of OpenRouter', () => {
  const cost = { cost: 0.0000123, is_byok: false };

  it.each([
    ['embeddings', { input: 'Some words to embed' }, { prompt_tokens: 6, total_tokens: 6 }],
    [
      'completions',
      { prompt: 'Some words to go on from', max_tokens: 40 },
      { prompt_tokens: 6, completion_tokens: 9, total_tokens: 15 },
    ],
  ])('cost what it says: %s', async (path, request, counts) => {
    const model = 'openai/gpt-4o';
    const json = { object: 'list', model, data: [], choices: [], usage: { ...counts, ...cost } };
    const peer = await recordedPeer(() => ({ json }));
    const ledger = await openPeerLedger(peer.url);
    const body = JSON.stringify({ model, ...request });
    await ledger.fetch(`https://openrouter.ai/api/v1/${path}`, { method: 'POST', body });
    expect(await ledger.spentSteps()).toBe(1_230n);
  });
});
