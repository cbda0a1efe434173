import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import { estimateCall, readUsage } from '../../src/llm/index.ts';
import type { MeterOptions } from '../../src/llm/index.ts';
import { openaiChat } from '../../src/llm/providers/openai/chat.ts';
import { openPeerLedger } from './peers/peer-ledger.ts';
import type { PeerLedger } from './peers/peer-ledger.ts';
import { RECORDED_HOSTS } from './recorded-hosts.ts';
import type { RecordedHost } from './recorded-hosts.ts';
import { recordedPeer } from './recorded-peer.ts';
import type { ArrivedRequest, RecordedAnswer, RecordedPeer } from './recorded-peer.ts';

/** USD of 1e-12 as steps of 1e-8, rounded up once. */
function stepsOf(picos: bigint): bigint {
  return (picos + 9_999n) / 10_000n;
}

function request(host: Pick<RecordedHost, 'model' | 'request'>, more: object = {}): string {
  return JSON.stringify({
    model: host.model,
    // Long enough for what the recorded answers say was read.
    messages: [{ role: 'user', content: 'How do the hosts bill? '.repeat(500) }],
    max_tokens: 3_000,
    ...host.request,
    ...more,
  });
}

function chunk(host: RecordedHost, choices: readonly object[], more: object = {}): object {
  return { id: 'chatcmpl-1', object: 'chat.completion.chunk', model: host.model, choices, ...more };
}

/** The events of a stream, as the host sends them to who has asked for the usage. */
function eventsOf(host: RecordedHost): (object | string)[] {
  const delta = (text: string): object => ({
    index: 0,
    delta: { content: text },
    finish_reason: null,
  });
  const end = { index: 0, delta: {}, finish_reason: 'stop' };
  const told = { usage: host.usage };
  const last: Record<RecordedHost['told'], object[]> = {
    extra: [chunk(host, [end]), chunk(host, [], { ...host.answer, ...told })],
    finish: [chunk(host, [end], { ...host.answer, ...told })],
    x_groq: [chunk(host, [end], { x_groq: { id: 'req_01', ...told } })],
  };
  return [
    ': OPENROUTER PROCESSING',
    chunk(host, [delta('By ')]),
    chunk(host, [delta('tokens.')]),
    ...last[host.told],
    'data: [DONE]',
  ];
}

function answerOf(host: RecordedHost): (asked: ArrivedRequest) => RecordedAnswer {
  return ({ body }) =>
    body.stream === true
      ? { events: eventsOf(host) }
      : {
          json: {
            id: 'chatcmpl-1',
            object: 'chat.completion',
            model: host.model,
            choices: [
              {
                index: 0,
                message: { role: 'assistant', content: 'By tokens.' },
                finish_reason: 'stop',
              },
            ],
            usage: host.usage,
            ...host.answer,
          },
        };
}

async function open(
  answer: (asked: ArrivedRequest) => RecordedAnswer,
  meter: MeterOptions = {},
): Promise<{ readonly peer: RecordedPeer; readonly ledger: PeerLedger }> {
  const peer = await recordedPeer(answer);
  return { peer, ledger: await openPeerLedger(peer.url, { meter }) };
}

function post(ledger: PeerLedger, url: string, body: string): Promise<Response> {
  return ledger.fetch(url, { method: 'POST', body });
}

describe.each(RECORDED_HOSTS.map((host) => [host.name, host] as const))('%s', (_name, host) => {
  it.each([['JSON', false] as const, ['streamed', true] as const])(
    'costs exactly what its answer says, %s',
    async (_how, stream) => {
      const { peer, ledger } = await open(answerOf(host));
      const response = await post(ledger, host.url, request(host, { stream }));
      expect(response.status).toBe(200);
      expect(await response.text()).toContain('tokens.');
      expect(await ledger.spentSteps()).toBe(stepsOf(host.picos));
      expect(await ledger.heldSteps()).toBe(0n);
      const [charge] = await ledger.charges();
      expect(charge?.labels.provider).toBe(host.provider);
      expect(charge?.amounts.tokens).toBe(host.usage.total_tokens);
      // What is under way is never held for less than it will cost.
      expect(Number(charge?.held?.tokens)).toBeGreaterThanOrEqual(Number(host.usage.total_tokens));
      const sent = peer.requests[0]?.body;
      const asks = { include_usage: true };
      expect(sent?.stream_options).toEqual(stream && host.asked ? asks : undefined);
    },
  );

  it('hides the usage chunk only where nobody would have sent it unasked', async () => {
    const { ledger } = await open(answerOf(host));
    const response = await post(ledger, host.url, request(host, { stream: true }));
    const shown = (await response.text()).includes('"usage":{');
    expect(shown).toBe(!host.asked || host.told !== 'extra');
  });

  it('is given a cap by the name it knows', () => {
    const body = { model: host.model, messages: [] };
    const sent = openaiChat.rewrite(body, { outputCap: 99 }, new URL(host.url));
    expect(sent).toEqual({ ...body, [host.capName]: 99 });
    const named = { ...body, max_completion_tokens: 500 };
    expect(openaiChat.rewrite(named, { outputCap: 99 }, new URL(host.url))).toEqual({
      ...body,
      max_completion_tokens: 99,
    });
  });
});

