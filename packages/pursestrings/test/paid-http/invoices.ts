import { createHash, randomBytes } from 'node:crypto';
import { bech32 } from '@scure/base';
import bolt11 from 'bolt11';

/** An invoice, and what its maker knows of it. */
export interface MintedInvoice {
  readonly bolt11: string;
  readonly preimage: string;
  readonly paymentHash: string;
  readonly amountMsat: number;
  readonly payee: string;
}

/** What an invoice is to say. */
export interface InvoiceTerms {
  /** Null for an invoice that leaves it to the payer. */
  readonly amountMsat?: number | null;
  readonly network?: keyof typeof NETWORKS;
  readonly timestamp?: number;
  readonly expirySeconds?: number;
  readonly preimage?: string;
  readonly nodeKey?: string;
  /** Fields beside those that every invoice here has. */
  readonly more?: NonNullable<bolt11.PaymentRequestObject['tags']>;
}

const NETWORKS = {
  bitcoin: { bech32: 'bc', pubKeyHash: 0x00, scriptHash: 0x05, validWitnessVersions: [0, 1] },
  testnet: { bech32: 'tb', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] },
  signet: { bech32: 'tbs', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] },
  regtest: { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] },
} as const;

/** The key of the node that is paid where no other is named. */
export const NODE_KEY = 'e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734';

/** Makes a real invoice, signed: on regtest, of 60 sats, for an hour, unless terms say otherwise. */
export function mintInvoice(terms: InvoiceTerms = {}): MintedInvoice {
  const preimage = terms.preimage ?? randomBytes(32).toString('hex');
  const paymentHash = createHash('sha256').update(Buffer.from(preimage, 'hex')).digest('hex');
  const amountMsat = terms.amountMsat === undefined ? 60_000 : terms.amountMsat;
  const unsigned = bolt11.encode({
    network: { ...NETWORKS[terms.network ?? 'regtest'], validWitnessVersions: [0, 1] },
    ...(amountMsat !== null && { millisatoshis: String(amountMsat) }),
    timestamp: terms.timestamp ?? Math.floor(Date.now() / 1_000),
    tags: [
      { tagName: 'payment_hash', data: paymentHash },
      { tagName: 'description', data: 'a page' },
      { tagName: 'payment_secret', data: 'ab'.repeat(32) },
      { tagName: 'expire_time', data: terms.expirySeconds ?? 3_600 },
      ...(terms.more ?? []),
    ],
  });
  const signed = bolt11.sign(unsigned, terms.nodeKey ?? NODE_KEY);
  return {
    bolt11: String(signed.paymentRequest),
    preimage,
    paymentHash,
    amountMsat: amountMsat ?? 0,
    payee: String(signed.payeeNodeKey),
  };
}

/** Writes an invoice of any words, as a server that means ill would: some key fits its signature. */
export function forge(change: (words: number[], fields: number[][]) => number[]): string {
  const { prefix, words } = bech32.decode(mintInvoice().bolt11 as `${string}1${string}`, false);
  const data = words.slice(0, -104);
  const fields: number[][] = [];
  for (let at = 7; at < data.length;) {
    const end = at + 3 + (data[at + 1] ?? 0) * 32 + (data[at + 2] ?? 0);
    fields.push(data.slice(at, end));
    at = end;
  }
  return bech32.encode(prefix, [...change(data, fields), ...words.slice(-104)], false);
}

/** An invoice that expires after more seconds than a number can say. */
export function endlessInvoice(): string {
  const expiry = [6, 8, 0, ...Array.from({ length: 256 }, () => 31)];
  return forge((words, fields) => [
    ...words.slice(0, 7),
    ...fields.filter(([tag]) => tag !== 6).flat(),
    ...expiry,
  ]);
}
