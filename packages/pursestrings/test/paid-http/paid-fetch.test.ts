import { expect, test } from 'vitest';
import { openTill } from './fixture.ts';
import { paidPage, serve } from './paywall.ts';

test('a page behind a paywall is paid for, and read', async () => {
  const till = await openTill({ options: { labels: { agent: 'a1' } } });
  const page = paidPage({ mint: () => till.lightning.mint({ amountMsat: 60_123 }) });
  const { url, seen } = await serve({ '/page': page });

  const answer = await till.fetch(`${url}/page?key=secret#part`);

  expect([answer.status, await answer.text()]).toEqual([200, 'the goods']);
  const [invoice] = page.challenges;
  const [charge, ...more] = await till.charges();
  expect(more).toEqual([]);
  expect(charge?.amounts).toEqual({ sats: 60.123 });
  expect(charge?.labels).toEqual({
    agent: 'a1',
    domain: '127.0.0.1',
    url: `${url}/page`,
    payee: invoice?.payee,
  });
  expect(JSON.parse(charge?.description ?? '')).toEqual({
    paymentHash: invoice?.paymentHash,
    preimage: invoice?.preimage,
    amountMsat: 60_123,
    feeMsat: null,
    url: `${url}/page`,
  });
  expect(seen.map(({ authorization }) => authorization?.split(' ')[0])).toEqual([
    undefined,
    'L402',
  ]);
  expect(seen.map(({ path }) => path)).toEqual(['/page?key=secret', '/page?key=secret']);
  expect(await till.heldSats()).toBe(0);
});

test('what was paid for is not paid for again, with another query and in another process', async () => {
  const till = await openTill();
  const { url, seen } = await serve({
    '/page': paidPage({ mint: () => till.lightning.mint() }),
  });
  await till.fetch(`${url}/page?a=1`);
  expect((await till.fetch(`${url}/page?a=2`)).status).toBe(200);
  expect(seen).toHaveLength(3);
  expect((await till.again()(`${url}/page`)).status).toBe(200);
  expect(till.wallet.payments).toHaveLength(1);
});

test('100 fetches of 60 sats on a cap of 1,000: 16 are paid, 84 refused before paying', async () => {
  const till = await openTill();
  const page = paidPage({ mint: () => till.lightning.mint() });
  const { url } = await serve({ '*': page });
  const answers = await Promise.allSettled(
    Array.from({ length: 100 }, (_, index) => till.fetch(`${url}/page/${index}`)),
  );
  const paid = answers.filter(({ status }) => status === 'fulfilled');
  expect(paid).toHaveLength(16);
  expect(till.wallet.asked).toHaveLength(16);
  expect((await till.charges()).map(({ amounts }) => amounts)).toEqual(
    Array.from({ length: 16 }, () => ({ sats: 60 })),
  );
});

test('100 fetches of one page pay once', async () => {
  const till = await openTill();
  const { url } = await serve({ '/page': paidPage({ mint: () => till.lightning.mint() }) });
  const answers = await Promise.all(Array.from({ length: 100 }, () => till.fetch(`${url}/page`)));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 100 }, () => 200));
  expect(till.wallet.asked).toHaveLength(1);
});