describe('the hours of DeepSeek', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => void vi.useRealTimers());

  const host: RecordedHost = {
    name: 'DeepSeek',
    url: 'https://api.deepseek.com/chat/completions',
    model: 'deepseek-v4-pro',
    usage: {
      prompt_tokens: 1_500,
      completion_tokens: 640,
      total_tokens: 2_140,
      prompt_cache_hit_tokens: 1_280,
      prompt_cache_miss_tokens: 220,
      completion_tokens_details: { reasoning_tokens: 500 },
    },
    told: 'extra',
    asked: true,
    capName: 'max_tokens',
    picos: 0n,
    provider: 'deepseek',
  };

  // https://api-docs.deepseek.com/quick_start/pricing, 2026-11-22: for a million tokens read, read
  // from the cache and written USD 0.66, 0.022 and 1.98; twice that from 01:00 to 04:00 and from
  // 06:00 to 10:00 UTC on weekdays.
  it.each([
    ['2026-11-24T02:00:00Z', 220n * 1_320_000n + 1_280n * 44_000n + 640n * 3_960_000n],
    ['2026-11-24T05:00:00Z', 220n * 660_000n + 1_280n * 22_000n + 640n * 1_980_000n],
    ['2026-11-24T09:59:00Z', 220n * 1_320_000n + 1_280n * 44_000n + 640n * 3_960_000n],
    ['2026-11-24T12:00:00Z', 220n * 660_000n + 1_280n * 22_000n + 640n * 1_980_000n],
  ])('have their price at %s', async (time, picos) => {
    vi.setSystemTime(new Date(time));
    for (const stream of [false, true]) {
      const { ledger } = await open(answerOf(host));
      await (await post(ledger, host.url, request(host, { stream }))).text();
      expect(await ledger.spentSteps()).toBe(stepsOf(picos));
    }
  });
});

describe('Azure', () => {
  it('prices a deployment by its name, and looks at no other', async () => {
    const url = 'https://acme.openai.azure.com/openai/deployments/my%20gpt/chat/completions';
    const host = { ...answerHost, model: 'gpt-4o-mini' };
    const { peer, ledger } = await open(answerOf(host));
    const refused = await post(ledger, url, request(host));
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain('my gpt');
    expect(peer.requests).toEqual([]);
    const priced = await open(answerOf(host), {
      prices: { 'my gpt': { usdPerMillion: { input: 2, output: 8 } } },
    });
    await (await post(priced.ledger, url, request(host))).text();
    expect(await priced.ledger.spentSteps()).toBe(stepsOf(100n * 2_000_000n + 10n * 8_000_000n));
  });
});

const answerHost: RecordedHost = {
  name: 'any',
  url: 'https://openrouter.ai/api/v1/chat/completions',
  model: 'openai/gpt-4o',
  usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 },
  told: 'extra',
  asked: true,
  capName: 'max_tokens',
  picos: 0n,
  provider: 'openrouter',
};

describe('OpenRouter', () => {
  const { url } = answerHost;
  const refusal = async (more: object, meter: MeterOptions = {}): Promise<string> => {
    const { peer, ledger } = await open(answerOf(answerHost), meter);
    const response = await post(ledger, url, request(answerHost, more));
    if (response.status === 200) return 'sent';
    expect(peer.requests).toEqual([]);
    return response.text();
  };

  it('holds the dearest of the models it may fall back on', async () => {
    const held = async (more: object): Promise<number> => {
      const { ledger } = await open(answerOf(answerHost));
      await (await post(ledger, url, request(answerHost, more))).text();
      return (await ledger.charges())[0]?.held?.usd ?? 0;
    };
    const alone = await held({});
    expect(await held({ models: ['openai/gpt-4o-mini'] })).toBeCloseTo(alone, 3);
    // Sonnet 4 costs USD 3 and 15, gpt-4o 2.50 and 10, by the bundled price list of 2026-11-22.
    expect(await held({ models: ['anthropic/claude-sonnet-4'] })).toBeGreaterThan(alone * 1.2);
    expect(await held({ model: undefined, models: ['openai/gpt-4o'] })).toBeCloseTo(alone, 3);
  });

  it.each([
    [{ models: ['acme/unheard-of'] }, 'acme/unheard-of'],
    [{ preset: 'mine' }, '@preset/mine'],
    [{ model: 'openai/gpt-4o:online' }, 'openai/gpt-4o:online'],
    [{ plugins: [{ id: 'web' }] }, 'web_searches'],
    [{ plugins: [{ id: 'file-parser' }] }, 'file-parser'],
    [{ web_search_options: {} }, 'web_searches'],
    [{ tools: [{ type: 'openrouter:web_search' }] }, 'openrouter:web_search'],
  ])('refuses %o by name, as its price is not known', async (more, name) => {
    expect(await refusal(more)).toContain(name);
  });

  it('runs a search that has a price', async () => {
    const prices: MeterOptions['prices'] = {
      'openai/gpt-4o:online': {
        usdPerMillion: { input: 2.5, output: 10 },
        usdPerPiece: { web_searches: 0.02 },
        contextWindow: 128_000,
      },
    };
    expect(await refusal({ model: 'openai/gpt-4o:online' }, { prices })).toBe('sent');
    expect(await refusal({ plugins: [{ id: 'response-healing' }] })).toBe('sent');
  });

  it('charges the hold when the provider of the model does not say what it bills', async () => {
    const usage = { ...answerHost.usage, cost: 0.0001, is_byok: true };
    const { ledger } = await open(answerOf({ ...answerHost, usage }));
    await (await post(ledger, url, request(answerHost))).text();
    const [charge] = await ledger.charges();
    expect(charge?.amounts).toEqual(charge?.held);
  });
});

