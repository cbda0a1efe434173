import type { LightningBench, NodePayment } from './lightning-bench.ts';
import {
  type LoopbackWallet,
  serveWallet,
  type WalletCall,
  type WalletReply,
} from './loopback-wallet.ts';

/** The admin key that the server knows. */
export const adminKey = '5b1fa3c89d4e4b6ea9c1d7f0e2b35a71';

/**
 * LNbits' API: amounts and fees of what leaves are negative millisatoshis, and a payment's failure
 * is status 520 with what became of it.
 */
export async function serveLnbits(bench: LightningBench): Promise<LoopbackWallet> {
  const handle = (call: WalletCall): WalletReply => {
    if (call.headers['x-api-key'] !== adminKey) {
      return { status: 401, body: { detail: 'Invalid key type.' } };
    }
    if (call.method === 'POST' && call.path === '/api/v1/payments' && call.body['out'] === true) {
      return pay(bench, String(call.body['bolt11']));
    }
    const hash = /^\/api\/v1\/payments\/([0-9a-f]{64})$/.exec(call.path)?.[1];
    const payment = hash === undefined ? undefined : bench.payment(hash);
    if (payment === undefined) return { status: 404, body: { detail: 'Payment does not exist.' } };
    return { status: 200, body: look(payment) };
  };
  return await serveWallet(handle, ({ method }) => method === 'POST');
}

function pay(bench: LightningBench, invoice: string): WalletReply {
  const known = bench.paymentOf(invoice);
  if (known?.state === 'in_flight') return failure('Payment is still pending.', 'pending');
  if (known?.state === 'succeeded') return failure('Payment already paid.', 'success');
  const payment = bench.pay(invoice);
  if (payment.state === 'failed') return failure('Payment failed: no_route.', 'failed');
  return { status: 201, body: details(payment) };
}

function look(payment: NodePayment): object {
  const rows = { details: details(payment) };
  if (payment.state === 'succeeded') return { paid: true, preimage: payment.preimage, ...rows };
  if (payment.state === 'failed') return { paid: false, status: 'failed', ...rows };
  return { paid: false, status: 'pending', preimage: null, ...rows };
}

function details(payment: NodePayment): object {
  const { hash, invoice, amountMsat, feeMsat = 2000, preimage } = payment;
  return {
    checking_id: hash,
    payment_hash: hash,
    wallet_id: 'e2b35a71',
    amount: -amountMsat,
    fee: -feeMsat,
    bolt11: invoice,
    status: { in_flight: 'pending', succeeded: 'success', failed: 'failed' }[payment.state],
    memo: 'weather',
    preimage: preimage ?? null,
  };
}

function failure(detail: string, status: string): WalletReply {
  return { status: 520, body: { detail, status } };
}
