import { describe, expect, test } from 'vitest';

import { BlinkWallet } from '../../../src/paid-http/wallets/blink.ts';
import { failureOf } from '../../lightning/failures.ts';
import { canned, type Canned, invoice, invoiceHash, preimage } from './canned-wallet.ts';

function walletOf(fetch: typeof globalThis.fetch): BlinkWallet {
  return new BlinkWallet('blink_key', 'wallet-1', { fetch });
}

function sent(payload: object | null): Canned {
  return [200, { data: { lnInvoicePaymentSend: payload } }];
}

function probed(payload: object | null): Canned {
  return [200, { data: { lnInvoiceFeeProbe: payload } }];
}

const transaction = {
  direction: 'SEND',
  status: 'SUCCESS',
  settlementFee: 2,
  settlementCurrency: 'BTC',
  settlementVia: { preImage: preimage },
};
const success = sent({ status: 'SUCCESS', errors: [], transaction });

test('asks as Blink documents it', async () => {
  const fetch = canned(success);
  expect(await walletOf(fetch).payInvoice(invoice)).toEqual({ preimage, feeMsat: 2000 });
  expect(fetch.sent).toMatchObject([
    {
      method: 'POST',
      url: 'https://api.blink.sv/graphql',
      headers: { 'x-api-key': 'blink_key' },
      body: { variables: { input: { walletId: 'wallet-1', paymentRequest: invoice } } },
    },
  ]);
});

describe('a payment that Blink answers', () => {
  test.each<readonly [string, Canned, string]>([
    [
      'FAILURE has failed',
      sent({ status: 'FAILURE', errors: [{ message: 'No route' }] }),
      'failed PAYMENT_FAILED',
    ],
    [
      'FAILURE without a reason has failed',
      sent({ status: 'FAILURE', errors: [] }),
      'failed PAYMENT_FAILED',
    ],
    [
      'PENDING may be under way',
      sent({ status: 'PENDING', errors: [], transaction: null }),
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'FAILURE because it is pending may be under way',
      sent({
        status: 'FAILURE',
        errors: [{ message: 'There is a pending payment for this invoice' }],
      }),
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'ALREADY_PAID with a preimage is paid',
      sent({ status: 'ALREADY_PAID', errors: [], transaction }),
      'paid',
    ],
    [
      'ALREADY_PAID without one is paid, and nothing proves it',
      sent({ status: 'ALREADY_PAID', errors: [], transaction: null }),
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'SUCCESS without a preimage is paid, and nothing proves it',
      sent({ status: 'SUCCESS', errors: [], transaction: { ...transaction, settlementVia: {} } }),
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'by an error of its input was not begun',
      sent({ status: null, errors: [{ message: 'Invalid walletId' }] }),
      'failed PAYMENT_FAILED',
    ],
    ['without a word may be under way', sent({}), 'unknown OUTCOME_UNKNOWN'],
    [
      'by a status of a later version may be under way',
      sent({ status: 'QUEUED', errors: [] }),
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'by null, for an error of the server, may be under way',
      [
        200,
        {
          data: null,
          errors: [{ message: 'oops', extensions: { code: 'INTERNAL_SERVER_ERROR' } }],
        },
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'by null, for its key, was not begun',
      [
        200,
        {
          data: null,
          errors: [{ message: 'Not authenticated', extensions: { code: 'UNAUTHENTICATED' } }],
        },
      ],
      'failed WALLET_REFUSED',
    ],
    [
      'by a query that it does not know was not begun',
      [
        400,
        {
          errors: [
            { message: 'Cannot query field', extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } },
          ],
        },
      ],
      'failed WALLET_REFUSED',
    ],
  ])('%s', async (_, answer, failure) => {
    expect(await failureOf(walletOf(canned(answer)).payInvoice(invoice))).toBe(failure);
  });
});

test('takes the preimage of a payment inside Blink', async () => {
  const inside = { ...transaction, settlementFee: 0 };
  const fetch = canned(sent({ status: 'SUCCESS', errors: [], transaction: inside }));
  expect(await walletOf(fetch).payInvoice(invoice)).toEqual({ preimage, feeMsat: 0 });
});

test('tells no fee of a wallet in dollars, which is in cents', async () => {
  const dollars = { ...transaction, settlementCurrency: 'USD' };
  const fetch = canned(sent({ status: 'SUCCESS', errors: [], transaction: dollars }));
  expect(await walletOf(fetch).payInvoice(invoice)).toEqual({ preimage });
});

