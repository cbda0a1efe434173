import type { LightningBench, NodePayment } from './lightning-bench.ts';
import {
  type LoopbackWallet,
  serveWallet,
  type WalletCall,
  type WalletReply,
} from './loopback-wallet.ts';

/** The macaroon that the node knows. */
export const macaroon = '0201036c6e6402f801030a10b1';

/**
 * LND's REST interface: streams are lines of JSON, each under `result`, numbers of 64 bits are
 * strings, and errors of a stream stand under `error`.
 */
export async function serveLnd(bench: LightningBench): Promise<LoopbackWallet> {
  const handle = (call: WalletCall): WalletReply => {
    if (call.headers['grpc-metadata-macaroon'] !== macaroon) {
      return failure(500, 2, 'verification failed: signature mismatch after caveat verification');
    }
    const { pathname } = new URL(call.path, 'http://lnd');
    if (call.method === 'POST' && pathname === '/v2/router/send') return send(bench, call);
    const hash = /^\/v2\/router\/track\/([\w-]{43}=)$/.exec(pathname)?.[1];
    if (call.method === 'GET' && hash !== undefined) return track(bench, hash);
    return { status: 404, body: { code: 5, message: 'Not Found', details: [] } };
  };
  return await serveWallet(handle, ({ path }) => path === '/v2/router/send');
}

function send(bench: LightningBench, { body }: WalletCall): WalletReply {
  const { payment_request: invoice, fee_limit_msat: limit, timeout_seconds: seconds } = body;
  if (typeof seconds !== 'number' || seconds <= 0) {
    return failure(400, 3, 'timeout_seconds must be specified');
  }
  const known = bench.paymentOf(String(invoice));
  if (known?.state === 'succeeded') return failure(409, 6, 'invoice is already paid');
  if (known?.state === 'in_flight') return failure(409, 6, 'payment is in transition');
  // LND takes no limit for a limit of nothing.
  const payment = bench.pay(String(invoice), Number(limit ?? 0));
  if (payment.state === 'in_flight' && body['no_inflight_updates'] === true) {
    return { status: 200, body: '', open: true };
  }
  return { status: 200, body: line(payment), ...(payment.state === 'in_flight' && { open: true }) };
}

function track(bench: LightningBench, hash: string): WalletReply {
  const payment = bench.payment(Buffer.from(hash, 'base64url').toString('hex'));
  if (payment === undefined) return failure(404, 5, "payment isn't initiated");
  return { status: 200, body: line(payment), ...(payment.state === 'in_flight' && { open: true }) };
}

function failure(status: number, code: number, message: string): WalletReply {
  return { status, body: { error: { code, message, details: [] } } };
}

function line(payment: NodePayment): string {
  const { hash, invoice, amountMsat, feeMsat = 0, preimage, reason } = payment;
  const result = {
    payment_hash: hash,
    value: String(Math.floor(amountMsat / 1000)),
    creation_date: '1700000000',
    fee: String(Math.floor(feeMsat / 1000)),
    payment_preimage: preimage ?? '0'.repeat(64),
    value_sat: String(Math.floor(amountMsat / 1000)),
    value_msat: String(amountMsat),
    payment_request: invoice,
    status: payment.state.toUpperCase(),
    fee_sat: String(Math.floor(feeMsat / 1000)),
    fee_msat: String(feeMsat),
    creation_time_ns: '1700000000000000000',
    htlcs: [],
    payment_index: '1',
    failure_reason: `FAILURE_REASON_${payment.state === 'failed' ? (reason ?? 'ERROR') : 'NONE'}`,
  };
  return `${JSON.stringify({ result })}\n`;
}
