import { describe, expect, it, onTestFinished } from 'vitest';

import { meteredFetch } from '../../src/llm/index.ts';
import { openPurse } from '../../src/purse.ts';

describe('what a host may do besides', () => {
  const chat = (host: string): string => `https://${host}/v1/chat/completions`;
  const answering =
    (body: object): typeof fetch =>
    () =>
      Promise.resolve(Response.json(body));
  const call = async (
    url: string,
    request: object,
    answer: object,
  ): Promise<{ readonly charged: number; readonly held: number }> => {
    const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 100 } }] });
    onTestFinished(() => purse.close());
    const messages = [{ role: 'user', content: 'Hi' }];
    const body = JSON.stringify({ max_tokens: 100, messages, ...request });
    await meteredFetch(purse, { fetch: answering(answer) })(url, { method: 'POST', body });
    for await (const { amounts, held } of purse.journal()) {
      return { charged: amounts.usd ?? 0, held: held?.['usd'] ?? 0 };
    }
    throw new Error('Nothing was charged');
  };
  const usage = { prompt_tokens: 10, completion_tokens: 10 };

  it('charges the hold where another model than the first answered at a price of its own', async () => {
    const models = { models: ['gpt-4o-mini', 'gpt-4-turbo'] };
    const other = await call(chat('llm.example.com'), models, { model: 'gpt-4-turbo', usage });
    expect(other.charged).toBe(other.held);
    const first = await call(chat('llm.example.com'), models, { model: 'gpt-4o-mini-x', usage });
    // gpt-4o-mini: USD 0.15 and 0.60 a million. https://platform.openai.com/docs/pricing, 2026-11-22
    expect(first.charged).toBe((10 * 15 + 10 * 60) / 1e8);
  });

  it('knows a host whose name ends in a dot', async () => {
    const request = { model: 'sonar' };
    const plain = await call(chat('api.perplexity.ai'), request, { model: 'sonar', usage });
    const dotted = await call(chat('api.perplexity.ai.'), request, { model: 'sonar', usage });
    expect(dotted).toEqual(plain);
  });

  it('holds for as many answers as a number in quotes asks for', async () => {
    const one = await call(chat('x.example.com'), { model: 'gpt-4o' }, { usage });
    const three = await call(chat('x.example.com'), { model: 'gpt-4o', n: '3' }, { usage });
    expect(three.held - one.held).toBeGreaterThanOrEqual((200 * 1_000) / 1e8);
  });
});
