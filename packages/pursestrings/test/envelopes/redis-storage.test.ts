import { createClient } from 'redis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { BudgetEnforcer } from '../../src/envelopes/index.ts';
import { type RedisProcess, startRedis } from '../servers/redis-server.ts';
import { RedisStorage } from './redis-storage.ts';

const LLM = { category: 'llm', limit: 10, period: 'monthly' } as const;

let server: RedisProcess;

beforeAll(async () => {
  server = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always']);
});
afterAll(() => server.stop());

/** A storage on a connection of its own, as a process that has just started has it. */
async function connected(prefix: string): Promise<RedisStorage> {
  const client = createClient({
    url: server.url,
    disableOfflineQueue: true,
    socket: { reconnectStrategy: 20 },
  });
  client.on('error', () => undefined);
  await client.connect();
  onTestFinished(() => client.destroy());
  return new RedisStorage(client, prefix);
}

it('survives a restart with balances, commits and history exact', async () => {
  const before = await BudgetEnforcer.open({}, await connected('agent-007'));
  before.createEnvelope(LLM);
  before.createEnvelope({ category: 'web', limit: 0.3, period: 'total' });
  for (let count = 0; count < 50; count += 1) before.record('llm', 0.07, `call ${count}`);
  for (let count = 0; count < 3; count += 1) before.record('web', 0.1);
  const kept = String(before.commit('llm', 2.5).commitId);
  before.settle(String(before.commit('llm', 1).commitId), 0.8);
  before.release(String(before.commit('llm', 1).commitId));
  await before.flush();
  const byTime = (enforcer: BudgetEnforcer): unknown => ({
    envelopes: enforcer.listEnvelopes().toSorted((a, b) => (a.category < b.category ? -1 : 1)),
    transactions: enforcer.getTransactions(),
  });
  const expected = byTime(before);
  expect(before.utilization('llm')).toMatchObject({ spent: 4.3, committed: 2.5 });

  await server.kill();
  await server.start();
  const after = new BudgetEnforcer({}, await connected('agent-007'));
  expect(after.check('llm', 0.01).permitted).toBe(false);
  await after.ready();
  after.createEnvelope(LLM);
  expect(byTime(after)).toEqual(expected);
  expect(after.check('web', 0.01).permitted).toBe(false);
  after.settle(kept, 2);
  expect(after.utilization('llm')).toMatchObject({ spent: 6.3, committed: 0 });
  await after.flush();
});

it('with the connection cut, refuses and says so; mended, it writes what is missing', async () => {
  const storage = await connected('agent-008');
  const enforcer = await BudgetEnforcer.open({}, storage);
  enforcer.createEnvelope(LLM);
  enforcer.record('llm', 1);
  await enforcer.flush();
  await server.kill();
  enforcer.record('llm', 2);
  await expect(enforcer.flush()).rejects.toThrow(/storage did not save/);
  expect(enforcer.check('llm', 1)).toMatchObject({
    permitted: false,
    reason: 'suspended',
    spent: 3,
  });
  expect(enforcer.check('llm', 1).error?.message).toMatch(/nothing is permitted/);
  expect(enforcer.commit('llm', 1).permitted).toBe(false);
  expect(() => enforcer.record('llm', 1)).toThrow(/storage did not save/);

  await server.start();
  await expect
    .poll(
      () =>
        BudgetEnforcer.open({}, storage).then(
          () => 'open',
          () => 'not yet',
        ),
      { timeout: 10_000 },
    )
    .toBe('open');
  expect(enforcer.check('llm', 7).permitted).toBe(true);
  const restarted = await BudgetEnforcer.open({}, await connected('agent-008'));
  expect(restarted.utilization('llm').spent).toBe(3);
  expect(restarted.getTransactions().map(({ amount }) => amount)).toEqual([1, 2]);
});
