import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { L402PaymentError } from '../../src/paid-http/errors.ts';
import { L402Client } from '../../src/paid-http/l402-client.ts';
import { resolvePayments } from '../../src/paid-http/paid-fetch.ts';
import { openPurse } from '../../src/purse.ts';
import { memory } from '../../src/stores/memory.ts';
import { Line, remoteStore } from '../purse/remote-store.ts';
import { openTill } from './fixture.ts';
import type { PayStep } from './lightning.ts';
import { paidPage, serve } from './paywall.ts';

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

const DAY_MS = 86_400_000;

/** Sets the wall clock, and no timer. */
function setClock(ms: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: ms });
  onTestFinished(() => void vi.useRealTimers());
}

/** Takes the money, and loses the answer on its way. */
const paysAndTimesOut: PayStep = async (_invoice, pay) => {
  pay();
  throw new Error('socket hang up');
};

describe('a wallet that cannot look payments up', () => {
  test('times out with the money on its way: it stays held, and nothing is paid again', async () => {
    const till = await openTill({ step: paysAndTimesOut });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    for (let round = 0; round < 3; round += 1) {
      const error = await failureOf(till.fetch(`${url}/page`));
      expect(error).toMatchObject({ code: 'PAYMENT_PENDING', outcome: 'unknown' });
      expect(String(error)).toContain('the hold l402:');
    }
    expect(till.wallet.asked).toHaveLength(1);
    expect(await till.heldSats()).toBe(60);
  });

  test('is heard out when it answers late', async () => {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const till = await openTill({
      options: { paymentTimeoutMs: 20 },
      step: async (_invoice, pay) => {
        await late;
        return pay();
      },
    });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    expect(await failureOf(till.fetch(`${url}/page`))).toMatchObject({ code: 'PAYMENT_PENDING' });
    resolve();
    await expect.poll(async () => (await till.charges()).length).toBe(1);
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    expect(till.wallet.asked).toHaveLength(1);
  });

  test('says for certain that it failed: the money is free, and the same invoice may be paid', async () => {
    let tries = 0;
    const till = await openTill({
      step: async (_invoice, pay) => {
        tries += 1;
        if (tries < 3) throw new L402PaymentError('NO_ROUTE', 'No route to 02ab');
        return pay();
      },
    });
    const invoice = till.lightning.mint();
    const { url } = await serve({ '*': paidPage({ mint: () => invoice }) });
    for (let round = 0; round < 2; round += 1) {
      const error = await failureOf(till.fetch(`${url}/page`));
      expect(error).toMatchObject({ code: 'PAYMENT_FAILED', outcome: 'failed' });
      expect(String(error)).toContain('No route to 02ab');
      expect(await till.heldSats()).toBe(0);
    }
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    expect(await till.charges()).toMatchObject([{ id: `l402:${invoice.paymentHash}:3` }]);
  });

  test('fails for an invoice that lives for months: it is not tried twice', async () => {
    const till = await openTill({
      step: async () => {
        throw new L402PaymentError('NO_ROUTE', 'No route');
      },
    });
    const invoice = till.lightning.mint({ expirySeconds: 90 * 86_400 });
    const { url } = await serve({ '*': paidPage({ mint: () => invoice }) });
    for (let round = 0; round < 3; round += 1) {
      const error = await failureOf(till.fetch(`${url}/page`));
      expect(error).toMatchObject({ code: 'PAYMENT_FAILED', invoice: invoice.bolt11 });
    }
    expect(till.wallet.asked).toHaveLength(1);
    expect(await till.heldSats()).toBe(0);
  });

  test('answers a wrong preimage: the money counts as spent, and no credential is sent', async () => {
    for (const preimage of ['00'.repeat(32), '', 'zz', undefined, 7]) {
      const till = await openTill({
        step: async (_invoice, pay) => ({ ...pay(), preimage: preimage as string }),
      });
      const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
      const error = await failureOf(till.fetch(`${url}/page`));
      expect(error).toMatchObject({ code: 'WRONG_PREIMAGE', outcome: 'unknown' });
      expect(seen.map(({ authorization }) => authorization)).toEqual([null]);
      expect(await till.charges()).toMatchObject([{ amounts: { sats: 60 } }]);
    }
  });
});

