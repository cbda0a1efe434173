import { describe, expect, test } from 'vitest';
import { BudgetExceededError as PurseBudgetExceededError } from '../../src/errors.ts';
import {
  BudgetExceededError,
  L402Client,
  type L402ClientOptions,
  L402ParseError,
  L402PaymentError,
  paidFetch,
  type TokenStore,
} from '../../src/paid-http/index.ts';
import { openTill } from './fixture.ts';
import { Lightning, type TestWallet, type WalletTerms } from './lightning.ts';
import { paidPage, type Paywall, serve, wants } from './paywall.ts';

interface Shop extends Paywall {
  readonly lightning: Lightning;
  readonly wallet: TestWallet;
  client(options?: Partial<L402ClientOptions>): L402Client;
}

const urlOf = (input: string | URL | Request): string =>
  input instanceof Request ? input.url : input.toString();

/** A shop whose pages cost so many sats, and a wallet that pays there. */
async function openShop(sats = 60, terms: WalletTerms = {}): Promise<Shop> {
  const lightning = new Lightning();
  const wallet = lightning.wallet(terms);
  const server = await serve({
    '*': paidPage({ mint: () => lightning.mint({ amountMsat: sats * 1_000 }) }),
  });
  const client = (options: Partial<L402ClientOptions> = {}): L402Client =>
    new L402Client({ wallet, ...options });
  return { ...server, lightning, wallet, client };
}

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

test('without budgets there is no cap and no report', async () => {
  const shop = await openShop(1_000_000);
  const client = shop.client();
  expect((await client.fetch(`${shop.url}/a`)).status).toBe(200);
  expect(client.spendingReport()).toBeNull();
  expect(shop.client({ budgetPerDomain: {} }).spendingReport()).toBeNull();
});

test('a budget is reported, in the shape that users read', async () => {
  const shop = await openShop(60.5);
  const client = shop.client({ budgetSats: 1_000 });
  expect(client.spendingReport()).toEqual({
    total: 0,
    remaining: 1_000,
    byDomain: {},
    transactions: [],
  });
  const before = Date.now();
  await client.fetch(`${shop.url}/a?q=1`);
  await client.fetch(`http://localhost:${shop.port}/b`);
  const report = client.spendingReport();
  expect(report).toEqual({
    total: 121,
    remaining: 879,
    byDomain: { '127.0.0.1': 60.5, localhost: 60.5 },
    transactions: [
      { url: `${shop.url}/a?q=1`, sats: 60.5, ts: expect.any(Number) },
      { url: `http://localhost:${shop.port}/b`, sats: 60.5, ts: expect.any(Number) },
    ],
  });
  expect(report?.transactions[0]?.ts).toBeGreaterThanOrEqual(before);
});

test('a price over the budget is refused, after the callback, with nothing spent', async () => {
  const shop = await openShop(200);
  const calls: unknown[] = [];
  const client = shop.client({
    budgetSats: 100,
    onBudgetExceeded: (url, sats) => calls.push([url, sats]),
    onSpend: () => calls.push('spent'),
    beforePayment: () => calls.push('asked'),
  });
  const error = await failureOf(client.fetch(`${shop.url}/a`));
  expect(error).toBeInstanceOf(BudgetExceededError);
  expect(error).toBeInstanceOf(PurseBudgetExceededError);
  expect(error).toMatchObject({ url: `${shop.url}/a`, required: 200, remaining: 100 });
  expect((error as Error).name).toBe('BudgetExceededError');
  expect(calls).toEqual([[`${shop.url}/a`, 200]]);
  expect(shop.wallet.asked).toEqual([]);
});

test('all of a budget may be spent, and not a millisatoshi more', async () => {
  const shop = await openShop(50);
  const client = shop.client({ budgetSats: 100 });
  await client.fetch(`${shop.url}/a`);
  await client.fetch(`${shop.url}/b`);
  expect(client.spendingReport()?.remaining).toBe(0);
  expect(await failureOf(client.fetch(`${shop.url}/c`))).toMatchObject({ remaining: 0 });
  const strict = shop.client({ budgetSats: '49.999' });
  expect(await failureOf(strict.fetch(`${shop.url}/a`))).toMatchObject({ remaining: 49.999 });
  const none = shop.client({ budgetSats: 0 });
  expect(await failureOf(none.fetch(`${shop.url}/a`))).toBeInstanceOf(BudgetExceededError);
  expect(none.spendingReport()?.remaining).toBe(0);
});

