import { ConflictError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import type { Credential } from './credentials.ts';
import { type HeldPayment, toSats, writeReceipt } from './held-payment.ts';
import { isPreimageOf } from './invoice.ts';

/** What a wallet says of a payment that is complete. Wallets are others' code: it may be anything. */
export interface Completed {
  readonly preimage?: unknown;
  readonly feeMsat?: unknown;
}

/** A payment that was made. */
export interface MadePayment {
  readonly payment: HeldPayment;
  /** What routing cost; null where the wallet does not say. */
  readonly feeMsat: number | null;
  /** Amount and fee: what is charged. */
  readonly msat: number;
  readonly credential: Credential;
}

/** Reads what a wallet says of a completed payment; null when its preimage is not the invoice's. */
export function madePayment(
  payment: HeldPayment,
  completed: Completed | null | undefined,
): MadePayment | null {
  const { preimage, feeMsat: reported } = completed ?? {};
  const { scheme, token, paymentHash, amountMsat } = payment;
  if (!isPreimageOf(preimage, paymentHash)) return null;
  const feeMsat = reportedFee(reported);
  return {
    payment,
    feeMsat,
    msat: amountMsat + (feeMsat ?? 0),
    credential: { scheme, token, preimage: preimage.toLowerCase() },
  };
}

/**
 * Records a payment: the amount and the fee really paid, in full, with its receipt. Where somebody
 * has recorded it before, such as another process that looked it up, that stands.
 *
 * @returns Whether this very call has recorded it.
 * @throws StoreError: the hold stands, and the same may be recorded later.
 */
export async function recordPayment(hold: Hold, made: MadePayment): Promise<boolean> {
  const { payment, feeMsat, msat, credential } = made;
  const { paymentHash, amountMsat, resource: url } = payment;
  const { preimage } = credential;
  const description = writeReceipt({ paymentHash, preimage, amountMsat, feeMsat, url });
  return settleOnce(hold, toSats(msat), description);
}

/**
 * Records that all of a hold may be gone: a wallet says that it paid, and proves nothing.
 *
 * @throws StoreError
 */
export async function recordUnproven(hold: Hold, payment: HeldPayment): Promise<boolean> {
  const { paymentHash, amountMsat, resource: url } = payment;
  const receipt = { paymentHash, preimage: '', amountMsat, feeMsat: null, url };
  return settleOnce(hold, undefined, writeReceipt(receipt));
}

async function settleOnce(
  hold: Hold,
  sats: string | undefined,
  description: string,
): Promise<boolean> {
  try {
    const charge = await hold.settle(sats === undefined ? undefined : { sats }, { description });
    return !charge.replayed;
  } catch (error) {
    if (!ConflictError.isInstance(error) || error.recorded.charge === null) throw error;
    return false;
  }
}

/**
 * The fee that a wallet reports, in whole millisatoshis; null for none, and for nonsense. Nodes say
 * it in digits, and wallets that pass this on as it is have their fees counted too.
 */
function reportedFee(feeMsat: unknown): number | null {
  const inDigits =
    typeof feeMsat === 'bigint' || (typeof feeMsat === 'string' && /^\d{1,20}$/.test(feeMsat));
  const fee = inDigits ? Number(feeMsat) : feeMsat;
  if (typeof fee !== 'number' || !(fee >= 0) || fee > 2 ** 49) return null;
  return Math.ceil(fee);
}
