import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';

import { PurseError } from '../../../src/ledger/invalid.ts';
import {
  BudgetExceededError,
  cost,
  definePrice,
  guard,
  type GuardOptions,
  MemoryStore,
  type SpendStore,
  spentTotal,
  UnknownModelError,
  UnknownUsageShapeError,
  type Usage,
} from '../../../src/llm/guard/index.ts';
import { rejection } from '../fixture.ts';
import {
  DOLLAR,
  expectHeld,
  fakeClient,
  fulfilled,
  kit,
  newProject,
  REQUEST,
  type Request,
  watchConsole,
  watchWarnings,
} from './fixture.ts';

/** A promise that is no instance of this realm's Promise, as test runners and sandboxes make them. */
const REJECTED = 'Promise.reject(new Error("mine"))';

describe('an unknown model', () => {
  it('is refused before it is paid for', async () => {
    const { create, client, spent } = kit();
    const error = await rejection(create({ model: 'nobody-9000' }));
    expect(error).toBeInstanceOf(UnknownModelError);
    expect(error).toMatchObject({ model: 'nobody-9000', code: 'PRICE_UNKNOWN' });
    expect(client.calls).toBe(0);
    expect(await spent()).toBe(0);
  });

  it("counts as free under 'zero'", async () => {
    const { create, client, spent } = kit({ onUnknownModel: 'zero' });
    await create({ model: 'nobody-9000' });
    expect(client.calls).toBe(1);
    expect(await spent()).toBe(0);
  });

  it('costs what the guard is told, by a row or by its name', async () => {
    const byRow = kit({ onUnknownModel: { in: 0, out: 0.001 } });
    await byRow.create({ model: 'nobody-9000' });
    expect(await byRow.spent()).toBe(0.1);
    const byName = kit({ onUnknownModel: (model) => ({ in: 0, out: model.length / 1_000 }) });
    await byName.create({ model: 'nobody-901' });
    expect(await byName.spent()).toBe(1);
  });

  it('is no matter once it has a price', async () => {
    const { create, spent } = kit();
    definePrice('acme-9000', { in: 0, out: 0.00001 });
    await create({ model: 'acme-9000' });
    expect(await spent()).toBe(0.001);
  });

  it('lets calls go out side by side once it is known how much it writes', async () => {
    const { create, client } = kit({ dailyCapUSD: 1 }, { input: 0, output: 9 });
    definePrice('acme-7000', { in: 0, out: 0.1 });
    const three = [1, 2, 3];
    expect(await fulfilled(three.map(() => create({ model: 'acme-7000' })))).toBe(1);
    definePrice('acme-7000', { in: 0, out: 0.1, maxOutputTokens: 1_000 });
    expect(await fulfilled(three.map(() => create({ model: 'acme-7000' })))).toBe(3);
    expect(client.calls).toBe(4);
    expect(() => definePrice('acme-7000', { in: 0, out: 1, maxOutputTokens: 0.5 })).toThrow(/max/);
  });

  it('is what a request without a model asks for', async () => {
    const { create, client } = kit();
    await expect(create({} as Request)).rejects.toThrow(UnknownModelError);
    expect(client.calls).toBe(0);
  });
});

describe('a request that JSON cannot say', () => {
  it.each([
    ['a bigint', 5n],
    ['itself', REQUEST],
  ])('holds all that is left (%s)', async (_, seed) => {
    const { create, client, spent } = kit({ dailyCapUSD: 1 }, null);
    const request: Record<string, unknown> = { ...REQUEST, seed };
    if (seed === REQUEST) request['seed'] = request;
    await create(request as unknown as Request);
    expect(client.calls).toBe(1);
    expect(await spent()).toBe(1);
  });
});

