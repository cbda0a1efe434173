import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';

import type { BudgetService } from '../../src/agents/index.ts';
import { type LedgerStore, StoreError, withLabels } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { postgres } from '../../src/stores/postgres.ts';
import { redis } from '../../src/stores/redis.ts';
import { Line, remoteStore } from '../purse/remote-store.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { charges, makePurse } from '../stores/fixture.ts';
import { makePool, migratedSchema } from '../stores/postgres-fixture.ts';
import { freshPrefixes, removeAll } from '../stores/redis-fixture.ts';
import { makeService } from './budget-fixture.ts';

const server = await sharedRedis();
const client = createClient({ url: server.url });
await client.connect();
const prefixes = freshPrefixes();

afterAll(async () => {
  await removeAll((...words) => client.sendCommand(words), prefixes);
  client.destroy();
  await server.stop();
});

/** Makes the same store again and again, as several processes have it. */
async function sameStore(kind: string): Promise<() => LedgerStore> {
  if (kind === 'redis') {
    const prefix = prefixes.next();
    return () => redis(client, { prefix });
  }
  const schema = await migratedSchema();
  const pool = makePool();
  return () => postgres(pool, { schema });
}

const BUDGET = { dailyTokenLimit: 1000, maxConcurrentAgents: 3 };

async function serviceOn(store: LedgerStore, budget = BUDGET): Promise<BudgetService> {
  const service = makeService(budget, { purse: await makePurse({ store }), timeZone: 'UTC' });
  await service.ready();
  return service;
}

describe.each(['redis', 'postgres'])('one budget for many processes on %s', (kind) => {
  it("keeps an agent's first task, also when others come before anything was read", async () => {
    const store = await sameStore(kind);
    const one = makeService(BUDGET, { purse: await makePurse({ store: store() }) });
    one.recordUsage('a', 't3', 1, 1);
    one.recordUsage('a', 't2', 1, 1);
    await one.flush();
    const two = makeService(BUDGET, { purse: await makePurse({ store: store() }) });
    two.recordUsage('a', 't1', 1, 1);
    expect((await two.summary()).agentUsage).toMatchObject([
      { agentId: 'a', taskId: 't3', totalTokens: 6 },
    ]);
  });

  it('counts what all of them say: here at once, elsewhere a moment later', async () => {
    const store = await sameStore(kind);
    const [one, two] = [await serviceOn(store()), await serviceOn(store())];
    await one.ready();
    one.recordUsage('a', 't1', 100, 20);
    one.agentStarted();
    const expected = {
      dailyTokensUsed: 120,
      activeAgents: 1,
      agentUsage: [
        { agentId: 'a', taskId: 't1', inputTokens: 100, outputTokens: 20, totalTokens: 120 },
      ],
    };
    expect(one.getUsageSummary()).toMatchObject(expected);
    await expect.poll(() => two.getUsageSummary(), { timeout: 5000 }).toMatchObject(expected);
    await two.ready();
    two.recordUsage('a', 't2', 850, 30);
    expect(two.canSpawnAgent().reason).toBe('Daily token budget exceeded (1000/1000)');
    await two.flush();
    expect(await one.summary()).toMatchObject({
      dailyTokensUsed: 1000,
      budgetStatus: 'exceeded',
      agentUsage: [{ agentId: 'a', taskId: 't1', inputTokens: 950, outputTokens: 50 }],
    });
    await expect.poll(() => one.canSpawnAgent().allowed, { timeout: 5000 }).toBe(false);
    await one.ready();
    one.agentStopped();
    one.agentStopped();
    expect(one.getUsageSummary().activeAgents).toBe(0);
    await one.flush();
    expect((await two.summary()).activeAgents).toBe(0);
    expect(await two.trySpawn({ agentId: 'b' })).toMatchObject({ allowed: false });
    expect((await one.purse.verify()).ok).toBe(true);
  });

  it('spawns no more than the cap from many at one moment', async () => {
    const store = await sameStore(kind);
    const [one, two] = [await serviceOn(store()), await serviceOn(store())];
    const spawned = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        (index % 2 === 0 ? one : two).trySpawn({ agentId: `a${index}` }),
      ),
    );
    const allowed = spawned.filter((one) => one.allowed);
    expect(allowed).toHaveLength(3);
    await Promise.all(allowed.map(({ slot }) => slot.stop()));
    expect((await one.summary()).activeAgents).toBe(0);
  });
});

