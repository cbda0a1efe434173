import { describe, expect, it, onTestFinished } from 'vitest';

import { meteredFetch } from '../../src/llm/index.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import { ask } from './fixture.ts';

const URL_OF_CHAT = 'https://api.openai.com/v1/chat/completions';
const USAGE = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
/** 10 and 5 tokens of gpt-4o at USD 2.50 and 10 a million: the platform's price page, 2026-11-22. */
const COST_USD = 0.000075;

interface Sent {
  readonly type: string | null;
  readonly body: string;
}

/** A metered fetch into a wire that notes what was sent, as the real `fetch` would send it. */
async function open(): Promise<{ purse: Purse; fetch: typeof fetch; sent: Sent[] }> {
  const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
  onTestFinished(() => purse.close());
  const sent: Sent[] = [];
  const wire: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    sent.push({ type: request.headers.get('content-type'), body: await request.text() });
    return Response.json({ usage: USAGE });
  };
  return { purse, fetch: meteredFetch(purse, { fetch: wire }), sent };
}

async function spentUsd(purse: Purse): Promise<number[]> {
  const spent: number[] = [];
  for await (const { amounts } of purse.journal()) spent.push(amounts.usd ?? 0);
  return spent;
}

const TEXT = JSON.stringify(ask());
const JSON_TYPE = { 'content-type': 'application/json' };
const blob = new Blob([TEXT], { type: 'application/json' });

describe('a request', () => {
  it.each<[string, Parameters<typeof fetch>, string | null]>([
    ['text', [URL_OF_CHAT, { method: 'POST', body: TEXT }], 'text/plain;charset=UTF-8'],
    ['bytes', [URL_OF_CHAT, { method: 'POST', body: Buffer.from(TEXT) }], null],
    [
      'a buffer',
      [URL_OF_CHAT, { method: 'POST', body: new TextEncoder().encode(TEXT).buffer }],
      null,
    ],
    ['a blob', [URL_OF_CHAT, { method: 'POST', body: blob }], 'application/json'],
    [
      'a blob with another type',
      [URL_OF_CHAT, { method: 'POST', body: blob, headers: { 'content-type': 'text/json' } }],
      'text/json',
    ],
    [
      'a stream',
      [
        new URL(URL_OF_CHAT),
        { method: 'POST', body: blob.stream(), duplex: 'half', headers: JSON_TYPE },
      ],
      'application/json',
    ],
    [
      'a Request',
      [new Request(URL_OF_CHAT, { method: 'POST', body: TEXT, headers: JSON_TYPE })],
      'application/json',
    ],
    [
      'text after a byte order mark',
      [URL_OF_CHAT, { method: 'post', body: `\ufeff${TEXT}`, headers: JSON_TYPE }],
      'application/json',
    ],
  ])('is metered and sent as it was: %s', async (_name, parts, type) => {
    const { purse, fetch, sent } = await open();
    expect((await fetch(...parts)).status).toBe(200);
    expect(sent).toEqual([{ type, body: expect.stringMatching(/\{"model":"gpt-4o".*\}$/) }]);
    expect(await spentUsd(purse)).toEqual([COST_USD]);
  });

  it('is not waited for once it is aborted', async () => {
    const { purse, fetch, sent } = await open();
    const given = new AbortController();
    const init = { method: 'POST', body: new ReadableStream(), duplex: 'half' } as const;
    const metered = fetch(URL_OF_CHAT, { ...init, signal: given.signal });
    given.abort(new Error('enough'));
    await expect(metered).rejects.toThrow('enough');
    const late = { ...init, body: new ReadableStream(), signal: AbortSignal.abort() };
    await expect(fetch(URL_OF_CHAT, late)).rejects.toThrow('aborted');
    expect(sent).toEqual([]);
    expect(await spentUsd(purse)).toEqual([]);
  });

  it('whose path has broken escapes is refused, or passes, but does not throw', async () => {
    const { fetch, sent } = await open();
    expect((await fetch('https://proxy.test/v1/responses/%zz')).status).toBe(200);
    const body = JSON.stringify({ input: 'x' });
    const azure = 'https://a.openai.azure.com/openai/deployments/100%/embeddings';
    expect((await fetch(azure, { method: 'POST', body })).status).toBe(400);
    expect(sent).toHaveLength(1);
  });
});

