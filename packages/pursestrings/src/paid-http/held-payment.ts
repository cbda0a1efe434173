import type { Hold } from '../hold.ts';
import { toDecimalText } from '../ledger/amount.ts';
import type { Scheme } from './challenge.ts';

/** The ledger's record of a payment that was begun: what it takes to finish it, in any process. */
export interface HeldPayment {
  readonly paymentHash: string;
  readonly amountMsat: number;
  readonly expiresAtMs: number;
  readonly scheme: Scheme;
  /** Worth nothing without the preimage. */
  readonly token: string;
  readonly resource: string;
  /** Counts the payments of one invoice that were tried, from 1. */
  readonly attempt: number;
}

/** How the ids of payments' holds begin. */
export const PAYMENT_ID_PREFIX = 'l402:';
const MAX_DESCRIPTION_LENGTH = 4_096;
const MAX_URL_LABEL_LENGTH = 1_024;

/** How long a payment may stay open: the ledger's own bound. An unknown outcome is not forgotten. */
export const HELD_PAYMENT_TTL_MS: number = 400 * 86_400_000;

/** The id of the hold for one try to pay an invoice: the same in every process. */
export function paymentHoldId(paymentHash: string, attempt: number): string {
  return `${PAYMENT_ID_PREFIX}${paymentHash}${attempt === 1 ? '' : `:${attempt}`}`;
}

/** What the label `url` says of a resource. */
export function urlLabel(resource: string): string {
  return resource.slice(0, MAX_URL_LABEL_LENGTH).toWellFormed();
}

/**
 * Writes what a hold has to say of its payment. `nonce` makes it another one each time, so that the
 * ledger tells a hold taken here from one that somebody else took for the same invoice.
 *
 * @returns null when it is longer than a description may be.
 */
export function writeHeldPayment(payment: HeldPayment, nonce: string): string | null {
  const { amountMsat, expiresAtMs, scheme, token, resource } = payment;
  const text = JSON.stringify({
    l402: 1,
    amountMsat,
    expiresAtMs,
    scheme,
    token,
    ...(urlLabel(resource) !== resource && { resource }),
    nonce,
  });
  return text.length > MAX_DESCRIPTION_LENGTH ? null : text;
}

/** Reads back what `writeHeldPayment` wrote; null for a hold that is no payment's. */
export function readHeldPayment(hold: Hold): HeldPayment | null {
  const id = /^l402:(?<hash>[0-9a-f]{64})(?::(?<attempt>\d+))?$/.exec(hold.id)?.groups;
  const paymentHash = id?.['hash'];
  if (paymentHash === undefined || hold.description === undefined) return null;
  try {
    const written = JSON.parse(hold.description) as Partial<HeldPayment> & { l402?: unknown };
    const { amountMsat, expiresAtMs, scheme, token } = written;
    const resource = written.resource ?? hold.labels['url'];
    if (written.l402 !== 1 || typeof amountMsat !== 'number' || typeof expiresAtMs !== 'number') {
      return null;
    }
    if (typeof token !== 'string' || resource === undefined) return null;
    return {
      paymentHash,
      amountMsat,
      expiresAtMs,
      scheme: scheme === 'LSAT' ? 'LSAT' : 'L402',
      token,
      resource,
      attempt: Number(id?.['attempt'] ?? 1),
    };
  } catch {
    return null;
  }
}

/** The receipt of a payment, as the journal keeps it in the charge's description: JSON. */
export interface PaymentReceipt {
  readonly paymentHash: string;
  /** In hex; '' where the wallet gave none that fits. */
  readonly preimage: string;
  readonly amountMsat: number;
  /** What routing cost; null where the wallet did not say. */
  readonly feeMsat: number | null;
  /** The origin and path that was paid for. */
  readonly url: string;
}

/** Writes a receipt. */
export function writeReceipt({ url, ...receipt }: PaymentReceipt): string {
  return JSON.stringify({ ...receipt, url: urlLabel(url) });
}

/** Millisatoshis as a decimal of satoshis, exactly. */
export function toSats(msat: number | bigint): string {
  return toDecimalText(msat, 3);
}
