import { expect } from 'vitest';
import {
  BudgetEnforcer,
  type BudgetEnforcerConfig,
  type BudgetStorage,
  MemoryStorage,
} from '../../src/envelopes/index.ts';
import { type ManualClock, manualClock } from '../../src/testing/index.ts';
import { JsonStorage } from './json-storage.ts';

/** What of an enforcer the failures are seen by. */
export type Enforcing = Pick<
  BudgetEnforcer,
  | 'check'
  | 'commit'
  | 'createEnvelope'
  | 'getTransactions'
  | 'listEnvelopes'
  | 'record'
  | 'release'
  | 'settle'
  | 'utilization'
>;

export type MakeEnforcer = (
  config: BudgetEnforcerConfig & { readonly clock: ManualClock },
  storage?: BudgetStorage,
) => Promise<{ readonly enforcer: Enforcing; readonly flush: () => Promise<void> }>;

/** One failure that was seen running elsewhere: the case passes where it cannot happen. */
export interface FailureCase {
  readonly failure: string;
  readonly passes: (make: MakeEnforcer) => Promise<void>;
}

const DAY_MS = 86_400_000;
const LLM = { category: 'llm', limit: 100, period: 'daily' } as const;

export const FAILURE_CASES: readonly FailureCase[] = [
  {
    failure: 'storage is written and never read, so nothing survives a restart',
    passes: async (make) => {
      const clock = manualClock();
      const database = new Map<string, string>();
      const before = await make({ clock }, new JsonStorage(database));
      before.enforcer.createEnvelope(LLM);
      before.enforcer.record('llm', 80);
      before.enforcer.commit('llm', 15);
      await before.flush();
      const { enforcer } = await make({ clock }, new JsonStorage(database));
      enforcer.createEnvelope(LLM);
      expect(enforcer.check('llm', 6)).toMatchObject({
        permitted: false,
        spent: 80,
        committed: 15,
      });
      expect(enforcer.getTransactions()).toMatchObject([{ amount: 80, category: 'llm' }]);
    },
  },
  {
    failure: 'two enforcers on one storage each allow the full limit',
    passes: async (make) => {
      const clock = manualClock();
      for (const storage of [new MemoryStorage(), new JsonStorage(new Map())]) {
        const { enforcer: one } = await make({ clock }, storage);
        const { enforcer: two } = await make({ clock }, storage);
        one.createEnvelope(LLM);
        two.createEnvelope(LLM);
        one.record('llm', 70);
        expect(two.check('llm', 31).permitted).toBe(false);
        expect(two.commit('llm', 30).permitted).toBe(true);
        expect(one.check('llm', 0.01).permitted).toBe(false);
      }
    },
  },
  {
    failure: 'a storage that rejects is an unhandled rejection',
    passes: async (make) => {
      let handled = 0;
      const storage = new JsonStorage(new Map());
      const reject = (_: unknown, rejected: (error: Error) => void): void => {
        handled += 1;
        rejected(new Error('the disk is full'));
      };
      // Rejects when somebody waits for it, so that the process does not hear of it where nobody does.
      const rejection = new Proxy(Promise.resolve(), {
        get: (_, name) => (name === 'then' ? reject : undefined),
      });
      storage.saveEnvelope = () => rejection;
      const { enforcer, flush } = await make({ clock: manualClock() }, storage);
      enforcer.createEnvelope(LLM);
      await expect(flush()).rejects.toThrow(/did not save/);
      expect(handled).toBe(1);
    },
  },
  badAmountCase(-1),
  badAmountCase(Number.NaN),
  badAmountCase(Number.POSITIVE_INFINITY),
  {
    failure: '0.1 + 0.1 + 0.1 does not fit a limit of 0.3',
    passes: async (make) => {
      const { enforcer } = await make({ clock: manualClock() });
      enforcer.createEnvelope({ ...LLM, limit: 0.3 });
      for (let count = 0; count < 3; count += 1) {
        expect(enforcer.check('llm', 0.1).permitted).toBe(true);
        enforcer.record('llm', 0.1);
      }
      expect(enforcer.utilization('llm')).toMatchObject({ spent: 0.3, utilizationPercent: 100 });
    },
  },
  {
    failure: 'a period reset forgets holds in flight',
    passes: async (make) => {
      const clock = manualClock();
      const { enforcer } = await make({ clock });
      enforcer.createEnvelope(LLM);
      const { commitId } = enforcer.commit('llm', 60);
      clock.advance(DAY_MS);
      enforcer.record('llm', 70);
      // What it really cost counts in the day that it was set aside in, and not in this one.
      enforcer.settle(String(commitId), 55);
      expect(enforcer.check('llm', 30)).toMatchObject({ permitted: true, spent: 70 });
      expect(enforcer.getTransactions()).toHaveLength(2);
    },
  },
  {
    failure: "releasing an old commit after a reset frees someone else's hold",
    passes: async (make) => {
      const clock = manualClock();
      const { enforcer } = await make({ clock });
      enforcer.createEnvelope(LLM);
      const old = enforcer.commit('llm', 60);
      clock.advance(DAY_MS);
      enforcer.check('llm', 1);
      enforcer.commit('llm', 80);
      enforcer.release(String(old.commitId));
      expect(enforcer.utilization('llm').committed).toBe(80);
      expect(enforcer.check('llm', 21).permitted).toBe(false);
    },
  },
  {
    failure: 'a commit never expires',
    passes: async (make) => {
      const clock = manualClock();
      const { enforcer } = await make({ clock, commitTtlMs: 60_000 });
      enforcer.createEnvelope({ ...LLM, period: 'total' });
      enforcer.commit('llm', 100);
      clock.advance(59_999);
      expect(enforcer.check('llm', 1).permitted).toBe(false);
      clock.advance(1);
      expect(enforcer.check('llm', 100)).toMatchObject({ permitted: true, committed: 0 });
    },
  },
  {
    failure: 'utilization().periodStart hands out the live date',
    passes: async (make) => {
      const clock = manualClock();
      const { enforcer } = await make({ clock });
      enforcer.createEnvelope(LLM);
      enforcer.record('llm', 100);
      enforcer.utilization('llm').periodStart.setTime(0);
      enforcer.listEnvelopes()[0]?.periodStart.setTime(0);
      expect(enforcer.check('llm', 1).permitted).toBe(false);
      expect(enforcer.utilization('llm').periodStart).toEqual(new Date(clock.now()));
    },
  },
  {
    failure: 'getTransactions() hands out the live list',
    passes: async (make) => {
      const { enforcer } = await make({ clock: manualClock() });
      enforcer.createEnvelope(LLM);
      const recorded = enforcer.record('llm', 5);
      const listed = enforcer.getTransactions();
      recorded.timestamp.setTime(0);
      listed[0]?.timestamp.setTime(0);
      Object.assign(listed[0] ?? {}, { amount: 0 });
      (listed as unknown[]).length = 0;
      expect(enforcer.getTransactions()).toMatchObject([{ amount: 5 }]);
      expect(enforcer.getTransactions()[0]?.timestamp.getTime()).not.toBe(0);
    },
  },
  {
    failure: 'replaced envelopes stay listed',
    passes: async (make) => {
      const { enforcer } = await make({ clock: manualClock() });
      enforcer.createEnvelope({ ...LLM, id: 'first' });
      enforcer.record('llm', 100);
      enforcer.createEnvelope({ ...LLM, id: 'second', limit: 7 });
      expect(enforcer.listEnvelopes()).toMatchObject([{ id: 'second', limit: 7, spent: 0 }]);
    },
  },
  {
    failure: 'months are 30 days',
    passes: async (make) => {
      const clock = manualClock('2027-01-31T10:00:00Z');
      const { enforcer } = await make({ clock });
      enforcer.createEnvelope({ ...LLM, period: 'monthly' });
      const starts: string[] = [];
      for (const time of [
        '2027-02-28T09:59',
        '2027-02-28T10:00',
        '2027-03-31T09:59',
        '2027-03-31T10:00',
      ]) {
        clock.set(`${time}:00Z`);
        starts.push(enforcer.utilization('llm').periodStart.toISOString().slice(0, 10));
      }
      expect(starts).toEqual(['2027-01-31', '2027-02-28', '2027-02-28', '2027-03-31']);
    },
  },
  {
    failure: 'namespace is read nowhere',
    passes: async (make) => {
      const clock = manualClock();
      const storage = new MemoryStorage();
      const { enforcer: one } = await make({ clock, namespace: 'one' }, storage);
      const { enforcer: two } = await make({ clock, namespace: 'two' }, storage);
      one.createEnvelope({ ...LLM, id: 'same' });
      two.createEnvelope({ ...LLM, id: 'same' });
      one.record('llm', 100);
      expect(await storage.listEnvelopes()).toHaveLength(2);
      expect(two.check('llm', 100).permitted).toBe(true);
      const { enforcer: again } = await make({ clock, namespace: 'one' }, storage);
      expect(again.check('llm', 1).permitted).toBe(false);
    },
  },
  {
    failure: 'history is never pruned',
    passes: async (make) => {
      const { enforcer } = await make({ clock: manualClock(), maxTransactions: 100 });
      enforcer.createEnvelope({ ...LLM, limit: 1000 });
      for (let count = 0; count < 1000; count += 1) enforcer.record('llm', 1);
      const listed = enforcer.getTransactions();
      expect(listed.length).toBeGreaterThanOrEqual(100);
      expect(listed.length).toBeLessThanOrEqual(107);
      // No bound resets a limit: what is listed no more still counts.
      expect(enforcer.check('llm', 1)).toMatchObject({ permitted: false, spent: 1000 });
    },
  },
];

function badAmountCase(amount: number): FailureCase {
  return {
    failure: `an amount of ${amount} passes`,
    passes: async (make) => {
      const { enforcer } = await make({ clock: manualClock() });
      enforcer.createEnvelope(LLM);
      const { commitId } = enforcer.commit('llm', 1);
      const calls = [
        () => enforcer.check('llm', amount),
        () => enforcer.record('llm', amount),
        () => enforcer.commit('llm', amount),
        () => enforcer.settle(String(commitId), amount),
        () => enforcer.createEnvelope({ ...LLM, limit: amount }),
      ];
      expect(calls.map(nameThrown)).toEqual(calls.map(() => 'InvalidAmountError'));
      expect(enforcer.utilization('llm')).toMatchObject({ spent: 0, committed: 1, limit: 100 });
    },
  };
}

function nameThrown(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as Error).name;
  }
  return 'nothing';
}
