import { describe, expect, it } from 'vitest';

import { PurseError } from '../../../src/ledger/invalid.ts';
import {
  BudgetExceededError,
  guard,
  MemoryStore,
  spendReport,
  type SpendStore,
  spentTotal,
} from '../../../src/llm/guard/index.ts';
import {
  DOLLAR,
  expectHeld,
  fakeClient,
  kit,
  newProject,
  REQUEST,
  type Request,
  watchWarnings,
} from './fixture.ts';

const TODAY = new Date().toISOString().slice(0, 10);

describe('decimals', () => {
  it('ten times a tenth is one, wherever it is kept', async () => {
    const store = new MemoryStore();
    for (let count = 0; count < 10; count += 1) store.add('key', 0.1);
    expect(store.get('key')).toBe(1);
    const tenth = { input: 0, output: 10_000 };
    const { create, spent, project, store: own } = kit({ dailyCapUSD: 1 }, tenth);
    for (let count = 0; count < 10; count += 1) await create(REQUEST);
    expect(await spent()).toBe(1);
    expect(await spendReport(project, TODAY, own)).toEqual({ default: 1 });
    await expect(create(REQUEST)).rejects.toThrow(BudgetExceededError);
  });

  it('ten times a tenth is one in a store that adds up floats', async () => {
    const totals = new Map<string, number>();
    const store: SpendStore = {
      add: (key, usd) => {
        totals.set(key, (totals.get(key) ?? 0) + usd);
        return totals.get(key) ?? 0;
      },
      get: (key) => totals.get(key) ?? 0,
      entries: (prefix) => [...totals].filter(([key]) => key.startsWith(prefix)),
    };
    const estimateUsage = (): { input: number; output: number } => ({ input: 0, output: 10_000 });
    const { create, project } = kit(
      { dailyCapUSD: 1, store, estimateUsage },
      { input: 0, output: 10_000 },
    );
    for (let count = 0; count < 10; count += 1) await create(REQUEST);
    await expect(create(REQUEST)).rejects.toThrow(BudgetExceededError);
    expect(await spendReport(project, TODAY, store)).toEqual({ default: 1 });
  });
});

describe('names', () => {
  it.each([[new MemoryStore()], [plainStore()]])(
    'of projects and features cannot pass for each other',
    async (store) => {
      const projects = ['a', 'a|x', 'a%7Cx', 'a|__total__', '*', '__proto__'];
      for (const project of projects) {
        const ai = guard(fakeClient(), { project, dailyCapUSD: 50, store });
        for (const feature of ['x', '__total__', '__last__', 'x|2026-11-22', '__proto__']) {
          await ai.create(REQUEST, { feature });
        }
      }
      for (const project of projects) {
        const report = await spendReport(project, TODAY, store);
        expect(Object.keys(report).toSorted()).toEqual(
          ['__last__', '__proto__', '__total__', 'x', 'x|2026-11-22'].toSorted(),
        );
        expect(Object.values(report)).toEqual([1, 1, 1, 1, 1]);
        expect(await spentTotal(project, store)).toBe(5);
      }
    },
  );

  it('find the totals that budget-guard has written today', async () => {
    const store = plainStore();
    await store.add(`app|__total__|${TODAY}`, 4);
    await store.add(`app|chat|${TODAY}`, 4);
    const ai = guard(fakeClient(), { project: 'app', dailyCapUSD: 5, store });
    await ai.create(REQUEST);
    expect(await spendReport('app', TODAY, store)).toEqual({ chat: 4, default: 1 });
    await expect(ai.create(REQUEST)).rejects.toMatchObject({ spentUsd: 5 });
  });

  it('count what was added to a memory by hand', async () => {
    const store = new MemoryStore();
    const ai = guard(fakeClient(), { project: 'app', dailyCapUSD: 5, store });
    store.add(`app|__total__|${TODAY}`, 4);
    await ai.create(REQUEST);
    await expect(ai.create(REQUEST)).rejects.toMatchObject({ spentUsd: 5 });
  });

  it.each([['x'.repeat(2_000)], ['\ud800'], [5 as never]])(
    'that cannot be kept are refused',
    async (name) => {
      expect(() => guard(fakeClient(), { project: name, dailyCapUSD: 1 })).toThrow(PurseError);
      const client = fakeClient();
      const ai = guard(client, { project: newProject(), dailyCapUSD: 50 });
      await expect(ai.create(REQUEST, { feature: name })).rejects.toThrow(/feature/);
      expect(client.calls).toBe(0);
    },
  );
});

function plainStore(): SpendStore {
  const totals = new Map<string, number>();
  return {
    add: async (key, usd) => {
      totals.set(key, (totals.get(key) ?? 0) + usd);
      return totals.get(key) ?? 0;
    },
    get: async (key) => totals.get(key) ?? 0,
    entries: async (prefix) => [...totals].filter(([key]) => key.startsWith(prefix)),
  };
}

describe('a store that fails', () => {
  function failingStore(): {
    store: SpendStore;
    down: boolean;
    failing(key: string): boolean;
  } {
    const inner = plainStore();
    const state = {
      down: false,
      failing: (key: string): boolean => key === '',
      store: {
        add: (key: string, usd: number) => {
          if (state.down || state.failing(key)) throw new Error('down');
          return inner.add(key, usd);
        },
        get: (key: string) => {
          if (state.down) throw new Error('down');
          return inner.get(key);
        },
        entries: (prefix: string) => inner.entries(prefix),
      },
    };
    return state;
  }

  it('before a call: nothing is sent', async () => {
    const state = failingStore();
    const client = fakeClient();
    const ai = guard(client, { project: newProject(), dailyCapUSD: 5, store: state.store });
    state.down = true;
    await expect(ai.create(REQUEST)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(client.calls).toBe(0);
    state.down = false;
    await ai.create(REQUEST);
  });

  it('after a call: the answer is handed over, and what was held counts as spent', async () => {
    const codes = watchWarnings();
    const state = failingStore();
    const project = newProject();
    const client = {
      create: async (request: Request) => {
        state.down = true;
        return { id: request.model.length - 5, usage: DOLLAR };
      },
    };
    const ai = guard(client, { project, dailyCapUSD: 5, store: state.store });
    expect(await ai.create(REQUEST)).toMatchObject({ id: 1 });
    expect(codes).toEqual(['PURSE_SETTLE_FAILED']);
    state.down = false;
    expectHeld(await spentTotal(project, state.store));
  });

  it.each([
    ['while it is held for', (key: string, adds: number) => key.includes('__total__') && adds < 3],
    ['from then on for a while', (_: string, adds: number) => adds === 2 || adds === 3],
    ['when it is settled', (_: string, adds: number) => adds >= 3 && adds <= 6],
  ])('%s: the one place of a last call is not lost', async (_, fails) => {
    watchWarnings();
    const state = failingStore();
    let adds = 0;
    state.failing = (key) => {
      adds += 1;
      return fails(key, adds);
    };
    const client = fakeClient({ input: 0, output: 1 });
    // A request without an output cap: it may cost more than a cent.
    const options = { project: newProject(), store: state.store };
    const ai = guard(client, { ...options, dailyCapUSD: 0.01 });
    await ai.create({ model: 'gpt-4o' }).catch(() => undefined);
    adds = 100;
    client.calls = 0;
    // What was held may count as spent, so there is a wider cap now.
    const wider = guard(client, { ...options, dailyCapUSD: 0.02 });
    await wider.create({ model: 'gpt-4o' });
    await wider.create({ model: 'gpt-4o' });
    expect(client.calls).toBe(2);
  });
});