describe('over a line that fails', () => {
  const makeLine = (): { line: Line; store: LedgerStore } => {
    const line = new Line();
    return { line, store: remoteStore(memory(), line) };
  };

  it('allows nothing before it knows anything', async () => {
    const { store } = makeLine();
    const service = makeService(BUDGET, { purse: await makePurse({ store }) });
    expect(service.canSpawnAgent()).toMatchObject({
      allowed: false,
      reason: expect.stringContaining('have not been read yet') as string,
    });
    expect(() => service.getUsageSummary()).toThrow(StoreError);
    service.recordUsage('a', 't', 1, 1);
    await service.ready();
    expect(service.getUsageSummary().dailyTokensUsed).toBe(2);
  });

  it('answers nothing from figures that are too old, and loses no record', async () => {
    const { line, store } = makeLine();
    const purse = await makePurse({ store, operationTimeoutMs: 50, retryForMs: 100 });
    const service = makeService(BUDGET, { purse });
    await service.ready();
    line.fate = () => 'refused';
    service.recordUsage('a', 't', 70, 7);
    expect(service.getUsageSummary().dailyTokensUsed).toBe(77);
    await sleep(300);
    expect(service.canSpawnAgent()).toMatchObject({
      allowed: false,
      reason: expect.stringMatching(/were last read \d+ ms ago/) as string,
    });
    expect(() => service.isAgentOverBudget('a')).toThrow(StoreError);
    await expect(service.flush()).rejects.toThrow(StoreError);
    line.fate = () => 'arrives';
    await expect.poll(() => service.canSpawnAgent().allowed, { timeout: 5000 }).toBe(true);
    await service.flush();
    expect(service.getUsageSummary()).toMatchObject({ dailyTokensUsed: 77 });
    expect(await charges(purse)).toHaveLength(1);
  });

  it('counts once what was written while its answer was lost', async () => {
    const { line, store } = makeLine();
    const purse = await makePurse({ store, operationTimeoutMs: 50, retryForMs: 0 });
    const service = makeService(BUDGET, { purse });
    await service.ready();
    let lost = 3;
    line.fate = () => (lost-- > 0 ? 'lost' : 'arrives');
    for (let count = 0; count < 5; count += 1) service.recordUsage('a', 't', 1, 1);
    await service.flush().catch(() => undefined);
    await expect
      .poll(
        () =>
          service.flush().then(
            () => 'done',
            () => 'failed',
          ),
        { timeout: 5000 },
      )
      .toBe('done');
    expect((await service.summary()).dailyTokensUsed).toBe(10);
    expect(service.getUsageSummary().dailyTokensUsed).toBe(10);
  });

  it('keeps the labels of whoever recorded to that record', async () => {
    const { store } = makeLine();
    const purse = await makePurse({ store });
    const service = makeService(BUDGET, { purse });
    await withLabels({ team: 'x' }, async () => {
      service.recordUsage('a', 't', 1, 1);
      await service.ready();
    });
    service.recordUsage('b', 't', 1, 1);
    await service.flush();
    const rows = await charges(purse);
    expect(rows.map(({ labels }) => labels['team'])).toEqual(['x', undefined]);
  });

  it('writes what waits before it closes', async () => {
    const { store } = makeLine();
    const purse = await makePurse({ store });
    const service = makeService(BUDGET, { purse });
    onTestFinished(() => service.close());
    for (let count = 0; count < 50; count += 1) service.recordUsage('a', 't', 1, 0);
    service.agentStarted();
    await service.close();
    expect((await charges(purse)).length).toBe(50);
    for await (const { held } of purse.balances({ limit: 'agents-running' })) expect(held).toBe(0);
    expect(service.canSpawnAgent().allowed).toBe(false);
  });
});
