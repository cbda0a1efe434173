import { randomBytes } from 'node:crypto';

import { NWCClient, NWCWalletService, NWCWalletServiceKeyPair } from '@getalby/sdk/nwc';

import type { LightningBench, NodePayment } from './lightning-bench.ts';
import { type NostrEvent, type NostrRelay, openRelay } from './nostr-relay.ts';

/** A wallet that is reached by Nostr Wallet Connect, and the relay between. */
export interface NwcService extends AsyncDisposable {
  /** The connection string. */
  readonly url: string;
  readonly secret: string;
  readonly relay: NostrRelay;
  /** Signs an answer to a request, with any content; `sealed` is encrypted as it must be. */
  forge(
    requestId: string,
    content: { readonly sealed?: string; readonly raw?: string },
  ): Promise<NostrEvent>;
  /** Answers this error instead of paying, as NIP-47 lists them. */
  refusal: { readonly code: string; readonly message: string } | undefined;
  /** Answers this instead of a payment's result, after paying. */
  result: object | undefined;
}

/** Serves a node by NIP-47, with the SDK's own wallet service. */
export async function serveNwc(bench: LightningBench): Promise<NwcService> {
  const relay = await openRelay();
  const [walletSecret, secret] = [newKey(), newKey()];
  const walletPubkey = await new NWCClient({
    relayUrls: [relay.url],
    secret: walletSecret,
    walletPubkey: newKey(),
  }).getPublicKey();
  const url =
    `nostr+walletconnect://${walletPubkey}?relay=${encodeURIComponent(relay.url)}` +
    `&secret=${secret}`;
  const clientPubkey = await new NWCClient({ nostrWalletConnectUrl: url }).getPublicKey();
  const service = new NWCWalletService({ relayUrls: [relay.url] });
  await service.publishWalletServiceInfoEvent(walletSecret, ['pay_invoice', 'lookup_invoice'], []);
  const keys = new NWCWalletServiceKeyPair(walletSecret, clientPubkey);
  const served: NwcService = {
    url,
    secret,
    relay,
    refusal: undefined,
    result: undefined,
    forge: async (requestId, { sealed = '', raw }) => {
      const content = raw ?? String(await service.encrypt(keys, sealed, 'nip44_v2'));
      const template = {
        kind: 23_195,
        created_at: Math.floor(Date.now() / 1000),
        tags: [
          ['p', clientPubkey],
          ['e', requestId],
        ],
        content,
      };
      return await service.signEvent(template, walletSecret);
    },
    [Symbol.asyncDispose]: async () => {
      stop();
      service.close();
      await relay[Symbol.asyncDispose]();
    },
  };
  const stop = await service.subscribe(keys, {
    payInvoice: async ({ invoice }) => {
      if (served.refusal !== undefined) return { result: undefined, error: served.refusal };
      const payment = bench.pay(invoice);
      if (served.result !== undefined) return { result: served.result as never, error: undefined };
      if (payment.state === 'succeeded') return { result: paidOf(payment), error: undefined };
      const message = payment.state === 'failed' ? 'no route' : 'timed out';
      return { result: undefined, error: { code: 'PAYMENT_FAILED', message } };
    },
    lookupInvoice: async ({ payment_hash: hash }) => {
      const payment = bench.payment(hash ?? '');
      if (payment !== undefined) return { result: transactionOf(payment), error: undefined };
      return { result: undefined, error: { code: 'NOT_FOUND', message: 'not found' } };
    },
  });
  return served;
}

function paidOf({ preimage = '', feeMsat = 0 }: NodePayment): {
  readonly preimage: string;
  readonly fees_paid: number;
} {
  return { preimage, fees_paid: feeMsat };
}

function transactionOf(payment: NodePayment) {
  const { hash, invoice, amountMsat, state } = payment;
  return {
    type: 'outgoing' as const,
    state: ({ in_flight: 'pending', succeeded: 'settled', failed: 'failed' } as const)[state],
    invoice,
    description: 'weather',
    description_hash: '',
    ...paidOf(payment),
    payment_hash: hash,
    amount: amountMsat,
    settled_at: state === 'succeeded' ? 1_700_000_001 : 0,
    created_at: 1_700_000_000,
    expires_at: 1_700_003_600,
  };
}

function newKey(): string {
  return randomBytes(32).toString('hex');
}
