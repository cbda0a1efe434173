import type { LightningBench, NodePayment } from './lightning-bench.ts';
import {
  type LoopbackWallet,
  serveWallet,
  type WalletCall,
  type WalletReply,
} from './loopback-wallet.ts';

/** The account that the server knows. */
export const account = { apiKey: 'blink_4f7c1e', walletId: '8d6a9a3c-5b7e-4f7c-9a3c-1e2d3c4b5a69' };

/**
 * Blink's public GraphQL API: whole satoshis, fees rounded up, statuses in capitals, and errors in
 * the payload.
 */
export async function serveBlink(bench: LightningBench): Promise<LoopbackWallet> {
  const handle = (call: WalletCall): WalletReply => {
    const { query, variables } = call.body as { query: string; variables: Record<string, unknown> };
    if (call.path !== '/graphql') return { status: 404, body: 'Not Found' };
    if (call.headers['x-api-key'] !== account.apiKey) {
      return { status: 401, body: { errors: [{ message: 'Authorization failed.' }] } };
    }
    if (query.includes('lnInvoicePaymentSend')) {
      return payload('lnInvoicePaymentSend', pay(bench, invoiceIn(variables)));
    }
    if (query.includes('lnInvoiceFeeProbe')) {
      return payload('lnInvoiceFeeProbe', probe(bench, invoiceIn(variables)));
    }
    const payment = bench.payment(String(variables['paymentHash']));
    const transactionsByPaymentHash = payment === undefined ? [] : [transaction(payment)];
    const walletById = { transactionsByPaymentHash };
    return { status: 200, body: { data: { me: { defaultAccount: { walletById } } } } };
  };
  return await serveWallet(handle, ({ body }) => String(body['query']).includes('PaymentSend'));
}

function pay(bench: LightningBench, invoice: string): object {
  const known = bench.paymentOf(invoice);
  if (known?.state === 'in_flight') {
    return failure('There is a pending payment for this invoice');
  }
  const payment = bench.pay(invoice);
  if (payment.state === 'failed') return failure('Unable to find a route for payment.');
  const paid = known?.state === 'succeeded' ? 'ALREADY_PAID' : 'SUCCESS';
  const status = payment.state === 'in_flight' ? 'PENDING' : paid;
  return { status, errors: [], transaction: transaction(payment) };
}

function probe(bench: LightningBench, invoice: string): object {
  const feeMsat = bench.quote(invoice);
  if (feeMsat !== null) return { amount: Math.ceil(feeMsat / 1000), errors: [] };
  return { amount: null, errors: [{ message: 'Unable to find a route for payment.' }] };
}

function transaction({ state, preimage, feeMsat = 0, amountMsat }: NodePayment): object {
  const settlementFee = Math.ceil(feeMsat / 1000);
  return {
    direction: 'SEND',
    status: { in_flight: 'PENDING', succeeded: 'SUCCESS', failed: 'FAILURE' }[state],
    settlementAmount: -(Math.ceil(amountMsat / 1000) + settlementFee),
    settlementFee,
    settlementCurrency: 'BTC',
    settlementVia: { __typename: 'SettlementViaLn', preImage: preimage ?? null },
  };
}

function failure(message: string): object {
  return {
    status: 'FAILURE',
    errors: [{ message, code: 'ROUTE_FINDING_ERROR' }],
    transaction: null,
  };
}

function payload(name: string, value: object): WalletReply {
  return { status: 200, body: { data: { [name]: value } } };
}

function invoiceIn(variables: Record<string, unknown>): string {
  const { walletId, paymentRequest } = variables['input'] as Record<string, string>;
  if (walletId !== account.walletId) throw new Error('The wallet is not of this account.');
  return paymentRequest ?? '';
}
