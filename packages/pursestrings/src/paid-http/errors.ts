import { PurseError } from '../errors.ts';

/** Whether money left: `none` left and none will, or nobody knows yet and it stays held. */
export type PaymentOutcome = 'failed' | 'unknown';

/**
 * A payment was refused before it began, failed, or has an outcome that nobody knows yet. `code`
 * says which lie or failure it was; `outcome` says what that means for the money.
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
