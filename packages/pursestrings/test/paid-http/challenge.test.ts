import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AuthChallenge,
  challengeInBody,
  challengeInHeaders,
  parseAuthChallenges,
} from '../../src/paid-http/challenge.ts';
import { L402ParseError } from '../../src/paid-http/errors.ts';
import { paidFetch } from '../../src/paid-http/paid-fetch.ts';
import { openPurse } from '../../src/purse.ts';
import { mintInvoice } from './invoices.ts';
import { challengeOf } from './paywall.ts';

const plain = (challenges: readonly AuthChallenge[]): unknown =>
  challenges.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe('a list of challenges', () => {
  const lists: Record<string, unknown> = {
    'Basic realm="a"': [['Basic', { realm: 'a' }]],
    'Basic realm="a, b", L402 macaroon="x", invoice="y"': [
      ['Basic', { realm: 'a, b' }],
      ['L402', { macaroon: 'x', invoice: 'y' }],
    ],
    'Negotiate YQ==, Bearer, NTLM': [
      ['Negotiate', {}],
      ['Bearer', {}],
      ['NTLM', {}],
    ],
    ',, L402\tMACAROON = x ,, invoice= "y" ,': [['L402', { macaroon: 'x', invoice: 'y' }]],
    'a x="say \\"hi\\", \\\\ there"': [['a', { x: 'say "hi", \\ there' }]],
    'a x="1", x="2", y="3"': [['a', { y: '3' }]],
    'a x="1", X="2", x="3"': [['a', {}]],
    'L402 macaroon="never ends, invoice="y"': [['L402', {}]],
    'L402 macaroon="x" invoice="y" Basic realm="a b"': [
      ['L402', { macaroon: 'x', invoice: 'y' }],
      ['Basic', { realm: 'a b' }],
    ],
    'L402 macaroon=x==  invoice=y, Negotiate YQ==': [
      ['L402', { macaroon: 'x==', invoice: 'y' }],
      ['Negotiate', {}],
    ],
    'a x="1" never, y="2"': [
      ['a', { x: '1' }],
      ['never', {}],
      ['y', {}],
    ],
    '': [],
    '   ': [],
  };
  test.each(Object.entries(lists))('%s', (text, expected) => {
    expect(plain(parseAuthChallenges(text))).toEqual(expected);
  });
});

test('L402 is taken before LSAT, and what can be read before what cannot', () => {
  const find = (text: string): unknown =>
    challengeInHeaders(new Headers({ 'www-authenticate': text }));
  const lsat = 'LSAT macaroon="a", invoice="ln1"';
  const l402 = 'L402 macaroon="b", invoice="ln2"';
  const found = (scheme: string, token: string, invoice: string): unknown => ({
    kind: 'found',
    challenge: { scheme, token, invoice },
  });
  expect(find(`${lsat}, ${l402}`)).toEqual(found('L402', 'b', 'ln2'));
  expect(find(`L402 macaroon="b", ${lsat}`)).toEqual(found('LSAT', 'a', 'ln1'));
  expect(find(`L402 invoice="x", ${l402}`)).toEqual(found('L402', 'b', 'ln2'));
  expect(find('Basic realm="x"')).toEqual({ kind: 'none' });
  expect(find('L402')).toMatchObject({ kind: 'unreadable' });
});

test('a body is a challenge where it has a macaroon', () => {
  for (const body of [undefined, null, 7, 'x', [], {}, { invoice: 'in_1' }, [{ macaroon: 'a' }]]) {
    expect(challengeInBody(body)).toEqual({ kind: 'none' });
  }
  expect(challengeInBody({ macaroon: 'a' })).toMatchObject({ kind: 'unreadable' });
});

/** Pieces of headers that servers send, whole and broken. */
const piece = fc.oneof(
  fc.constantFrom('L402', 'LSAT', 'l402', 'Basic', 'L402 ', ' ', ',', ', ', '=', '"', '\\', '\\"'),
  fc.constantFrom('macaroon', 'invoice', 'token', 'version', 'realm', 'MACAROON'),
  fc.constantFrom(
    'YQ==',
    '0',
    '1',
    mintInvoice().bolt11,
    mintInvoice({ network: 'bitcoin' }).bolt11,
  ),
  fc.constantFrom('macaroon="YQ=="', 'invoice="lnbc1"', 'invoice=', 'token="a b"'),
  fc.string({ maxLength: 6 }),
);
const header = fc
  .array(piece, { maxLength: 14 })
  .map((pieces) => pieces.join('').replaceAll(/[^\t\u{20}-\u{7e}]/gu, '?'));
