import { createHash } from 'node:crypto';
import { inspect } from 'node:util';

import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

import { LightningBench } from '../../lightning/lightning-bench.ts';
import { type WalletCase, walletCases } from '../../lightning/wallet-cases.ts';

let bench: LightningBench;

beforeAll(async () => {
  // The SDK of Nostr Wallet Connect writes each failure to the console.
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  bench = await LightningBench.open();
});

beforeEach(() => {
  bench.mood = 'claim';
});

describe.each(Object.entries(walletCases))('%s', (_, make) => {
  let made: WalletCase;

  beforeAll(async () => {
    made = await make(bench);
  });

  afterAll(async () => {
    await made.end();
  });

  test('pays a real invoice, and reports what the node reports', async () => {
    const { wallet, feeStepMsat } = made;
    const invoice = bench.invoice(123_457);
    const hash = bench.hashOf(invoice);
    const paid = await wallet.payInvoice(invoice, wallet.limitsFees ? { maxFeeMsat: 5000 } : {});
    expect(sha256(paid.preimage)).toBe(hash);
    expect(bench.received.get(hash)).toBe(123_457);
    const { feeMsat = 0, preimage } = bench.payment(hash) ?? {};
    expect(feeMsat).toBe(1308);
    expect(paid).toEqual({ preimage, feeMsat: Math.ceil(feeMsat / feeStepMsat) * feeStepMsat });
    expect(await wallet.lookUpPayment(hash)).toEqual({ state: 'succeeded', ...paid });
  });

  test('does not pay one invoice twice', async () => {
    const { wallet } = made;
    const invoice = bench.invoice(40_000);
    const before = bench.earnedMsat;
    const first = await wallet.payInvoice(invoice);
    const earned = bench.earnedMsat - before;
    await wallet.payInvoice(invoice).then(
      (again) => expect(again).toEqual(first),
      (error: unknown) => expect(error).toMatchObject({ outcome: 'unknown' }),
    );
    expect(bench.earnedMsat - before).toBe(earned);
  });

  test('a payment that the payee refuses has failed for certain, or is found to have', async () => {
    const { wallet } = made;
    bench.mood = 'refuse';
    const invoice = bench.invoice(21_000);
    const error = await wallet.payInvoice(invoice).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'L402PaymentError', invoice });
    expect(await wallet.lookUpPayment(bench.hashOf(invoice))).toMatchObject({ state: 'failed' });
  });

  test('a payment for which there is no route has failed', async () => {
    const { wallet } = made;
    const invoice = bench.invoice(9_000_000_000);
    const error = await wallet.payInvoice(invoice).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'L402PaymentError' });
    expect(await wallet.lookUpPayment(bench.hashOf(invoice))).toMatchObject({ state: 'failed' });
  });

  test('a payment in flight is looked up until it is done', async () => {
    const { wallet } = made;
    bench.mood = 'hold';
    const invoice = bench.invoice(77_001);
    const signal = AbortSignal.timeout(300);
    const error = await wallet.payInvoice(invoice, { signal }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'L402PaymentError', outcome: 'unknown', invoice });
    expect(await wallet.lookUpPayment(bench.hashOf(invoice))).toEqual({ state: 'in_flight' });
    bench.release('claim');
    expect(await wallet.lookUpPayment(bench.hashOf(invoice))).toMatchObject({
      state: 'succeeded',
      preimage: bench.payment(bench.hashOf(invoice))?.preimage,
    });
  });

  test('a payment that was never made is unknown', async () => {
    expect(await made.wallet.lookUpPayment('ab'.repeat(32))).toEqual({ state: 'unknown' });
    await expect(made.wallet.lookUpPayment('../secrets')).rejects.toThrow('64 hex digits');
  });

  test('nothing is paid for a caller who has given up already', async () => {
    const invoice = bench.invoice(10_000);
    const signal = AbortSignal.abort();
    const error = await made.wallet
      .payInvoice(invoice, { signal })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ outcome: 'failed' });
    expect(bench.payment(bench.hashOf(invoice))).toBeUndefined();
  });

  test('shows no secret', () => {
    const { wallet, secret } = made;
    const shown = `${inspect(wallet, { depth: 9, showHidden: true })} ${JSON.stringify(wallet)}`;
    expect(shown).not.toContain(secret);
  });
});

function sha256(hex: string): string {
  return createHash('sha256').update(Buffer.from(hex, 'hex')).digest('hex');
}