describe('a missing usage', () => {
  it.each([[null], ['none'], [{}], [{ prompt_tokens: Number.NaN, completion_tokens: 1 }]])(
    'costs what was held, and the answer is handed over (%s)',
    async (usage) => {
      const { create, spent } = kit({}, usage);
      expect(await create(REQUEST)).toMatchObject({ id: 1 });
      expectHeld(await spent());
    },
  );

  it("costs what was held and is thrown under 'throw', with the answer", async () => {
    const { create, spent } = kit({ onMissingUsage: 'throw' }, null);
    const error = await rejection(create(REQUEST));
    expect(error).toBeInstanceOf(UnknownUsageShapeError);
    expect(error).toMatchObject({ received: { id: 1 } });
    expectHeld(await spent());
  });

  it("costs nothing under 'zero', with a warning", async () => {
    const codes = watchWarnings();
    const { create, spent } = kit({ onMissingUsage: 'zero' }, null);
    await create(REQUEST);
    expect(await spent()).toBe(0);
    expect(codes).toEqual(['PURSE_USAGE_MISSING']);
  });

  it.each([
    [
      'throws',
      (): never => {
        throw new Error('mine');
      },
    ],
    ['answers NaN', () => ({ input: Number.NaN, output: 1 })],
    ['answers nothing', () => undefined as never],
    ['answers less than nothing', () => ({ input: -1, output: 1 })],
    ['answers without end', () => ({ input: Number.POSITIVE_INFINITY, output: 1 })],
    ['throws later', async (): Promise<never> => Promise.reject(new Error('mine'))],
  ])('is what a usageOf that %s leaves', async (_, usageOf) => {
    watchWarnings();
    const project = newProject();
    const store = new MemoryStore();
    const client = fakeClient(null);
    const ai = guard(client, { project, dailyCapUSD: 50, store }, { usageOf });
    expect(await ai.create(REQUEST)).toMatchObject({ id: 1 });
    expectHeld(await spentTotal(project, store));
  });
});

describe('a usageOf that answers later', () => {
  it('is waited for', async () => {
    const project = newProject();
    const store = new MemoryStore();
    const usageOf = async (): Promise<Usage> => DOLLAR;
    await guard(fakeClient(null), { project, dailyCapUSD: 50, store }, { usageOf }).create(REQUEST);
    expect(await spentTotal(project, store)).toBe(1);
  });
});

describe('a callback that throws', () => {
  const fail = (): never => {
    throw new Error('mine');
  };
  const failLater = async (): Promise<never> => fail();

  it.each([
    ['onSpend', { onSpend: fail }],
    ['onSpend, later', { onSpend: failLater }],
    ['onSpend, by a promise of another realm', { onSpend: () => runInNewContext(REJECTED) }],
    ['onThreshold', { onThreshold: fail, thresholdFraction: 0.01 }],
  ])('%s: loses no answer and no charge', async (_, options) => {
    const codes = watchWarnings();
    const { create, spent } = kit(options);
    expect(await create(REQUEST)).toMatchObject({ id: 1 });
    await new Promise((turn) => setImmediate(turn));
    expect(await spent()).toBe(1);
    expect(codes).toEqual(['PURSE_CALLBACK_FAILED']);
  });

  it.each([
    ['onExceeded', { onExceeded: fail }],
    ['onRejected', { onRejected: fail }],
  ])('%s: hides no refusal', async (_, options) => {
    watchWarnings();
    const { create, client } = kit({ dailyCapUSD: 0, ...options });
    await expect(create(REQUEST)).rejects.toThrow(BudgetExceededError);
    expect(client.calls).toBe(0);
  });

  it('internals.onSpend: loses no answer', async () => {
    watchWarnings();
    const options = { project: newProject(), dailyCapUSD: 50 };
    const ai = guard(fakeClient(), options, { onSpend: fail });
    expect(await ai.create(REQUEST)).toMatchObject({ id: 1 });
  });

  it('estimateUsage: nothing is sent', async () => {
    const { create, client } = kit({ estimateUsage: fail });
    await expect(create(REQUEST)).rejects.toThrow('mine');
    expect(client.calls).toBe(0);
  });
});

describe('what is no number', () => {
  it.each([
    ['dailyCapUSD', { dailyCapUSD: Number.NaN }],
    ['dailyCapUSD', { dailyCapUSD: -1 }],
    ['dailyCapUSD', { dailyCapUSD: '5' as never }],
    ['dailyCapUSD', { dailyCapUSD: undefined }],
    ['thresholdFraction', { thresholdFraction: Number.NaN }],
    ['thresholdFraction', { thresholdFraction: 2 }],
    ['retryStormThreshold', { retryStormThreshold: 0 }],
    ['onCap', { onCap: 'explode' as never }],
    ['period', { period: 'hourly' as never }],
    ['timezone', { timezone: 'Mars/Olympus' }],
    ['project', { project: '' }],
    ['onMissingUsage', { onMissingUsage: 'ignore' as never }],
    ['onUnknownModel', { onUnknownModel: 'ignore' as never }],
    ['store', { store: {} as never }],
    ['purse', { purse: {} as never }],
  ])('%s is refused when the guard is made', (name, options) => {
    const all = { project: 'p', dailyCapUSD: 1, store: new MemoryStore(), ...options };
    expect(() => guard(fakeClient(), all as GuardOptions<Request>)).toThrow(new RegExp(name));
    expect(() => guard(fakeClient(), all as GuardOptions<Request>)).toThrow(PurseError);
  });

  it.each([
    [{ input: Number.NaN, output: 0 }],
    [{ input: 0, output: Number.POSITIVE_INFINITY }],
    [{ input: -5, output: 0 }],
    [{} as never],
    [undefined as never],
  ])('an estimate of %s is refused before the call', async (usage) => {
    const { create, client } = kit({ estimateUsage: () => usage });
    await expect(create(REQUEST)).rejects.toThrow(PurseError);
    expect(client.calls).toBe(0);
    expect(() => cost('gpt-4o', usage)).toThrow(PurseError);
  });

  it('a time of now() that is none is refused before the call', async () => {
    const client = fakeClient();
    const internals = { now: () => new Date('never') };
    const ai = guard(client, { project: newProject(), dailyCapUSD: 5 }, internals);
    await expect(ai.create(REQUEST)).rejects.toThrow(/now/);
    expect(client.calls).toBe(0);
  });

  it('a store that answers NaN refuses everything', async () => {
    const client = fakeClient();
    const store: SpendStore = { add: () => Number.NaN, get: () => Number.NaN, entries: () => [] };
    const ai = guard(client, { project: newProject(), dailyCapUSD: 5, store });
    await expect(ai.create(REQUEST)).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    expect(client.calls).toBe(0);
  });
});