const body = fc.oneof(
  fc.json(),
  fc.string(),
  fc
    .record(
      {
        macaroon: fc.oneof(fc.string(), fc.constant('YQ=='), fc.jsonValue()),
        invoice: fc.oneof(fc.string(), fc.jsonValue(), fc.constant('lnbc10u1')),
        paymentRequest: fc.jsonValue(),
        priceSats: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value)),
);

test('whatever a server writes, a header is read or it is not', () => {
  fc.assert(
    fc.property(header, (text) => {
      for (const { scheme } of parseAuthChallenges(text)) expect(scheme).toMatch(/^[^\s",]+$/);
      const found = challengeInHeaders(new Headers({ 'www-authenticate': text }));
      if (found.kind !== 'found') return;
      expect(found.challenge.token).toMatch(/^[\w.~+/-]+=*$/);
      expect(text).toContain(found.challenge.token);
    }),
    { numRuns: 5_000 },
  );
});

test('whatever a server writes, it is not paid by mistake, and only L402ParseError is thrown', async () => {
  const purse = await openPurse({ limits: [{ name: 'all', cap: { sats: 1_000_000 } }] });
  let paid = 0;
  const wallet = {
    network: 'signet' as const,
    payInvoice: async (): Promise<never> => {
      paid += 1;
      throw new Error('must not be paid');
    },
  };
  await fc.assert(
    fc.asyncProperty(header, body, async (challenge, text) => {
      const answer = new Response(text, {
        status: 402,
        headers: { 'www-authenticate': challenge },
      });
      const fetch = paidFetch(purse, { wallet, fetch: async () => answer });
      try {
        const passed = await fetch('https://api.example.com/page');
        expect(await passed.text()).toBe(text.toWellFormed());
      } catch (error) {
        // A whole invoice is among the pieces: of a network that this wallet is not on.
        const code = (error as { code?: string }).code;
        if (code !== 'INVOICE_WRONG_NETWORK') expect(error).toBeInstanceOf(L402ParseError);
      }
    }),
    { numRuns: 1_000 },
  );
  expect(paid).toBe(0);
  expect(await Array.fromAsync(purse.holds())).toEqual([]);
  await purse.close();
});

test('every way to write a challenge down is read as the same', () => {
  const invoice = mintInvoice().bolt11;
  const blank = fc.constantFrom('', ' ', '\t', '  ');
  const name = (text: string): fc.Arbitrary<string> =>
    fc.constantFrom(text, text.toUpperCase(), text[0]?.toUpperCase() + text.slice(1));
  const noise = fc.constantFrom(
    '',
    'Basic realm="a, \\"b\\"", ',
    'Negotiate, ',
    'Digest a=1, b="2", ',
  );
  fc.assert(
    fc.property(
      fc.record({
        noise,
        scheme: fc.constantFrom('L402', 'l402'),
        macaroon: name('macaroon'),
        invoiceName: name('invoice'),
        blanks: fc.tuple(blank, blank, blank, blank),
        quoted: fc.boolean(),
        extra: fc.constantFrom('', ', version="0"', ', expires=7', ', a="b, c"'),
        swapped: fc.boolean(),
        comma: fc.constantFrom(',', ' '),
        after: fc.constantFrom('', ', Bearer', ', Basic realm="x"', ','),
      }),
      (form) => {
        const [b1, b2, b3, b4] = form.blanks;
        const value = (text: string): string => (form.quoted ? `"${text}"` : text);
        const pairs = [
          `${form.macaroon}${b1}=${b2}${value('YWI+/w==')}`,
          `${form.invoiceName}${b3}=${b4}${value(invoice)}`,
        ];
        if (form.swapped) pairs.reverse();
        const text = `${form.noise}${form.scheme} ${pairs.join(`${b1}${form.comma}${b2}`)}${form.extra}${form.after}`;
        expect(challengeInHeaders(new Headers({ 'www-authenticate': text }))).toEqual({
          kind: 'found',
          challenge: { scheme: 'L402', token: 'YWI+/w==', invoice },
        });
      },
    ),
    { numRuns: 500 },
  );
  expect(challengeOf(invoice, 'YQ==')).toContain(invoice);
});
