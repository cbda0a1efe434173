import { createHash, timingSafeEqual } from 'node:crypto';
import { bech32 } from '@scure/base';
import { recover } from 'tiny-secp256k1';
import type { LightningNetwork } from './wallets/wallet.ts';

/** What a BOLT11 invoice says, as far as it matters to who pays it. */
export interface Invoice {
  /** In lower case and without `lightning:`, as wallets take it. */
  readonly bolt11: string;
  readonly network: LightningNetwork | 'simnet';
  /** What it asks for, exactly; null where it leaves that to the payer. */
  readonly amountMsat: bigint | null;
  /** 32 bytes in hex. */
  readonly paymentHash: string;
  /** Epoch milliseconds; an invoice for longer than a `Date` can say ends at the last one it can. */
  readonly expiresAtMs: number;
  /** The public key of the node that is paid, in hex: whose key signed the invoice. */
  readonly payee: string;
}

/** The prefixes of the networks. */
const NETWORKS: Readonly<Record<string, Invoice['network']>> = {
  bc: 'bitcoin',
  tb: 'testnet',
  tbs: 'signet',
  bcrt: 'regtest',
  sb: 'simnet',
};

/** What a letter after the amount means: that so many make a bitcoin. */
const PER_BITCOIN: Readonly<Record<string, bigint>> = {
  '': 1n,
  m: 1_000n,
  u: 1_000_000n,
  n: 1_000_000_000n,
  p: 1_000_000_000_000n,
};

const MSAT_PER_BITCOIN = 100_000_000_000n;
const HUMAN_PART =
  /^ln(?<network>bcrt|bc|tbs|tb|sb)(?:(?<digits>0|[1-9]\d{0,19})(?<unit>[munp]?))?$/;
const TIMESTAMP_WORDS = 7;
/** 64 bytes and one that says which of the possible keys signed. */
const SIGNATURE_WORDS = 104;
const DEFAULT_EXPIRY_S = 3_600;
/** The last moment that a `Date` can say. */
const LAST_DATE_MS = 8.64e15;
/** Longer than any real invoice; a longer text is not read at all. */
const MAX_LENGTH = 8_192;

/** The tagged fields that matter, by their letter in bech32. */
const FIELDS = { paymentHash: 1, expiry: 6, paymentSecret: 16, payee: 19 } as const;
const SINGLE_FIELDS: ReadonlySet<number> = new Set(Object.values(FIELDS));
const HASH_WORDS = 52;
const PAYEE_WORDS = 53;

/**
 * Reads an invoice: its checksum, its amount to the millisatoshi, its fields, and who signed it.
 * Whatever two readers might take differently (a field that stands there twice, an amount below a
 * millisatoshi) is refused: what is paid must be what was read.
 *
 * It is read here, as no library of the registry serves: `light-bolt11-decoder` and
 * `@getalby/lightning-tools` check no signature, so that the payee is anybody's guess; `bolt11` knows
 * no signet and brings 66 packages along, one of them compiled at install. Bech32 and the curve are
 * those of `@scure/base` and `tiny-secp256k1`, and the tests hold what is read here against what
 * `bolt11` reads.
 *
 * @returns The invoice, or in a few words what is wrong with it.
 * @see https://github.com/lightning/bolts/blob/master/11-payment-encoding.md
 */
export function readInvoice(text: string): Invoice | string {
  if (text.length > MAX_LENGTH) return `it is longer than ${MAX_LENGTH} characters`;
  const bolt11 = text.trim().replace(/^lightning:/i, '');
  const decoded = bech32.decodeUnsafe(bolt11, false);
  if (decoded === undefined) return 'its checksum does not fit, or it is no bech32 text';
  const human = HUMAN_PART.exec(decoded.prefix)?.groups;
  const network = NETWORKS[human?.['network'] ?? ''];
  if (human === undefined || network === undefined) return 'it does not begin like an invoice';
  const amount = amountOf(human['digits'], human['unit'] ?? '');
  if (typeof amount === 'string') return amount;
  const signed = decoded.words.slice(0, -SIGNATURE_WORDS);
  const fields = readFields(signed);
  if (typeof fields === 'string') return fields;
  const hash = fields.get(FIELDS.paymentHash);
  if (hash?.length !== HASH_WORDS) return 'it has no payment hash';
  const payee = payeeOf(decoded.prefix, signed, decoded.words.slice(-SIGNATURE_WORDS), fields);
  if (payee === null) return 'its signature is not that of the node that it names';
  const writtenAtS = wordsToNumber(signed.slice(0, TIMESTAMP_WORDS));
  const expiry = fields.get(FIELDS.expiry);
  const expiresInS = expiry === undefined ? DEFAULT_EXPIRY_S : wordsToNumber(expiry);
  return {
    bolt11: bolt11.toLowerCase(),
    network,
    amountMsat: amount,
    paymentHash: hex(wordsToBytes(hash, 32)),
    expiresAtMs: Math.min((writtenAtS + expiresInS) * 1_000, LAST_DATE_MS),
    payee,
  };
}

