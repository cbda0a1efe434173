import { createHash } from 'node:crypto';
import bolt11 from 'bolt11';
import { bech32 } from '@scure/base';
import fc from 'fast-check';
import { isPrivate } from 'tiny-secp256k1';
import { describe, expect, test } from 'vitest';
import { type Invoice, isPreimageOf, readInvoice } from '../../src/paid-http/invoice.ts';
import { endlessInvoice, forge, type InvoiceTerms, mintInvoice, NODE_KEY } from './invoices.ts';

const read = (text: string): Invoice => {
  const invoice = readInvoice(text);
  if (typeof invoice === 'string') throw new Error(invoice);
  return invoice;
};

// https://github.com/lightning/bolts/blob/master/11-payment-encoding.md#examples
const PAYEE = '03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad';
const HASH = '0001020304050607080900010203040506070809000102030405060708090102';

describe('the examples of BOLT11', () => {
  test('a donation of any amount', () => {
    const invoice = read(
      'lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql',
    );
    expect(invoice).toMatchObject({
      amountMsat: null,
      network: 'bitcoin',
      paymentHash: HASH,
      payee: PAYEE,
      expiresAtMs: (1_496_314_658 + 3_600) * 1_000,
    });
  });

  test('a coffee for 250,000,000 msat within a minute, also in upper case', () => {
    const text =
      'lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpuaztrnwngzn3kdzw5hydlzf03qdgm2hdq27cqv3agm2awhz5se903vruatfhq77w3ls4evs3ch9zw97j25emudupq63nyw24cg27h2rspfj9srp';
    const expected = { amountMsat: 250_000_000n, payee: PAYEE, expiresAtMs: 1_496_314_718_000 };
    expect(read(text)).toMatchObject(expected);
    expect(read(`LIGHTNING:${text.toUpperCase()}`)).toMatchObject({ ...expected, bolt11: text });
  });

  test('invoices that must be refused', () => {
    const refused: Record<string, string> = {
      'a checksum that does not fit':
        'lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpquwpc4curk03c9wlrswe78q4eyqc7d8d0xqzpuyk0sg5g70me25alkluzd2x62aysf2pyy8edtjeevuv4p2d5p76r4zkmneet7uvyakky2zr4cusd45tftc9c5fh0nnqpnl2jfll544esqchsrnt',
      'no separator':
        'pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpquwpc4curk03c9wlrswe78q4eyqc7d8d0xqzpuyk0sg5g70me25alkluzd2x62aysf2pyy8edtjeevuv4p2d5p76r4zkmneet7uvyakky2zr4cusd45tftc9c5fh0nnqpnl2jfll544esqchsrny',
      'mixed case':
        'LNBC2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpquwpc4curk03c9wlrswe78q4eyqc7d8d0xqzpuyk0sg5g70me25alkluzd2x62aysf2pyy8edtjeevuv4p2d5p76r4zkmneet7uvyakky2zr4cusd45tftc9c5fh0nnqpnl2jfll544esqchsrny',
      'a signature of nobody':
        'lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpusp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9qrsgqwgt7mcn5yqw3yx0w94pswkpq6j9uh6xfqqqtsk4tnarugeektd4hg5975x9am52rz4qskukxdmjemg92vvqz8nvmsye63r5ykel43pgz7zq0g2',
      'a string that is too short':
        'lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6na6hlh',
      'a multiplier that is none':
        'lnbc2500x1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpusp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9qrsgqrrzc4cvfue4zp3hggxp47ag7xnrlr8vgcmkjxk3j5jqethnumgkpqp23z9jclu3v0a7e0aruz366e9wqdykw6dxhdzcjjhldxq0w6wgqcnu43j',
      'an amount finer than a millisatoshi':
        'lnbc2500000001p1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpusp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9qrsgq0lzc236j96a95uv0m3umg28gclm5lqxtqqwk32uuk4k6673k6n5kfvx3d2h8s295fad45fdhmusm8sjudfhlf6dcsxmfvkeywmjdkxcp99202x',
    };
    for (const [name, text] of Object.entries(refused)) {
      expect([name, readInvoice(text)]).toEqual([name, expect.any(String)]);
    }
  });
});

test('amounts are exact to the millisatoshi, whatever the multiplier', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2_100_000_000_000 }), (amountMsat) => {
      expect(read(mintInvoice({ amountMsat }).bolt11).amountMsat).toBe(BigInt(amountMsat));
    }),
    { numRuns: 25 },
  );
});