describe('tools that a host runs', () => {
  it('are refused by name without a price', async () => {
    const groq = 'https://api.groq.com/openai/v1/chat/completions';
    const { peer, ledger } = await open(answerOf(answerHost));
    const body = request({
      model: 'openai/gpt-oss-120b',
      request: { tools: [{ type: 'browser_search' }] },
    });
    expect(await (await post(ledger, groq, body)).text()).toContain('browser_search');
    const grok = 'https://api.x.ai/v1/chat/completions';
    const live = request({
      model: 'grok-4-0709',
      request: { search_parameters: { mode: 'auto' } },
    });
    expect(await (await post(ledger, grok, live)).text()).toContain('web_searches');
    expect(peer.requests).toEqual([]);
  });
});

describe('Ollama', () => {
  it('costs nothing on all of its routes, and needs no cap', async () => {
    const { peer, ledger } = await open(() => ({ json: { message: { content: 'Hi' } } }));
    const chat = { model: 'qwen3:8b', messages: [{ role: 'user', content: 'Hi' }] };
    for (const path of ['/api/chat', '/api/generate', '/v1/chat/completions']) {
      const response = await post(ledger, `http://127.0.0.1:11434${path}`, JSON.stringify(chat));
      expect(response.status).toBe(200);
    }
    expect(peer.requests).toHaveLength(3);
    expect(await ledger.spentSteps()).toBe(0n);
  });
});

describe('a usage that cannot be right', () => {
  it.each([
    { prompt_tokens: 10, completion_tokens: 5, prompt_cache_hit_tokens: 11 },
    { prompt_tokens: 10, completion_tokens: 5, prompt_cache_hit_tokens: -1 },
    { prompt_tokens: 10, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 6 } },
    { prompt_tokens: 10, completion_tokens: '5' },
    { prompt_tokens: 10, completion_tokens: 5, cost: 0.1, is_byok: true, cost_details: {} },
  ])('is none: %o', (usage) => {
    expect(readUsage({ usage })).toBeNull();
  });

  it.each([
    { cost: -1, is_byok: false },
    { cost: '0', is_byok: false },
    { cost: 0 },
    { cost_in_usd_ticks: 0 },
    { cost: { total_cost: 'x' } },
  ])('says no cost that is believed: %o', (cost) => {
    const usage = readUsage({ usage: { prompt_tokens: 10, completion_tokens: 5, ...cost } });
    expect(usage).toMatchObject({ inputTokens: 10, outputTokens: 5 });
    expect(usage?.reportedUsd).toBeUndefined();
  });
});

describe('a denial by any host', () => {
  it('is found in its answer', async () => {
    const { ledger } = await open(answerOf(answerHost));
    await ledger.purse.setLimit({ name: 'nothing', cap: { usd: 0 } });
    const response = await post(ledger, answerHost.url, request(answerHost));
    expect(response.status).toBe(402);
    const denied = BudgetExceededError.from(await response.json());
    expect(denied?.denial.limit).toBe('nothing');
  });
});

describe('an estimate', () => {
  it('bounds what a host adds', async () => {
    const body = JSON.parse(request({ model: 'sonar' })) as object;
    const { usd } = await estimateCall(body, { url: 'https://api.perplexity.ai/chat/completions' });
    // USD 12 for 1,000 requests at the largest search, and 3,000 tokens written at USD 1 a million.
    expect(usd).toBeGreaterThan(0.012 + 0.003);
  });
});