test('100 calls of one client cannot pass its budget together', async () => {
  const shop = await openShop(60);
  const client = shop.client({ budgetSats: 1_000 });
  const answers = await Promise.allSettled(
    Array.from({ length: 100 }, (_, index) => client.fetch(`${shop.url}/${index}`)),
  );
  expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(16);
  expect(shop.wallet.asked).toHaveLength(16);
  expect(client.spendingReport()?.total).toBe(960);
});

describe('budgets of domains', () => {
  test('bind for themselves, beside the total', async () => {
    const shop = await openShop(60);
    const client = shop.client({ budgetSats: 1_000, budgetPerDomain: { localhost: 100 } });
    const base = `http://localhost:${shop.port}`;
    await client.fetch(`${base}/a`);
    expect(await failureOf(client.fetch(`${base}/b`))).toMatchObject({
      required: 60,
      remaining: 40,
    });
    expect((await client.fetch(`${shop.url}/b`)).status).toBe(200);
    const both = shop.client({ budgetSats: 50, budgetPerDomain: { localhost: 100 } });
    expect(await failureOf(both.fetch(`${base}/a`))).toMatchObject({ remaining: 50 });
  });

  test('bind without a total, and the report says Infinity', async () => {
    const shop = await openShop(60);
    const client = shop.client({ budgetPerDomain: { localhost: 60 } });
    const base = `http://localhost:${shop.port}`;
    await client.fetch(`${base}/a`);
    expect(await failureOf(client.fetch(`${base}/b`))).toBeInstanceOf(BudgetExceededError);
    expect((await client.fetch(`${shop.url}/b`)).status).toBe(200);
    expect(client.spendingReport()).toMatchObject({
      total: 120,
      remaining: Number.POSITIVE_INFINITY,
      byDomain: { localhost: 60, '127.0.0.1': 60 },
    });
  });

  test('know a host in every way that it can be written', async () => {
    const shop = await openShop(60);
    for (const [key, host] of [
      ['LOCALHOST', 'localhost'],
      ['localhost.', 'localhost'],
      ['localhost', 'LocalHost'],
      ['localhost', 'localhost.'],
      [`localhost:${shop.port}`, 'localhost'],
      [`LocalHost.:${shop.port}`, 'localhost.'],
      ['*.localhost', 'shop.localhost'],
      ['*.localhost', 'a.b.Shop.localhost.'],
      ['bücher.localhost', 'xn--bcher-kva.localhost'],
      ['xn--bcher-kva.localhost', 'BÜCHER.localhost'],
    ] as const) {
      const client = shop.client({
        budgetPerDomain: { [key]: 59 },
        // Names below localhost lead nowhere on some machines.
        fetch: (input, init) =>
          fetch(urlOf(input).replace(/^http:\/\/[^/]+/, shop.url), init).then((answer) =>
            Object.defineProperty(answer, 'url', { value: urlOf(input) }),
          ),
      });
      const error = await failureOf(client.fetch(`http://${host}:${shop.port}/a`));
      expect([key, host, error]).toEqual([key, host, expect.any(BudgetExceededError)]);
    }
    expect(shop.wallet.asked).toEqual([]);
  });

  test('bind one port alone, and hosts below one together, not that one', async () => {
    const shop = await openShop(60);
    const other = await serve({
      '*': paidPage({ mint: () => shop.lightning.mint({ amountMsat: 60_000 }) }),
    });
    const client = shop.client({
      budgetPerDomain: { [`localhost:${shop.port}`]: 60, '*.0.1.example': 1 },
    });
    await client.fetch(`http://localhost:${shop.port}/a`);
    await client.fetch(`http://localhost:${other.port}/a`);
    const error = await failureOf(client.fetch(`http://localhost:${shop.port}/b`));
    expect(error).toBeInstanceOf(BudgetExceededError);
    const hosts =
      (url: string): typeof fetch =>
      (input, init) =>
        fetch(urlOf(input).replace(/^http:\/\/[^/]+/, url), init).then((answer) =>
          Object.defineProperty(answer, 'url', { value: urlOf(input) }),
        );
    const below = shop.client({ budgetPerDomain: { '*.shop.test': 100 }, fetch: hosts(shop.url) });
    await below.fetch('http://a.shop.test/1');
    expect(await failureOf(below.fetch('http://b.c.shop.test/2'))).toMatchObject({ remaining: 40 });
    expect((await below.fetch('http://shop.test/3')).status).toBe(200);
    expect((await below.fetch('http://myshop.test/4')).status).toBe(200);
  });

  test('that cannot be read, or that name one domain twice, are errors at once', async () => {
    const shop = await openShop();
    for (const budgetPerDomain of [
      { 'https://a.example/': 1 },
      { '': 1 },
      { '*': 1 },
      { '*.10.0.0.1': 1 },
      { 'a.example:0x50': 1 },
      { 'a.example:70000': 1 },
      { 'user@a.example': 1 },
      { 'a.example': -1 },
      { 'a.example': Number.NaN },
      { 'a.example': 1, 'A.example.': 2 },
    ]) {
      expect(() => shop.client({ budgetPerDomain })).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    }
    for (const budgetSats of [-1, Number.NaN, 'many']) {
      expect(() => shop.client({ budgetSats })).toThrow(/budgetSats/);
    }
    expect(() => new L402Client({} as L402ClientOptions)).toThrow(/wallet/);
  });

  test('of Infinity bind nothing and are reported', async () => {
    const shop = await openShop();
    const client = shop.client({ budgetPerDomain: { 'a.example': Infinity } });
    expect(client.spendingReport()).toMatchObject({ total: 0, remaining: Infinity });
  });
});

