import type { Denial } from '../denial.ts';
import type { L402PaymentError } from './errors.ts';
import { toSats } from './held-payment.ts';
import { labelsFor, type PayingDesk } from './payment.ts';
import { type Ask, billOf } from './terms.ts';

/** What a request would cost, before anything is paid. */
export interface PaymentQuote {
  /** The status of the answer that came without paying. */
  readonly status: number;
  /** A credential is at hand that opens it, or will be tried before anything is paid. */
  readonly paidBefore: boolean;
  /** What is asked for; `null` where nothing is, and where it is paid for already. */
  readonly payment: QuotedPayment | null;
}

/** A payment that is asked for, and whether it would be made. */
export interface QuotedPayment {
  /** The origin and path that it is for; after redirects, where they lead. */
  readonly resource: string;
  /** Who would be charged. */
  readonly domain: string;
  /** The public key of the node that would be paid, in hex. */
  readonly payee: string;
  readonly amountSats: number;
  /** What is held beside the amount for routing; 0 where the wallet takes no limit. */
  readonly feeLimitSats: number;
  readonly expiresAt: Date;
  readonly invoice: string;
  /** Why it would be refused whatever is left: an invoice that has expired, a price that disagrees. */
  readonly refusal: L402PaymentError | null;
  /** The limits that have not enough left. */
  readonly denials: readonly Denial[];
}

/** Says what an ask comes to, by the rules that it would be paid by. */
export async function quoteOf(desk: PayingDesk, ask: Ask): Promise<QuotedPayment> {
  const bill = billOf(ask, desk.terms, Date.now());
  const { invoice, amountMsat, feeLimitMsat, objection } = bill;
  const sats = toSats(amountMsat + feeLimitMsat);
  const { denials } = await desk.purse.check({ sats }, labelsFor(desk, ask, bill));
  return {
    resource: ask.resource,
    domain: ask.domain.host,
    payee: invoice.payee,
    amountSats: amountMsat / 1000,
    feeLimitSats: feeLimitMsat / 1000,
    expiresAt: new Date(invoice.expiresAtMs),
    invoice: invoice.bolt11,
    refusal: objection,
    denials,
  };
}
