import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  type Charge,
  type Limit,
  openPurse,
  type PurseEvents,
  sats,
  tokens,
  usd,
  withLabels,
} from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { sqlite } from '../../src/stores/sqlite.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';

const ALL: Limit = { name: 'all', cap: { usd: 10 } };

function temporaryFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'purse-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return join(directory, 'purse.db');
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

test('events fire once per ledger, in the process that made them happen', async () => {
  const clock = manualClock();
  const store = memory({ clock });
  const purses = [await openPurse({ store, limits: [ALL] }), await openPurse({ store })] as const;
  const heard: string[] = [];
  for (const [index, purse] of purses.entries()) {
    for (const event of [
      'charge',
      'denied',
      'threshold',
      'overrun',
      'expired',
      'frozen',
    ] as const) {
      purse.on(event, () => heard.push(`${index} ${event}`));
    }
  }
  const [one, two] = purses;
  await one.charge({ usd: 9 }, {}, { id: 'c' });
  await two.charge({ usd: 9 }, {}, { id: 'c' });
  await two.tryReserve({ usd: 5 });
  await one.reserve({ usd: 1 }, {}, { ttlMs: 1, ifAbandoned: 'charge' });
  clock.advance(1);
  await two.report();
  await one.report();
  await two.charge({ usd: 1 });
  await one.freeze({ agent: 'x' });
  expect(heard).toEqual([
    '0 charge',
    '0 threshold',
    '1 denied',
    '1 charge',
    '1 threshold',
    '1 threshold',
    '1 expired',
    '1 charge',
    '1 overrun',
    '0 frozen',
  ]);
});

test('events carry what happened', async () => {
  const purse = await openPurse({ limits: [{ ...ALL, each: ['agent'] }] });
  const heard: { [E in keyof PurseEvents]?: PurseEvents[E] } = {};
  purse.on('threshold', (event) => (heard.threshold ??= event));
  purse.on('denied', (event) => (heard.denied = event));
  purse.on('frozen', (event) => (heard.frozen = event));
  const charge = await purse.charge({ usd: 8 }, { agent: 'a' });
  await purse.tryReserve({ usd: 4 }, { agent: 'a' });
  await purse.freeze({ agent: 'a' }, 'night');
  expect(heard.threshold).toEqual({ limit: 'all', unit: 'usd', fraction: 0.8, charge });
  expect(heard.denied).toMatchObject({
    limit: 'all',
    labels: { agent: 'a' },
    requested: 4,
    available: 2,
    cap: 10,
  });
  expect(heard.frozen).toEqual({ where: { agent: 'a' }, reason: 'night' });
});

test('listeners that throw harm no spend and are announced', async () => {
  const purse = await openPurse({ limits: [ALL] });
  const errors: unknown[] = [];
  purse.on('charge', () => {
    throw new Error('thrown');
  });
  purse.on('charge', () => Promise.reject(new Error('rejected')) as unknown as void);
  purse.on('denied', () => {
    throw new Error('denied');
  });
  purse.on('error', (error) => {
    errors.push((error as Error).message);
    throw new Error('an error in an error listener is nobody’s');
  });
  const charge = await purse.charge({ usd: 1 });
  expect(charge.amounts).toEqual({ usd: 1 });
  await expect(purse.reserve({ usd: 20 })).rejects.toMatchObject({ code: 'BUDGET_EXCEEDED' });
  await new Promise(setImmediate);
  expect(errors.map(String).sort()).toEqual(['denied', 'rejected', 'thrown']);
});

test('a listener is taken away once, and there is a bound to them', async () => {
  const purse = await openPurse({ limits: [ALL] });
  let heard = 0;
  const listen = (): void => void (heard += 1);
  const [first] = [purse.on('charge', listen), purse.on('charge', listen)];
  first?.();
  first?.();
  await purse.charge({ usd: 1 });
  expect(heard).toBe(1);
  for (let count = 0; count < 999; count += 1) purse.on('charge', () => undefined);
  expect(() => purse.on('charge', listen)).toThrow(/at most 1000 listeners/);
});

test('labels surround everything done inside, and inner ones win', async () => {
  const purse = await openPurse({ limits: [ALL] });
  const labels = await withLabels({ agent: 'a', task: 't' }, async () => {
    const outer = await purse.charge({ usd: 0.1 });
    const inner = await withLabels({ agent: 'b' }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const hold = await purse.reserve({ usd: 0.1 }, { task: 'u' });
      return hold.settle();
    });
    return [outer.labels, inner.labels];
  });
  expect(labels).toEqual([
    { agent: 'a', task: 't' },
    { agent: 'b', task: 'u' },
  ]);
  expect((await purse.charge({ usd: 0.1 })).labels).toEqual({});
});

test('shorthands spread', () => {
  expect({ ...usd('0.4'), ...tokens(2e6), ...sats(10) }).toEqual({
    usd: '0.4',
    tokens: 2e6,
    sats: 10,
  });
});

const stores: readonly [string, () => LedgerStore][] = [
  ['memory', () => memory()],
  ['SQLite', () => sqlite(temporaryFile())],
];