const hexText = (bytes: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((data) => Buffer.from(data).toString('hex'));

/** One hop of a route. */
const hop = fc.record({
  pubkey: fc.constant(PAYEE),
  short_channel_id: hexText(8),
  fee_base_msat: fc.nat(),
  fee_proportional_millionths: fc.nat(),
  cltv_expiry_delta: fc.nat(65_535),
});

test('any signed invoice is read as another reader reads it', () => {
  const terms = fc.record(
    {
      amountMsat: fc.oneof(
        fc.constant(null),
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 1, max: 2_100_000_000 }).map((sats) => sats * 1_000),
        fc.integer({ min: 1, max: 2_100_000_000_000 }),
      ),
      network: fc.constantFrom('bitcoin', 'testnet', 'regtest'),
      timestamp: fc.integer({ min: 0, max: 2 ** 35 - 1 }),
      expirySeconds: fc.integer({ min: 1, max: 2 ** 31 }),
      preimage: hexText(32),
      nodeKey: hexText(32).filter((key) => isPrivate(Buffer.from(key, 'hex'))),
      more: fc.array(
        fc.oneof(
          fc.record({ tagName: fc.constant('purpose_commit_hash'), data: hexText(32) }),
          fc.record({
            tagName: fc.constant('routing_info'),
            data: fc.array(hop, { maxLength: 3 }),
          }),
          fc.record({
            tagName: fc.constant('min_final_cltv_expiry'),
            data: fc.integer({ min: 1, max: 5_000 }),
          }),
        ),
        { maxLength: 3 },
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(terms, fc.boolean(), (given, upper) => {
      const minted = mintInvoice(given);
      const other = bolt11.decode(minted.bolt11);
      const tag = (name: string): unknown =>
        other.tags.find(({ tagName }) => tagName === name)?.data;
      const text = upper ? minted.bolt11.toUpperCase() : minted.bolt11;
      const { amountMsat, expiresAtMs, ...invoice } = read(text);
      expect(invoice).toMatchObject({
        bolt11: minted.bolt11,
        payee: other.payeeNodeKey,
        paymentHash: tag('payment_hash'),
      });
      expect(amountMsat?.toString() ?? null).toBe(other.millisatoshis ?? null);
      expect(expiresAtMs).toBe((other.timeExpireDate ?? 0) * 1_000);
    }),
    { numRuns: 40 },
  );
});

test('each network is known by its prefix', () => {
  for (const network of ['bitcoin', 'testnet', 'signet', 'regtest'] as const) {
    const terms: InvoiceTerms = { network };
    expect(read(mintInvoice(terms).bolt11)).toMatchObject({ network, amountMsat: 60_000n });
    expect(read(mintInvoice({ ...terms, amountMsat: null }).bolt11).network).toBe(network);
  }
});

test('what two readers could take for two things is refused', () => {
  const twice = forge((words, fields) => [...words, ...(fields[0] ?? [])]);
  expect(readInvoice(twice)).toBe('it says the same thing twice');
  expect(readInvoice(forge((words) => [...words, 1]))).toBe('it ends in a field');
  const beyond = forge((words) => [...words, 13, 31, 31, 1]);
  expect(readInvoice(beyond)).toBe('one of its fields is longer than the invoice');
  expect(readInvoice(forge((words) => words.slice(0, 7)))).toBe('it has no payment hash');
  const short = forge((_words, fields) => [
    ...Array.from({ length: 7 }, () => 0),
    1,
    0,
    2,
    3,
    3,
    ...fields.slice(1).flat(),
  ]);
  expect(readInvoice(short)).toBe('it has no payment hash');
});

test('an invoice for longer than a date can say ends at the last date', () => {
  expect(read(endlessInvoice()).expiresAtMs).toBe(8.64e15);
});

test('an invoice that names another node than the one that signed it is refused', () => {
  const invoice = mintInvoice();
  const named = (node: string): string => {
    const unsigned = bolt11.encode({
      network: { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] },
      millisatoshis: '1000',
      tags: [
        { tagName: 'payment_hash', data: invoice.paymentHash },
        { tagName: 'description', data: 'a page' },
        { tagName: 'payee_node_key', data: node },
      ],
    });
    return String(bolt11.sign(unsigned, NODE_KEY).paymentRequest);
  };
  const honest = named(invoice.payee);
  expect(read(honest).payee).toBe(invoice.payee);
  // One bit of the named key changed, under the same signature.
  const { prefix, words } = bech32.decode(honest as `${string}1${string}`, false);
  const at = words.length - 104 - 30;
  words[at] = (words[at] ?? 0) ^ 1;
  expect(readInvoice(bech32.encode(prefix, words, false))).toEqual(expect.any(String));
});

test('any text is an invoice or is not, and nothing throws', () => {
  const near = fc.tuple(fc.nat(), fc.string({ maxLength: 3 })).map(([at, text]) => {
    const { bolt11 } = SAMPLE;
    const index = at % bolt11.length;
    return bolt11.slice(0, index) + text + bolt11.slice(index + text.length);
  });
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: 'binary' }), fc.constant('')), (text) => {
      const invoice = readInvoice(text);
      if (typeof invoice === 'string') return;
      expect(invoice).toMatchObject({ paymentHash: SAMPLE.paymentHash, amountMsat: 60_000n });
    }),
    { numRuns: 500 },
  );
});

const SAMPLE = mintInvoice();

test('a preimage is that of a payment hash, or is not', () => {
  const preimage = 'ab'.repeat(32);
  const hash = createHash('sha256').update(Buffer.from(preimage, 'hex')).digest('hex');
  expect(isPreimageOf(preimage, hash)).toBe(true);
  expect(isPreimageOf(preimage.toUpperCase(), hash)).toBe(true);
  for (const wrong of ['', 'ab', `${preimage}ab`, 'zz'.repeat(32), null, undefined, 7, {}]) {
    expect(isPreimageOf(wrong, hash)).toBe(false);
  }
});
