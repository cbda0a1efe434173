import { describe, expect, test } from 'vitest';
import { BudgetExceededError as PurseBudgetExceededError } from '../../src/errors.ts';
import {
  BudgetExceededError,
  L402ParseError,
  L402PaymentError,
} from '../../src/paid-http/errors.ts';
import { openTill, type Till, type TillTerms } from './fixture.ts';
import { mintInvoice } from './invoices.ts';
import { challengeOf, paidPage, type Paywall, serve, wants } from './paywall.ts';

/** What a lie comes to: an error, and nothing paid. */
interface Outcome {
  readonly error: unknown;
  readonly till: Till;
  readonly server: Paywall;
}

/** Asks a page of a lying server, on a purse of 1,000 sats. */
async function ask(
  lie: (till: Till) => { headers?: Record<string, string>; body?: unknown },
  terms: TillTerms = {},
): Promise<Outcome> {
  const till = await openTill(terms);
  const { headers = {}, body } = lie(till);
  const server = await serve({ '*': wants(headers, body) });
  const error: unknown = await till.fetch(`${server.url}/page`).then(
    (answer) => answer,
    (error: unknown) => error,
  );
  return { error, till, server };
}

const challenged = (invoice: string): { headers: Record<string, string> } => ({
  headers: { 'www-authenticate': challengeOf(invoice) },
});

/** Changes one character of a text. */
function flip(text: string, at: number): string {
  return `${text.slice(0, at)}${text[at] === 'q' ? 'p' : 'q'}${text.slice(at + 1)}`;
}

async function expectUnpaid({ till, server }: Outcome): Promise<void> {
  expect(till.wallet.asked).toEqual([]);
  expect(await till.charges()).toEqual([]);
  expect(await till.heldSats()).toBe(0);
  expect(server.seen.every(({ authorization }) => authorization === null)).toBe(true);
}