/** True when a preimage, in hex, is the one that a payment hash was made from. */
export function isPreimageOf(preimage: unknown, paymentHash: string): preimage is string {
  if (typeof preimage !== 'string' || !/^[0-9a-fA-F]{64}$/.test(preimage)) return false;
  const hash = createHash('sha256').update(Buffer.from(preimage, 'hex')).digest();
  return timingSafeEqual(hash, Buffer.from(paymentHash, 'hex'));
}

function amountOf(digits: string | undefined, unit: string): bigint | null | string {
  if (digits === undefined) return null;
  const perBitcoin = PER_BITCOIN[unit] ?? 1n;
  const scaled = BigInt(digits) * MSAT_PER_BITCOIN;
  if (scaled % perBitcoin !== 0n) return 'its amount is finer than a millisatoshi';
  return scaled / perBitcoin;
}

/** Reads the tagged fields after the time; the first of each, where more than one may stand. */
function readFields(words: readonly number[]): ReadonlyMap<number, readonly number[]> | string {
  if (words.length < TIMESTAMP_WORDS) return 'it is too short';
  const fields = new Map<number, readonly number[]>();
  let at = TIMESTAMP_WORDS;
  while (at < words.length) {
    const [tag, high, low] = [words[at], words[at + 1], words[at + 2]];
    if (tag === undefined || high === undefined || low === undefined) return 'it ends in a field';
    const end = at + 3 + high * 32 + low;
    if (end > words.length) return 'one of its fields is longer than the invoice';
    if (fields.has(tag) && SINGLE_FIELDS.has(tag)) return 'it says the same thing twice';
    if (!fields.has(tag)) fields.set(tag, words.slice(at + 3, end));
    at = end;
  }
  return fields;
}

/** Whose key signed; null when that is nobody's, or not that of the node that the invoice names. */
function payeeOf(
  prefix: string,
  signed: readonly number[],
  signatureWords: readonly number[],
  fields: ReadonlyMap<number, readonly number[]>,
): string | null {
  const signature = wordsToBytes(signatureWords, 65);
  const [recoveryId] = signature.subarray(64);
  if (recoveryId === undefined || recoveryId > 3) return null;
  const message = Buffer.concat([Buffer.from(prefix), wordsToBytes(signed)]);
  const digest = createHash('sha256').update(message).digest();
  const key = recovered(digest, signature.subarray(0, 64), recoveryId as 0 | 1 | 2 | 3);
  const named = fields.get(FIELDS.payee);
  if (key === null || named === undefined || named.length !== PAYEE_WORDS) return key;
  return hex(wordsToBytes(named, 33)) === key ? key : null;
}

function recovered(digest: Uint8Array, signature: Uint8Array, id: 0 | 1 | 2 | 3): string | null {
  try {
    const key = recover(digest, signature, id, true);
    return key === null ? null : hex(key);
  } catch {
    return null;
  }
}

/** Joins words of 5 bits to bytes, the last one filled up with zeros; only so many where said. */
function wordsToBytes(
  words: readonly number[],
  length = Math.ceil((words.length * 5) / 8),
): Buffer {
  const bytes = Buffer.alloc(Math.ceil((words.length * 5) / 8));
  words.forEach((word, index) => {
    const bit = index * 5;
    const shifted = word << (11 - (bit % 8));
    const at = Math.floor(bit / 8);
    bytes[at] = (bytes[at] ?? 0) | (shifted >> 8);
    if ((shifted & 0xff) !== 0) bytes[at + 1] = shifted & 0xff;
  });
  return bytes.subarray(0, length);
}

/** Reads words as one number; Infinity where they are too many. */
function wordsToNumber(words: readonly number[]): number {
  return words.reduce((sum, word) => sum * 32 + word, 0);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
