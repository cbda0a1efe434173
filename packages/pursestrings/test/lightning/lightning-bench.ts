import * as ldk from 'lightningdevkit';

import { type LdkNetwork, openNetwork } from './ldk-network.ts';
import type { LdkNode } from './ldk-node.ts';

/** What the payer's node knows of one payment. */
export interface NodePayment {
  readonly hash: string;
  readonly invoice: string;
  readonly amountMsat: number;
  readonly state: 'in_flight' | 'succeeded' | 'failed';
  readonly preimage?: string;
  /** What LDK says that routing cost. */
  readonly feeMsat?: number;
  readonly reason?: string;
}

/** What the payee's node does with a payment that arrives. */
export type PayeeMood = 'claim' | 'hold' | 'refuse';

/**
 * Two wallets on a real Lightning network: invoices are the payee's, payments the payer's, and
 * both amounts and fees are what LDK reports.
 */
export class LightningBench {
  /** What becomes of payments that arrive from now on. */
  mood: PayeeMood = 'claim';
  /** What the payee has got, by payment hash, in millisatoshis. */
  readonly received = new Map<string, number>();
  /** What the router has earned, in millisatoshis. */
  earnedMsat = 0;
  readonly #network: LdkNetwork;
  readonly #payments = new Map<string, NodePayment>();
  readonly #held: ldk.Event_PaymentClaimable[] = [];

  private constructor(network: LdkNetwork) {
    this.#network = network;
    network.onEvent((node, event) => this.#hear(node, event));
  }

  /** All that the payee has got, in millisatoshis. */
  get receivedMsat(): number {
    return this.received.values().reduce((sum, msat) => sum + msat, 0);
  }

  /** Routing costs 1 sat and 0.25 %, so that fees are no whole satoshis. */
  static async open(): Promise<LightningBench> {
    return new LightningBench(await openNetwork({ baseMsat: 1000, millionths: 2500 }));
  }

  /** An invoice of the payee's, over so many millisatoshis. */
  invoice(amountMsat: number, expirySeconds = 3600): string {
    const { channels } = this.#network.payee;
    const described = ldk.Description.constructor_new('weather');
    if (!(described instanceof ldk.Result_DescriptionCreationErrorZ_OK))
      throw new Error('description');
    const made = channels.create_bolt11_invoice(
      ldk.Option_u64Z.constructor_some(BigInt(amountMsat)),
      ldk.Bolt11InvoiceDescription.constructor_direct(described.res),
      ldk.Option_u32Z.constructor_some(expirySeconds),
      ldk.Option_u16Z.constructor_none(),
      ldk.Option_ThirtyTwoBytesZ.constructor_none(),
    );
    if (!(made instanceof ldk.Result_Bolt11InvoiceSignOrCreationErrorZ_OK))
      throw new Error('invoice');
    return made.res.to_str();
  }

  /** Pays an invoice, unless a payment of it is under way or done; answers how it stands. */
  pay(invoice: string, maxFeeMsat?: number): NodePayment {
    const { hash, onion, route } = readInvoice(invoice);
    const known = this.#payments.get(toHex(hash));
    if (known !== undefined && known.state !== 'failed') return known;
    if (maxFeeMsat !== undefined) {
      route.set_max_total_routing_fee_msat(ldk.Option_u64Z.constructor_some(BigInt(maxFeeMsat)));
    }
    const amountMsat = Number(route.get_final_value_msat());
    const payment = { hash: toHex(hash), invoice, amountMsat, state: 'in_flight' } as const;
    this.#payments.set(payment.hash, payment);
    const retries = ldk.Retry.constructor_attempts(0);
    const sent = this.#network.payer.channels.send_payment(hash, onion, hash, route, retries);
    if (!sent.is_ok()) this.#note(payment.hash, { state: 'failed', reason: 'NO_ROUTE' });
    this.#network.settleDown();
    return this.payment(payment.hash) ?? payment;
  }

  /** The payment hash of an invoice, as LDK reads it. */
  hashOf(invoice: string): string {
    return toHex(readInvoice(invoice).hash);
  }

  /** What the payer's node knows of a payment. */
  payment(hash: string): NodePayment | undefined {
    return this.#payments.get(hash);
  }

  /** The same, by the invoice; `undefined` also for one that failed, which may be tried again. */
  paymentOf(invoice: string): NodePayment | undefined {
    const payment = this.#payments.get(toHex(readInvoice(invoice).hash));
    return payment?.state === 'failed' ? undefined : payment;
  }

  /** The cheapest fee that the payer's node finds, without paying; `null` when there is no route. */
  quote(invoice: string): number | null {
    const { amountMsat, routable } = this.#routable(invoice);
    return routable ? 1000 + Math.floor((amountMsat * 2500) / 1_000_000) : null;
  }

  /** Claims or refuses what the payee holds. */
  release(mood: 'claim' | 'refuse'): void {
    for (const event of this.#held.splice(0)) this.#answer(event, mood);
    this.#network.settleDown();
  }

  #routable(invoice: string): { readonly amountMsat: number; readonly routable: boolean } {
    const amountMsat = Number(readInvoice(invoice).route.get_final_value_msat());
    const [channel] = this.#network.payer.channels.list_usable_channels();
    const limit = channel?.get_next_outbound_htlc_limit_msat() ?? 0n;
    return { amountMsat, routable: BigInt(amountMsat) < limit };
  }

  #note(hash: string, change: Partial<NodePayment>): void {
    const payment = this.#payments.get(hash);
    if (payment !== undefined) this.#payments.set(hash, { ...payment, ...change });
  }