describe('an invoice that must not be paid', () => {
  const lies: Record<string, [string, Parameters<typeof ask>[0], TillTerms?]> = {
    'has no amount': [
      'INVOICE_AMOUNTLESS',
      ({ lightning }) => challenged(lightning.mint({ amountMsat: null }).bolt11),
    ],
    'has no amount, beside a stated price': [
      'INVOICE_AMOUNTLESS',
      ({ lightning }) => ({
        ...challenged(lightning.mint({ amountMsat: null }).bolt11),
        body: { priceSats: 10 },
      }),
    ],
    'expired a second ago': [
      'INVOICE_EXPIRED',
      ({ lightning }) =>
        challenged(
          lightning.mint({ timestamp: Math.floor(Date.now() / 1_000) - 61, expirySeconds: 60 })
            .bolt11,
        ),
    ],
    'expired years ago': [
      'INVOICE_EXPIRED',
      ({ lightning }) => challenged(lightning.mint({ timestamp: 1_500_000_000 }).bolt11),
    ],
    'is on mainnet, for a wallet on regtest': [
      'INVOICE_WRONG_NETWORK',
      ({ lightning }) => challenged(lightning.mint({ network: 'bitcoin' }).bolt11),
      { options: { network: 'regtest' } },
    ],
    'is on testnet, for money on mainnet': [
      'INVOICE_WRONG_NETWORK',
      ({ lightning }) => challenged(lightning.mint({ network: 'testnet' }).bolt11),
      { options: { network: 'bitcoin' } },
    ],
    'is on signet, for money on testnet': [
      'INVOICE_WRONG_NETWORK',
      ({ lightning }) => challenged(lightning.mint({ network: 'signet' }).bolt11),
      { options: { network: 'testnet' } },
    ],
    'is over maxPerPayment by a millisatoshi': [
      'OVER_MAX_PER_PAYMENT',
      ({ lightning }) => challenged(lightning.mint({ amountMsat: 50_001 }).bolt11),
      { options: { maxPerPayment: 50 } },
    ],
    'asks for more than the price beside it': [
      'PRICE_MISMATCH',
      ({ lightning }) => ({
        ...challenged(lightning.mint({ amountMsat: 900_000 }).bolt11),
        body: { priceSats: 1 },
      }),
    ],
    'asks for less than the price beside it': [
      'PRICE_MISMATCH',
      ({ lightning }) => ({
        ...challenged(lightning.mint({ amountMsat: 1_000 }).bolt11),
        body: { priceSats: 900 },
      }),
    ],
    'asks for money beside a price of 0': [
      'PRICE_MISMATCH',
      ({ lightning }) => ({
        body: { macaroon: 'YQ==', invoice: lightning.mint().bolt11, priceSats: 0 },
      }),
    ],
    'asks for money beside a negative price': [
      'PRICE_MISMATCH',
      ({ lightning }) => ({
        body: { macaroon: 'YQ==', invoice: lightning.mint().bolt11, priceSats: -60 },
      }),
    ],
    'asks for money beside a price that is a word': [
      'PRICE_MISMATCH',
      ({ lightning }) => ({
        body: { macaroon: 'YQ==', invoice: lightning.mint().bolt11, priceSats: 'cheap' },
      }),
    ],
    'asks for money beside a price that is a list': [
      'PRICE_MISMATCH',
      ({ lightning }) => ({
        body: { macaroon: 'YQ==', invoice: lightning.mint().bolt11, priceSats: [60] },
      }),
    ],
    'asks for 60.001 sats beside a price of 62': [
      'PRICE_MISMATCH',
      ({ lightning }) => ({
        ...challenged(lightning.mint({ amountMsat: 60_001 }).bolt11),
        body: { priceSats: 62 },
      }),
    ],
    'comes with a token too long to be kept': [
      'TOKEN_TOO_LONG',
      ({ lightning }) => ({
        headers: {
          'www-authenticate': challengeOf(lightning.mint().bolt11, 'A'.repeat(5_000)),
        },
      }),
    ],
    'is of a domain that may not be paid': [
      'DOMAIN_NOT_ALLOWED',
      ({ lightning }) => challenged(lightning.mint().bolt11),
      { options: { domains: ['api.example.com', '*.0.0.1.example.com', '127.0.0.1:1'] } },
    ],
  };
  test.each(Object.entries(lies))('%s', async (_name, [code, lie, terms]) => {
    const outcome = await ask(lie, terms);
    expect(outcome.error).toBeInstanceOf(L402PaymentError);
    expect(outcome.error).toMatchObject({ code, outcome: 'failed' });
    expect((outcome.error as L402PaymentError).invoice).toMatch(/^lnbc|^lntb/);
    await expectUnpaid(outcome);
  });
});

describe('a price over what is left', () => {
  const lies: Record<string, [Parameters<typeof ask>[0], TillTerms, number, number]> = {
    'is one millisatoshi too much': [
      ({ lightning }) => challenged(lightning.mint({ amountMsat: 100_001 }).bolt11),
      { capSats: 100 },
      100.001,
      100,
    ],
    'is a million sats, where the server says 1': [
      ({ lightning }) => ({
        ...challenged(lightning.mint({ amountMsat: 1_000_000_000 }).bolt11),
        body: { priceSats: 1 },
      }),
      { capSats: 100 },
      1_000_000,
      100,
    ],
    'is only what the server says, and not the invoice': [
      ({ lightning }) => ({
        ...challenged(lightning.mint({ amountMsat: 1_000 }).bolt11),
        body: { priceSats: 5_000 },
      }),
      { capSats: 100 },
      5_000,
      100,
    ],
    'is over maxPerPayment too': [
      ({ lightning }) => challenged(lightning.mint({ amountMsat: 200_000 }).bolt11),
      { capSats: 100, options: { maxPerPayment: 10 } },
      200,
      100,
    ],
    'is all bitcoin there will ever be': [
      ({ lightning }) => challenged(lightning.mint({ amountMsat: 2_100_000_000_000_000 }).bolt11),
      { capSats: 100 },
      2 ** 50 / 1_000,
      100,
    ],
    'is too much by the fee that routing may cost': [
      ({ lightning }) => challenged(lightning.mint({ amountMsat: 98_000 }).bolt11),
      { capSats: 100, feeMsat: 0 },
      101,
      100,
    ],
  };
  test.each(Object.entries(lies))('%s', async (_name, [lie, terms, required, remaining]) => {
    const outcome = await ask(lie, terms);
    expect(outcome.error).toBeInstanceOf(BudgetExceededError);
    expect(outcome.error).toBeInstanceOf(PurseBudgetExceededError);
    expect(outcome.error).toMatchObject({ required, remaining, unit: 'sats' });
    expect((outcome.error as BudgetExceededError).url).toBe(`${outcome.server.url}/page`);
    await expectUnpaid(outcome);
  });

  test('is more than a ledger can hold, where there is no cap', async () => {
    const lie: Parameters<typeof ask>[0] = ({ lightning }) =>
      challenged(lightning.mint({ amountMsat: 2_100_000_000_000_000 }).bolt11);
    const outcome = await ask(lie, { limits: [], store: { uncovered: 'allow' } });
    expect(outcome.error).toMatchObject({ code: 'INVOICE_TOO_LARGE' });
    await expectUnpaid(outcome);
  });
});

