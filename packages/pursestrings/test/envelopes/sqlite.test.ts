import { describe, expect, it, onTestFinished, test } from 'vitest';
import { BudgetEnforcer, type BudgetEnforcerConfig } from '../../src/envelopes/index.ts';
import { openPurse, StoreError } from '../../src/index.ts';
import { manualClock } from '../../src/testing/index.ts';
import { startChild } from '../contention/children.ts';
import { tempFile } from '../stores/fixture.ts';

const LLM = { category: 'llm', limit: 10, period: 'daily' } as const;
const WORKER = new URL('worker.ts', import.meta.url);

function enforcerOn(path: string, config: BudgetEnforcerConfig = {}): BudgetEnforcer {
  const enforcer = new BudgetEnforcer({ ...config, store: `sqlite:${path}` });
  onTestFinished(() => enforcer.close());
  return enforcer;
}

describe('an enforcer in a file', () => {
  it('is durable without any waiting: balances, commits, history and suspensions', async () => {
    const path = await tempFile();
    const clock = manualClock('2027-01-31T12:00:00Z');
    const before = enforcerOn(path, { clock });
    before.createEnvelope({ ...LLM, period: 'monthly' });
    before.createEnvelope({ ...LLM, category: 'web' });
    before.record('llm', 0.1, 'first');
    const { commitId } = before.commit('llm', 3);
    before.suspendEnvelope('web');
    const expected = [before.listEnvelopes(), before.getTransactions()];
    await before.close();

    const after = enforcerOn(path, { clock });
    expect([after.listEnvelopes(), after.getTransactions()]).toEqual(expected);
    after.createEnvelope({ ...LLM, period: 'monthly' });
    expect(after.listEnvelopes()).toMatchObject([
      { category: 'llm', spent: 0.1, committed: 3 },
      { category: 'web', suspended: true },
    ]);
    after.settle(String(commitId), 2);
    clock.set('2027-03-31T11:59:59Z');
    expect(after.utilization('llm').periodStart).toEqual(new Date('2027-02-28T12:00:00Z'));
    after.createEnvelope(LLM);
    expect(after.utilization('llm').spent).toBe(0);
  });

  it('adopts under another limit, period or id what is spent and committed', async () => {
    const path = await tempFile();
    const clock = manualClock();
    const before = enforcerOn(path, { clock });
    before.createEnvelope(LLM);
    before.record('llm', 4);
    const { commitId } = before.commit('llm', 3);
    const configs = [
      { ...LLM, limit: 12 },
      { ...LLM, period: 'total' },
      { ...LLM, limit: 50_000_000, id: 'large' },
      LLM,
    ] as const;
    for (const config of configs) {
      const after = enforcerOn(path, { clock });
      expect(after.createEnvelope(config)).toMatchObject({ ...config, spent: 4, committed: 3 });
      expect(before.utilization('llm')).toMatchObject({ limit: config.limit, committed: 3 });
    }
    before.settle(String(commitId), 1);
    expect(before.utilization('llm')).toMatchObject({ spent: 5, committed: 0 });
    const purse = await openPurse({ store: `sqlite:${path}`, clock });
    expect(await purse.verify()).toMatchObject({ ok: true, mismatches: [] });
    await purse.close();
  });

  it('shares it with others at once: also a replaced, suspended or new envelope', async () => {
    const path = await tempFile();
    const one = enforcerOn(path);
    // Another clock makes another connection, as another process has it.
    const two = enforcerOn(path, { clock: { now: () => Date.now() } });
    one.createEnvelope(LLM);
    two.record('llm', 4);
    expect(one.check('llm', 7).permitted).toBe(false);
    one.createEnvelope({ ...LLM, limit: 20 });
    expect(two.check('llm', 20)).toMatchObject({ permitted: true, spent: 0 });
    two.record('llm', 15);
    expect(one.utilization('llm').spent).toBe(15);
    two.suspendEnvelope('llm');
    expect(one.commit('llm', 1).reason).toBe('suspended');
    two.createEnvelope({ ...LLM, category: 'web' });
    expect(one.commit('web', 10).permitted).toBe(true);
    expect(two.commit('web', 1).permitted).toBe(false);
  });

  it('forgets what was replaced, or a file would grow by every task that begins anew', async () => {
    const path = await tempFile();
    const enforcer = enforcerOn(path);
    enforcer.createEnvelope({ ...LLM, period: 'total' });
    const { commitId } = enforcer.commit('llm', 1);
    for (let task = 0; task < 6; task += 1) {
      enforcer.createEnvelope({ ...LLM, period: 'total' });
      enforcer.record('llm', 1);
    }
    const purse = await openPurse({ store: `sqlite:${path}` });
    onTestFinished(() => purse.close());
    // The first is still there, for something is held in it.
    expect(await purse.verify()).toMatchObject({ ok: true, envelopes: 2, charges: 6 });
    enforcer.release(String(commitId));
    enforcer.createEnvelope({ ...LLM, period: 'total' });
    expect(await purse.verify()).toMatchObject({ ok: true, envelopes: 0 });
  });

  it('keeps namespaces apart, whatever they are called', async () => {
    const path = await tempFile();
    const names = ['default', 'task-1', 'x-1', 'a/b', '', 'ü'.repeat(100), 'n'.repeat(65)];
    for (const [index, namespace] of names.entries()) {
      const enforcer = enforcerOn(path, { namespace });
      enforcer.createEnvelope({ ...LLM, id: 'same' });
      enforcer.record('llm', index);
    }
    for (const [index, namespace] of names.entries()) {
      expect(enforcerOn(path, { namespace }).utilization('llm').spent).toBe(index);
    }
    expect(enforcerOn(path).utilization('llm').spent).toBe(0);
  });

  it('is a ledger: a purse reads it, limits it and freezes it', async () => {
    const path = await tempFile();
    const enforcer = enforcerOn(path);
    enforcer.createEnvelope(LLM);
    const purse = await openPurse({ store: `sqlite:${path}` });
    onTestFinished(() => purse.close());
    enforcer.record('llm', 4);
    const [balance] = await Array.fromAsync(purse.balances({ labels: { category: 'llm' } }));
    expect(balance).toMatchObject({ unit: 'amount', cap: 10, spent: 4, available: 6 });
    await purse.setLimit({ name: 'all', cap: { amount: 2 } });
    expect(enforcer.check('llm', 3)).toMatchObject({ permitted: false, available: 2, limit: 10 });
    await purse.freeze({});
    expect(enforcer.check('llm', 0)).toMatchObject({ reason: 'suspended' });
    await purse.charge({ amount: 1 }, { agent: 'a' });
    expect(enforcer.getTransactions()).toHaveLength(1);
    expect(await purse.verify()).toMatchObject({ ok: true });
  });
});

