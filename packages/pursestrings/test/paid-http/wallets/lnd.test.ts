import { describe, expect, test } from 'vitest';

import { LndWallet, type LndOptions } from '../../../src/paid-http/wallets/lnd.ts';
import { failureOf } from '../../lightning/failures.ts';
import { canned, type Canned, invoice, invoiceHash, preimage } from './canned-wallet.ts';

const url = 'https://lnd.example:8080';

function walletOf(fetch: typeof globalThis.fetch, options: Partial<LndOptions> = {}): LndWallet {
  return new LndWallet({ url, macaroon: '0201ab', fetch, ...options });
}

function lines(...updates: readonly object[]): string {
  return updates.map((update) => `${JSON.stringify(update)}\n`).join('');
}

function error(code: number, message: string): object {
  return { error: { code, message, details: [] } };
}

const succeeded = { status: 'SUCCEEDED', payment_preimage: preimage, fee_msat: '1308' };
const notInitiated: Canned = [404, error(5, "payment isn't initiated")];

test('asks as LND documents it', async () => {
  const fetch = canned([200, lines({ result: succeeded })]);
  await walletOf(fetch).payInvoice(invoice, { maxFeeMsat: 1500 });
  expect(fetch.sent).toEqual([
    {
      method: 'POST',
      url: `${url}/v2/router/send`,
      headers: {
        accept: 'application/json',
        'content-type': 'application/json',
        'grpc-metadata-macaroon': '0201ab',
      },
      body: {
        payment_request: invoice,
        fee_limit_msat: '1500',
        timeout_seconds: 30,
        no_inflight_updates: true,
      },
    },
  ]);
});

test('looks up by a hash in base64url', async () => {
  const fetch = canned([200, lines({ result: succeeded })]);
  const state = await walletOf(fetch).lookUpPayment(invoiceHash.toUpperCase());
  expect(state).toEqual({ state: 'succeeded', preimage, feeMsat: 1308 });
  const path = '/v2/router/track/AAECAwQFBgcICQABAgMEBQYHCAkAAQIDBAUGBwgJAQI=';
  expect(fetch.sent).toMatchObject([{ method: 'GET', url: `${url}${path}` }]);
});

test('limits fees where a payment names no limit', async () => {
  const fetch = canned([200, lines({ result: succeeded })], [200, lines({ result: succeeded })]);
  await walletOf(fetch).payInvoice(invoice);
  await walletOf(fetch, { maxFeeMsat: 0 }).payInvoice(invoice);
  expect(fetch.sent.map(({ body }) => (body as { fee_limit_msat: string }).fee_limit_msat)).toEqual(
    ['3000', '0'],
  );
});

test('reads a stream of updates to its last', async () => {
  const stream = lines(
    { result: { status: 'INITIATED' } },
    { result: { status: 'IN_FLIGHT' } },
    { result: succeeded },
  );
  const paid = await walletOf(canned([200, stream])).payInvoice(invoice);
  expect(paid).toEqual({ preimage, feeMsat: 1308 });
});