describe('a fee limit', () => {
  test('is compared with the probe, to the satoshi, before paying', async () => {
    const enough = canned(probed({ amount: 3, errors: [] }), success);
    expect(await failureOf(walletOf(enough).payInvoice(invoice, { maxFeeMsat: 3000 }))).toBe(
      'paid',
    );
    const short = canned(probed({ amount: 3, errors: [] }), success);
    const pay = walletOf(short).payInvoice(invoice, { maxFeeMsat: 2999 });
    expect(await failureOf(pay)).toBe('failed FEE_OVER_LIMIT');
    expect(short.sent).toHaveLength(1);
  });

  test.each<readonly [string, Canned, string]>([
    [
      'no amount',
      probed({ amount: null, errors: [{ message: 'No route' }] }),
      'failed PAYMENT_FAILED',
    ],
    ['a negative amount', probed({ amount: -1, errors: [] }), 'failed PAYMENT_FAILED'],
    ['an amount that is no number', probed({ amount: '1', errors: [] }), 'failed PAYMENT_FAILED'],
    ['no payload', probed(null), 'failed WALLET_REFUSED'],
    ['an error of the server', [503, ''], 'failed WALLET_REFUSED'],
  ])('pays nothing when the probe answers %s', async (_, answer, failure) => {
    const fetch = canned(answer, success);
    expect(await failureOf(walletOf(fetch).payInvoice(invoice, { maxFeeMsat: 9000 }))).toBe(
      failure,
    );
    expect(fetch.sent).toHaveLength(1);
  });

  test('pays nothing when the probe is lost', async () => {
    const pay = walletOf(canned()).payInvoice(invoice, { maxFeeMsat: 9000 });
    expect(await failureOf(pay)).toBe('failed WALLET_UNREACHABLE');
  });

  test('is promised only to whom asks for probes', () => {
    expect(new BlinkWallet('key', 'id').limitsFees).toBe(false);
    expect(new BlinkWallet('key', 'id', { probeFees: true }).limitsFees).toBe(true);
  });
});

test.each<readonly [string, readonly object[], object]>([
  ['what was paid', [transaction], { state: 'succeeded', preimage, feeMsat: 2000 }],
  ['what is pending', [{ ...transaction, status: 'PENDING' }], { state: 'in_flight' }],
  ['what failed', [{ ...transaction, status: 'FAILURE' }], { state: 'failed' }],
  [
    'what failed and was paid then',
    [{ ...transaction, status: 'FAILURE' }, transaction],
    { state: 'succeeded', preimage, feeMsat: 2000 },
  ],
  [
    'what failed and is tried again',
    [
      { ...transaction, status: 'FAILURE' },
      { ...transaction, status: 'PENDING' },
    ],
    { state: 'in_flight' },
  ],
  [
    'what was paid to this account',
    [{ ...transaction, direction: 'RECEIVE' }],
    { state: 'unknown' },
  ],
  ['what was never paid', [], { state: 'unknown' }],
])('a look-up tells %s', async (_, transactionsByPaymentHash, expected) => {
  const me = { defaultAccount: { walletById: { transactionsByPaymentHash } } };
  const fetch = canned([200, { data: { me } }]);
  expect(await walletOf(fetch).lookUpPayment(invoiceHash)).toEqual(expected);
  expect(fetch.sent[0]?.body).toMatchObject({
    variables: { walletId: 'wallet-1', paymentHash: invoiceHash },
  });
});

test('goes to another server where it is told', async () => {
  for (const baseUrl of ['https://api.staging.blink.sv/graphql', 'https://api.staging.blink.sv']) {
    const fetch = canned(success);
    await new BlinkWallet('blink_key', 'wallet-1', { fetch, baseUrl }).payInvoice(invoice);
    expect(fetch.sent[0]?.url).toBe('https://api.staging.blink.sv/graphql');
  }
});

test.each(['', 'two words', 'line\nbreak', 'ünïcode'])(
  'refuses the key %j, and does not repeat it',
  (key) => {
    const make = (): BlinkWallet => new BlinkWallet(key, 'wallet-1');
    expect(make).toThrow('The secret of the Blink wallet is empty or not printable ASCII');
    if (key !== '') expect(make).not.toThrow(key);
  },
);

test('refuses an empty wallet id', () => {
  expect(() => new BlinkWallet('key', ' ')).toThrow('The id of the Blink wallet is empty');
});
