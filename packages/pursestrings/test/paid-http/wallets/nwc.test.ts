import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

import { loadNwcSdk } from '../../../src/paid-http/wallets/nwc-sdk.ts';
import { NwcWallet } from '../../../src/paid-http/wallets/nwc.ts';
import { failureOf } from '../../lightning/failures.ts';
import { LightningBench } from '../../lightning/lightning-bench.ts';
import { type NwcService, serveNwc } from '../../lightning/nwc-service.ts';

/** NIP-47's request and answer. */
const [requestKind, answerKind] = [23_194, 23_195];

let bench: LightningBench;
let service: NwcService;

beforeAll(async () => {
  // The SDK writes each failure to the console.
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  bench = await LightningBench.open();
  service = await serveNwc(bench);
});

beforeEach(() => {
  Object.assign(service, { refusal: undefined, result: undefined });
  Object.assign(service.relay, { passes: () => true, accepts: () => true });
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

describe('a payment that the wallet answers', () => {
  test.each([
    ['INSUFFICIENT_BALANCE', 'failed PAYMENT_FAILED'],
    ['QUOTA_EXCEEDED', 'failed PAYMENT_FAILED'],
    ['RATE_LIMITED', 'failed PAYMENT_FAILED'],
    ['RESTRICTED', 'failed PAYMENT_FAILED'],
    ['UNAUTHORIZED', 'failed PAYMENT_FAILED'],
    ['NOT_IMPLEMENTED', 'failed PAYMENT_FAILED'],
    ['PAYMENT_FAILED', 'unknown OUTCOME_UNKNOWN'],
    ['INTERNAL', 'unknown OUTCOME_UNKNOWN'],
    ['OTHER', 'unknown OUTCOME_UNKNOWN'],
  ])('%s', async (code, failure) => {
    await using wallet = new NwcWallet(service.url);
    service.refusal = { code, message: 'no' };
    expect(await failureOf(wallet.payInvoice(bench.invoice(5000)))).toBe(failure);
  });

  test.each([
    ['no preimage', {}],
    ['an empty preimage', { preimage: '' }],
    ['a preimage that is no text', { preimage: 7 }],
    ['zeros', { preimage: '0'.repeat(64) }],
  ])('with %s is not known', async (_, result) => {
    await using wallet = new NwcWallet(service.url);
    service.result = result;
    expect(await failureOf(wallet.payInvoice(bench.invoice(5000)))).toBe('unknown OUTCOME_UNKNOWN');
  });

  test('with fees that are no number is paid, without a fee', async () => {
    await using wallet = new NwcWallet(service.url);
    const preimage = 'ab'.repeat(32);
    service.result = { preimage: preimage.toUpperCase(), fees_paid: 'many' };
    expect(await wallet.payInvoice(bench.invoice(5000))).toEqual({ preimage });
  });
});

test.each([
  ['no cipher', { raw: 'garbage' }],
  ['an empty text', { raw: '' }],
  ['no JSON', { sealed: 'hello' }],
  ['null', { sealed: 'null' }],
  ['a text', { sealed: '"hello"' }],
  ['an empty object', { sealed: '{}' }],
  ['an error that is no object', { sealed: '{"error":7}' }],
])('an answer that is %s breaks nothing, and is not known', async (_, content) => {
  await using wallet = new NwcWallet(service.url, { timeoutMs: 5000 });
  const { relay } = service;
  relay.passes = ({ kind, id }) => {
    if (kind !== requestKind) return true;
    // It is answered as soon as it is heard, and the wallet itself never sees it.
    void service.forge(id, content).then((answer) => setTimeout(() => relay.inject(answer), 20));
    return false;
  };
  const pay = wallet.payInvoice(bench.invoice(5000));
  expect(await failureOf(pay)).toBe('unknown OUTCOME_UNKNOWN');
});

test('an answer that is lost leaves the payment to be looked up', async () => {
  await using wallet = new NwcWallet(service.url, { timeoutMs: 400 });
  await wallet.lookUpPayment('ab'.repeat(32));
  const invoice = bench.invoice(5000);
  service.relay.passes = ({ kind }) => kind !== answerKind;
  expect(await failureOf(wallet.payInvoice(invoice))).toBe('unknown OUTCOME_UNKNOWN');
  service.relay.passes = () => true;
  expect(await wallet.lookUpPayment(bench.hashOf(invoice))).toMatchObject({ state: 'succeeded' });
});

test('a request that the relay does not take is not known to have failed', async () => {
  await using wallet = new NwcWallet(service.url);
  service.relay.accepts = ({ kind }) => kind !== requestKind;
  expect(await failureOf(wallet.payInvoice(bench.invoice(5000)))).toBe('unknown OUTCOME_UNKNOWN');
});

test('a relay that is not there has not paid', async () => {
  const url = service.url.replace(
    encodeURIComponent(service.relay.url),
    'ws%3A%2F%2F127.0.0.1%3A9',
  );
  await using wallet = new NwcWallet(url);
  expect(await failureOf(wallet.payInvoice(bench.invoice(5000)))).toBe('failed WALLET_UNREACHABLE');
});

test('a caller who stops waiting does not know', async () => {
  await using wallet = new NwcWallet(service.url);
  await wallet.lookUpPayment('ab'.repeat(32));
  bench.mood = 'claim';
  service.relay.passes = ({ kind }) => kind !== answerKind;
  const signal = AbortSignal.timeout(100);
  const pay = wallet.payInvoice(bench.invoice(5000), { signal });
  expect(await failureOf(pay)).toBe('unknown OUTCOME_UNKNOWN');
});

test('a wallet whose key is on no curve is refused, and breaks nothing', async () => {
  const { host } = new URL(service.url.replace('nostr+walletconnect', 'http'));
  service.relay.passes = () => true;
  await using wallet = new NwcWallet(service.url.replace(host, 'f'.repeat(64)), { timeoutMs: 300 });
  const failure = await failureOf(wallet.payInvoice(bench.invoice(5000)));
  expect(failure).toMatch(/^(failed|unknown)/);
});

test('a request that cannot be encrypted has failed, and no other with it', async () => {
  await using wallet = new NwcWallet(service.url, { timeoutMs: 3000 });
  service.relay.passes = () => true;
  await wallet.lookUpPayment('ab'.repeat(32));
  const invoice = bench.invoice(5000);
  service.relay.passes = ({ kind }) => kind !== answerKind;
  const signal = AbortSignal.timeout(400);
  const outcomes = [
    failureOf(wallet.payInvoice(invoice, { signal })),
    // NIP-44 takes no text over 65,535 bytes.
    failureOf(wallet.payInvoice('lnbc1'.repeat(20_000))),
  ];
  expect(await Promise.all(outcomes)).toEqual([
    'unknown OUTCOME_UNKNOWN',
    'failed WALLET_UNREACHABLE',
  ]);
  service.relay.passes = () => true;
  expect(await wallet.lookUpPayment(bench.hashOf(invoice))).toMatchObject({ state: 'succeeded' });
});

test('says what to install where the SDK is missing', async () => {
  const missing = async (): Promise<never> => {
    throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  };
  await expect(loadNwcSdk(missing)).rejects.toMatchObject({
    code: 'NWC_SDK_MISSING',
    outcome: 'failed',
    message: expect.stringContaining('npm install @getalby/sdk') as string,
  });
});

test.each([
  ['a web page', () => 'https://example.org'],
  ['no secret', (url: string) => url.replace(/&secret=.*/, '')],
  ['half a secret', (url: string) => url.slice(0, -10)],
  ['no relay', (url: string) => url.replace(/relay=[^&]*/, 'relay=')],
  ['a key that is none', (url: string) => url.replace(/\/\/\w+/, '//me')],
])('refuses a connection string with %s, and does not repeat it', (_, change) => {
  const make = (): NwcWallet => new NwcWallet(change(service.url));
  expect(make).toThrow('The connection string of the NWC wallet is not one');
  expect(make).not.toThrow(service.secret.slice(0, 20));
});