describe('a client that is none', () => {
  it.each([[null], [undefined], ['openai']])('%s is refused', (client) => {
    expect(() => guard(client as never, { project: 'p', dailyCapUSD: 1 })).toThrow(/client/);
  });
});

describe("Anthropic's cache", () => {
  it('is billed: reads at their rate, writes at theirs, and the input in full', async () => {
    const usage = {
      input_tokens: 1_000,
      cache_read_input_tokens: 10_000,
      cache_creation_input_tokens: 2_000,
      output_tokens: 100,
    };
    const { create, spent } = kit({}, usage);
    await create({ ...REQUEST, model: 'claude-sonnet-4-5' });
    // USD 3, 0.30, 3.75 and 15 a million: https://platform.claude.com/docs/en/pricing, 2026-11-22.
    const steps = 1_000n * 300n + 10_000n * 30n + 2_000n * 375n + 100n * 1_500n;
    expect(await spent()).toBe(Number(steps) / 1e8);
  });
});

describe('a call that fails', () => {
  const cases: readonly [name: string, error: unknown, charged: boolean][] = [
    ['by an error of the provider', Object.assign(new Error('no'), { status: 429 }), false],
    ['by an error of anybody', new Error('no'), false],
    ['before it left', Object.assign(new Error('no'), { code: 'ECONNREFUSED' }), false],
    ['at a gateway', Object.assign(new Error('no'), { status: 504 }), true],
    ['by an abort', new DOMException('no', 'AbortError'), true],
    [
      'by a cut',
      new TypeError('no', { cause: Object.assign(new Error(), { code: 'ECONNRESET' }) }),
      true,
    ],
  ];

  it.each(cases)('%s', async (_, error, charged) => {
    const project = newProject();
    const store = new MemoryStore();
    const client = {
      create: async (request: Request): Promise<object> => Promise.reject(request && error),
    };
    const ai = guard(client, { project, dailyCapUSD: 0.02, store });
    expect(await rejection(ai.create(REQUEST))).toBe(error);
    if (charged) expectHeld(await spentTotal(project, store));
    else expect(await spentTotal(project, store)).toBe(0);
    // Nothing stays held: the same again fits, or does not because it was spent.
    expect(await rejection(ai.create(REQUEST))).toBe(error);
  });

  it('where the client throws at once', async () => {
    const project = newProject();
    const client = {
      create(request: Request): Promise<object> {
        throw new Error(`${request.model} at once`);
      },
    };
    const ai = guard(client, { project, dailyCapUSD: 5 });
    await expect(ai.create(REQUEST)).rejects.toThrow('at once');
    expect(await spentTotal(project)).toBe(0);
  });
});

describe('a free call', () => {
  it('is refused too once the cap is used up', async () => {
    watchConsole();
    const { create, client, store, project } = kit({ dailyCapUSD: 1, onUnknownModel: 'zero' });
    await create(REQUEST);
    await expect(create({ model: 'free-model' })).rejects.toThrow(BudgetExceededError);
    expect(client.calls).toBe(1);
    const none = (): { input: number; output: number } => ({ input: 0, output: 0 });
    const exact = guard(client, { project, dailyCapUSD: 1, store, estimateUsage: none });
    await exact.create({ ...REQUEST, model: 'gpt-4o-mini' });
    const over = guard(client, { project, dailyCapUSD: 0.5, store, estimateUsage: none });
    await expect(over.create(REQUEST)).rejects.toThrow(BudgetExceededError);
  });
});