describe('a request that nobody here understands', () => {
  const spends = (url: string, init: RequestInit): Parameters<typeof fetch> => [
    url,
    { method: 'POST', headers: JSON_TYPE, ...init },
  ];
  const given = (body: NonNullable<RequestInit['body']>): Request =>
    new Request('https://proxy.test/ask', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/vnd.api+json' },
      duplex: 'half',
    });

  it.each<[string, Parameters<typeof fetch>]>([
    ['a model in text', spends('https://proxy.test/ask', { body: TEXT })],
    ['a model in bytes', spends('https://proxy.test/ask', { body: Buffer.from(TEXT) })],
    ['a model in a blob', spends('https://proxy.test/ask', { body: blob })],
    ['a model in a Request', [given(TEXT)]],
    ['a model in the stream of a Request', [given(blob.stream())]],
    // https://vercel.com/docs/ai-gateway: the model is named in a header.
    ['the AI Gateway', spends('https://ai-gateway.vercel.sh/v3/ai/language-model', { body: '{}' })],
    ['its images', spends('https://ai-gateway.vercel.sh/v3/ai/image-model', { body: '{}' })],
    // https://developers.cloudflare.com/workers-ai/get-started/rest-api/
    [
      'Workers AI',
      spends('https://api.cloudflare.com/client/v4/accounts/a/ai/run/@cf/meta/llama-3', {
        body: '{}',
      }),
    ],
    [
      'Workers AI behind a gateway',
      spends('https://gateway.ai.cloudflare.com/v1/a/g/workers-ai/@cf/meta/llama-3', {
        body: '{}',
      }),
    ],
    // https://mistral.ai/pricing, 2026-11-22: moderations are sold by the token there.
    ['moderations of Mistral', spends('https://api.mistral.ai/v1/moderations', { body: '{}' })],
    // https://docs.mistral.ai/agents/agents: they run a model.
    [
      'a conversation of Mistral',
      spends('https://api.mistral.ai/v1/conversations', { body: '{}' }),
    ],
    ['its turns', spends('https://api.mistral.ai/v1/conversations/c1', { body: '{}' })],
  ])('is refused: %s', async (_name, parts) => {
    const { fetch, sent } = await open();
    expect((await fetch(...parts)).status).toBe(400);
    expect(sent).toEqual([]);
  });

  it.each<[string, Parameters<typeof fetch>]>([
    ['no model', spends('https://proxy.test/ask', { body: '{"question":1}' })],
    ['no model in a Request', [given('{"question":1}')]],
    [
      'a form',
      spends('https://proxy.test/ask', { body: new URLSearchParams({ a: '1' }), headers: {} }),
    ],
    ['moderations of OpenAI', spends('https://api.openai.com/v1/moderations', { body: TEXT })],
    ['a conversation', spends('https://api.openai.com/v1/conversations', { body: '{}' })],
    ['its items', spends('https://api.openai.com/v1/conversations/c1/items', { body: '{}' })],
  ])('passes whole: %s', async (_name, parts) => {
    const { purse, fetch, sent } = await open();
    expect((await fetch(...parts)).status).toBe(200);
    expect(sent).toHaveLength(1);
    expect(sent[0]?.body).not.toBe('');
    expect(await spentUsd(purse)).toEqual([]);
  });
});

describe('an answer', () => {
  it('may begin with a byte order mark', async () => {
    const { purse } = await open();
    const answer = `\ufeff${JSON.stringify({ usage: USAGE })}`;
    const fetch = meteredFetch(purse, {
      fetch: () => Promise.resolve(new Response(answer, { headers: JSON_TYPE })),
    });
    const response = await fetch(URL_OF_CHAT, { method: 'POST', body: TEXT });
    expect(await response.json()).toEqual({ usage: USAGE });
    expect(await spentUsd(purse)).toEqual([COST_USD]);
  });

  it.each([
    'text/event-stream',
    'Text/Event-Stream; Charset=UTF-8',
    'text/plain',
    'text/plain; charset=utf-8',
    '',
  ])('is a stream of events where one was asked for, whatever its type: %j', async (type) => {
    const { purse } = await open();
    const events = [
      'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n',
      `data: {"choices":[],"usage":${JSON.stringify(USAGE)}}\n\n`,
      'data: [DONE]\n\n',
    ];
    const fetch = meteredFetch(purse, {
      fetch: () => {
        const answer = new Response(new Blob(events).stream());
        if (type !== '') answer.headers.set('content-type', type);
        return Promise.resolve(answer);
      },
    });
    const body = JSON.stringify(ask({ stream: true }));
    const response = await fetch(URL_OF_CHAT, { method: 'POST', body });
    // The usage was not asked for, so that its event is hidden.
    expect(await response.text()).toBe(`${events[0]}${events[2]}`);
    expect(await spentUsd(purse)).toEqual([COST_USD]);
  });

  it('is settled when the signal had aborted before it could be listened to', async () => {
    const { purse } = await open();
    const given = new AbortController();
    const fetch = meteredFetch(purse, {
      fetch: () => {
        given.abort();
        const headers = { 'content-type': 'text/event-stream' };
        return Promise.resolve(new Response(new ReadableStream(), { headers }));
      },
    });
    const body = JSON.stringify(ask({ stream: true }));
    await fetch(URL_OF_CHAT, { method: 'POST', body, signal: given.signal });
    await expect.poll(() => spentUsd(purse)).toHaveLength(1);
  });
});
