import { describe, expect, test } from 'vitest';
import type { StoredToken, TokenStore } from '../../src/paid-http/credentials.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import { BudgetExceededError } from '../../src/errors.ts';
import { openTill } from './fixture.ts';
import { paidPage, type Paywall, serve } from './paywall.ts';

const openings = ({ seen }: Paywall): readonly (string | null)[] =>
  seen.map(({ authorization }) => authorization);

test('credentials belong to an origin and a path', async () => {
  const till = await openTill();
  const shop = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
  for (const path of ['/a', '/a?x=1', '/a#part', '/b', '/a/']) await till.fetch(shop.url + path);
  expect(till.wallet.payments).toHaveLength(3);
  await till.fetch(`http://localhost:${shop.port}/a`);
  expect(till.wallet.payments).toHaveLength(4);
});

test('a credential that is refused is dropped, and paid for again once for all', async () => {
  const till = await openTill();
  let generation = 0;
  const pages = Array.from({ length: 3 }, () => paidPage({ mint: () => till.lightning.mint() }));
  const shop = await serve({
    '/page': (request, response) => pages[generation]?.(request, response),
  });
  for (generation = 0; generation < 3; generation += 1) {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => till.fetch(`${shop.url}/page`)),
    );
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(till.wallet.payments).toHaveLength(generation + 1);
  }
});

test('a refused credential of an earlier process is paid for again once for all', async () => {
  const till = await openTill();
  let generation = 0;
  const pages = Array.from({ length: 2 }, () => paidPage({ mint: () => till.lightning.mint() }));
  const shop = await serve({
    '/page': (request, response) => pages[generation]?.(request, response),
  });
  await till.fetch(`${shop.url}/page`);
  generation = 1;
  const later = till.again();
  const answers = await Promise.all(Array.from({ length: 20 }, () => later(`${shop.url}/page`)));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(till.wallet.payments).toHaveLength(2);
});