  #hear(node: LdkNode, event: ldk.Event): void {
    const { payee } = this.#network;
    if (event instanceof ldk.Event_PaymentClaimable && node === payee) {
      if (this.mood === 'hold') this.#held.push(event);
      else this.#answer(event, this.mood);
    } else if (event instanceof ldk.Event_PaymentClaimed) {
      this.received.set(toHex(event.payment_hash), Number(event.amount_msat));
    } else if (event instanceof ldk.Event_PaymentForwarded) {
      this.earnedMsat += numberIn(event.total_fee_earned_msat) ?? 0;
    } else if (event instanceof ldk.Event_PaymentSent) {
      const feeMsat = numberIn(event.fee_paid_msat);
      this.#note(toHex(event.payment_hash), {
        state: 'succeeded',
        preimage: toHex(event.payment_preimage),
        ...(feeMsat !== undefined && { feeMsat }),
      });
    } else if (event instanceof ldk.Event_PaymentFailed) {
      this.#note(toHex(event.payment_id), { state: 'failed', reason: 'INCORRECT_PAYMENT_DETAILS' });
    }
  }

  #answer(event: ldk.Event_PaymentClaimable, mood: 'claim' | 'refuse'): void {
    const { channels } = this.#network.payee;
    const preimage = event.purpose.preimage();
    if (mood === 'refuse') channels.fail_htlc_backwards(event.payment_hash);
    else if (preimage instanceof ldk.Option_ThirtyTwoBytesZ_Some)
      channels.claim_funds(preimage.some);
  }
}

function readInvoice(text: string): {
  readonly hash: Uint8Array;
  readonly onion: ldk.RecipientOnionFields;
  readonly route: ldk.RouteParameters;
} {
  const read = ldk.Bolt11Invoice.constructor_from_str(text);
  if (!(read instanceof ldk.Result_Bolt11InvoiceParseOrSemanticErrorZ_OK)) {
    throw new Error('The text is no invoice.');
  }
  const parts = ldk.UtilMethods.constructor_payment_parameters_from_invoice(read.res);
  if (
    !(
      parts instanceof ldk.Result_C3Tuple_ThirtyTwoBytesRecipientOnionFieldsRouteParametersZNoneZ_OK
    )
  ) {
    throw new Error('The invoice names no amount.');
  }
  return { hash: parts.res.get_a(), onion: parts.res.get_b(), route: parts.res.get_c() };
}

function numberIn(option: ldk.Option_u64Z): number | undefined {
  return option instanceof ldk.Option_u64Z_Some ? Number(option.some) : undefined;
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
