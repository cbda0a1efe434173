import { describe, expect, test } from 'vitest';
import type { PaidInvoice, PaymentState } from '../../src/paid-http/wallets/wallet.ts';
import { openTill } from './fixture.ts';
import { endlessInvoice } from './invoices.ts';
import type { PayStep } from './lightning.ts';
import { challengeOf, paidPage, serve, wants } from './paywall.ts';

/** Takes the money, and loses the answer on its way. */
const paysAndTimesOut: PayStep = async (_invoice, pay) => {
  pay();
  throw new Error('socket hang up');
};

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => (error as { readonly code?: unknown }).code,
  );

test.each([[undefined], [null], [7], ['a text'], [{ preimage: null }]])(
  'a payment is answered by %j: the money counts as spent',
  async (nonsense) => {
    const till = await openTill();
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const payInvoice = async (): Promise<PaidInvoice> => nonsense as unknown as PaidInvoice;
    const fetch = till.again({ wallet: { payInvoice } });
    expect(await codeOf(fetch(`${url}/page`))).toBe('WRONG_PREIMAGE');
    expect((await till.charges()).map(({ amounts }) => amounts['sats'])).toEqual([60]);
    expect(await till.heldSats()).toBe(0);
  },
);

test.each([
  [2_000, 62],
  [0.5, 60.001],
  ['2000', 62],
  [2_000n, 62],
  [-1, 60],
  [Number.NaN, 60],
  ['much', 60],
  [null, 60],
])('a fee of %s comes to %d sats in all', async (feeMsat, sats) => {
  const till = await openTill();
  const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
  const payInvoice = async (bolt11: string): Promise<PaidInvoice> => ({
    ...(await till.wallet.payInvoice(bolt11)),
    feeMsat: feeMsat as number,
  });
  await till.again({ wallet: { payInvoice } })(`${url}/page`);
  expect((await till.charges()).map(({ amounts }) => amounts['sats'])).toEqual([sats]);
});

describe('a look-up', () => {
  test.each([[undefined], [null], [7], ['succeeded'], [{ state: 'SETTLED' }]])(
    'is answered by %j: nothing is known',
    async (nonsense) => {
      const till = await openTill({ looksUp: true, step: paysAndTimesOut });
      const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
      const lookUpPayment = async (): Promise<PaymentState> => nonsense as unknown as PaymentState;
      const fetch = till.again({ wallet: { ...till.wallet, lookUpPayment } });
      expect(await codeOf(fetch(`${url}/page`))).toBe('PAYMENT_PENDING');
      expect(await codeOf(fetch(`${url}/page`))).toBe('PAYMENT_PENDING');
      expect(till.wallet.asked).toHaveLength(1);
    },
  );

  test('says more than it was asked', async () => {
    const till = await openTill({ looksUp: true, step: paysAndTimesOut });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const lookUpPayment = async (paymentHash: string): Promise<PaymentState> => {
      const state = await till.wallet.lookUpPayment?.(paymentHash);
      return Object.assign({ error: null }, state);
    };
    const fetch = till.again({ wallet: { ...till.wallet, lookUpPayment } });
    expect((await fetch(`${url}/page`)).status).toBe(200);
  });
});

test('a time-out for an invoice that never ends is remembered like any other', async () => {
  const till = await openTill();
  const asked: string[] = [];
  const payInvoice = async (bolt11: string): Promise<never> => {
    asked.push(bolt11);
    throw new Error('socket hang up');
  };
  const { url } = await serve({
    '*': (request, response) =>
      wants({ 'www-authenticate': challengeOf(endlessInvoice()) })(request, response),
  });
  for (const fetch of [till.again({ wallet: { payInvoice } }), till.fetch]) {
    expect(await codeOf(fetch(`${url}/page`))).toBe('PAYMENT_PENDING');
  }
  expect(asked).toHaveLength(1);
});