describe('a wallet that can look payments up', () => {
  test('loses its answer, and is asked at once', async () => {
    const till = await openTill({ step: paysAndTimesOut, looksUp: true });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    expect(await till.charges()).toMatchObject([{ amounts: { sats: 60 } }]);
  });

  test('knows of the payment only later', async () => {
    const till = await openTill({
      looksUp: true,
      feeMsat: 1_234,
      step: async ({ paymentHash }, pay) => {
        till.wallet.answers.set(paymentHash, { state: 'in_flight' });
        pay();
        throw new Error('gateway timeout');
      },
    });
    const page = paidPage({ mint: () => till.lightning.mint() });
    const { url } = await serve({ '*': page });
    expect(await failureOf(till.fetch(`${url}/page`))).toMatchObject({
      code: 'PAYMENT_PENDING',
      retryable: true,
    });
    expect(await till.heldSats()).toBe(63);
    const [invoice] = page.challenges;
    till.wallet.answers.set(invoice?.paymentHash ?? '', {
      state: 'succeeded',
      preimage: invoice?.preimage ?? '',
      feeMsat: 1_234,
    });
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    expect(await till.charges()).toMatchObject([{ amounts: { sats: 61.234 } }]);
    expect(till.wallet.asked).toHaveLength(1);
  });

  test('learns that it failed: the money is free, and a new invoice is paid', async () => {
    let first = true;
    const till = await openTill({
      looksUp: true,
      step: async ({ paymentHash }, pay) => {
        if (!first) return pay();
        first = false;
        till.wallet.answers.set(paymentHash, { state: 'in_flight' });
        throw new Error('timeout');
      },
    });
    const page = paidPage({ mint: () => till.lightning.mint() });
    const { url } = await serve({ '*': page });
    await failureOf(till.fetch(`${url}/page`));
    till.wallet.answers.set(page.challenges[0]?.paymentHash ?? '', { state: 'failed' });
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    expect(till.wallet.payments).toHaveLength(1);
    expect(await till.heldSats()).toBe(0);
  });

  test('never heard of the payment: it stays held until a day after the invoice', async () => {
    const till = await openTill({
      looksUp: true,
      step: async () => {
        throw new Error('connect ECONNREFUSED');
      },
    });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const pending = { code: 'PAYMENT_PENDING' };
    expect(await failureOf(till.fetch(`${url}/page`))).toMatchObject(pending);
    setClock(Date.now() + 3_600_000 + DAY_MS - 60_000);
    expect(await failureOf(till.fetch(`${url}/page`))).toMatchObject(pending);
    expect(till.wallet.asked).toHaveLength(1);
    expect(await till.heldSats()).toBe(60);
    setClock(Date.now() + 120_000);
    const resolved = { settled: 0, released: 1, pending: 0 };
    expect(await resolvePayments(till.purse, { wallet: till.wallet })).toEqual(resolved);
    expect(await till.heldSats()).toBe(0);
  });

  test('says that it paid, and shows a wrong preimage both times: nobody is told it is known', async () => {
    const till = await openTill({
      looksUp: true,
      step: async (invoice, pay) => {
        const paid = pay();
        till.wallet.answers.set(invoice.paymentHash, {
          state: 'succeeded',
          preimage: '11'.repeat(32),
        });
        return { ...paid, preimage: '00'.repeat(32) };
      },
    });
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    expect(await failureOf(till.fetch(`${url}/page`))).toMatchObject({ code: 'WRONG_PREIMAGE' });
    expect(seen).toHaveLength(1);
  });

  test('shows the right preimage when it is asked again', async () => {
    const till = await openTill({
      looksUp: true,
      step: async (_invoice, pay) => ({ ...pay(), preimage: '' }),
    });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
  });

  test('is told how long it is waited for, and a look-up that hangs is not waited for', async () => {
    const till = await openTill({ looksUp: true, step: paysAndTimesOut });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const wallet = {
      ...till.wallet,
      lookUpPayment: async () => {
        throw new Error('the node is down');
      },
    };
    const error = await failureOf(till.again({ wallet })(`${url}/page`));
    expect(error).toMatchObject({ code: 'PAYMENT_PENDING' });
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
  });
});

test('payments are found again by another process, and settled once', async () => {
  const store = memory();
  const till = await openTill({
    looksUp: true,
    store: { store },
    options: { labels: { agent: 'a1' } },
    step: async ({ paymentHash }, pay) => {
      till.wallet.answers.set(paymentHash, { state: 'in_flight' });
      pay();
      throw new Error('timeout');
    },
  });
  const page = paidPage({ mint: () => till.lightning.mint() });
  const { url } = await serve({ '*': page });
  for (const path of ['/a', '/b', '/c']) await failureOf(till.fetch(`${url}${path}`));
  const options = { wallet: till.wallet, labels: { agent: 'a1' } };
  expect(await resolvePayments(till.purse, options)).toEqual({
    settled: 0,
    released: 0,
    pending: 3,
  });
  const [a, b] = page.challenges;
  till.wallet.answers.set(a?.paymentHash ?? '', {
    state: 'succeeded',
    preimage: a?.preimage ?? '',
  });
  till.wallet.answers.set(b?.paymentHash ?? '', {
    state: 'succeeded',
    preimage: b?.preimage ?? '',
  });
  expect(await resolvePayments(till.purse, { ...options, labels: { agent: 'a2' } })).toEqual({
    settled: 0,
    released: 0,
    pending: 0,
  });
  expect(await resolvePayments(till.purse, options)).toEqual({
    settled: 2,
    released: 0,
    pending: 1,
  });
  expect(await till.charges()).toHaveLength(2);
  // What they bought is there for every process.
  expect((await till.again()(`${url}/a`)).status).toBe(200);
  expect(till.wallet.asked).toHaveLength(3);
});

