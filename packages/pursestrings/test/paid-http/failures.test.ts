/** How clients lose money: each way seen in one that people run, and closed here. */
import { expect, test } from 'vitest';
import { BudgetExceededError, L402Client, L402PaymentError } from '../../src/paid-http/index.ts';
import { Lightning, type TestWallet, type WalletTerms } from './lightning.ts';
import { challengeOf, paidPage, type Paywall, serve } from './paywall.ts';

const lightning = new Lightning();
const wallet = (terms: WalletTerms = {}): TestWallet => lightning.wallet(terms);
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

/** A shop whose challenge stands in JSON, with a price beside the invoice that may be a lie. */
const shopThatSays = (amountMsat: number, says: object): Promise<Paywall> =>
  serve({
    '*': paidPage({
      mint: () => lightning.mint({ amountMsat }),
      body: ({ bolt11 }, macaroon) => ({ macaroon, invoice: bolt11, ...says }),
    }),
  });

test('the amount is the invoice’s: a server that declares 1 sat and invoices a million', async () => {
  const paying = wallet();
  const client = new L402Client({ wallet: paying, budgetSats: 100 });
  const { url } = await shopThatSays(1_000_000_000, { priceSats: 1 });
  expect(await failureOf(client.fetch(url))).toBeInstanceOf(BudgetExceededError);
  const rich = new L402Client({ wallet: paying, budgetSats: 1e7 });
  expect(await failureOf(rich.fetch(url))).toMatchObject({ code: 'PRICE_MISMATCH' });
  expect(paying.asked).toEqual([]);
});

test.each([[{}], [{ priceSats: null }], [{ priceSats: '60' }]])(
  'a price that is missing or a text, %j, is recorded as the invoice says',
  async (says) => {
    const client = new L402Client({ wallet: wallet(), budgetSats: 100 });
    const { url } = await shopThatSays(60_000, says);
    expect((await client.fetch(url)).status).toBe(200);
    expect(client.spendingReport()).toMatchObject({ total: 60, remaining: 40 });
    expect(await failureOf(client.fetch(`${url}/other`))).toBeInstanceOf(BudgetExceededError);
  },
);

test.each([[0], [-5], ['free'], [Number.MAX_VALUE]])(
  'a price that cannot be, %j, is not paid',
  async (priceSats) => {
    const paying = wallet();
    const client = new L402Client({ wallet: paying });
    const { url } = await shopThatSays(60_000, { priceSats });
    expect(await failureOf(client.fetch(url))).toMatchObject({ code: 'PRICE_MISMATCH' });
    expect(paying.asked).toEqual([]);
  },
);

test('an invoice without an amount does not slip through', async () => {
  const paying = wallet();
  const client = new L402Client({ wallet: paying });
  const { url } = await serve({
    '*': paidPage({ mint: () => lightning.mint({ amountMsat: null }) }),
  });
  expect(await failureOf(client.fetch(url))).toMatchObject({ code: 'INVOICE_AMOUNTLESS' });
  expect(paying.asked).toEqual([]);
});

test('amounts below a sat are not rounded away', async () => {
  const client = new L402Client({ wallet: wallet(), budgetSats: 1 });
  const { url } = await serve({
    '*': paidPage({ mint: () => lightning.mint({ amountMsat: 999 }) }),
  });
  await client.fetch(`${url}/a`);
  expect(client.spendingReport()).toMatchObject({ total: 0.999, remaining: 0.001 });
  expect(await failureOf(client.fetch(`${url}/b`))).toBeInstanceOf(BudgetExceededError);
});

test('routing fees are in the budget: held before, counted after', async () => {
  const paying = wallet({ feeMsat: 2_500 });
  const client = new L402Client({ wallet: paying, budgetSats: 65 });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  await client.fetch(`${url}/a`);
  expect(client.spendingReport()).toMatchObject({ total: 62.5, remaining: 2.5 });
  const tight = new L402Client({ wallet: paying, budgetSats: 62 });
  expect(await failureOf(tight.fetch(`${url}/b`))).toMatchObject({ required: 63, remaining: 62 });
  const open = new L402Client({ wallet: paying, budgetSats: 62, maxFee: 2 });
  await open.fetch(`${url}/c`);
  expect(paying.asked.map(({ maxFeeMsat }) => maxFeeMsat)).toEqual([3_000, 2_000]);
  // The wallet took more than it was allowed: all of it is recorded, whatever the cap.
  expect(open.spendingReport()).toMatchObject({ total: 62.5, remaining: 0 });
});

test('the preimage is checked', async () => {
  const paying = wallet({
    step: async (_invoice, pay) => ({ ...pay(), preimage: 'ab'.repeat(32) }),
  });
  const client = new L402Client({ wallet: paying, budgetSats: 100 });
  const { url, seen } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  expect(await failureOf(client.fetch(url))).toMatchObject({ code: 'WRONG_PREIMAGE' });
  expect(seen).toHaveLength(1);
  expect(client.spendingReport()?.total).toBe(60);
});

