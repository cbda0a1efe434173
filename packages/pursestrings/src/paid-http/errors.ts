import type { Denial } from '../denial.ts';
import { BudgetExceededError as PurseBudgetExceededError } from '../errors.ts';
import { PurseError } from '../ledger/invalid.ts';

/** Whether money left: `failed`, none left and none will, or nobody knows yet and it stays held. */
export type PaymentOutcome = 'failed' | 'unknown';

/**
 * Which refusal or failure an `L402PaymentError` is.
 *
 * Refused before paying: `INVOICE_AMOUNTLESS`, `INVOICE_ZERO`, `INVOICE_TOO_LARGE`,
 * `INVOICE_EXPIRED`, `INVOICE_WRONG_NETWORK`, `ALREADY_PAID`,
 * `OVER_MAX_PER_PAYMENT`, `PRICE_MISMATCH`, `BODY_NOT_REPEATABLE`, `TOKEN_TOO_LONG`,
 * `DOMAIN_NOT_ALLOWED`. Nothing spent either: `PAYMENT_FAILED`. Money that may be on its way and
 * stays held: `PAYMENT_PENDING`. Paid: `WRONG_PREIMAGE`, `CREDENTIAL_REFUSED`.
 */
export type L402PaymentErrorCode =
  | 'ALREADY_PAID'
  | 'BODY_NOT_REPEATABLE'
  | 'CREDENTIAL_REFUSED'
  | 'DOMAIN_NOT_ALLOWED'
  | 'INVOICE_AMOUNTLESS'
  | 'INVOICE_EXPIRED'
  | 'INVOICE_TOO_LARGE'
  | 'INVOICE_WRONG_NETWORK'
  | 'INVOICE_ZERO'
  | 'OVER_MAX_PER_PAYMENT'
  | 'PAYMENT_FAILED'
  | 'PAYMENT_PENDING'
  | 'PRICE_MISMATCH'
  | 'TOKEN_TOO_LONG'
  | 'WRONG_PREIMAGE';

/**
 * A payment was refused before it began, failed, or has an outcome that nobody knows yet. `code`
 * says which; `outcome` says what that means for the money.
 *
 * @example
 * ```ts
 * import { L402PaymentError } from 'pursestrings/l402';
 *
 * async function isMoneyGone(work: Promise<Response>): Promise<boolean> {
 *   try {
 *     await work;
 *     return true;
 *   } catch (error) {
 *     if (!L402PaymentError.isInstance(error)) throw error;
 *     return error.outcome === 'unknown';
 *   }
 * }
 * ```
 */
export class L402PaymentError extends PurseError {
  static override readonly brand: string = 'L402PaymentError';
  /** The BOLT11 invoice that it is about, or '' where there was none. */
  readonly invoice: string;
  readonly outcome: PaymentOutcome;

  constructor(
    code: string,
    message: string,
    options: {
      readonly invoice?: string;
      readonly outcome?: PaymentOutcome;
      readonly retryable?: boolean;
      readonly cause?: unknown;
    } = {},
  ) {
    super(code, message, options);
    this.invoice = options.invoice ?? '';
    this.outcome = options.outcome ?? 'failed';
  }
}

/** A 402 whose challenge cannot be read. `body` is the beginning of what the server sent with it. */
export class L402ParseError extends PurseError {
  static override readonly brand: string = 'L402ParseError';
  readonly body: string;

  constructor(message: string, options: { readonly body?: string; readonly cause?: unknown } = {}) {
    super('L402_UNREADABLE', message, options);
    this.body = options.body ?? '';
  }
}

/**
 * A price does not fit what is left, so it was not paid and no money moved. It extends the error of
 * this name that `pursestrings` exports: `instanceof` works with either import. `required` and
 * `remaining` are satoshis.
 *
 * @example
 * ```ts
 * import { BudgetExceededError, L402Client } from 'pursestrings/l402';
 *
 * async function read(client: L402Client, url: string): Promise<string | null> {
 *   try {
 *     return await (await client.fetch(url)).text();
 *   } catch (error) {
 *     if (!(error instanceof BudgetExceededError)) throw error;
 *     console.log(error.url, error.required, error.remaining);
 *     return null;
 *   }
 * }
 * ```
 */
export class BudgetExceededError extends PurseBudgetExceededError {
  static override readonly brand: string = 'L402BudgetExceededError';
  /** What was asked for, as it was given to `fetch`, or where that redirected to. */
  readonly url: string;

  constructor(
    url: string,
    denials: readonly [Denial, ...(readonly Denial[])],
    options: { readonly cause?: unknown } = {},
  ) {
    super(denials, options);
    this.name = 'BudgetExceededError';
    this.url = url;
  }
}