test('two processes that want one page at the same time pay once', async () => {
  const till = await openTill({ looksUp: true });
  const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
  const fetches = Array.from({ length: 5 }, () => till.again());
  const answers = await Promise.all(fetches.map((fetch) => fetch(`${url}/page`)));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  expect(till.wallet.asked).toHaveLength(1);
});

test('what beforePayment refuses is not paid, and the same invoice may be paid later', async () => {
  let allowed = false;
  const seen: unknown[] = [];
  const till = await openTill({
    options: {
      beforePayment: async (sats, url) => {
        seen.push([sats, url]);
        await Promise.resolve();
        if (!allowed) throw new Error('not today');
      },
    },
  });
  const invoice = till.lightning.mint({ amountMsat: 1_500 });
  const { url } = await serve({ '*': paidPage({ mint: () => invoice }) });
  await expect(till.fetch(`${url}/page?q=1`)).rejects.toThrow('not today');
  expect(till.wallet.asked).toEqual([]);
  expect(await till.heldSats()).toBe(0);
  allowed = true;
  expect((await till.fetch(`${url}/page?q=1`)).status).toBe(200);
  expect(seen).toEqual([
    [1.5, `${url}/page?q=1`],
    [1.5, `${url}/page?q=1`],
  ]);
});

test('an invoice that expires while beforePayment thinks is not paid', async () => {
  const till = await openTill({
    options: {
      beforePayment: () => setClock(Date.now() + 60_000),
    },
  });
  const { url } = await serve({
    '*': paidPage({ mint: () => till.lightning.mint({ expirySeconds: 60 }) }),
  });
  await expect(till.fetch(`${url}/page`)).rejects.toMatchObject({ code: 'INVOICE_EXPIRED' });
  expect(till.wallet.asked).toEqual([]);
  expect(await till.heldSats()).toBe(0);
});

describe('a store that fails when the money is gone', () => {
  /** A till on a store over a line that is cut from the moment that the wallet pays. */
  async function openCutTill(looksUp: boolean) {
    const line = new Line();
    const till = await openTill({
      looksUp,
      store: {
        store: remoteStore(memory(), line),
        operationTimeoutMs: 50,
        retryForMs: 50,
      },
      step: async (_invoice, pay) => {
        line.fate = () => 'refused';
        return pay();
      },
    });
    onTestFinished(() => {
      line.fate = () => 'arrives';
    });
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    return { line, till, url, seen };
  }

  test('what was paid for is read, and recorded once when the store is back', async () => {
    const { line, till, url } = await openCutTill(false);
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    expect(till.errors.length).toBeGreaterThan(0);
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    line.fate = () => 'arrives';
    expect(await till.heldSats()).toBe(60);
    await expect.poll(async () => (await till.charges()).length, { timeout: 5_000 }).toBe(1);
    expect(await till.heldSats()).toBe(0);
    expect(till.wallet.asked).toHaveLength(1);
  });

  test('another process finds the payment by the wallet', async () => {
    const { line, till, url } = await openCutTill(true);
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
    line.fate = () => 'arrives';
    expect((await till.again()(`${url}/page`)).status).toBe(200);
    expect(await till.charges()).toMatchObject([{ amounts: { sats: 60 } }]);
    expect(till.wallet.asked).toHaveLength(1);
  });
});

test('a closed purse pays nothing, nor does a client on it', async () => {
  const till = await openTill();
  const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
  const { wallet } = till;
  const purse = await openPurse({ limits: [{ name: 'all', cap: { sats: 100 } }] });
  const client = new L402Client({ wallet, purse, budgetSats: 100 });
  await client.fetch(`${url}/a`);
  await purse.close();
  expect(await failureOf(client.fetch(`${url}/b`))).toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect(wallet.asked).toHaveLength(1);
  // What this purse recorded is in no book of the till.
  wallet.payments.length = 0;
});

test('labels that say who was paid are not the caller’s to give', async () => {
  const till = await openTill();
  for (const name of ['domain', 'url', 'payee']) {
    expect(() => till.again({ labels: { [name]: 'mine' } })).toThrow(/another name/);
  }
});