test.each([
  [/maxRetries is -1/, { maxRetries: -1 }],
  [/maxFee is -1/, { maxFee: -1 }],
  [/maxPerPayment is "x"/, { maxPerPayment: 'x' }],
  [/Domain "http:\/\/a"/, { domains: ['http://a'] }],
  [/labels names "domain"/, { labels: { domain: 'a' } }],
  [/paymentTimeoutMs is 0/, { paymentTimeoutMs: 0 }],
  [/network is "mainnet"/, { network: 'mainnet' as 'bitcoin' }],
  [/tokenStore is/, { tokenStore: {} as unknown as TokenStore }],
])('what cannot be meant is an error at once: %s', async (message, options) => {
  const shop = await openShop();
  expect(() => shop.client(options)).toThrow(message);
  const { purse } = await openTill();
  expect(() => paidFetch(purse, { wallet: shop.wallet, ...options })).toThrow(message);
});

describe('callbacks', () => {
  test('come in their order: asked and awaited before, told after, with the fee', async () => {
    const shop = await openShop(100, { feeMsat: 1_500 });
    const calls: unknown[] = [];
    const client = shop.client({
      budgetSats: 1_000,
      beforePayment: async (sats, url) => {
        await new Promise((resolve) => {
          setTimeout(resolve, 5);
        });
        calls.push(['before', sats, url, shop.wallet.asked.length]);
      },
      onSpend: (sats, url) => {
        calls.push(['after', sats, url, client.spendingReport()?.total]);
      },
    });
    await client.fetch(`${shop.url}/a?q=1`);
    expect(calls).toEqual([
      ['before', 100, `${shop.url}/a?q=1`, 0],
      ['after', 101.5, `${shop.url}/a?q=1`, 101.5],
    ]);
    expect(shop.wallet.asked).toMatchObject([{ maxFeeMsat: 3_000 }]);
  });

  test('that throw lose nothing', async () => {
    const shop = await openShop(60);
    const client = shop.client({
      budgetSats: 100,
      onSpend: () => {
        throw new Error('my bug');
      },
      onBudgetExceeded: async () => {
        throw new Error('my other bug');
      },
    });
    expect((await client.fetch(`${shop.url}/a`)).status).toBe(200);
    expect((await client.fetch(`${shop.url}/a`)).status).toBe(200);
    expect(shop.wallet.payments).toHaveLength(1);
    expect(await failureOf(client.fetch(`${shop.url}/b`))).toBeInstanceOf(BudgetExceededError);
    expect(client.spendingReport()?.total).toBe(60);
  });

  test('beforePayment refuses by a throw, with nothing spent', async () => {
    const shop = await openShop(60);
    const client = shop.client({
      budgetSats: 100,
      beforePayment: () => {
        throw new Error('too dear');
      },
    });
    await expect(client.fetch(`${shop.url}/a`)).rejects.toThrow('too dear');
    expect(shop.wallet.asked).toEqual([]);
    expect(client.spendingReport()).toMatchObject({ total: 0, remaining: 100 });
  });
});

