/** Which Lightning network an invoice or a wallet lives on, by BOLT11's names. */
export type LightningNetwork = 'bitcoin' | 'testnet' | 'signet' | 'regtest';

/**
 * What pays: anything with `payInvoice`. The rest is optional and makes more exact what can be
 * promised: a wallet that takes a fee limit has its fees held and counted, and one that can look a
 * payment up has an unknown outcome settled as soon as the wallet knows it.
 *
 * @example
 * ```ts
 * import type { L402Wallet } from 'pursestrings/l402';
 *
 * const wallet: L402Wallet = {
 *   payInvoice: async (bolt11) => ({ preimage: await payWithMyNode(bolt11) }),
 * };
 * declare function payWithMyNode(bolt11: string): Promise<string>;
 * ```
 */
export interface L402Wallet {
  /**
   * Pays one invoice, once. Resolves with the preimage when the payment is complete.
   *
   * @throws L402PaymentError with `outcome: 'failed'` when it is certain that no money left and none
   *   will; anything else that is thrown counts as an unknown outcome, and the money stays held.
   */
  payInvoice(bolt11: string, options?: PayOptions): Promise<PaidInvoice>;
  /** Says what became of a payment, by its payment hash (hex), also one of an earlier process. */
  lookUpPayment?(paymentHash: string, options?: LookUpOptions): Promise<PaymentState>;
  /** True when `payInvoice` heeds `maxFeeMsat`. Default false: then no fee is held. */
  readonly limitsFees?: boolean;
  /** The network that it pays on. Where it says so, invoices of another are refused. */
  readonly network?: LightningNetwork;
}

/** How an invoice is paid. */
export interface PayOptions {
  /** The most that routing may cost, in millisatoshis. */
  readonly maxFeeMsat?: number;
  /** Stops waiting for the answer; the payment may go on all the same. */
  readonly signal?: AbortSignal;
}

/** How a payment is looked up. */
export interface LookUpOptions {
  readonly signal?: AbortSignal;
}

/** An invoice that was paid. */
export interface PaidInvoice {
  /** 32 bytes in hex; its SHA-256 is the invoice's payment hash. */
  readonly preimage: string;
  /** What routing cost, in millisatoshis, where the wallet says so. */
  readonly feeMsat?: number;
}

/**
 * What a wallet knows of a payment. `unknown`: it was never asked to make it, as far as it knows.
 * `in_flight`: it may still succeed. `failed`: it has failed for good.
 */
export type PaymentState =
  | { readonly state: 'succeeded'; readonly preimage: string; readonly feeMsat?: number }
  | { readonly state: 'failed'; readonly reason?: string }
  | { readonly state: 'in_flight' }
  | { readonly state: 'unknown' };
