import { AsyncLocalStorage } from 'node:async_hooks';
import { createClient } from 'redis';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';

import { runAgent, trySpawn } from '../../src/agents/index.ts';
import { BudgetExceededError, type Limit, type LedgerStore, type Purse } from '../../src/index.ts';
import { postgres } from '../../src/stores/postgres.ts';
import { redis } from '../../src/stores/redis.ts';
import { Line, remoteStore } from '../purse/remote-store.ts';
import { makePool, migratedSchema } from '../stores/postgres-fixture.ts';
import { memory } from '../../src/stores/memory.ts';
import { manualClock } from '../../src/testing/index.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { balanceOf, charges, makePurse, makeStore, seeded } from '../stores/fixture.ts';
import { freshPrefixes, removeAll } from '../stores/redis-fixture.ts';

const LIMITS: readonly Limit[] = [
  { name: 'running', cap: { slots: 20 } },
  { name: 'day', cap: { tokens: 1000 }, per: 'day' },
  { name: 'agent', cap: { tokens: 800 }, each: ['agent'] },
];

/** Runs work as it would run outside of every agent. */
const outside = AsyncLocalStorage.snapshot();

const server = await sharedRedis();
const client = createClient({ url: server.url });
await client.connect();
const prefixes = freshPrefixes();

afterAll(async () => {
  await removeAll((...words) => client.sendCommand(words), prefixes);
  client.destroy();
  await server.stop();
});

async function storeOf(kind: string): Promise<LedgerStore> {
  if (kind === 'redis') return redis(client, { prefix: prefixes.next() });
  if (kind === 'postgres') return postgres(makePool(), { schema: await migratedSchema() });
  return makeStore(kind as 'memory' | 'sqlite');
}

async function agentBalance(purse: Purse, agent: string): Promise<{ spent: number; held: number }> {
  for await (const { spent, held } of purse.balances({ limit: 'agent', labels: { agent } })) {
    return { spent, held };
  }
  return { spent: 0, held: 0 };
}