test('a server that sells each answer for itself is paid for each call', async () => {
  const till = await openTill();
  const shop = await serve({
    '/page': paidPage({ mint: () => till.lightning.mint(), once: true }),
  });
  const fetchAll = (): Promise<readonly Response[]> =>
    Promise.all(Array.from({ length: 4 }, () => till.fetch(`${shop.url}/page`)));
  for (const payments of [4, 8]) {
    expect((await fetchAll()).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(till.wallet.payments).toHaveLength(payments);
  }
});

test.each([401, 402])(
  'a kept credential answered %i, and no more, is paid for again',
  async (status) => {
    const till = await openTill();
    let generation = 0;
    const pages = Array.from({ length: 2 }, () => paidPage({ mint: () => till.lightning.mint() }));
    const shop = await serve({
      '/page': (request, response) => {
        if (generation === 1 && request.authorization === first) {
          response.writeHead(status).end('used up');
          return;
        }
        return pages[generation]?.(request, response);
      },
    });
    await till.fetch(`${shop.url}/page`);
    const first = shop.seen[1]?.authorization;
    generation = 1;
    expect((await till.fetch(`${shop.url}/page`)).status).toBe(200);
    expect(openings(shop).slice(2)).toEqual([first, null, expect.stringMatching(/^L402 /)]);
    expect(till.wallet.payments).toHaveLength(2);
  },
);

test('what was just paid for and is answered 401 goes to the caller', async () => {
  const till = await openTill();
  const honest = paidPage({ mint: () => till.lightning.mint() });
  const shop = await serve({
    '/page': (request, response) => {
      if (request.authorization === null) return honest(request, response);
      response.writeHead(401).end('and an account, please');
    },
  });
  const answer = await till.fetch(`${shop.url}/page`);
  expect([answer.status, await answer.text()]).toEqual([401, 'and an account, please']);
  expect(till.wallet.payments).toHaveLength(1);
});

test('no half of a credential is ever sent', async () => {
  const till = await openTill();
  let open = true;
  const honest = paidPage({ mint: () => till.lightning.mint() });
  const shop = await serve({
    '/page': (request, response) =>
      open ? honest(request, response) : honest({ ...request, authorization: null }, response),
  });
  await till.fetch(`${shop.url}/page`);
  open = false;
  await till.fetch(`${shop.url}/page`).catch(() => undefined);
  for (const sent of openings(shop)) {
    expect(sent ?? `L402 a:${'0'.repeat(64)}`).toMatch(/^L402 [\w+/=-]+:[0-9a-f]{64}$/);
  }
});

describe('a store of tokens', () => {
  test('is asked before the first request, by origin and path, and told of what was bought', async () => {
    const tokens = new Map<string, StoredToken>();
    const asked: string[] = [];
    const tokenStore: TokenStore = {
      get: (url) => {
        asked.push(url);
        return tokens.get(url);
      },
      set: (url, token) => tokens.set(url, token),
    };
    const till = await openTill();
    const page = paidPage({ mint: () => till.lightning.mint() });
    const shop = await serve({ '/page': page });
    await till.again({ tokenStore })(`${shop.url}/page?q=1`);
    expect(asked.every((url) => url === `${shop.url}/page`)).toBe(true);
    expect([...tokens]).toEqual([
      [
        `${shop.url}/page`,
        { macaroon: expect.any(String), preimage: page.challenges[0]?.preimage },
      ],
    ]);
    await till.again({ tokenStore })(`${shop.url}/page`);
    expect(shop.seen).toHaveLength(3);
    expect(till.wallet.payments).toHaveLength(1);
  });

  test('that throws loses nothing', async () => {
    const till = await openTill();
    const shop = await serve({ '/page': paidPage({ mint: () => till.lightning.mint() }) });
    const tokenStore: TokenStore = {
      get: () => {
        throw new Error('no get');
      },
      set: async () => {
        throw new Error('no set');
      },
    };
    const fetch = till.again({ tokenStore });
    expect((await fetch(`${shop.url}/page`)).status).toBe(200);
    expect((await fetch(`${shop.url}/page`)).status).toBe(200);
    expect(till.wallet.payments).toHaveLength(1);
    expect(till.errors.map(String)).toContain('Error: no set');
  });

  test('that answers nonsense has nothing', async () => {
    const till = await openTill();
    const shop = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const answers: unknown[] = [
      { macaroon: '', preimage: '' },
      { macaroon: 'a\r\nx: y', preimage: '00'.repeat(32) },
      { macaroon: 'a', preimage: 'short' },
      'a:b',
      7,
      null,
    ];
    for (const [index, answer] of answers.entries()) {
      const tokenStore = { get: () => answer as StoredToken, set: () => undefined };
      expect((await till.again({ tokenStore })(`${shop.url}/${index}`)).status).toBe(200);
    }
    expect(openings(shop).filter((sent) => sent !== null)).toHaveLength(answers.length);
  });

  test('keeps the older name of the scheme', async () => {
    const till = await openTill();
    const shop = await serve({
      '/page': paidPage({ mint: () => till.lightning.mint(), scheme: 'LSAT' }),
    });
    await till.fetch(`${shop.url}/page`);
    await till.again()(`${shop.url}/page`);
    expect(openings(shop).map((sent) => sent?.split(' ')[0])).toEqual([
      undefined,
      'LSAT',
      undefined,
      'LSAT',
    ]);
  });
});

test('in memory, credentials end with the fetch', async () => {
  const till = await openTill({ options: { credentials: 'memory' } });
  const shop = await serve({ '/page': paidPage({ mint: () => till.lightning.mint() }) });
  await till.fetch(`${shop.url}/page`);
  await till.fetch(`${shop.url}/page`);
  await till.again()(`${shop.url}/page`);
  expect(till.wallet.payments).toHaveLength(2);
});

describe('beside meteredFetch', () => {
  const request = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', max_tokens: 20, messages: [] }),
  };

  test('a denial of metered fetch is no challenge', async () => {
    const till = await openTill();
    const fetch = till.again({ fetch: meteredFetch(till.purse) });
    const answer = await fetch('https://api.openai.com/v1/chat/completions', request);
    expect(answer.status).toBe(402);
    expect(BudgetExceededError.from(await answer.json())?.denial.reason).toBe('uncovered');
    expect(till.wallet.asked).toEqual([]);
  });

  test('a model whose paywall is not paid is not metered', async () => {
    const till = await openTill({
      limits: [
        { name: 'sats', cap: { sats: 10 } },
        { name: 'usd', cap: { usd: 1 } },
      ],
    });
    const shop = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const fetch = meteredFetch(till.purse, { fetch: till.fetch });
    await expect(fetch(`${shop.url}/v1/chat/completions`, request)).rejects.toMatchObject({
      unit: 'sats',
      required: 60,
    });
    expect(await till.charges()).toEqual([]);
    expect(await Array.fromAsync(till.purse.holds())).toEqual([]);
  });

  test('a model behind a paywall is paid for in sats, and metered in usd', async () => {
    const till = await openTill({
      limits: [
        { name: 'sats', cap: { sats: 1_000 } },
        { name: 'usd', cap: { usd: 1 } },
      ],
    });
    const content = JSON.stringify({
      model: 'gpt-4o',
      choices: [{ message: { role: 'assistant', content: 'Hi' } }],
      usage: { prompt_tokens: 10, completion_tokens: 10 },
    });
    const shop = await serve({
      '/v1/chat/completions': paidPage({ mint: () => till.lightning.mint(), content }),
    });
    const inside = meteredFetch(till.purse, { fetch: till.fetch });
    const answer = await inside(`${shop.url}/v1/chat/completions`, request);
    expect([answer.status, await answer.text()]).toEqual([200, content]);
    const outside = till.again({ fetch: meteredFetch(till.purse) });
    expect((await outside(`${shop.url}/v1/chat/completions`, request)).status).toBe(200);
    const total = await till.purse.report();
    expect(total.total['sats']).toBe(60);
    expect(total.total['usd']).toBeGreaterThan(0);
  });
});