describe('a challenge that cannot be read', () => {
  const good = mintInvoice().bolt11;
  const lies: Record<string, { headers?: Record<string, string>; body?: unknown }> = {
    'has no invoice': { headers: { 'www-authenticate': 'L402 macaroon="YQ=="' } },
    'has no macaroon': { headers: { 'www-authenticate': `L402 invoice="${good}"` } },
    'has an empty macaroon': { headers: { 'www-authenticate': challengeOf(good, '') } },
    'has two macaroons': {
      headers: { 'www-authenticate': `L402 macaroon="YQ==", macaroon="Yg==", invoice="${good}"` },
    },
    'has two invoices': {
      headers: {
        'www-authenticate': `L402 macaroon="YQ==", invoice="${good}", invoice="${mintInvoice().bolt11}"`,
      },
    },
    'has a macaroon and a token that differ': {
      headers: { 'www-authenticate': `L402 macaroon="YQ==", token="Yg==", invoice="${good}"` },
    },
    'is of a version to come': {
      headers: { 'www-authenticate': `L402 version="7", token="YQ==", invoice="${good}"` },
    },
    'has a macaroon that would forge a header': {
      headers: { 'www-authenticate': challengeOf(good, 'YQ== , Basic eA==') },
    },
    'has a macaroon with a colon': { headers: { 'www-authenticate': challengeOf(good, 'YQ:Yg') } },
    'has a quote that never ends': {
      headers: { 'www-authenticate': `L402 macaroon="YQ==, invoice=${good}` },
    },
    'has an invoice with one character changed': challenged(flip(good, good.length - 20)),
    'has an invoice with its amount changed': challenged(good.replace('lnbcrt600n', 'lnbcrt1n')),
    'has an invoice cut short': challenged(good.slice(0, -10)),
    'has an invoice in mixed case': challenged(`L${good.slice(1)}`),
    'has an invoice of another money': challenged(good.replace('lnbcrt', 'lnltc')),
    'has a word for an invoice': challenged('free'),
    'has an address for an invoice': challenged('bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080'),
    'has an endless invoice': challenged(`lnbc1${'q'.repeat(9_000)}`),
    'has a macaroon and no invoice in its body': { body: { macaroon: 'YQ==' } },
    'has a number for an invoice in its body': { body: { macaroon: 'YQ==', invoice: 60 } },
    'has a list for a macaroon in its body': { body: { macaroon: ['YQ=='], invoice: good } },
    'has a null macaroon in its body': { body: { macaroon: null, invoice: good } },
  };
  test.each(Object.entries(lies))('%s', async (_name, lie) => {
    const outcome = await ask(() => lie);
    expect(outcome.error).toBeInstanceOf(L402ParseError);
    const text = typeof lie.body === 'object' ? JSON.stringify(lie.body) : '';
    expect((outcome.error as L402ParseError).body).toBe(text);
    await expectUnpaid(outcome);
  });
});

