import { describe, expect, test } from 'vitest';
import { openTill } from './fixture.ts';
import { paidPage, serve } from './paywall.ts';

describe('an abort', () => {
  test('before anything', async () => {
    const till = await openTill();
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const signal = AbortSignal.abort(new Error('stop'));
    await expect(till.fetch(`${url}/page`, { signal })).rejects.toThrow('stop');
    expect(seen).toEqual([]);
  });

  test('while it is asked whether to pay: nothing is paid', async () => {
    const controller = new AbortController();
    const till = await openTill({
      options: {
        beforePayment: () => {
          controller.abort(new Error('stop'));
          return new Promise(() => undefined);
        },
      },
    });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const { signal } = controller;
    await expect(till.fetch(`${url}/page`, { signal })).rejects.toThrow('stop');
    await expect.poll(() => till.heldSats()).toBe(0);
    expect(till.wallet.asked).toEqual([]);
  });

  test('while paying: the payment is settled all the same, and used by the next call', async () => {
    const controller = new AbortController();
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    const till = await openTill({
      step: async (_invoice, pay) => {
        controller.abort(new Error('stop'));
        await answered;
        return pay();
      },
    });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const { signal } = controller;
    await expect(till.fetch(`${url}/page`, { signal })).rejects.toThrow('stop');
    expect(await till.heldSats()).toBe(60);
    const next = till.fetch(`${url}/page`);
    resolve();
    expect((await next).status).toBe(200);
    expect(till.wallet.asked).toHaveLength(1);
    expect(await till.charges()).toHaveLength(1);
  });

  test('while paying, of a wallet that stops when it is told: the payment is looked up', async () => {
    const controller = new AbortController();
    const till = await openTill({ looksUp: true });
    const page = paidPage({ mint: () => till.lightning.mint() });
    const { url } = await serve({ '*': page });
    const wallet = {
      ...till.wallet,
      payInvoice: async (bolt11: string, options?: { signal?: AbortSignal }) => {
        await till.wallet.payInvoice(bolt11);
        const stopped = new Promise<never>((_, reject) => {
          options?.signal?.addEventListener('abort', () => reject(options.signal?.reason));
        });
        controller.abort(new Error('stop'));
        return stopped;
      },
    };
    const fetch = till.again({ wallet });
    await expect(fetch(`${url}/page`, { signal: controller.signal })).rejects.toThrow('stop');
    expect((await fetch(`${url}/page`)).status).toBe(200);
    expect(await till.charges()).toHaveLength(1);
  });

  test('of one caller leaves the others their payment', async () => {
    const controller = new AbortController();
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    const till = await openTill({
      step: async (_invoice, pay) => {
        await answered;
        return pay();
      },
    });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const { signal } = controller;
    const first = till.fetch(`${url}/page`, { signal });
    first.catch(() => undefined);
    await expect.poll(() => till.wallet.asked.length).toBe(1);
    const second = till.fetch(`${url}/page`);
    controller.abort(new Error('stop'));
    await expect(first).rejects.toThrow('stop');
    resolve();
    expect((await second).status).toBe(200);
    expect(till.wallet.asked).toHaveLength(1);
  });

  test('while a store of tokens is asked: nothing is paid', async () => {
    for (const hangsAt of [1, 2]) {
      const controller = new AbortController();
      let asked = 0;
      const get = async (): Promise<null> => {
        asked += 1;
        if (asked < hangsAt) return null;
        controller.abort(new Error('stop'));
        return new Promise<never>(() => undefined);
      };
      const till = await openTill({ options: { tokenStore: { get, set: () => undefined } } });
      const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
      const { signal } = controller;
      await expect(till.fetch(`${url}/page`, { signal })).rejects.toThrow('stop');
      expect(till.wallet.asked).toEqual([]);
    }
  });

  test('between asking a store of tokens and paying: nothing is paid', async () => {
    const controller = new AbortController();
    let asked = 0;
    const get = (): null => {
      asked += 1;
      if (asked === 2) queueMicrotask(() => controller.abort(new Error('stop')));
      return null;
    };
    const till = await openTill({ options: { tokenStore: { get, set: () => undefined } } });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const { signal } = controller;
    await expect(till.fetch(`${url}/page`, { signal })).rejects.toThrow('stop');
    await expect.poll(() => till.heldSats()).toBe(0);
    expect(till.wallet.asked).toEqual([]);
  });

  test('while what was bought is kept: the money is told of', async () => {
    const controller = new AbortController();
    const told: number[] = [];
    const set = (): Promise<never> => {
      setImmediate(() => controller.abort(new Error('stop')));
      return new Promise<never>(() => undefined);
    };
    const till = await openTill({
      options: { tokenStore: { get: () => null, set }, onSpend: (sats) => told.push(sats) },
    });
    const { url } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const { signal } = controller;
    await expect(till.fetch(`${url}/page`, { signal })).rejects.toThrow('stop');
    await expect.poll(() => told).toEqual([60]);
  });
});
