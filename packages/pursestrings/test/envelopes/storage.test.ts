import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BudgetEnforcer, BudgetExceededError } from '../../src/envelopes/index.ts';
import { StoreError } from '../../src/index.ts';
import { manualClock } from '../../src/testing/index.ts';
import { type Database, JsonStorage } from './json-storage.ts';

const LLM = { category: 'llm', limit: 10, period: 'daily' } as const;
const DAY_MS = 86_400_000;

/** Everything that can be told of an enforcer, to compare what stands before and after a restart. */
function everythingOf(enforcer: BudgetEnforcer): unknown {
  return { envelopes: enforcer.listEnvelopes(), transactions: enforcer.getTransactions() };
}

describe('a storage of the user', () => {
  it('outlives the process: balances, commits and history are as they were', async () => {
    const clock = manualClock();
    const database: Database = new Map();
    const before = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    before.createEnvelope(LLM);
    before.createEnvelope({ category: 'web', limit: 0.3, period: 'total' });
    before.record('llm', 1.5, 'first');
    clock.advance(1000);
    for (let count = 0; count < 3; count += 1) before.record('web', 0.1);
    const kept = String(before.commit('llm', 2).commitId);
    const settled = String(before.commit('llm', 3).commitId);
    before.settle(settled, 2.25);
    before.release(String(before.commit('llm', 1).commitId));
    before.suspendEnvelope('web');
    await before.flush();
    const expected = everythingOf(before);

    const after = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(everythingOf(after)).toEqual(expected);
    after.createEnvelope(LLM);
    expect(everythingOf(after)).toEqual(expected);
    after.release(settled);
    after.settle(kept, 2);
    expect(after.utilization('llm')).toMatchObject({ spent: 5.75, committed: 0 });
    expect(after.check('web', 0).reason).toBe('suspended');
    await after.flush();
    const again = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(everythingOf(again)).toEqual(everythingOf(after));
  });

  it('keeps months that began on the 31st, and periods that passed while nobody ran', async () => {
    const clock = manualClock('2027-01-31T12:00:00Z');
    const database: Database = new Map();
    const before = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    before.createEnvelope({ ...LLM, period: 'monthly' });
    clock.set('2027-02-28T12:00:00Z');
    before.record('llm', 9);
    const { commitId } = before.commit('llm', 1, { ttlMs: 90 * DAY_MS });
    await before.flush();
    clock.set('2027-03-31T11:59:59Z');
    const during = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(during.utilization('llm')).toMatchObject({ spent: 9, committed: 1 });
    clock.set('2027-03-31T12:00:00Z');
    const after = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(after.utilization('llm')).toMatchObject({ spent: 0, committed: 0 });
    after.commit('llm', 4);
    after.release(String(commitId));
    expect(after.utilization('llm')).toMatchObject({ spent: 0, committed: 4 });
  });

  it('written by a clock that is ahead counts now, and when its period begins', async () => {
    const database: Database = new Map();
    const config = { clock: manualClock('2026-01-01T10:00:02Z') };
    const ahead = await BudgetEnforcer.open(config, new JsonStorage(database));
    ahead.createEnvelope(LLM);
    ahead.record('llm', 7);
    await ahead.flush();
    const clock = manualClock('2026-01-01T10:00:00Z');
    const enforcer = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(enforcer.check('llm', 4).permitted).toBe(false);
    clock.advance(2000);
    expect(enforcer.utilization('llm')).toMatchObject({ spent: 7, available: 3 });
    clock.advance(DAY_MS);
    expect(enforcer.utilization('llm').spent).toBe(0);
  });

  it('keeps one envelope under an id: one of another category is refused it', async () => {
    const database: Database = new Map();
    const before = await BudgetEnforcer.open({}, new JsonStorage(database));
    before.createEnvelope({ ...LLM, id: 'e-1' });
    before.record('llm', 4);
    const taken = () => before.createEnvelope({ ...LLM, category: 'web', id: 'e-1' });
    expect(taken).toThrow('id "e-1" is the envelope of category "llm"');
    expect(before.check('web', 1).reason).toBe('no_envelope');
    await before.flush();
    const after = await BudgetEnforcer.open({}, new JsonStorage(database));
    expect(after.listEnvelopes()).toMatchObject([{ id: 'e-1', category: 'llm', spent: 4 }]);
  });

  it('is adopted by the first createEnvelope, under the limit and period given then', async () => {
    const clock = manualClock();
    const database: Database = new Map();
    const before = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    before.createEnvelope(LLM);
    before.record('llm', 4);
    const { commitId } = before.commit('llm', 3);
    await before.flush();
    for (const config of [
      { ...LLM, limit: 20 },
      { ...LLM, period: 'weekly' },
      { ...LLM, limit: 50_000_000, period: 'total' },
      { ...LLM, id: 'renamed' },
      LLM,
    ] as const) {
      const after = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
      expect(after.createEnvelope(config)).toMatchObject({ ...config, spent: 4, committed: 3 });
      expect(after.listEnvelopes()).toHaveLength(1);
      expect(after.check('llm', config.limit - 7 + 0.001).permitted).toBe(false);
      await after.flush();
    }
    const last = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    last.settle(String(commitId), 1);
    expect(last.utilization('llm')).toMatchObject({ spent: 5, committed: 0 });
    last.createEnvelope(LLM);
    expect(last.utilization('llm').spent).toBe(5);
    last.createEnvelope(LLM);
    expect(last.utilization('llm').spent).toBe(0);
  });

  it('may go on listing replaced envelopes: their commits give back nothing to the new', async () => {
    const clock = manualClock();
    const database: Database = new Map();
    const before = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    before.createEnvelope(LLM);
    before.record('llm', 9);
    const { commitId } = before.commit('llm', 1);
    before.createEnvelope(LLM);
    before.commit('llm', 2);
    await before.flush();
    expect(await new JsonStorage(database).listEnvelopes()).toHaveLength(2);
    const after = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(after.listEnvelopes()).toMatchObject([{ spent: 0, committed: 2 }]);
    after.release(String(commitId));
    expect(after.utilization('llm').committed).toBe(2);
  });

  it('tells commits of a replaced envelope apart by their time, where its id is the same', async () => {
    const clock = manualClock();
    const database: Database = new Map();
    const config = { ...LLM, id: 'same', period: 'total' } as const;
    const before = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    before.createEnvelope(config);
    const { commitId } = before.commit('llm', 9);
    clock.advance(1000);
    before.createEnvelope(config);
    before.commit('llm', 2);
    await before.flush();
    const after = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(after.utilization('llm').committed).toBe(2);
    after.release(String(commitId));
    expect(after.utilization('llm').committed).toBe(2);
  });

  it('that others have written is read: ISO text, no extra fields, numbers as text', async () => {
    const clock = manualClock('2027-03-01T06:00:00Z');
    const since = '2027-03-01T00:00:00.000Z';
    const envelope = { id: 'e', ...LLM, limit: '10', spent: '0.30000000000000004', committed: 99 };
    const data: Database = new Map([
      ['envelope:e', JSON.stringify({ ...envelope, periodStart: since, suspended: 0 })],
      ['category:llm', 'e'],
      ['commit:c', JSON.stringify({ id: 'c', category: 'llm', amount: 2, createdAt: since })],
      [
        'transaction:t',
        JSON.stringify({
          id: 't',
          category: 'llm',
          amount: 0.3,
          description: null,
          timestamp: since,
        }),
      ],
    ]);
    const enforcer = await BudgetEnforcer.open({ clock }, new JsonStorage(data));
    expect(enforcer.listEnvelopes()).toEqual([
      { id: 'e', ...LLM, spent: 0.3, committed: 2, periodStart: new Date(since), suspended: false },
    ]);
    expect(enforcer.getTransactions()).toEqual([
      { id: 't', category: 'llm', amount: 0.3, timestamp: new Date(since) },
    ]);
    expect(enforcer.settle('c', 1)).toMatchObject({ category: 'llm', amount: 1 });
  });

  it('that a crash left a settled commit in does not let it be settled once more', async () => {
    const clock = manualClock();
    const database: Database = new Map();
    let isDown = false;
    const storage = new JsonStorage(database, (call) => {
      if (isDown && call === 'deleteCommit') throw new Error('power loss');
    });
    const before = await BudgetEnforcer.open({ clock }, storage);
    before.createEnvelope(LLM);
    const commitId = String(before.commit('llm', 4).commitId);
    await before.flush();
    isDown = true;
    before.settle(commitId, 3);
    await expect(before.flush()).rejects.toThrow(/the end of a commit/);
    const after = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    expect(after.utilization('llm')).toMatchObject({ spent: 3, committed: 0 });
    expect(after.settle(commitId, 3)).toMatchObject({ id: commitId, amount: 3 });
    expect(() => after.settle(commitId, 2)).toThrow(/already stands for/);
    expect(after.getTransactions()).toHaveLength(1);
    after.release(commitId);
    expect(after.utilization('llm')).toMatchObject({ spent: 3, committed: 0 });
  });

  it.each([
    ['envelope', { spent: null }, /envelope "e" has spent null/],
    ['envelope', { periodStart: 'soon' }, /periodStart "soon"/],
    ['envelope', { period: 'yearly' }, /period "yearly"/],
    ['commit', { amount: -1 }, /commit "c" has amount -1/],
    ['transaction', { category: undefined }, /transaction "t" has category/],
  ])('with an %s that cannot be is refused by name', async (kind, change, message) => {
    const now = new Date().toISOString();
    const records = {
      envelope: { id: 'e', ...LLM, spent: 1, committed: 0, periodStart: now, suspended: false },
      commit: { id: 'c', category: 'llm', amount: 2, createdAt: now },
      transaction: { id: 't', category: 'llm', amount: 1, timestamp: now },
    };
    const data: Database = new Map(
      Object.entries(records).map(([name, record]) => {
        const written = name === kind ? { ...record, ...change } : record;
        return [`${name}:${record.id}`, JSON.stringify(written)];
      }),
    );
    await expect(BudgetEnforcer.open({}, new JsonStorage(data))).rejects.toThrow(message);
  });
});

