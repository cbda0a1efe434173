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
export { L402Client, type L402ClientOptions, type SpendingReport } from './l402-client.ts';
export {
  paidFetch,
  type PaidFetchOptions,
  type ResolvedPayments,
  resolvePayments,
} from './paid-fetch.ts';
export type { PaymentQuote, QuotedPayment } from './quote.ts';
export { quotePayment } from './quote-payment.ts';
export { type AlbyOptions, AlbyWallet } from './wallets/alby.ts';
export { type BlinkOptions, BlinkWallet } from './wallets/blink.ts';
export { type LnbitsOptions, LnbitsWallet } from './wallets/lnbits.ts';
export { type LndOptions, LndWallet } from './wallets/lnd.ts';
export { type NwcOptions, NwcWallet } from './wallets/nwc.ts';
export type { WalletConnection } from './wallets/wallet-server.ts';
export type {
  L402Wallet,
  LightningNetwork,
  LookUpOptions,
  PaidInvoice,
  PaymentState,
  PayOptions,
} from './wallets/wallet.ts';
