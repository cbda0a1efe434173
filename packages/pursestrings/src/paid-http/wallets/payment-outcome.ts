import { L402PaymentError } from '../errors.ts';
import { readInvoice } from '../invoice.ts';
import type { L402Wallet, PaidInvoice, PaymentState } from './wallet.ts';
import { NoAnswer } from './wallet-server.ts';

/** A payment that has failed for certain: no money left, and none will. */
export function failed(
  code: 'FEE_OVER_LIMIT' | 'PAYMENT_FAILED' | 'WALLET_REFUSED' | 'WALLET_UNREACHABLE',
  invoice: string,
  message: string,
): L402PaymentError {
  const retryable = code === 'WALLET_UNREACHABLE';
  return new L402PaymentError(code, message, { invoice, outcome: 'failed', retryable });
}

/** A payment of which nobody knows whether it was made: its money stays held. */
export function unknown(invoice: string, why: string): L402PaymentError {
  return new L402PaymentError(
    'OUTCOME_UNKNOWN',
    `${why}; whether the invoice ${short(invoice)} is paid is not known, so look the payment up by ` +
      'its hash before paying again.',
    { invoice, outcome: 'unknown' },
  );
}

/** What it means for a payment that its request got no answer. */
export function withoutAnswer(wallet: string, invoice: string, cause: unknown): L402PaymentError {
  if (!(cause instanceof NoAnswer)) throw cause;
  const why = `The ${wallet} wallet was asked to pay and ${cause.message}`;
  if (cause.sent) return unknown(invoice, why);
  return failed('WALLET_UNREACHABLE', invoice, `${why}; check its address and try again.`);
}

/** A payment could not be looked up: nothing is known that was not known before. */
export function lookUpFailed(wallet: string, why: string): L402PaymentError {
  return new L402PaymentError(
    'LOOK_UP_FAILED',
    `The ${wallet} wallet was asked what became of a payment and ${why}; ask again later.`,
    { outcome: 'unknown', retryable: true },
  );
}

/** Passes on what a look-up ran into, as an error of its own. */
export function lookUpWithoutAnswer(wallet: string, cause: unknown): L402PaymentError {
  if (!(cause instanceof NoAnswer)) throw cause;
  return lookUpFailed(wallet, cause.message);
}

/** Statuses by which a server refuses a request that it did not carry out. */
export function isRefusal(status: number): boolean {
  if (REDIRECTS.has(status)) return true;
  return status >= 400 && status < 500 && !UNCERTAIN.has(status);
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

/** Time-outs, conflicts, "too early", and a client that hung up: the payment may be under way. */
const UNCERTAIN: ReadonlySet<number> = new Set([408, 409, 425, 499]);

/** An invoice as messages show it: enough to find it by. */
export function short(invoice: string): string {
  return invoice.length > 24 ? `${invoice.slice(0, 24)}…` : invoice;
}

/** An answer that says no, and not why. */
export interface Refusal {
  readonly invoice: string;
  readonly status: number;
  /** What was said, as a sentence without its full stop. */
  readonly said: string;
  readonly signal: AbortSignal | undefined;
}

/** By these a gateway speaks for a server that may still be at work. */
const GATEWAYS: ReadonlySet<number> = new Set([502, 503, 504]);

/**
 * Asks the wallet's own record what an answer means that says no and not why: after a whole answer of
 * its own, a payment that the wallet has no record of was not begun.
 *
 * @throws L402PaymentError with an unknown outcome when the record does not settle it either.
 */
export async function byRecord(
  wallet: Required<Pick<L402Wallet, 'lookUpPayment'>>,
  { invoice, status, said, signal }: Refusal,
): Promise<PaidInvoice> {
  const hash = GATEWAYS.has(status) ? null : paymentHashOf(invoice);
  const record = hash === null ? null : await recordOf(wallet, hash, signal);
  if (record === null || record.state === 'in_flight') throw unknown(invoice, said);
  if (record.state !== 'succeeded') throw failed('PAYMENT_FAILED', invoice, `${said}.`);
  const { preimage, feeMsat } = record;
  return feeMsat === undefined ? { preimage } : { preimage, feeMsat };
}

/** What a wallet knows of a payment; `null` when it cannot be asked. */
async function recordOf(
  wallet: Required<Pick<L402Wallet, 'lookUpPayment'>>,
  hash: string,
  signal: AbortSignal | undefined,
): Promise<PaymentState | null> {
  try {
    return await wallet.lookUpPayment(hash, signal === undefined ? {} : { signal });
  } catch {
    return null;
  }
}

/** The payment hash of an invoice, or `null` for what is none. */
export function paymentHashOf(invoice: string): string | null {
  const read = readInvoice(invoice);
  return typeof read === 'string' ? null : read.paymentHash;
}

/** A payment hash as a path may carry it. */
export function checkedHash(paymentHash: string): string {
  if (/^[0-9a-f]{64}$/i.test(paymentHash)) return paymentHash.toLowerCase();
  throw new L402PaymentError(
    'INVALID_PAYMENT_HASH',
    `The payment hash ${JSON.stringify(paymentHash.slice(0, 80))} is not 64 hex digits; give it as ` +
      'the invoice carries it.',
    { outcome: 'unknown' },
  );
}
