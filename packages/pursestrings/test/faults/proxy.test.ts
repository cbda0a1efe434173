import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { migrate } from '../../src/stores/postgres.ts';
import { postgresUrl } from '../servers/postgres-server.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { balanceOf, makePurse, seeded } from '../stores/fixture.ts';
import { expectNothingLost, type Spent, spendUntil } from '../stores/spender.ts';
import { BACKENDS, freshLedger, type OpenedStore } from './backends.ts';
import { FaultProxy } from './fault-proxy.ts';

const PURSES = 3;
const ROUNDS = process.env['PURSE_TEST_LONG'] === '1' ? 200 : 20;
/** Short, for a call that hangs costs a test all of it; long enough to be asked again many times. */
const PATIENCE = { operationTimeoutMs: 300, retryForMs: 60_000 };

const [redisServer, postgresServer] = [await sharedRedis(), await postgresUrl()];
const servers = { redis: redisServer.url, postgres: postgresServer.url };
await migrate(servers.postgres);

afterAll(async () => {
  await Promise.all([redisServer.stop(), postgresServer.stop()]);
});

/** A proxy before a server, and the URL that leads through it. */
async function proxied(
  direct: string,
): Promise<{ readonly proxy: FaultProxy; readonly url: string }> {
  const url = new URL(direct);
  const proxy = await FaultProxy.to(Number(url.port));
  onTestFinished(() => proxy.close());
  url.port = String(proxy.port);
  return { proxy, url: url.href };
}

/** Does to the network whatever networks do, at random moments. */
async function trouble(proxy: FaultProxy): Promise<void> {
  const random = seeded(20_261_129);
  const faults = [
    () => proxy.cut(),
    () => proxy.cutAtAnswer('cut'),
    () => proxy.cutAtAnswer('truncated'),
    () => proxy.delay(Math.ceil(random() * 20)),
    () => proxy.delay(0),
  ];
  for (let round = 0; round < ROUNDS; round += 1) {
    await sleep(20 + random() * 60);
    faults[round % faults.length]?.();
  }
  proxy.delay(0);
  for (const what of ['answers', 'all'] as const) {
    await sleep(100);
    proxy.silence(what);
    await sleep(500);
  }
  // The network takes new connections too, and answers on none of them.
  proxy.swallow(true);
  proxy.cut();
  await sleep(500);
  proxy.swallow(false);
}

describe.each(BACKENDS)('over a bad line, by $name', ({ server, open }) => {
  it('nothing is lost, nothing happens twice, no cap is passed, and it goes on', async () => {
    const { proxy, url } = await proxied(servers[server]);
    const ledger = freshLedger();
    const ended = new AbortController();
    const spend = async (_: unknown, index: number): Promise<Spent> => {
      const opened: OpenedStore = await open(url, ledger);
      onTestFinished(() => opened.end());
      const until = (): Promise<void> =>
        new Promise((resolve) => ended.signal.addEventListener('abort', () => resolve()));
      return spendUntil(opened.store, `purse-${index}`, until, PATIENCE);
    };
    const purses = Array.from({ length: PURSES }, spend);
    await trouble(proxy);
    const before = await countOf(ledger);
    await expect.poll(() => countOf(ledger), { timeout: 20_000 }).toBeGreaterThan(before + 50);
    ended.abort();
    const spent = await Promise.all(purses);

    expect(spent.flatMap(({ failures }) => failures)).toEqual([]);
    const right = await open(servers[server], ledger);
    onTestFinished(() => right.end());
    const purse = await makePurse({ store: right.store });
    const acknowledged = new Map(spent.flatMap((one) => [...one.acknowledged]));
    const cappedCents = spent.reduce((sum, one) => sum + one.cappedCents, 0);
    await expectNothingLost(purse, { acknowledged, cappedCents, failures: [] });
    // Every answer came in the end, so the ledger knows exactly what the callers know.
    const { spent: cappedUsd, held } = await balanceOf(purse, 'capped');
    expect([Math.round(cappedUsd * 100), held]).toEqual([cappedCents, 0]);
    expect(cappedUsd).toBeGreaterThan(2.5);
    expect((await purse.health()).ok).toBe(true);

    async function countOf(name: string): Promise<number> {
      const { store, end } = await open(servers[server], name);
      const totals = await store.readTotals({ sinceMs: 0, untilMs: 4_102_444_800_000 });
      await end();
      return totals.reduce((sum, { charges }) => sum + charges, 0);
    }
  });

  it('what only reads finds a new connection too, over and over', async () => {
    const { proxy, url } = await proxied(servers[server]);
    const ledger = freshLedger();
    const [near, far] = [await open(url, ledger), await open(servers[server], ledger)];
    onTestFinished(() => near.end());
    onTestFinished(() => far.end());
    const limits = [{ name: 'all', cap: { usd: 10 } }];
    const purse = await makePurse({ store: near.store, limits, ...PATIENCE });
    const elsewhere = await makePurse({ store: far.store });
    const hold = await purse.reserve({ usd: 1 }, { agent: 'a' });
    const { signal } = hold;
    proxy.silence('all');
    await elsewhere.freeze({ agent: 'a' });
    await expect.poll(() => signal.aborted, { timeout: 10_000 }).toBe(true);
    // More often than a pool has connections.
    for (let turn = 0; turn < 5; turn += 1) {
      proxy.silence('all');
      expect(await purse.limits()).toHaveLength(1);
    }
    proxy.silence('all');
    expect(await purse.health({ timeoutMs: 100 })).toMatchObject({ ok: false });
    expect(await purse.health()).toMatchObject({ ok: true });
    await hold.settle();
    proxy.silence('all');
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
  });
});
