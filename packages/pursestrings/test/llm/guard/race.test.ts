import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import {
  BudgetExceededError,
  closeStores,
  fileStore,
  guard,
  type GuardOptions,
  MemoryStore,
  redisStore,
  spendReport,
  type SpendStore,
  spentTotal,
  type SpendSource,
} from '../../../src/llm/guard/index.ts';
import { openPurse, type Purse } from '../../../src/purse.ts';
import { until } from '../fixture.ts';
import {
  DOLLAR,
  fakeClient,
  fulfilled,
  newProject,
  type Request,
  watchConsole,
} from './fixture.ts';
import { connectRedis, type TestRedis, testRedis } from './resp-client.ts';

const CALLS = 100;
const REQUEST: Request = { model: 'gpt-4o', max_tokens: 100_000 };

function pause(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, 1));
}

/** A user's own store: one that answers at once, or one that reads, waits, and writes. */
function ownStore(slow: boolean): SpendStore {
  const totals = new Map<string, number>();
  const add = (key: string, usd: number): number => {
    const total = (totals.get(key) ?? 0) + usd;
    totals.set(key, total);
    return total;
  };
  if (!slow) {
    return {
      add,
      get: (key) => totals.get(key) ?? 0,
      entries: (prefix) => [...totals].filter(([key]) => key.startsWith(prefix)),
    };
  }
  return {
    async add(key, usd) {
      const standing = totals.get(key) ?? 0;
      await pause();
      totals.set(key, standing + usd);
      await pause();
      return standing + usd;
    },
    async get(key) {
      await pause();
      return totals.get(key) ?? 0;
    },
    async entries(prefix) {
      await pause();
      return [...totals].filter(([key]) => key.startsWith(prefix));
    },
  };
}

let redis: TestRedis;
let server: Awaited<ReturnType<typeof testRedis>>;

beforeAll(async () => {
  server = await testRedis();
  redis = await connectRedis(server.url);
});

afterAll(async () => {
  redis.close();
  await server.stop();
});

type Source = { readonly store?: SpendStore | string; readonly purse?: Purse };

const SOURCES: readonly (readonly [name: string, make: () => Source | Promise<Source>])[] = [
  ['the shared memory', () => ({})],
  ['a MemoryStore', () => ({ store: new MemoryStore() })],
  ['a store of the user, at once', () => ({ store: ownStore(false) })],
  ['a store of the user that is not atomic', () => ({ store: ownStore(true) })],
  ['Redis', () => ({ store: redisStore(redis, { keyPrefix: `test-${process.pid}:` }) })],
  ['a file', () => ({ store: temporaryFile() })],
  ['a purse', async () => ({ purse: await openPurse() })],
];

function temporaryFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'purse-guard-'));
  onTestFinished(async () => {
    await closeStores();
    rmSync(directory, { recursive: true });
  });
  return fileStore(join(directory, 'guard.db'));
}

describe.each(SOURCES)('100 parallel calls on %s', (_, makeSource) => {
  async function run(
    options: Partial<GuardOptions<Request>>,
    request: Request = REQUEST,
  ): Promise<{ calls: number; ok: number; spent: number; report: Record<string, number> }> {
    const source = await makeSource();
    const project = newProject();
    const client = fakeClient();
    const ai = guard(client, { project, dailyCapUSD: 10, ...source, ...options });
    const ok = await fulfilled(Array.from({ length: CALLS }, () => ai.create(request)));
    const place: SpendSource = source.purse ?? source.store;
    const spent = await spentTotal(project, place);
    const report = await spendReport(project, undefined, place);
    // Nothing is held any more: what is left can be spent.
    return { calls: client.calls, ok, spent, report };
  }

  it('of one dollar each take ten dollars exactly, by an estimator', async () => {
    const estimateUsage = (): { input: number; output: number } => ({ input: 0, output: 100_000 });
    const result = await run({ estimateUsage });
    expect(result).toEqual({ calls: 10, ok: 10, spent: 10, report: { default: 10 } });
  });

  it('take ten dollars by the cap in the request, and hold all that is left at the end', async () => {
    const { calls, spent } = await run({});
    // The request's own few tokens are held beside its dollar, so the tenth holds what is left.
    expect(calls).toBe(10);
    expect(spent).toBe(10);
  });

  it("all go ahead under 'warn', with one warning for each that did not fit", async () => {
    const lines = watchConsole();
    const { calls, spent } = await run({ onCap: 'warn' });
    expect(calls).toBe(CALLS);
    expect(spent).toBe(100);
    expect(lines).toHaveLength(90);
  });

  it('of which nobody can say the cost go out one at a time', async () => {
    const definePrice = { in: 0, out: 1 };
    const { calls, spent } = await run(
      { onUnknownModel: definePrice },
      { model: 'nobody-knows-me' },
    );
    expect(calls).toBe(1);
    expect(spent).toBe(100);
  });
});

