import bolt11 from 'bolt11';
import { importMacaroon } from 'macaroon';
import { expect, test } from 'vitest';

import { readInvoice } from '../../src/paid-http/invoice.ts';
import { paidFetch } from '../../src/paid-http/paid-fetch.ts';
import { LnbitsWallet } from '../../src/paid-http/wallets/lnbits.ts';
import { openPurse } from '../../src/purse.ts';
import { isMacaroonOf, mintMacaroon } from '../../src/testing/loopback-macaroon.ts';
import { loopbackPaywall } from '../../src/testing/loopback-paywall.ts';

test('sells pages to whoever pays, and bills what the ledger has', async () => {
  await using paywall = await loopbackPaywall({ priceMsat: 12_345, feeMsat: 67 });
  const purse = await openPurse({ limits: [{ name: 'day', cap: { sats: 30 } }] });
  const wallet = new LnbitsWallet({ url: paywall.walletUrl, apiKey: paywall.walletKey });
  const fetchPaid = paidFetch(purse, { wallet });
  for (const path of ['/a', '/b', '/a']) {
    const page = await fetchPaid(`${paywall.url}${path}`);
    expect(await page.json()).toEqual({ path });
  }
  await expect(fetchPaid(`${paywall.url}/c`)).rejects.toMatchObject({ required: 12.345 });
  expect(paywall.bill).toEqual({ payments: 2, amountMsat: 24_690, feeMsat: 134 });
  expect((await purse.report()).total['sats']).toBe(24.824);
  expect(paywall.pages).toBe(3);
  await purse.close();
});

test('writes invoices that other readers read', async () => {
  await using paywall = await loopbackPaywall({ priceMsat: 1 });
  const answer = await fetch(`${paywall.url}/forecast`);
  const [, invoice = ''] =
    /invoice="(\w+)"/.exec(answer.headers.get('www-authenticate') ?? '') ?? [];
  const read = readInvoice(invoice);
  expect(read).toMatchObject({ network: 'regtest', amountMsat: 1n });
  const network = {
    bech32: 'bcrt',
    pubKeyHash: 0x6f,
    scriptHash: 0xc4,
    validWitnessVersions: [0, 1],
  };
  const decoded = bolt11.decode(invoice, network);
  expect(decoded).toMatchObject({ complete: true, millisatoshis: '1' });
  expect(decoded.payeeNodeKey).toBe(typeof read === 'string' ? '' : read.payee);
  expect(decoded.tagsObject.description).toBe('/forecast');
});

test('mints macaroons that other readers verify, and knows its own', () => {
  const rootKey = Buffer.alloc(32, 7);
  const terms = { location: 'loopback', identifier: Buffer.alloc(200, 1), caveats: ['a=1', 'b=2'] };
  const token = mintMacaroon(terms, rootKey);
  const macaroon = importMacaroon(Buffer.from(token, 'base64'));
  const seen: string[] = [];
  macaroon.verify(rootKey, (caveat) => {
    seen.push(caveat);
    return null;
  });
  expect(seen).toEqual(['a=1', 'b=2']);
  expect(() => macaroon.verify(Buffer.alloc(32, 8), () => null)).toThrow('signature mismatch');
  expect(isMacaroonOf(token, terms, rootKey)).toBe(true);
  expect(isMacaroonOf(token, { ...terms, caveats: ['a=1'] }, rootKey)).toBe(false);
  expect(isMacaroonOf(token, terms, Buffer.alloc(32, 8))).toBe(false);
});

test('opens no page to a credential of another, and none to a wrong preimage', async () => {
  await using paywall = await loopbackPaywall();
  const challenge = await fetch(`${paywall.url}/a`);
  const [, token = ''] =
    /macaroon="([^"]+)"/.exec(challenge.headers.get('www-authenticate') ?? '') ?? [];
  const authorization = `L402 ${token}:${'ab'.repeat(32)}`;
  for (const path of ['/a', '/b']) {
    const answer = await fetch(`${paywall.url}${path}`, { headers: { authorization } });
    expect(answer.status).toBe(402);
  }
});

test('refuses a price that is none', async () => {
  await expect(loopbackPaywall({ priceMsat: 0 })).rejects.toThrow('priceMsat is 0');
  await expect(loopbackPaywall({ feeMsat: -1 })).rejects.toThrow('feeMsat is -1');
});
