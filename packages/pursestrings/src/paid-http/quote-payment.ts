import type { Purse } from '../purse.ts';
import { type PaidFetchOptions, paidHttp } from './paid-fetch.ts';
import type { PaymentQuote } from './quote.ts';
import { type FetchInit, type FetchInput, readGiven } from './request.ts';

/**
 * Asks what a request would cost, and whether `paidFetch` with these options would pay it: one request
 * goes out, and nothing is paid, held or written.
 *
 * @throws L402ParseError for a challenge or an invoice that cannot be read; L402PaymentError for an
 *   invoice that can be paid at no price (no amount, expired, another network); what `fetch` rejects with.
 *
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { type L402Wallet, quotePayment } from 'pursestrings/l402';
 *
 * async function price(wallet: L402Wallet, url: string): Promise<number> {
 *   await using purse = await openPurse({ store: 'sqlite:./purse.db' });
 *   const { payment } = await quotePayment(purse, { wallet }, url);
 *   return payment?.amountSats ?? 0;
 * }
 * ```
 */
export async function quotePayment(
  purse: Purse,
  options: PaidFetchOptions,
  input: FetchInput,
  init?: FetchInit,
): Promise<PaymentQuote> {
  return paidHttp(purse, options, {}).quote(readGiven(input, init));
}
