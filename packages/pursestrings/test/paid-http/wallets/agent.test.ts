import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { L402PaymentError } from '../../../src/paid-http/errors.ts';
import { paidFetch } from '../../../src/paid-http/paid-fetch.ts';
import { BlinkWallet } from '../../../src/paid-http/wallets/blink.ts';
import { openPurse, type Purse } from '../../../src/purse.ts';
import { account as blinkAccount, serveBlink } from '../../lightning/blink-server.ts';
import { type L402Server, openL402Server } from '../../lightning/l402-server.ts';
import { LightningBench } from '../../lightning/lightning-bench.ts';
import { httpWalletCases, type WalletCase, walletCases } from '../../lightning/wallet-cases.ts';

/** Odd on purpose: its fee is 1,308 millisatoshis. */
const priceMsat = 123_457;
const feeMsat = 1308;

let bench: LightningBench;
let server: L402Server;

beforeAll(async () => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  bench = await LightningBench.open();
  server = await openL402Server(bench, priceMsat);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function spentMsat(purse: Purse): Promise<number> {
  const { total } = await purse.report();
  return Math.round((total['sats'] ?? 0) * 1000);
}

describe.each(Object.entries(walletCases))('an agent who pays by %s', (name, make) => {
  let made: WalletCase;

  beforeAll(async () => {
    made = await make(bench);
  });

  afterAll(async () => {
    await made.end();
  });

  test('buys a page once, and the ledger says what the node says', async () => {
    const { wallet, feeStepMsat, secret } = made;
    const purse = await openPurse({ limits: [{ name: 'day', cap: { sats: 1000 } }] });
    const fetchPaid = paidFetch(purse, { wallet, labels: { agent: 'a1' } });
    const url = `${server.url}/${name}/now`;
    const [received, earned, sold] = [bench.receivedMsat, bench.earnedMsat, server.sold.length];
    for (const city of ['oslo', 'rome']) {
      const answer = await fetchPaid(`${url}?city=${city}`);
      expect(await answer.json()).toEqual({ path: `/${name}/now`, sky: 'clear' });
    }
    expect(bench.receivedMsat - received).toBe(priceMsat);
    expect(bench.earnedMsat - earned).toBe(feeMsat);
    expect(server.sold).toHaveLength(sold + 2);
    expect(server.refusals).toEqual([]);
    const fee = Math.ceil(feeMsat / feeStepMsat) * feeStepMsat;
    expect(await spentMsat(purse)).toBe(priceMsat + fee);
    const journal = await Array.fromAsync(purse.journal());
    expect(journal).toMatchObject([
      { labels: { agent: 'a1', domain: '127.0.0.1' }, overrun: false },
    ]);
    expect(JSON.stringify(journal)).not.toContain(secret);
    expect(await purse.verify()).toMatchObject({ ok: true });
    await purse.close();
  });

  test('has nothing charged for a payment that fails', async () => {
    const { wallet } = made;
    const purse = await openPurse({ limits: [{ name: 'day', cap: { sats: 1000 } }] });
    bench.mood = 'refuse';
    const fetchPaid = paidFetch(purse, { wallet, labels: { agent: 'a2' } });
    const pay = fetchPaid(`${server.url}/${name}/refused`);
    const error = await pay.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    bench.mood = 'claim';
    expect(error).toBeInstanceOf(L402PaymentError);
    expect(error).toMatchObject({ code: 'PAYMENT_FAILED', outcome: 'failed' });
    expect(await spentMsat(purse)).toBe(0);
    const balances = await Array.fromAsync(purse.balances());
    expect(balances).toMatchObject([{ held: 0, spent: 0 }]);
    await purse.close();
  });
});

test('Blink, asked to probe, has its fee held and never over the limit', async () => {
  const account = await serveBlink(bench);
  const { apiKey, walletId } = blinkAccount;
  const wallet = new BlinkWallet(apiKey, walletId, { baseUrl: account.url, probeFees: true });
  const purse = await openPurse({ limits: [{ name: 'day', cap: { sats: 126 } }] });
  const received = bench.receivedMsat;
  const cheap = paidFetch(purse, { wallet, maxFee: 1 })(`${server.url}/blink/cheap`);
  const refusal = await cheap.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(refusal).toMatchObject({ code: 'PAYMENT_FAILED', cause: { code: 'FEE_OVER_LIMIT' } });
  // 123.457 and 3 held for the fee are over 126.
  const dear = paidFetch(purse, { wallet, maxFee: 3 })(`${server.url}/blink/dear`);
  await expect(dear).rejects.toMatchObject({ required: 126.457, remaining: 126 });
  expect(bench.receivedMsat).toBe(received);
  await paidFetch(purse, { wallet, maxFee: 2 })(`${server.url}/blink/now`);
  expect(await spentMsat(purse)).toBe(priceMsat + 2000);
  await purse.close();
  await account[Symbol.asyncDispose]();
});

describe.each(Object.entries(httpWalletCases))('a lost answer of %s', (name, make) => {
  test('is made good by a look-up: paid once, charged once, and the page is had', async () => {
    const { wallet, server: walletServer, feeStepMsat, end } = await make(bench);
    const purse = await openPurse({ limits: [{ name: 'day', cap: { sats: 1000 } }] });
    const fetchPaid = paidFetch(purse, { wallet });
    const earned = bench.earnedMsat;
    walletServer.faults.drop = 'after';
    const answer = await fetchPaid(`${server.url}/${name}/lost`);
    expect(answer.status).toBe(200);
    expect(bench.earnedMsat - earned).toBe(feeMsat);
    const fee = Math.ceil(feeMsat / feeStepMsat) * feeStepMsat;
    expect(await spentMsat(purse)).toBe(priceMsat + fee);
    await purse.close();
    await end();
  });
});