test('ten parallel calls of 60 on a budget of 100 pay 60', async () => {
  const paying = wallet();
  const client = new L402Client({ wallet: paying, budgetSats: 100 });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  await Promise.allSettled(
    Array.from({ length: 10 }, (_, index) => client.fetch(`${url}/${index}`)),
  );
  expect(paying.payments).toHaveLength(1);
  expect(client.spendingReport()?.total).toBe(60);
});

test('four parallel calls for one URL pay once', async () => {
  const paying = wallet();
  const client = new L402Client({ wallet: paying });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  await Promise.all(Array.from({ length: 4 }, () => client.fetch(`${url}/a`)));
  expect(paying.payments).toHaveLength(1);
});

test('a wallet that times out with the payment in flight is not asked to pay again', async () => {
  const paying = wallet({
    step: async (_invoice, pay) => {
      pay();
      throw new Error('timeout');
    },
  });
  const client = new L402Client({ wallet: paying });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  for (let turn = 0; turn < 3; turn += 1) {
    expect(await failureOf(client.fetch(`${url}/a`))).toBeInstanceOf(L402PaymentError);
  }
  expect(paying.asked).toHaveLength(1);
});

test('a callback that throws after the payment does not lose the credential', async () => {
  const paying = wallet();
  const client = new L402Client({
    wallet: paying,
    onSpend: () => {
      throw new Error('my bug');
    },
  });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  expect((await client.fetch(`${url}/a`)).status).toBe(200);
  expect((await client.fetch(`${url}/a`)).status).toBe(200);
  expect(paying.payments).toHaveLength(1);
});

test('a Headers object is there on the paid request too', async () => {
  const client = new L402Client({ wallet: wallet() });
  const { url, seen } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  await client.fetch(`${url}/a`, { headers: new Headers({ 'x-tenant': 't1' }) });
  expect(seen.map(({ headers }) => headers['x-tenant'])).toEqual(['t1', 't1']);
});

test('a body that is a stream is refused before it is paid for', async () => {
  const paying = wallet();
  const client = new L402Client({ wallet: paying });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  const body = new Blob(['question']).stream();
  const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
  expect(await failureOf(client.fetch(url, init))).toMatchObject({ code: 'BODY_NOT_REPEATABLE' });
  expect(paying.asked).toEqual([]);
});

test('a 402 behind a redirect is charged to who asks for the money', async () => {
  const shop = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  const front = await serve({
    '*': (_request, response) => {
      response.writeHead(302, { location: `http://localhost:${shop.port}/a` }).end();
    },
  });
  const client = new L402Client({ wallet: wallet(), budgetPerDomain: { localhost: 59 } });
  expect(await failureOf(client.fetch(front.url))).toBeInstanceOf(BudgetExceededError);
  const open = new L402Client({ wallet: wallet(), budgetPerDomain: { '127.0.0.1': 59 } });
  expect((await open.fetch(front.url)).status).toBe(200);
  expect(open.spendingReport()?.byDomain).toEqual({ localhost: 60 });
});

test.each([['LocalHost'], ['localhost.']])(
  'a cap of a domain is not missed for how %s is written, nor for its port',
  async (host) => {
    const shop = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
    const paying = wallet();
    const client = new L402Client({ wallet: paying, budgetPerDomain: { localhost: 59 } });
    const send: typeof fetch = (input, init) =>
      fetch(
        input instanceof Request ? input : input.toString().replace(/localhost\./i, 'localhost'),
        init,
      );
    const able = new L402Client({
      wallet: paying,
      budgetPerDomain: { localhost: 59 },
      fetch: send,
    });
    for (const each of [client, able]) {
      const error = await failureOf(each.fetch(`http://${host}:${shop.port}/a`));
      // A name with a trailing dot may not resolve here; where it does, the cap is there.
      if (!(error instanceof TypeError)) expect(error).toBeInstanceOf(BudgetExceededError);
    }
    expect(paying.asked).toEqual([]);
  },
);

test('a refused credential is not sent as two empty halves', async () => {
  const paying = wallet();
  const client = new L402Client({ wallet: paying });
  const { url, seen } = await serve({
    '*': (_request, response) => {
      response.writeHead(402, { 'www-authenticate': challengeOf(lightning.mint().bolt11) }).end();
    },
  });
  for (let turn = 0; turn < 3; turn += 1) await failureOf(client.fetch(url));
  const sent = seen.flatMap(({ authorization }) => authorization ?? []);
  expect(sent.length).toBeGreaterThan(0);
  for (const text of sent) expect(text).toMatch(/^L402 [\w+/=-]+:[0-9a-f]{64}$/);
  expect(new Set(sent).size).toBe(sent.length);
});

test('caps of domains without a total are not ignored', async () => {
  const client = new L402Client({ wallet: wallet(), budgetPerDomain: { '127.0.0.1': 100 } });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  await client.fetch(`${url}/a`);
  expect(await failureOf(client.fetch(`${url}/b`))).toMatchObject({ required: 60, remaining: 40 });
  expect(client.spendingReport()).toMatchObject({ total: 60, remaining: Number.POSITIVE_INFINITY });
});