describe('guards in several processes on one Redis', () => {
  it('keep to one cap, because the answer of the add decides', async () => {
    const project = newProject();
    const clients = await Promise.all([1, 2, 3, 4].map(() => connectRedis(server.url)));
    const prefix = { keyPrefix: `fleet-${process.pid}:` };
    // A store object of its own has a till of its own, as in another process.
    const guards = clients.map((client) =>
      guard(fakeClient(), { project, dailyCapUSD: 10, store: redisStore(client, prefix) }),
    );
    const ok = await fulfilled(
      Array.from(
        { length: CALLS },
        (_, index) => guards[index % 4]?.create(REQUEST) ?? Promise.reject(new Error('none')),
      ),
    );
    const spent = await spentTotal(project, redisStore(redis, prefix));
    for (const client of clients) client.close();
    expect(ok).toBeGreaterThanOrEqual(9);
    expect(ok).toBeLessThanOrEqual(10);
    expect(spent).toBe(ok);
  });
});

/** A client whose calls end when they are told to, at a dollar each. */
function patientClient() {
  const waiting: (() => void)[] = [];
  return {
    end: (index: number): void => waiting[index]?.(),
    async create({ model }: Request): Promise<object> {
      await new Promise<void>((wake) => waiting.push(wake));
      return { model, usage: DOLLAR };
    },
    begun: () => waiting.length,
  };
}

/** Two guards on one place: where processes can share it, as two processes would. */
const PAIRS: readonly (readonly [name: string, make: () => Source[] | Promise<Source[]>])[] = [
  [
    'a file',
    () => {
      const file = temporaryFile();
      return [{ store: file }, { store: file.replace('sqlite:', 'sqlite://') }];
    },
  ],
  [
    'Redis',
    () => {
      const options = { keyPrefix: `pair-${process.pid}:` };
      return [{ store: redisStore(redis, options) }, { store: redisStore(redis, options) }];
    },
  ],
  [
    'a purse',
    async () => {
      const purse = await openPurse();
      return [{ purse }, { purse }];
    },
  ],
  [
    'a MemoryStore',
    () => {
      const store = new MemoryStore();
      return [{ store }, { store }];
    },
  ],
];

describe.each(PAIRS)('two guards on %s', (_, makePair) => {
  it('let one call at a time hold less than it may cost', async () => {
    const [one, other] = await makePair();
    const project = newProject();
    const client = patientClient();
    const options = { project, dailyCapUSD: 3 };
    const first = guard(client, { ...options, ...one });
    const second = guard(client, { ...options, ...other });
    const request = { ...REQUEST, max_tokens: 200_000 };
    const whole = second.create(request);
    await until(() => client.begun() === 1);
    const last = first.create(request);
    await until(() => client.begun() === 2);
    client.end(0);
    await whole;
    // A dollar is free again, and the call that holds all that was left may still need it.
    await expect(second.create(request)).rejects.toThrow(BudgetExceededError);
    const small = second.create({ ...REQUEST, max_tokens: 50_000 });
    await until(() => client.begun() === 3);
    client.end(1);
    client.end(2);
    await Promise.all([last, small]);
    expect(await spentTotal(project, one?.purse ?? one?.store)).toBe(3);
  });
});

describe('a store that others add to meanwhile', () => {
  it('decides by the total it answers, and gets back what did not fit', async () => {
    const totals = new Map<string, number>();
    let foreign = 0;
    const store: SpendStore = {
      get: (key) => totals.get(key) ?? 0,
      add: (key, usd) => {
        const more = key.includes('__total__') ? foreign : 0;
        const total = (totals.get(key) ?? 0) + usd + more;
        foreign -= more;
        totals.set(key, total);
        return total;
      },
      entries: () => [...totals],
    };
    const client = fakeClient();
    const project = newProject();
    const estimateUsage = (): { input: number; output: number } => ({ input: 0, output: 100_000 });
    const ai = guard(client, { project, dailyCapUSD: 10, store, estimateUsage });
    foreign = 9.5;
    await expect(ai.create(REQUEST)).rejects.toMatchObject({ spentUsd: 9.5 });
    expect(client.calls).toBe(0);
    expect([...totals.values()]).toEqual([9.5]);
    const rough = guard(client, { project, dailyCapUSD: 10, store });
    foreign = 0.25;
    await rough.create(REQUEST);
    expect(client.calls).toBe(1);
    expect(await spentTotal(project, store)).toBe(10.75);
  });
});

describe('guards in several processes on one file', () => {
  it('find what others have spent, and what they hold', async () => {
    const store = temporaryFile();
    const project = newProject();
    const first = guard(fakeClient(), { project, dailyCapUSD: 3, store });
    await first.create(REQUEST);
    // The connection goes, as a process does; the file stays.
    await closeStores();
    const second = guard(fakeClient(), { project, dailyCapUSD: 3, store });
    await second.create(REQUEST);
    expect(await spentTotal(project, store)).toBe(2);
    await closeStores();
    await first.create(REQUEST);
    await expect(second.create(REQUEST)).rejects.toThrow(/3 USD/);
  });
});

describe('a free model', () => {
  it('goes out as often as it likes while anything is left', async () => {
    const client = fakeClient({ input: 10, output: 10 });
    const options = { project: newProject(), dailyCapUSD: 1, onUnknownModel: 'zero' } as const;
    const ai = guard(client, options);
    await fulfilled(Array.from({ length: CALLS }, () => ai.create({ model: 'free' })));
    expect(client.calls).toBe(CALLS);
  });
});
