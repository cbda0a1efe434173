import type { Decimal } from './ledger/amount.ts';

/**
 * An amount of US dollars, to spread: `{ ...usd(0.4), ...tokens(12_000) }`. Steps of 1e-8.
 *
 * @example
 * ```ts
 * import { usd } from 'pursestrings';
 *
 * const amounts = { ...usd('0.25') };
 * ```
 */
export function usd(amount: Decimal): { readonly usd: Decimal } {
  return { usd: amount };
}

/** An amount of satoshis, to spread. Steps of a millisatoshi. */
export function sats(amount: Decimal): { readonly sats: Decimal } {
  return { sats: amount };
}

/** A number of model tokens, to spread. Whole. */
export function tokens(amount: Decimal): { readonly tokens: Decimal } {
  return { tokens: amount };
}