describe('writes', () => {
  it('go out in order, one at a time, behind the call', async () => {
    let inFlight = 0;
    const calls: string[] = [];
    const storage = new JsonStorage(new Map(), async (call) => {
      inFlight += 1;
      expect(inFlight).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inFlight -= 1;
      if (!call.startsWith('list')) calls.push(call);
    });
    const enforcer = await BudgetEnforcer.open({}, storage);
    enforcer.createEnvelope(LLM);
    enforcer.record('llm', 1);
    await enforcer.flush();
    enforcer.settle(String(enforcer.commit('llm', 1).commitId), 1);
    await enforcer.flush();
    // The envelope goes before what changed it, so that a crash between them forgets no spend.
    expect(calls).toEqual([
      'saveEnvelope',
      'saveEnvelope',
      'saveTransaction',
      'saveCommit',
      'saveEnvelope',
      'saveTransaction',
      'deleteCommit',
    ]);
  });

  it('keep what was recorded, whatever the caller does to the answer', async () => {
    const database: Database = new Map();
    const enforcer = await BudgetEnforcer.open(
      { clock: manualClock(5) },
      new JsonStorage(database),
    );
    enforcer.createEnvelope(LLM);
    enforcer.record('llm', 1).timestamp.setTime(0);
    await enforcer.flush();
    const [stored] = await new JsonStorage(database).listTransactions();
    expect(new Date(stored?.timestamp ?? 0).getTime()).toBe(5);
  });

  it('that fail close the enforcer, and flush reports them until the storage is mended', async () => {
    const database: Database = new Map();
    let broken = false;
    const storage = new JsonStorage(database, () => {
      if (broken) throw new Error('READONLY');
    });
    const enforcer = await BudgetEnforcer.open({}, storage);
    const beside = await BudgetEnforcer.open({}, storage);
    enforcer.createEnvelope(LLM);
    const { commitId } = enforcer.commit('llm', 2);
    const { commitId: other } = enforcer.commit('llm', 1);
    await enforcer.flush();
    broken = true;
    enforcer.record('llm', 5);
    await expect(enforcer.flush()).rejects.toThrow(/did not save the envelope of "llm"/);
    await expect(enforcer.flush()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const check = enforcer.check('llm', 1);
    expect(check).toMatchObject({ permitted: false, available: 0, spent: 5, reason: 'suspended' });
    expect(check.error?.message).toMatch(/nothing is permitted/);
    expect(new BudgetExceededError(check).cause).toBe(check.error);
    expect(beside.commit('llm', 1)).toMatchObject({ permitted: false, commitId: null });
    expect(() => enforcer.record('llm', 1)).toThrow(StoreError);
    expect(() => enforcer.createEnvelope(LLM)).toThrow(StoreError);
    enforcer.release(String(commitId));
    expect(enforcer.utilization('llm')).toMatchObject({ spent: 5, committed: 1 });
    await expect(BudgetEnforcer.open({}, storage)).rejects.toThrow(/did not save/);

    broken = false;
    enforcer.release(String(other));
    await expect(enforcer.flush()).rejects.toThrow(/did not save/);
    expect(enforcer.check('llm', 1).permitted).toBe(false);
    // Nothing goes past the write that failed, or the storage would tell of things out of order.
    expect(await new JsonStorage(database).listCommits()).toHaveLength(2);
    const mended = await BudgetEnforcer.open({}, storage);
    expect(mended.check('llm', 5)).toMatchObject({ permitted: true, spent: 5, committed: 0 });
    expect(enforcer.record('llm', 1).amount).toBe(1);
    await enforcer.flush();
    const restarted = await BudgetEnforcer.open({}, new JsonStorage(database));
    expect(everythingOf(restarted)).toEqual(everythingOf(enforcer));
  });

  it('of what expires by itself go out too', async () => {
    const clock = manualClock();
    const database: Database = new Map();
    const enforcer = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
    enforcer.createEnvelope({ ...LLM, period: 'total' });
    enforcer.commit('llm', 10, { ttlMs: 1000 });
    clock.advance(1000);
    expect(enforcer.check('llm', 10).permitted).toBe(true);
    await enforcer.flush();
    expect(await new JsonStorage(database).listCommits()).toEqual([]);
    expect(await new JsonStorage(database).listEnvelopes()).toMatchObject([{ committed: 0 }]);
  });

  it('that a crash cuts off, wherever it does, never let more be spent than was left', async () => {
    const step = fc.record({
      does: fc.constantFrom('record', 'commit', 'settle', 'release', 'replace'),
      cents: fc.integer({ min: 0, max: 300 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.nat(60), async (steps, cutAfter) => {
        const clock = manualClock();
        const database: Database = new Map();
        let writes = 0;
        const storage = new JsonStorage(database, (call) => {
          if (call.startsWith('list')) return;
          writes += 1;
          if (writes > cutAfter) throw new Error('power loss');
        });
        const enforcer = await BudgetEnforcer.open({ clock }, storage);
        enforcer.createEnvelope(LLM);
        const open: string[] = [];
        let acknowledged = { spent: 0, committed: 0 };
        for (const { does, cents } of steps) {
          const amount = cents / 100;
          try {
            if (does === 'record') enforcer.record('llm', amount);
            else if (does === 'commit') {
              const { commitId } = enforcer.commit('llm', amount);
              if (commitId !== null) open.push(commitId);
            } else if (does === 'replace') enforcer.createEnvelope(LLM);
            else if (open.length > 0 && does === 'settle')
              enforcer.settle(String(open.pop()), amount);
            else enforcer.release(String(open.pop()));
            await enforcer.flush();
            acknowledged = enforcer.utilization('llm');
          } catch {
            break;
          }
        }
        const after = await BudgetEnforcer.open({ clock }, new JsonStorage(database));
        after.createEnvelope(LLM);
        const { spent, committed } = after.utilization('llm');
        const wasLost = writes > cutAfter;
        if (!wasLost) expect({ spent, committed }).toMatchObject({ spent: acknowledged.spent });
        if (!steps.some(({ does }) => does === 'replace')) {
          expect(spent).toBeGreaterThanOrEqual(acknowledged.spent);
          const listed = after.getTransactions().reduce((sum, { amount }) => sum + amount, 0);
          expect(listed).toBeLessThanOrEqual(spent + 1e-9);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('namespaces in one storage', () => {
  it('are apart, and the default one reads what stands there without any', async () => {
    const database: Database = new Map();
    const storage = new JsonStorage(database);
    const names = [undefined, 'a', 'a/b', 'ns/a', '', 'x'.repeat(200)];
    const enforcers = await Promise.all(
      names.map((namespace) =>
        BudgetEnforcer.open(namespace === undefined ? {} : { namespace }, storage),
      ),
    );
    for (const [index, enforcer] of enforcers.entries()) {
      enforcer.createEnvelope({ ...LLM, id: 'e' });
      enforcer.createEnvelope({ ...LLM, category: 'ns/a/llm' });
      enforcer.record('llm', index);
      enforcer.commit('ns/a/llm', index + 1);
      await enforcer.flush();
    }
    expect((await storage.getEnvelopeByCategory('llm'))?.id).toBe('e');
    for (const [index, namespace] of names.entries()) {
      const again = await BudgetEnforcer.open(
        namespace === undefined ? {} : { namespace },
        new JsonStorage(database),
      );
      expect(again.listEnvelopes()).toMatchObject([
        { category: 'llm', id: 'e', spent: index, committed: 0 },
        { category: 'ns/a/llm', spent: 0, committed: index + 1 },
      ]);
      expect(again.getTransactions()).toHaveLength(1);
    }
    const named = await BudgetEnforcer.open({ namespace: 'default' }, new JsonStorage(database));
    expect(named.utilization('llm').spent).toBe(0);
  });
});