test('a payment whose outcome is unknown is not left to be spent again', async () => {
  const shop = await openShop(60, {
    step: async (_invoice, pay) => {
      pay();
      throw new Error('timeout');
    },
  });
  const client = shop.client({ budgetSats: 100 });
  const error = await failureOf(client.fetch(`${shop.url}/a`));
  expect(error).toBeInstanceOf(L402PaymentError);
  expect(error).toMatchObject({ outcome: 'unknown' });
  expect(client.spendingReport()).toMatchObject({ total: 0, remaining: 40 });
  expect(await failureOf(client.fetch(`${shop.url}/b`))).toMatchObject({ remaining: 40 });
});

test('a 402 without a challenge is an error of the client', async () => {
  const shop = await openShop();
  const { url } = await serve({ '*': wants({}, { error: 'pay up' }) });
  const error = await failureOf(shop.client().fetch(url));
  expect(error).toBeInstanceOf(L402ParseError);
  expect((error as L402ParseError).body).toBe('{"error":"pay up"}');
});

test('fetch can be handed on without its client', async () => {
  const shop = await openShop();
  const { fetch } = shop.client({ budgetSats: 100 });
  expect((await fetch(new Request(`${shop.url}/a`))).status).toBe(200);
});

describe('on a purse that others share', () => {
  test('its limits and the budgets bind together, under the labels of the client', async () => {
    const till = await openTill({ capSats: 200 });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const { wallet, purse } = till;
    const labels = { agent: 'a1' };
    const client = new L402Client({ wallet, purse, labels, budgetSats: 130 });
    const heard: unknown[] = [];
    purse.on('charge', ({ labels }) => heard.push(labels['agent']));
    await client.fetch(`${url}/a`);
    await client.fetch(`${url}/b`);
    expect(await failureOf(client.fetch(`${url}/c`))).toMatchObject({ remaining: 10 });
    expect(heard).toEqual(['a1', 'a1']);
    const { total } = await purse.report();
    expect(total).toEqual({ sats: 120 });
    const [balance] = await Array.fromAsync(purse.balances());
    expect(balance).toMatchObject({ limit: 'all', spent: 120 });
    // The shared limit binds where the client's own budget would not.
    const other = new L402Client({ wallet, purse, labels: { agent: 'a2' }, budgetSats: 1_000 });
    await other.fetch(`${url}/d`);
    expect(await failureOf(other.fetch(`${url}/e`))).toMatchObject({ remaining: 20 });
    expect(await purse.limits()).toHaveLength(1);
  });

  test('a client with the same labels goes on where another stopped', async () => {
    const till = await openTill();
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const { wallet, purse } = till;
    const options = { wallet, purse, labels: { agent: 'a1' }, budgetSats: 130 };
    await new L402Client(options).fetch(`${url}/a`);
    const next = new L402Client(options);
    await next.fetch(`${url}/b`);
    expect(next.spendingReport()).toMatchObject({ total: 60, remaining: 10 });
    expect(await failureOf(next.fetch(`${url}/c`))).toMatchObject({ remaining: 10 });
    // Others are not bound by its budget.
    expect((await till.fetch(`${url}/d`)).status).toBe(200);
  });
});