describe('a 402 that is no challenge goes to the caller, whole', () => {
  const answers: Record<string, { headers?: Record<string, string>; body?: unknown }> = {
    'with nothing': {},
    'with a text': { body: 'pay the cashier' },
    'with an id that is called invoice': { body: { error: 'declined', invoice: 'in_123' } },
    'with another scheme': { headers: { 'www-authenticate': 'Basic realm="cash"' } },
    'with a challenge that is only quoted': {
      headers: {
        'www-authenticate': `Basic realm="say L402 macaroon=\\"YQ==\\", invoice=\\"${mintInvoice().bolt11}\\""`,
      },
    },
  };
  test.each(Object.entries(answers))('%s', async (_name, given) => {
    const outcome = await ask(() => given);
    const answer = outcome.error as Response;
    expect(answer.status).toBe(402);
    const { body = '' } = given;
    expect(await answer.text()).toBe(typeof body === 'string' ? body : JSON.stringify(body));
    await expectUnpaid(outcome);
  });
});

test('an invoice that was paid before is not paid again, for this page or another', async () => {
  const till = await openTill();
  const invoice = till.lightning.mint();
  const { url } = await serve({
    '/page': paidPage({ mint: () => invoice }),
    '*': wants({ 'www-authenticate': challengeOf(invoice.bolt11) }),
  });
  expect((await till.fetch(`${url}/page`)).status).toBe(200);
  for (const path of ['/other', '/third']) {
    const error: unknown = await till.fetch(`${url}${path}`).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'ALREADY_PAID', invoice: invoice.bolt11 });
  }
  expect(till.wallet.payments).toHaveLength(1);
});

test('an invoice that is refused as paid comes back: it is not paid again', async () => {
  const till = await openTill();
  const invoice = till.lightning.mint();
  const { url } = await serve({ '*': wants({ 'www-authenticate': challengeOf(invoice.bolt11) }) });
  const error: unknown = await till.fetch(`${url}/page`).catch((error: unknown) => error);
  expect(error).toMatchObject({ code: 'ALREADY_PAID' });
  expect(till.wallet.payments).toHaveLength(1);
});

test('one invoice asked for by 20 pages at the same time is paid once', async () => {
  const till = await openTill();
  const invoice = till.lightning.mint();
  const { url } = await serve({ '*': wants({ 'www-authenticate': challengeOf(invoice.bolt11) }) });
  const answers = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => till.fetch(`${url}/${index}`)),
  );
  expect(answers.every(({ status }) => status === 'rejected')).toBe(true);
  expect(till.wallet.payments).toHaveLength(1);
});

test('a server that takes the money and asks again is paid as often as maxRetries says', async () => {
  for (const [maxRetries, payments] of [
    [0, 1],
    [1, 2],
    [3, 4],
  ] as const) {
    const till = await openTill({ options: { maxRetries } });
    const { url } = await serve({
      '*': (request, response) =>
        wants({ 'www-authenticate': challengeOf(till.lightning.mint().bolt11) })(request, response),
    });
    const error: unknown = await till.fetch(`${url}/page`).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'CREDENTIAL_REFUSED' });
    expect(till.wallet.payments).toHaveLength(payments);
  }
});

test('a server that leads from one paywall to the next is not followed for ever', async () => {
  const till = await openTill({ capSats: 100_000 });
  let pages = 0;
  const { url } = await serve({
    '*': (request, response) => {
      if (request.authorization !== null) {
        pages += 1;
        response.writeHead(302, { location: `/page-${pages}` }).end();
        return;
      }
      return wants({ 'www-authenticate': challengeOf(till.lightning.mint().bolt11) })(
        request,
        response,
      );
    },
  });
  await expect(till.fetch(`${url}/page`)).rejects.toThrow('redirected too often');
  expect(till.wallet.payments.length).toBeLessThanOrEqual(2);
});