test.each(stores)(
  '%s: a limit set by another purse counts charges from the next one on',
  async (_, makeStore) => {
    const store = makeStore();
    const [charging, setting] = [
      await openPurse({ store, uncovered: 'allow' }),
      await openPurse({ store }),
    ];
    await charging.charge({ usd: 1 });
    const hold = await charging.reserve({ usd: 1 });
    await setting.setLimit({ name: 'all', cap: { usd: 5, tokens: 100 } });
    await charging.charge({ usd: 2 });
    await hold.settle({ usd: 1, tokens: 40 });
    const balances = await all(setting.balances());
    expect(balances.map(({ unit, spent }) => [unit, spent])).toEqual([
      ['usd', 2],
      ['tokens', 40],
    ]);
    await store.close();
  },
);

test.each(stores)(
  '%s: a unit declared by another purse is known when it is met',
  async (_, makeStore) => {
    const store = makeStore();
    const old = await openPurse({ store, uncovered: 'allow' });
    const young = await openPurse({ store, uncovered: 'allow', units: { gpu: { decimals: 3 } } });
    await young.charge({ gpu: 1.5 });
    await young.reserve({ gpu: 1.5 }, {}, { id: 'h' });
    expect((await all(old.journal())).map(({ amounts }) => amounts)).toEqual([{ gpu: 1.5 }]);
    expect((await old.report()).total).toEqual({ gpu: 1.5 });
    const charge = (await (await old.hold('h'))?.settle({ gpu: 1 })) as Charge;
    expect(charge.amounts).toEqual({ gpu: 1 });
    await store.close();
  },
);

test('a loop that only spends lets timers have their turn', async () => {
  const purse = await openPurse({ store: `sqlite:${temporaryFile()}`, limits: [ALL] });
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 1);
  for (let count = 0; count < 400; count += 1) await purse.charge({ usd: 0 });
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(0);
  await purse.close();
});

test('close waits for what is under way, and refuses what comes after', async () => {
  const path = temporaryFile();
  const purse = await openPurse({ store: `sqlite:${path}`, limits: [ALL] });
  const other = await openPurse({ store: `sqlite:${path}` });
  await other.setLimit({ ...ALL, cap: { usd: 20 } });
  const reserves = Array.from({ length: 30 }, () => purse.tryReserve({ usd: 1 }));
  await purse.close();
  const admitted = (await Promise.all(reserves)).filter(({ ok }) => ok);
  expect(admitted).toHaveLength(20);
  await expect(purse.reserve({ usd: 1 })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    failure: 'closed',
  });
  expect((await purse.health()).ok).toBe(false);
  expect(await other.health()).toMatchObject({ ok: true, store: 'sqlite', pending: 0 });
  await purse.close();
  await other.close();
});

test('a store that is passed in stays its owner’s to close', async () => {
  const store = memory();
  const purse = await openPurse({ store, limits: [ALL] });
  await purse.charge({ usd: 1 });
  await purse.close();
  const again = await openPurse({ store });
  expect((await again.report()).total).toEqual({ usd: 1 });
});

test.each([
  [{ store: 'mysql://x' }, /names no store/],
  [{ store: 'sqlite:' }, /names no store/],
  [{ ledger: 'a b' }, /ledger is "a b"/],
  [{ holdTtlMs: 0 }, /holdTtlMs is 0/],
  [{ holdTtlMs: Number.NaN }, /holdTtlMs is NaN/],
  [{ timeZone: 'Mars/Olympus' }, /no IANA time zone/],
  [{ uncovered: 'maybe' as 'deny' }, /uncovered is/],
  [{ limits: {} as readonly Limit[] }, /limits is/],
  [{ limits: [ALL, ALL] }, /given to two limits/],
  [{ limits: [{ ...ALL, caps: { usd: 1 } } as Limit] }, /`caps` is not a field/],
])('a purse is not opened with %j', async (options, message) => {
  await expect(openPurse(options)).rejects.toThrow(message);
});

test('questions that cannot be meant are refused by name', async () => {
  const purse = await openPurse({ limits: [ALL] });
  await expect(purse.report({ by: 'agent' as never })).rejects.toThrow(/by is "agent"/);
  await expect(purse.report({ since: new Date(Number.NaN) })).rejects.toThrow(/since is/);
  await expect(all(purse.journal({ order: 'sideways' as 'newest' }))).rejects.toThrow(/order is/);
  await expect(purse.reserve({})).rejects.toThrow(/names none/);
  await expect(purse.reserve({ usd: 1 }, {}, { id: 'correction:x' })).rejects.toThrow(
    /keeps for its own/,
  );
  await expect(purse.reserve({ usd: 1 }, {}, { id: '' })).rejects.toThrow(/id is/);
  await expect(purse.reserve({ usd: 1 }, { a: 7 as never })).rejects.toThrow(/not a string/);
  await expect(purse.charge({ slots: 1 })).rejects.toThrow(/occupied/);
  await expect(purse.removeLimit('nope')).rejects.toThrow(/not a limit/);
  expect(await all(purse.journal({ labels: { agent: undefined } as never }))).toEqual([]);
});
