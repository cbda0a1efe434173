import type { LightningBench, NodePayment } from './lightning-bench.ts';
import {
  type LoopbackWallet,
  serveWallet,
  type WalletCall,
  type WalletReply,
} from './loopback-wallet.ts';

/** The token that the hub knows. */
export const token = 'eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo';

/**
 * Alby Hub's HTTP API: the invoice stands in the path, a failure of any kind is status 500 with a
 * `message`, and states are in small letters.
 */
export async function serveAlby(bench: LightningBench): Promise<LoopbackWallet> {
  const handle = (call: WalletCall): WalletReply => {
    if (call.headers.authorization !== `Bearer ${token}`) {
      return { status: 401, body: { message: 'invalid or expired jwt' } };
    }
    const invoice = /^\/api\/payments\/(\w+)$/.exec(call.path)?.[1];
    if (call.method === 'POST' && invoice !== undefined) return pay(bench, invoice);
    const hash = /^\/api\/transactions\/([0-9a-f]{64})$/.exec(call.path)?.[1];
    if (call.method === 'GET' && hash !== undefined) {
      const payment = bench.payment(hash);
      if (payment === undefined) return failure('The transaction requested was not found');
      return { status: 200, body: transaction(payment) };
    }
    return { status: 404, body: { message: 'Not Found' } };
  };
  return await serveWallet(handle, ({ path }) => path.startsWith('/api/payments'));
}

function pay(bench: LightningBench, invoice: string): WalletReply {
  const known = bench.paymentOf(invoice);
  if (known?.state === 'succeeded') return failure('this invoice has already been paid');
  if (known?.state === 'in_flight') {
    return failure('there is already a payment pending for this invoice');
  }
  const payment = bench.pay(invoice);
  if (payment.state === 'succeeded') return { status: 200, body: transaction(payment) };
  return failure(
    payment.state === 'failed' ? 'received a payment failed event' : 'payment timed out',
  );
}

function transaction(payment: NodePayment): object {
  const { hash, invoice, amountMsat, feeMsat = 0, preimage, reason } = payment;
  const state = { in_flight: 'pending', succeeded: 'settled', failed: 'failed' }[payment.state];
  return {
    type: 'outgoing',
    state,
    invoice,
    description: 'weather',
    descriptionHash: '',
    preimage: preimage ?? null,
    paymentHash: hash,
    amount: amountMsat,
    feesPaid: feeMsat,
    updatedAt: '2026-01-01T00:00:00Z',
    createdAt: '2026-01-01T00:00:00Z',
    settledAt: state === 'settled' ? '2026-01-01T00:00:01Z' : null,
    appId: null,
    failureReason: reason ?? '',
  };
}

function failure(message: string): WalletReply {
  return { status: 500, body: { message } };
}
