import { describe, expect, test } from 'vitest';

import { AlbyWallet } from '../../../src/paid-http/wallets/alby.ts';
import { LnbitsWallet } from '../../../src/paid-http/wallets/lnbits.ts';
import { failureOf } from '../../lightning/failures.ts';
import { canned, type Canned, invoice, invoiceHash, preimage } from './canned-wallet.ts';

describe('Alby', () => {
  const walletOf = (fetch: typeof globalThis.fetch): AlbyWallet =>
    new AlbyWallet('token-1', 'https://hub.example/', { fetch });
  const settled = { type: 'outgoing', state: 'settled', preimage, feesPaid: 1308 };
  const missing: Canned = [500, { message: 'The transaction requested was not found' }];

  test('asks as the hub does', async () => {
    const fetch = canned([200, settled]);
    expect(await walletOf(fetch).payInvoice(invoice)).toEqual({ preimage, feeMsat: 1308 });
    expect(fetch.sent).toMatchObject([
      {
        method: 'POST',
        url: `https://hub.example/api/payments/${invoice}`,
        headers: { authorization: 'Bearer token-1' },
      },
    ]);
  });

  test('gives the invoice in the body where the hub has no route for it in the path', async () => {
    const fetch = canned([404, { message: 'Not Found' }], [200, { payment_preimage: preimage }]);
    expect(await walletOf(fetch).payInvoice(invoice)).toEqual({ preimage });
    expect(fetch.sent[1]).toMatchObject({
      url: 'https://hub.example/api/payments',
      body: { invoice },
    });
  });

  test.each<readonly [string, readonly Canned[], string]>([
    [
      'by an error, with no record of it, was not begun',
      [[500, { message: 'insufficient balance' }], missing],
      'failed PAYMENT_FAILED',
    ],
    [
      'by an error has failed if its record says so',
      [
        [500, { message: 'no route' }],
        [200, { type: 'outgoing', state: 'failed' }],
      ],
      'failed PAYMENT_FAILED',
    ],
    [
      'by a time-out may be under way',
      [
        [500, { message: 'timeout' }],
        [200, { type: 'outgoing', state: 'pending' }],
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'to be paid already is paid',
      [
        [500, { message: 'this invoice has already been paid' }],
        [200, settled],
      ],
      'paid',
    ],
    [
      'by `error` in an answer of 200 stands as its record says',
      [[200, { error: 'no' }], missing],
      'failed PAYMENT_FAILED',
    ],
    [
      'by an error whose record cannot be read may be under way',
      [
        [500, { message: 'no' }],
        [500, { message: 'LNClient not started' }],
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'without a preimage may be under way',
      [[200, { state: 'pending', preimage: null }]],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'nowhere, since there is no such route, was not begun',
      [
        [404, { message: 'Not Found' }],
        [404, { message: 'Not Found' }],
      ],
      'failed WALLET_REFUSED',
    ],
    [
      'by a gateway, with no record of it yet, may be under way',
      [[504, { message: 'Endpoint request timed out', detail: 'timed out' }], missing],
      'unknown OUTCOME_UNKNOWN',
    ],
  ])('a payment that is answered %s', async (_, answers, failure) => {
    expect(await failureOf(walletOf(canned(...answers)).payInvoice(invoice))).toBe(failure);
  });

  test.each<readonly [string, Canned, object | string]>([
    ['what was paid', [200, settled], { state: 'succeeded', preimage, feeMsat: 1308 }],
    ['what is under way', [200, { ...settled, state: 'pending' }], { state: 'in_flight' }],
    [
      'what failed',
      [200, { ...settled, state: 'failed', failureReason: 'no route' }],
      { state: 'failed', reason: 'no route' },
    ],
    ['what was paid to this hub', [200, { ...settled, type: 'incoming' }], { state: 'unknown' }],
    ['what was never paid', missing, { state: 'unknown' }],
    ['nothing where it has no list', [404, { message: 'Not Found' }], 'unknown LOOK_UP_FAILED'],
    [
      'nothing without a token',
      [401, { message: 'invalid or expired jwt' }],
      'unknown LOOK_UP_FAILED',
    ],
  ])('a look-up tells %s', async (_, answer, expected) => {
    const state = walletOf(canned(answer)).lookUpPayment(invoiceHash);
    if (typeof expected === 'string') expect(await failureOf(state)).toBe(expected);
    else expect(await state).toEqual(expected);
  });
});

describe('LNbits', () => {
  const walletOf = (fetch: typeof globalThis.fetch): LnbitsWallet =>
    new LnbitsWallet({ url: 'https://lnbits.example', apiKey: 'admin-1', fetch });
  const details = { amount: -250_000_000, fee: -1308, status: 'success' };
  const success = { payment_hash: invoiceHash, preimage, ...details };
  const paid: Canned = [200, { paid: true, preimage, details }];
  const missing: Canned = [404, { detail: 'Payment does not exist.' }];

  test('asks as LNbits documents it', async () => {
    const fetch = canned([201, success]);
    expect(await walletOf(fetch).payInvoice(invoice)).toEqual({ preimage, feeMsat: 1308 });
    expect(fetch.sent).toMatchObject([
      {
        method: 'POST',
        url: 'https://lnbits.example/api/v1/payments',
        headers: { 'x-api-key': 'admin-1' },
        body: { out: true, bolt11: invoice },
      },
    ]);
  });

  test('asks for the preimage where the answer names only the hash, as older versions do', async () => {
    const hashOnly = { payment_hash: invoiceHash, checking_id: invoiceHash };
    const fetch = canned([201, hashOnly], paid);
    expect(await walletOf(fetch).payInvoice(invoice)).toEqual({ preimage, feeMsat: 1308 });
    expect(fetch.sent[1]?.url).toBe(`https://lnbits.example/api/v1/payments/${invoiceHash}`);
  });

  test.each<readonly [string, readonly Canned[], string]>([
    [
      'failed has failed',
      [[520, { detail: 'Payment failed: no_route', status: 'failed' }]],
      'failed PAYMENT_FAILED',
    ],
    [
      'pending may be under way',
      [[520, { detail: 'Payment is still pending.', status: 'pending' }]],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'success, as an error, is paid',
      [[520, { detail: 'Payment already paid.', status: 'success' }], paid],
      'paid',
    ],
    [
      'by an error, with no record of it, was not begun',
      [[520, { detail: 'no' }], missing],
      'failed PAYMENT_FAILED',
    ],
    [
      'by an error, with a record, stands as that says',
      [
        [500, { detail: 'no' }],
        [200, { paid: false, details: { status: 'pending' } }],
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'as taken and still pending may be under way',
      [
        [201, { ...success, status: 'pending', preimage: null }],
        [200, { paid: false, status: 'pending' }],
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'as taken and failed has failed',
      [
        [201, { ...success, status: 'pending', preimage: null }],
        [200, { paid: false, status: 'failed' }],
      ],
      'failed PAYMENT_FAILED',
    ],
    [
      'by the hash of another invoice is not known',
      [[201, { payment_hash: 'ab'.repeat(32) }]],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'by the invoice key was not begun',
      [[401, { detail: 'Invoice (or Admin) key required.' }]],
      'failed WALLET_REFUSED',
    ],
    [
      'by a gateway, with no record of it yet, may be under way',
      [[504, { message: 'Endpoint request timed out', detail: 'timed out' }], missing],
      'unknown OUTCOME_UNKNOWN',
    ],
  ])('a payment that is answered %s', async (_, answers, failure) => {
    expect(await failureOf(walletOf(canned(...answers)).payInvoice(invoice))).toBe(failure);
  });

  test.each<readonly [string, Canned, object | string]>([
    ['what was paid', paid, { state: 'succeeded', preimage, feeMsat: 1308 }],
    [
      'what was paid, without details',
      [200, { paid: true, preimage }],
      { state: 'succeeded', preimage },
    ],
    [
      'what is under way',
      [200, { paid: false, details: { status: 'pending' } }],
      { state: 'in_flight' },
    ],
    ['what failed', [200, { paid: false, status: 'failed' }], { state: 'failed' }],
    [
      'what was paid to this wallet',
      [200, { paid: true, preimage, details: { amount: 5000 } }],
      { state: 'unknown' },
    ],
    ['what was never paid', missing, { state: 'unknown' }],
    [
      'nothing where there is no such route',
      [404, { detail: 'Not Found' }],
      'unknown LOOK_UP_FAILED',
    ],
  ])('a look-up tells %s', async (_, answer, expected) => {
    const state = walletOf(canned(answer)).lookUpPayment(invoiceHash);
    if (typeof expected === 'string') expect(await failureOf(state)).toBe(expected);
    else expect(await state).toEqual(expected);
  });
});
