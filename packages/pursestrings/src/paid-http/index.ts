/** Paying for HTTP: a `fetch` that meets 402 within a budget. */
export type { StoredToken, TokenStore } from './credentials.ts';
export {
  BudgetExceededError,
  L402ParseError,
  L402PaymentError,
  type L402PaymentErrorCode,
  type PaymentOutcome,
} from './errors.ts';
export type { PaymentReceipt } from './held-payment.ts';
export {
  paidFetch,
  type PaidFetchOptions,
  type ResolvedPayments,
  resolvePayments,
} from './paid-fetch.ts';
export type {
  L402Wallet,
  LightningNetwork,
  LookUpOptions,
  PaidInvoice,
  PaymentState,
  PayOptions,
} from './wallets/wallet.ts';