test('a file that cannot be opened says so, and no enforcer is made', () => {
  expect(() => new BudgetEnforcer({ store: 'sqlite:/nowhere/at/all.db' })).toThrow(StoreError);
  expect(() => new BudgetEnforcer({ store: 'sqlite:' })).toThrow(/memory:/);
});

test('processes on one file never spend past the limit, and lose nothing when they are killed', async () => {
  const path = await tempFile();
  const workers = [1, 2, 3].map(() => startChild(WORKER, [path, 'shared']));
  for (const worker of workers) expect(await worker.line()).toBe('ready');
  const told: number[] = workers.map(() => 0);
  for (const worker of workers) worker.say('go');
  const [killed] = workers;
  // The first is killed in the middle of its work.
  while ((told[0] ?? 0) < 5) told[0] = Number(await killed?.line());
  killed?.process.kill('SIGKILL');
  await killed?.ended();
  for (const [index, worker] of workers.entries()) {
    if (index === 0) continue;
    for (let line = await worker.line(); !line.startsWith('done'); line = await worker.line()) {
      told[index] = Number(line);
    }
  }
  const enforcer = enforcerOn(path, { namespace: 'shared' });
  const { spent, committed } = enforcer.utilization('llm');
  const acknowledged = told.reduce((total, count) => total + count, 0);
  expect(spent + committed).toBe(100);
  expect(spent).toBeGreaterThanOrEqual(acknowledged);
  // What was killed between its two calls is held until it expires.
  expect(committed).toBeLessThanOrEqual(1);
  expect(enforcer.getTransactions()).toHaveLength(spent);
  for (const worker of workers.slice(1)) worker.process.kill();
});
