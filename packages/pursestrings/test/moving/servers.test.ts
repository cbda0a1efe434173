import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { createClient } from 'redis';
import { afterAll, expect, test, vi } from 'vitest';
import { exportLedger, importLedger, type Limit, openPurse } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { postgres } from '../../src/stores/postgres.ts';
import { redis } from '../../src/stores/redis.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { CommandRunner, MODEL_LIMITS, randomCommand, seededDraw } from '../../src/testing/index.ts';
import { postgresUrl } from '../servers/postgres-server.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { balanceOf, makePurse, makeStore } from '../stores/fixture.ts';

const name = `moving-${randomBytes(6).toString('hex')}`;
const [redisServer, postgresServer] = [await sharedRedis(), await postgresUrl()];
const client = createClient({ url: redisServer.url });
await client.connect();
const database = await ownDatabase();
const stores: LedgerStore[] = [];

afterAll(async () => {
  for (const store of stores) await store.close();
  for (const key of await client.keys(`*{${name}*`)) await client.unlink(key);
  client.destroy();
  await asked(`DROP DATABASE "${name}" WITH (FORCE)`);
  await Promise.all([redisServer.stop(), postgresServer.stop()]);
});

async function asked(statement: string): Promise<void> {
  const connection = new pg.Client({ connectionString: postgresServer.url });
  await connection.connect();
  await connection.query(statement);
  await connection.end();
}

/** A database of this file's own, so that nobody else's schema is touched. */
async function ownDatabase(): Promise<string> {
  await asked(`CREATE DATABASE "${name}"`);
  const url = new URL(postgresServer.url);
  url.pathname = `/${name}`;
  return url.href;
}

function kept(store: LedgerStore): LedgerStore {
  stores.push(store);
  return store;
}

async function seen(store: LedgerStore): Promise<unknown> {
  const purse = await openPurse({ store });
  const since = new Date(Date.now() - 86_400_000);
  const until = new Date(Date.now() + 86_400_000);
  const view = {
    balances: (await Array.fromAsync(purse.balances()))
      .map((one) => JSON.stringify(one))
      .toSorted(),
    journal: await Array.fromAsync(purse.journal({ order: 'oldest' })),
    limits: await purse.limits(),
    report: await purse.report({ by: ['agent', 'task'], since, until }),
    verified: await purse.verify(),
  };
  await purse.close();
  return view;
}

/** A ledger of this very moment, after hundreds of random commands: nothing in it is forgotten yet. */
async function busyLedger(): Promise<LedgerStore> {
  let nowMs = Date.now() - 3_600_000;
  const clock = {
    now: () => nowMs,
    advance: (byMs: number) => void (nowMs += Math.ceil(byMs / 1000)),
    set: (time: Date | number | string) => void (nowMs = new Date(time).getTime()),
  };
  const store = await makeStore('sqlite', { clock });
  const purse = await openPurse({ store, limits: MODEL_LIMITS });
  const [draw, runner] = [seededDraw(4), new CommandRunner(purse, clock)];
  for (let count = 0; count < 800; count += 1) await runner.run(randomCommand(draw));
  clock.set(Date.now());
  await purse.close();
  return store;
}

test('a ledger goes from a file to Redis, to Postgres, into memory, and is the same', async () => {
  const places: readonly LedgerStore[] = [
    await busyLedger(),
    kept(redis(redisServer.url)).forLedger(`${name}-chain`),
    kept(postgres(database)).forLedger('chain'),
    memory(),
  ];
  const views: unknown[] = [];
  const lines: string[][] = [];
  for (const [index, place] of places.entries()) {
    if (index > 0) await importLedger(place, lines[index - 1] ?? []);
    views.push(await seen(place));
    lines.push(await Array.fromAsync(exportLedger(place)));
  }
  expect(views[1]).toEqual(views[0]);
  expect(views[2]).toEqual(views[0]);
  expect(views[3]).toEqual(views[0]);
  const counts = lines.map((all) => all.length);
  expect(counts).toEqual(counts.map(() => counts[0]));
});

const LIMITS: readonly Limit[] = [{ name: 'all', cap: { usd: 10 } }];

test.each([
  ['Redis', redisServer.url, `${name}-live`],
  ['Postgres', database, 'live'],
])('purses on the URL of %s share limits, freezes and holds', async (_, store, ledger) => {
  const [here, there] = [
    await makePurse({ store, ledger, limits: LIMITS }),
    await makePurse({ store, ledger }),
  ];
  expect((await here.health()).ok).toBe(true);
  const hold = await here.reserve({ usd: 4 }, { agent: 'a' });
  expect(await balanceOf(there, 'all')).toEqual({ spent: 0, held: 4, available: 6 });
  await there.setLimit({ name: 'all', cap: { usd: 5 } });
  expect((await here.tryReserve({ usd: 2 })).ok).toBe(false);
  const { signal } = hold;
  await there.freeze({ agent: 'a' });
  await vi.waitFor(() => expect(signal.aborted).toBe(true), { timeout: 10_000 });
  expect((await hold.settle({ usd: 3 })).amounts).toEqual({ usd: 3 });
  expect(await there.verify()).toMatchObject({ ok: true, charges: 1 });
});

test.each([
  ['Redis', redisServer.url, `${name}-skew`],
  ['Postgres', database, 'skew'],
])('a clock that is hours off here moves nothing on %s', async (_, store, ledger) => {
  const hour = { name: 'hour', cap: { usd: 1 }, per: 'hour' } as const;
  const right = await makePurse({ store, ledger, limits: [hour] });
  await right.charge({ usd: 0.5 });
  for (const hours of [-9, 9]) {
    const now = Date.now.bind(Date);
    vi.spyOn(Date, 'now').mockImplementation(() => now() + hours * 3_600_000);
    const wrong = await makePurse({ store, ledger });
    const hold = await wrong.reserve({ usd: 0.5 }, {}, { ttlMs: 60_000 });
    expect((await wrong.tryReserve({ usd: 0.5 })).ok).toBe(false);
    expect(hold.remainingMs()).toBeLessThanOrEqual(60_000);
    expect(hold.remainingMs()).toBeGreaterThan(30_000);
    const { clockOffsetMs } = await wrong.health();
    vi.restoreAllMocks();
    expect(Math.abs(clockOffsetMs + hours * 3_600_000)).toBeLessThan(60_000);
    expect(Math.abs(hold.expiresAt.getTime() - Date.now() - 60_000)).toBeLessThan(30_000);
    expect((await Array.fromAsync(right.balances()))[0]).toMatchObject({ spent: 0.5, held: 0.5 });
    await hold.release();
  }
});
