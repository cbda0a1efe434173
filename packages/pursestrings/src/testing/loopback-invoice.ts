import { createHash } from 'node:crypto';

import { bech32 } from '@scure/base';
import { signRecoverable } from 'tiny-secp256k1';

/** What an invoice says. */
export interface InvoiceTerms {
  readonly amountMsat: number;
  /** 32 bytes in hex. */
  readonly paymentHash: string;
  /** 32 bytes in hex. */
  readonly paymentSecret: string;
  readonly description: string;
  readonly expirySeconds: number;
  /** The key of the node that is paid, 32 bytes in hex. */
  readonly nodeKey: string;
}

/** The tagged fields by their letter in bech32, and `9` for what a payer must understand. */
const TAGS = { p: 1, '9': 5, x: 6, d: 13, s: 16 } as const;
/** A payment secret, and an onion of variable length. */
const FEATURE_WORDS = [16, 8, 0];
const PICO_BITCOIN_PER_MSAT = 10;

/**
 * Makes a signed invoice on regtest, where no money is.
 *
 * @see https://github.com/lightning/bolts/blob/master/11-payment-encoding.md
 */
export function signInvoice(terms: InvoiceTerms): string {
  const prefix = `lnbcrt${terms.amountMsat * PICO_BITCOIN_PER_MSAT}p`;
  const words = [
    ...numberToWords(Math.floor(Date.now() / 1000), 7),
    ...field('p', bech32.toWords(Buffer.from(terms.paymentHash, 'hex'))),
    ...field('s', bech32.toWords(Buffer.from(terms.paymentSecret, 'hex'))),
    ...field('d', bech32.toWords(Buffer.from(terms.description))),
    ...field('x', numberToWords(terms.expirySeconds, 4)),
    ...field('9', FEATURE_WORDS),
  ];
  const digest = createHash('sha256').update(prefix).update(wordsToBytes(words)).digest();
  const { signature, recoveryId } = signRecoverable(digest, Buffer.from(terms.nodeKey, 'hex'));
  const signed = bech32.toWords(Buffer.concat([signature, Buffer.of(recoveryId)]));
  return bech32.encode(prefix, [...words, ...signed], false);
}

function field(tag: keyof typeof TAGS, words: readonly number[]): readonly number[] {
  return [TAGS[tag], ...numberToWords(words.length, 2), ...words];
}

/** Writes a number as words of 5 bits, the high ones first. */
function numberToWords(value: number, count: number): readonly number[] {
  return Array.from(
    { length: count },
    (_, index) => Math.floor(value / 32 ** (count - 1 - index)) % 32,
  );
}

/** Joins words of 5 bits to bytes, the last one filled up with zeros: what is signed. */
function wordsToBytes(words: readonly number[]): Buffer {
  const bits = words.map((word) => word.toString(2).padStart(5, '0')).join('');
  const bytes = bits.match(/.{1,8}/g) ?? [];
  return Buffer.from(bytes.map((byte) => Number.parseInt(byte.padEnd(8, '0'), 2)));
}