describe('a payment that LND answers', () => {
  test.each<readonly [string, readonly Canned[], string]>([
    [
      'FAILED has failed',
      [[200, lines({ result: { status: 'FAILED', failure_reason: 'FAILURE_REASON_NO_ROUTE' } })]],
      'failed PAYMENT_FAILED',
    ],
    [
      'IN_FLIGHT at the end of the stream may be under way',
      [[200, lines({ result: { status: 'IN_FLIGHT' } })]],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'SUCCEEDED without a preimage is not known to have failed',
      [[200, lines({ result: { ...succeeded, payment_preimage: '0'.repeat(64) } })]],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'by an error, with no record of it, was not begun',
      [[500, error(2, 'invoice expired. Valid until 2026')], notInitiated],
      'failed PAYMENT_FAILED',
    ],
    [
      'by an error in the middle of the stream stands as its record says',
      [
        [200, lines({ result: { status: 'IN_FLIGHT' } }, error(14, 'server shutting down'))],
        [200, lines({ result: { status: 'IN_FLIGHT' } })],
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'by an error, with a record that cannot be read, may be under way',
      [
        [500, error(2, 'database is locked')],
        [500, '<h1>no</h1>'],
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'to be in transition may be under way',
      [
        [409, error(6, 'payment is in transition')],
        [200, lines({ result: { status: 'IN_FLIGHT' } })],
      ],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'to be paid already is paid',
      [
        [409, error(6, 'invoice is already paid')],
        [200, lines({ result: succeeded })],
      ],
      'paid',
    ],
    [
      'by a gateway, with no record of it yet, may be under way',
      [[503, error(14, 'upstream connect error')], notInitiated],
      'unknown OUTCOME_UNKNOWN',
    ],
    [
      'by a macaroon that it does not take was not begun',
      [[500, error(2, 'verification failed: signature mismatch after caveat verification')]],
      'failed WALLET_REFUSED',
    ],
    [
      'by the error of an older gateway, a text, was not begun',
      [[500, { error: 'invoice expired', code: 2, message: 'invoice expired' }], notInitiated],
      'failed PAYMENT_FAILED',
    ],
  ])('%s', async (_, answers, failure) => {
    expect(await failureOf(walletOf(canned(...answers)).payInvoice(invoice))).toBe(failure);
  });
});

test.each<readonly [string, Canned, object | string]>([
  [
    'what failed',
    [200, lines({ result: { status: 'FAILED', failure_reason: 'X' } })],
    { state: 'failed', reason: 'X' },
  ],
  ['what was begun', [200, lines({ result: { status: 'INITIATED' } })], { state: 'in_flight' }],
  ['what it never made', notInitiated, { state: 'unknown' }],
  [
    'what it never made, of an older gateway',
    [500, { error: "payment isn't initiated", code: 2, message: "payment isn't initiated" }],
    { state: 'unknown' },
  ],
  [
    'a status of a later version',
    [200, lines({ result: { status: 'STUCK' } })],
    'unknown LOOK_UP_FAILED',
  ],
  [
    'nothing where there is no such route',
    [404, { code: 5, message: 'Not Found' }],
    'unknown LOOK_UP_FAILED',
  ],
  ['that it is locked', [500, error(2, 'wallet locked, unlock it')], 'unknown LOOK_UP_FAILED'],
])('a look-up tells %s', async (_, answer, expected) => {
  const state = walletOf(canned(answer)).lookUpPayment(invoiceHash);
  if (typeof expected === 'string') expect(await failureOf(state)).toBe(expected);
  else expect(await state).toEqual(expected);
});

test('takes a macaroon as bytes, in base64 and in hex', async () => {
  const forms = [Buffer.from('0201ab', 'hex'), 'AgGr', ' 0201AB\n'];
  for (const macaroon of forms) {
    const fetch = canned([200, lines({ result: succeeded })]);
    await walletOf(fetch, { macaroon }).payInvoice(invoice);
    expect(fetch.sent[0]?.headers['grpc-metadata-macaroon']).toBe('0201ab');
  }
});

test('hands a dispatcher on to fetch', async () => {
  const dispatcher = {};
  let seen: unknown;
  const fetch = async (_: unknown, init?: object): Promise<Response> => {
    seen = (init as { dispatcher?: unknown }).dispatcher;
    return new Response(lines({ result: succeeded }));
  };
  await walletOf(fetch, { dispatcher }).payInvoice(invoice);
  expect(seen).toBe(dispatcher);
});

test.each<readonly [string, Partial<LndOptions>, RegExp]>([
  ['a URL that is none', { url: 'lnd.example' }, /not an http or https URL/],
  ['a user in the URL', { url: 'https://me:secretword@lnd' }, /carries a user or a password/],
  ['no macaroon', { macaroon: '' }, /neither hex nor base64/],
  ['an empty macaroon', { macaroon: new Uint8Array() }, /empty or not printable/],
  ['a macaroon with a word in it', { macaroon: 'secretword!' }, /neither hex nor base64/],
  ['a macaroon that is none', { macaroon: null as unknown as string }, /neither hex nor base64/],
  ['no time', { timeoutMs: 0 }, /timeoutMs/],
  ['too little time to pay', { payTimeoutSeconds: 0.5 }, /payTimeoutSeconds/],
  ['a negative fee', { maxFeeMsat: -1 }, /maxFeeMsat/],
])('refuses %s', (_, options, message) => {
  const make = (): LndWallet => new LndWallet({ url, macaroon: '0201ab', ...options });
  expect(make).toThrow(message);
  expect(make).not.toThrow(/secretword/);
});
