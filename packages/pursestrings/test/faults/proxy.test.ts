import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, it } from 'vitest';
import { openPurse } from '../../src/index.ts';
import { migrate } from '../../src/stores/postgres.ts';
import { postgresUrl } from '../servers/postgres-server.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { balanceOf, seeded } from '../stores/fixture.ts';
import { expectNothingLost, spendUntil } from '../stores/spender.ts';
import { BACKENDS, type Backend, freshLedger } from './backends.ts';
import { FaultProxy } from './fault-proxy.ts';

const PURSES = 2;
const ROUNDS = process.env['PURSE_TEST_LONG'] === '1' ? 200 : 15;
/** Short, for a call that hangs costs a test all of it; long enough to be asked again many times. */
const PATIENCE = { operationTimeoutMs: 400, retryForMs: 90_000 };

const [redisServer, postgresServer] = [await sharedRedis(), await postgresUrl()];
const servers = { redis: redisServer.url, postgres: postgresServer.url };
await migrate(servers.postgres);

afterAll(async () => {
  await Promise.all([redisServer.stop(), postgresServer.stop()]);
});

/** A proxy before a server, a ledger behind it, and ways to open that by either. */
class Place implements AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly #backend: Backend;
  readonly #ledger = freshLedger();
  readonly #stack = new AsyncDisposableStack();

  static async before(backend: Backend): Promise<Place> {
    const proxy = await FaultProxy.to(Number(new URL(servers[backend.server]).port));
    return new Place(backend, proxy);
  }

  private constructor(backend: Backend, proxy: FaultProxy) {
    this.#backend = backend;
    this.proxy = proxy;
    this.#stack.defer(() => proxy.close());
  }

  /** A store on a client of its own, through the proxy or straight to the server. */
  async open(way: 'proxy' | 'straight'): Promise<Awaited<ReturnType<Backend['open']>>['store']> {
    const url = new URL(servers[this.#backend.server]);
    if (way === 'proxy') url.port = String(this.proxy.port);
    const { store, end } = await this.#backend.open(url.href, this.#ledger);
    this.#stack.defer(end);
    return store;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
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

describe.concurrent.each(BACKENDS)('over a bad line, by $name', (backend) => {
  it('nothing is lost, nothing happens twice, no cap is passed, and it goes on', async ({
    expect,
  }) => {
    await using place = await Place.before(backend);
    const straight = await place.open('straight');
    const chargesSoFar = async (): Promise<number> => {
      const totals = await straight.readTotals({ sinceMs: 0, untilMs: 4_102_444_800_000 });
      return totals.reduce((sum, { charges }) => sum + charges, 0);
    };
    const ended = Promise.withResolvers<void>();
    const purses = Array.from({ length: PURSES }, async (_, index) =>
      spendUntil(await place.open('proxy'), `purse-${index}`, () => ended.promise, PATIENCE),
    );
    await trouble(place.proxy);
    const before = await chargesSoFar();
    await expect.poll(chargesSoFar, { timeout: 60_000 }).toBeGreaterThan(before + 50);
    ended.resolve();
    const spent = await Promise.all(purses);

    expect(spent.flatMap(({ failures }) => failures)).toEqual([]);
    await using purse = await openPurse({ store: straight });
    const acknowledged = new Map(spent.flatMap((one) => [...one.acknowledged]));
    const cappedCents = spent.reduce((sum, one) => sum + one.cappedCents, 0);
    await expectNothingLost(purse, { acknowledged, cappedCents, failures: [] });
    // Every answer came in the end, so the ledger knows exactly what the callers know.
    const { spent: cappedUsd, held } = await balanceOf(purse, 'capped');
    expect([Math.round(cappedUsd * 100), held]).toEqual([cappedCents, 0]);
    expect(cappedUsd).toBeGreaterThan(2.5);
  });

  it('what only reads finds a new connection too, over and over', async ({ expect }) => {
    await using place = await Place.before(backend);
    const limits = [{ name: 'all', cap: { usd: 10 } }];
    const { proxy } = place;
    await using purse = await openPurse({ store: await place.open('proxy'), limits, ...PATIENCE });
    await using elsewhere = await openPurse({ store: await place.open('straight') });
    const hold = await purse.reserve({ usd: 1 }, { agent: 'a' });
    const { signal } = hold;
    proxy.silence('all');
    await elsewhere.freeze({ agent: 'a' });
    await expect.poll(() => signal.aborted, { timeout: 30_000 }).toBe(true);
    // More often than a pool has connections.
    for (let turn = 0; turn < 3; turn += 1) {
      proxy.silence('all');
      expect(await purse.limits()).toHaveLength(1);
    }
    proxy.silence('all');
    expect(await purse.health({ timeoutMs: 50 })).toMatchObject({ ok: false });
    await expect.poll(() => purse.health(), { timeout: 30_000 }).toMatchObject({ ok: true });
    await hold.settle();
    proxy.silence('all');
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
  });
});
