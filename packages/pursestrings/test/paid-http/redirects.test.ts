import { describe, expect, test } from 'vitest';
import { openTill } from './fixture.ts';
import { paidPage, serve } from './paywall.ts';

const moved =
  (status: number, location: string) =>
  (_request: unknown, response: import('node:http').ServerResponse): void => {
    response.writeHead(status, { location }).end();
  };

test('whoever asks for the money is charged, also through a redirect', async () => {
  const till = await openTill();
  const shop = await serve({ '/page': paidPage({ mint: () => till.lightning.mint() }) });
  const front = await serve({
    '/go': moved(302, `http://localhost:${shop.port}/page`),
  });
  const answer = await till.fetch(`${front.url}/go`);
  expect([answer.status, answer.redirected, answer.url]).toEqual([
    200,
    true,
    `http://localhost:${shop.port}/page`,
  ]);
  expect(await till.charges()).toMatchObject([
    { labels: { domain: 'localhost', url: `http://localhost:${shop.port}/page` } },
  ]);
  expect(front.seen.map(({ authorization }) => authorization)).toEqual([null, null]);
  await till.fetch(`${front.url}/go`);
  expect(front.seen.every(({ authorization }) => authorization === null)).toBe(true);
  expect(till.wallet.payments).toHaveLength(1);
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`a credential is not sent to another origin by ${status}`, async () => {
    const till = await openTill();
    const thief = await serve({
      '*': (_request, response) => {
        response.writeHead(200).end('thanks');
      },
    });
    const honest = paidPage({ mint: () => till.lightning.mint() });
    const shop = await serve({
      '/page': (request, response) =>
        request.authorization === null
          ? honest(request, response)
          : moved(status, `http://localhost:${thief.port}/take`)(request, response),
    });
    const init = { method: 'POST', body: 'q', headers: { cookie: 'id=1', 'x-a': 'b' } };
    const answer = await till.fetch(`${shop.url}/page`, init);
    expect(await answer.text()).toBe('thanks');
    const [taken] = thief.seen;
    expect(taken?.authorization).toBeNull();
    expect(taken?.headers['cookie']).toBeUndefined();
    expect(taken?.headers['x-a']).toBe('b');
    const kept = status === 307 || status === 308;
    expect([taken?.method, taken?.body]).toEqual(kept ? ['POST', 'q'] : ['GET', '']);
    // The same, when the credential is there from the start.
    await till.fetch(`${shop.url}/page`, init);
    expect(thief.seen.every(({ authorization }) => authorization === null)).toBe(true);
  });
}

test('a credential goes on to places of the same origin', async () => {
  const till = await openTill();
  const honest = paidPage({ mint: () => till.lightning.mint() });
  const shop = await serve({
    '/page': (request, response) =>
      request.authorization === null
        ? honest(request, response)
        : moved(302, '/inner')(request, response),
    '/inner': (request, response) => {
      response.writeHead(request.authorization === null ? 403 : 200).end();
    },
  });
  expect((await till.fetch(`${shop.url}/page`)).status).toBe(200);
});

test('a credential comes back to its own resource, and goes nowhere else on the way', async () => {
  const till = await openTill();
  const shop = await serve({ '/page': paidPage({ mint: () => till.lightning.mint() }) });
  const front = await serve({
    '/go': (request, response) =>
      moved(307, `http://localhost:${shop.port}/page`)(request, response),
  });
  expect((await till.fetch(`http://localhost:${shop.port}/page`)).status).toBe(200);
  expect((await till.fetch(`${front.url}/go`, { method: 'POST', body: 'q' })).status).toBe(200);
  expect(shop.seen.at(-1)).toMatchObject({ method: 'POST', body: 'q' });
  expect(front.seen.every(({ authorization }) => authorization === null)).toBe(true);
  expect(till.wallet.payments).toHaveLength(1);
});

describe('what a caller says of redirects holds for the paid request', () => {
  const setUp = async () => {
    const till = await openTill();
    const honest = paidPage({ mint: () => till.lightning.mint() });
    const shop = await serve({
      '/page': (request, response) =>
        request.authorization === null
          ? honest(request, response)
          : moved(302, '/inner')(request, response),
      '/inner': (_request, response) => {
        response.writeHead(200).end();
      },
    });
    return { till, shop };
  };

  test('manual', async () => {
    const { till, shop } = await setUp();
    const answer = await till.fetch(`${shop.url}/page`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([302, '/inner']);
  });

  test('error', async () => {
    const { till, shop } = await setUp();
    await expect(till.fetch(`${shop.url}/page`, { redirect: 'error' })).rejects.toThrow(TypeError);
    expect(await till.charges()).toHaveLength(1);
  });
});

test('redirects without end, or to nowhere, are errors', async () => {
  const till = await openTill();
  const honest = paidPage({ mint: () => till.lightning.mint() });
  for (const location of ['/page', 'data:text/plain,hi', 'http://[']) {
    const shop = await serve({
      '/page': (request, response) =>
        request.authorization === null
          ? honest(request, response)
          : moved(302, location)(request, response),
    });
    await expect(till.fetch(`${shop.url}/page`)).rejects.toThrow(TypeError);
  }
});
