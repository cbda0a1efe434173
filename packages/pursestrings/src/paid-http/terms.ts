import { InvalidOptionError } from '../errors.ts';
import { type Decimal, MAX_AMOUNT_STEPS, toSteps } from '../ledger/amount.ts';
import { shown } from '../ledger/invalid.ts';
import type { Challenge, StatedPrice } from './challenge.ts';
import { type Domain, type DomainPattern, matchesDomain } from './domain.ts';
import { L402ParseError, L402PaymentError, type L402PaymentErrorCode } from './errors.ts';
import { toSats } from './held-payment.ts';
import { type Invoice, readInvoice } from './invoice.ts';
import type { L402Wallet, LightningNetwork } from './wallets/wallet.ts';

/** What may be paid, whatever is left. */
export interface PaymentTerms {
  readonly maxPerPaymentMsat: number | null;
  readonly maxFeeMsat: number | null;
  readonly network: LightningNetwork | null;
  /** Who may be paid; null for everybody. */
  readonly domains: readonly DomainPattern[] | null;
  readonly wallet: L402Wallet;
}

/** Who asks for what. */
export interface Ask {
  readonly challenge: Challenge;
  readonly price: StatedPrice;
  readonly domain: Domain;
  /** The origin and path that it is for. */
  readonly resource: string;
  /** The URL for callbacks and errors. */
  readonly url: string;
  /** The beginning of the body that came with it. */
  readonly body: string;
  /** What others have paid for is refused here: each call pays for itself. */
  readonly alone: boolean;
}

/** What an ask comes to. */
export interface Bill {
  readonly invoice: Invoice;
  readonly amountMsat: number;
  /** The most that routing may cost; 0 where the wallet takes no such limit. */
  readonly feeLimitMsat: number;
  /** Why it is not paid even if there is money for it. */
  readonly objection: L402PaymentError | null;
}

/** So much routing may cost where nobody says: the greater of 3 sats and 1 %. */
const LEAST_FEE_LIMIT_MSAT = 3_000;

/** Reads an amount of satoshis that is an option. @throws InvalidOptionError that names it. */
export function satsOption(name: string, value: Decimal | undefined): number | null {
  if (value === undefined) return null;
  try {
    return toSteps(value, 3, 'down');
  } catch (error) {
    throw new InvalidOptionError(
      `${name} is ${shown(value)}; it must be an amount of satoshis, 0 or more` +
        ` (${error instanceof Error ? error.message : String(error)})`,
    );
  }
}

/**
 * Reads what an ask comes to: by its invoice, and by nothing else that the server says.
 *
 * @throws L402ParseError for an invoice that cannot be read.
 * @throws L402PaymentError for one that cannot be paid at any price.
 */
export function billOf(ask: Ask, terms: PaymentTerms, nowMs: number): Bill {
  const invoice = readInvoice(ask.challenge.invoice);
  if (typeof invoice === 'string') {
    throw new L402ParseError(
      `${ask.resource} asks for money by an invoice that cannot be read, for ${invoice}; ` +
        'nothing was paid',
      { body: ask.body },
    );
  }
  const refuse = refusalOf(ask, invoice);
  checkNetwork(invoice, terms, refuse);
  checkUnexpired(invoice, ask, nowMs);
  const { amountMsat } = invoice;
  if (amountMsat === null) {
    throw refuse('INVOICE_AMOUNTLESS', 'leaves its amount to the payer');
  }
  if (amountMsat === 0n) throw refuse('INVOICE_ZERO', 'asks for 0 sats');
  if (terms.domains?.some((pattern) => matchesDomain(pattern, ask.domain)) === false) {
    throw refuse('DOMAIN_NOT_ALLOWED', `is of ${ask.domain.host}, which \`domains\` does not name`);
  }
  const asked = Number(amountMsat);
  const feeLimitMsat = feeLimit(asked, terms);
  return {
    invoice,
    amountMsat: asked,
    feeLimitMsat,
    objection: objectionTo(asked + feeLimitMsat, asked, ask, terms, refuse),
  };
}

/** Refuses an invoice whose time is over. @throws L402PaymentError */
export function checkUnexpired(invoice: Invoice, ask: Ask, nowMs: number): void {
  if (invoice.expiresAtMs > nowMs) return;
  const since = new Date(invoice.expiresAtMs).toISOString();
  throw refusalOf(ask, invoice)('INVOICE_EXPIRED', `expired at ${since}`);
}

/** What is asked for at most, for those who are told of a price that does not fit. */
export function mostAskedMsat({ amountMsat, feeLimitMsat }: Bill, { price }: Ask): number {
  const stated = price.kind === 'price' ? Math.ceil(price.sats * 1_000) : 0;
  return Math.min(Math.max(amountMsat, stated) + feeLimitMsat, MAX_AMOUNT_STEPS);
}

/** Makes an error that says which invoice is refused, and why. */
type Refuse = (code: L402PaymentErrorCode, why: string) => L402PaymentError;

function refusalOf(ask: Ask, invoice: Invoice): Refuse {
  return (code, why) =>
    new L402PaymentError(
      code,
      `The invoice that ${ask.resource} wants paid ${why}; it was not paid`,
      { invoice: invoice.bolt11 },
    );
}

function objectionTo(
  mostMsat: number,
  amountMsat: number,
  { price }: Ask,
  terms: PaymentTerms,
  refuse: Refuse,
): L402PaymentError | null {
  const asks = `asks for ${toSats(amountMsat)} sats`;
  if (mostMsat > MAX_AMOUNT_STEPS) {
    return refuse('INVOICE_TOO_LARGE', `${asks}, more than a ledger can hold at once`);
  }
  const { maxPerPaymentMsat } = terms;
  if (maxPerPaymentMsat !== null && amountMsat > maxPerPaymentMsat) {
    return refuse(
      'OVER_MAX_PER_PAYMENT',
      `${asks}, over \`maxPerPayment\` of ${toSats(maxPerPaymentMsat)}`,
    );
  }
  if (price.kind === 'nonsense') {
    return refuse('PRICE_MISMATCH', `${asks}, and the price stated beside it is ${price.text}`);
  }
  if (price.kind === 'price' && !agree(price.sats, amountMsat)) {
    return refuse('PRICE_MISMATCH', `${asks}, and the price stated beside it is ${price.sats}`);
  }
  return null;
}

/** True when a stated price is the invoice's amount, or that in whole sats. */
function agree(statedSats: number, amountMsat: number): boolean {
  const sats = amountMsat / 1_000;
  return statedSats === sats || statedSats === Math.floor(sats) || statedSats === Math.ceil(sats);
}

function checkNetwork(invoice: Invoice, terms: PaymentTerms, refuse: Refuse): void {
  for (const network of [terms.network, terms.wallet.network ?? null]) {
    if (network === null || network === invoice.network) continue;
    throw refuse('INVOICE_WRONG_NETWORK', `is on ${invoice.network}, and money is on ${network}`);
  }
}

function feeLimit(amountMsat: number, { wallet, maxFeeMsat }: PaymentTerms): number {
  if (wallet.limitsFees !== true) return 0;
  return maxFeeMsat ?? Math.max(LEAST_FEE_LIMIT_MSAT, Math.floor(amountMsat / 100));
}