describe.each(['memory', 'sqlite', 'redis', 'postgres'])('a share on %s', (kind) => {
  const open = async (): Promise<Purse> =>
    makePurse({ store: await storeOf(kind), limits: LIMITS });

  it('is carved from the money of the parent, and what is not spent returns', async () => {
    const purse = await open();
    await runAgent(purse, { agent: 'p', task: 't' }, async () => {
      await runAgent(purse, { agent: 'c', share: { tokens: 300 } }, async () => {
        expect(await agentBalance(purse, 'p')).toEqual({ spent: 0, held: 300 });
        await purse.charge({ tokens: 100 });
        const hold = await purse.reserve({ tokens: 150 });
        expect(await agentBalance(purse, 'p')).toEqual({ spent: 100, held: 200 });
        await hold.settle({ tokens: 20 });
        expect(await agentBalance(purse, 'c')).toEqual({ spent: 120, held: 180 });
      });
      expect(await agentBalance(purse, 'p')).toEqual({ spent: 120, held: 0 });
      expect(await agentBalance(purse, 'c')).toEqual({ spent: 120, held: 0 });
    });
    expect(await balanceOf(purse, 'day')).toEqual({ spent: 120, held: 0, available: 880 });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('binds what is held inside, to the last token', async () => {
    const purse = await open();
    await runAgent(purse, { agent: 'p', share: { tokens: 100 } }, async () => {
      expect((await purse.check({ tokens: 101 })).allowed).toBe(false);
      const refused = await purse.tryReserve({ tokens: 101 });
      expect(refused).toMatchObject({
        ok: false,
        denial: { limit: 'share', available: 100, cap: 100 },
      });
      const hold = await purse.reserve({ tokens: 100 });
      await expect(purse.reserve({ tokens: 1 })).rejects.toThrow(BudgetExceededError);
      await hold.release();
      const again = await purse.reserve({ tokens: 60 });
      await again.settle({ tokens: 90 });
      await expect(purse.reserve({ tokens: 11 })).rejects.toThrow(/10 of 100 left/);
      await (await purse.reserve({ tokens: 10 })).settle();
      await purse.charge({ tokens: 5 });
      await expect(purse.reserve({ tokens: 1 })).rejects.toThrow(/0 of 100 left/);
    });
    expect(await balanceOf(purse, 'day')).toEqual({ spent: 105, held: 0, available: 895 });
  });

  it('is kept for its owner while everybody else takes all that is free', async () => {
    const purse = await open();
    await runAgent(purse, { agent: 'p', share: { tokens: 400 } }, async () => {
      const done: Promise<number>[] = [];
      const greedy = await spendAllElsewhere(purse);
      expect(greedy).toBe(600);
      for (let count = 0; count < 8; count += 1) {
        done.push(
          purse.run({ tokens: 50 }, undefined, async (hold) => {
            await hold.settle({ tokens: 40 });
            return spendAllElsewhere(purse);
          }),
        );
      }
      expect((await Promise.all(done)).reduce((sum, taken) => sum + taken, 0)).toBe(0);
      expect((await balanceOf(purse, 'day')).spent).toBe(600 + 320);
      await (await purse.reserve({ tokens: 80 })).settle();
    });
    expect(await balanceOf(purse, 'day')).toEqual({ spent: 1000, held: 0, available: 0 });
  });

  it('cannot be carved larger than what its parent has left', async () => {
    const purse = await open();
    await runAgent(purse, { agent: 'p', share: { tokens: 100 } }, async () => {
      await purse.charge({ tokens: 30 });
      const refused = await trySpawn(purse, { agent: 'c', share: { tokens: 71 } });
      expect(refused).toMatchObject({ allowed: false, denial: { limit: 'share', available: 70 } });
      await runAgent(purse, { agent: 'c', share: { tokens: 70 } }, async () => {
        await runAgent(purse, { agent: 'g', share: { tokens: 50 } }, async () => {
          await purse.charge({ tokens: 25 });
        });
        await expect(purse.reserve({ tokens: 46 })).rejects.toThrow(/45 of 70 left/);
      });
      await expect(purse.reserve({ tokens: 46 })).rejects.toThrow(/45 of 100 left/);
    });
    // A slot that was refused its share is given back.
    expect((await balanceOf(purse, 'running')).held).toBe(0);
    expect(await balanceOf(purse, 'day')).toEqual({ spent: 55, held: 0, available: 945 });
    expect(await agentBalance(purse, 'p')).toEqual({ spent: 55, held: 0 });
    expect(await agentBalance(purse, 'g')).toEqual({ spent: 25, held: 0 });
  });

  it('goes back when the agent, or its parent, ends in the middle', async () => {
    const purse = await open();
    await runAgent(purse, { agent: 'p', share: { tokens: 500 } }, async () => {
      const child = runAgent(purse, { agent: 'c', share: { tokens: 300 } }, async () => {
        await purse.charge({ tokens: 40 });
        throw new Error('crashed');
      });
      await expect(child).rejects.toThrow('crashed');
      await expect(purse.reserve({ tokens: 461 })).rejects.toThrow(/460 of 500 left/);
      void runAgent(
        purse,
        { agent: 'd', share: { tokens: 300 } },
        ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)),
      ).catch(() => undefined);
      await sleep(20);
    });
    await expect
      .poll(() => balanceOf(purse, 'day'), { timeout: 10_000 })
      .toEqual({ spent: 40, held: 0, available: 960 });
    await expect
      .poll(async () => (await balanceOf(purse, 'running')).held, { timeout: 10_000 })
      .toBe(0);
  });

  it('adds up after many spends that come at one moment', async () => {
    const purse = await open();
    const random = seeded(7);
    let refused = 0;
    await runAgent(purse, { agent: 'p', share: { tokens: 500 } }, async () => {
      let begun = 0;
      const children = Array.from({ length: 4 }, (_, index) =>
        runAgent(purse, { agent: `c${index}`, share: { tokens: 100 } }, () => {
          begun += 1;
          return spendMuch(random);
        }),
      );
      await expect.poll(() => begun, { interval: 1 }).toBe(4);
      await Promise.all([...children, spendMuch(random)]);
    });
    async function spendMuch(draw: () => number): Promise<void> {
      const spends = Array.from({ length: 20 }, async () => {
        const tokens = 1 + Math.floor(draw() * 30);
        const reserved = await purse.tryReserve({ tokens });
        if (!reserved.ok) return (refused += 1);
        if (draw() < 0.3) return reserved.hold.release();
        return reserved.hold.settle({ tokens: Math.floor(tokens * draw()) });
      });
      await Promise.all(spends);
    }
    expect(refused).toBeGreaterThan(0);
    const spent = (await charges(purse)).reduce(
      (sum, { amounts }) => sum + (amounts['tokens'] ?? 0),
      0,
    );
    expect(spent).toBeLessThanOrEqual(500);
    expect(await balanceOf(purse, 'day')).toEqual({ spent, held: 0, available: 1000 - spent });
    expect((await agentBalance(purse, 'p')).spent).toBe(spent);
    for (let index = 0; index < 4; index += 1) {
      expect((await agentBalance(purse, `c${index}`)).spent).toBeLessThanOrEqual(100);
    }
    expect((await purse.verify()).ok).toBe(true);
  });
});

it('has back what expired inside, and is charged for what expired as spent', async () => {
  const clock = manualClock();
  const purse = await makePurse({ store: memory({ clock }), limits: LIMITS });
  await runAgent(purse, { agent: 'p', share: { tokens: 100 } }, async () => {
    await purse.reserve({ tokens: 60 }, {}, { ttlMs: 10 });
    await purse.reserve({ tokens: 30 }, {}, { ttlMs: 10, ifAbandoned: 'charge' });
    expect((await purse.check({ tokens: 11 })).allowed).toBe(false);
    clock.advance(20);
    await purse.check({ tokens: 1 });
    expect((await purse.check({ tokens: 70 })).allowed).toBe(true);
    expect((await purse.check({ tokens: 71 })).allowed).toBe(false);
    expect(await balanceOf(purse, 'day')).toMatchObject({ spent: 30, held: 70 });
  });
  expect(await balanceOf(purse, 'day')).toEqual({ spent: 30, held: 0, available: 970 });
});

it('ends at midnight as a promise, and never as a bound', async () => {
  const clock = manualClock('2026-05-01T23:59:00Z');
  const purse = await makePurse({ store: memory({ clock }), limits: LIMITS });
  await runAgent(purse, { agent: 'p', share: { tokens: 100 } }, async () => {
    await purse.charge({ tokens: 40 });
    clock.advance(60_000);
    await (await purse.reserve({ tokens: 20 })).settle();
    expect(await balanceOf(purse, 'day')).toMatchObject({ spent: 20 });
    await expect(purse.reserve({ tokens: 41 })).rejects.toThrow(/40 of 100 left/);
  });
  expect(await balanceOf(purse, 'day')).toMatchObject({ spent: 20, held: 0 });
  expect((await purse.verify()).ok).toBe(true);
});

it('is followed by the policy: a cap that is lowered binds, and the share is no way around', async () => {
  const purse = await makePurse({ limits: LIMITS });
  await runAgent(purse, { agent: 'p', share: { tokens: 500 } }, async () => {
    await purse.setLimit({ name: 'day', cap: { tokens: 100 }, per: 'day' });
    await expect(purse.reserve({ tokens: 101 })).rejects.toThrow(/"day"/);
    await (await purse.reserve({ tokens: 100 })).settle();
    await purse.setLimit({ name: 'day', cap: { tokens: 1000 }, per: 'day' });
    await expect(purse.reserve({ tokens: 401 })).rejects.toThrow(/400 of 500 left/);
    await (await purse.reserve({ tokens: 400 })).settle();
  });
  expect(await balanceOf(purse, 'day')).toEqual({ spent: 500, held: 0, available: 500 });
});

it('stays exact over a line that loses answers', async () => {
  const line = new Line();
  const store = remoteStore(memory(), line);
  const purse = await makePurse({
    store,
    limits: LIMITS,
    operationTimeoutMs: 50,
    retryForMs: 5000,
  });
  const announced: string[] = [];
  purse.on('charge', ({ id }) => announced.push(id));
  const random = seeded(11);
  await runAgent(purse, { agent: 'p', share: { tokens: 300 } }, async () => {
    line.fate = () => (random() < 0.3 ? 'lost' : random() < 0.2 ? 'refused' : 'arrives');
    for (let count = 0; count < 12; count += 1) {
      const reserved = await purse.tryReserve({ tokens: 30 });
      if (!reserved.ok) continue;
      await reserved.hold.settle({ tokens: 25 });
    }
    line.fate = () => 'arrives';
    await expect(purse.reserve({ tokens: 26 })).rejects.toThrow(/left/);
  });
  const { spent, held } = await balanceOf(purse, 'day');
  expect(spent).toBeLessThanOrEqual(300);
  expect(spent).toBe(25 * (await charges(purse)).length);
  // Also the charges whose first answer was lost are announced, once each.
  const recorded = (await charges(purse)).map(({ id }) => id);
  expect(announced.toSorted()).toEqual(recorded.toSorted());
  expect(held).toBe(0);
  expect((await purse.verify()).ok).toBe(true);
});

/** Takes whatever is free for others than the agents, and tells how much that was. */
async function spendAllElsewhere(purse: Purse): Promise<number> {
  return outside(async () => {
    let taken = 0;
    for (;;) {
      const { available } = await balanceOf(purse, 'day');
      if (available === 0) return taken;
      const reserved = await purse.tryReserve({ tokens: available }, { agent: `greedy${taken}` });
      if (!reserved.ok) continue;
      await reserved.hold.settle();
      taken += available;
    }
  });
}
