import { describe, expect, it, test } from 'vitest';
import {
  BudgetEnforcer,
  type BudgetCheckResult,
  BudgetExceededError,
  InvalidAmountError,
  type Transaction,
} from '../../src/envelopes/index.ts';
import {
  BudgetExceededError as PurseBudgetExceededError,
  ConflictError,
  HoldNotFoundError,
  InvalidAmountError as PurseInvalidAmountError,
  StoreError,
} from '../../src/index.ts';
import { manualClock } from '../../src/testing/index.ts';

const LLM = { category: 'llm', limit: 10, period: 'daily' } as const;

function makeEnforcer(): BudgetEnforcer {
  const enforcer = new BudgetEnforcer({ clock: manualClock() });
  enforcer.createEnvelope(LLM);
  return enforcer;
}

describe('an envelope', () => {
  it('is made as a copy, with what was given and a new id', () => {
    const clock = manualClock();
    const enforcer = new BudgetEnforcer({ clock });
    const made = enforcer.createEnvelope(LLM);
    expect(made).toEqual({
      ...LLM,
      id: expect.stringMatching(/^[\da-f-]{36}$/),
      spent: 0,
      committed: 0,
      periodStart: new Date(clock.now()),
      suspended: false,
    });
    made.spent = 10;
    made.suspended = true;
    made.periodStart.setTime(0);
    expect(enforcer.check('llm', 10).permitted).toBe(true);
    expect(enforcer.createEnvelope({ ...LLM, category: 'other', id: 'mine' }).id).toBe('mine');
    expect(enforcer.listEnvelopes().map(({ category }) => category)).toEqual(['llm', 'other']);
  });

  it('is refused whole when it cannot be meant', () => {
    const enforcer = makeEnforcer();
    for (const limit of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-9, 2 ** 53, '5']) {
      expect(() => enforcer.createEnvelope({ ...LLM, limit: limit as number })).toThrow(
        InvalidAmountError,
      );
    }
    for (const period of ['day', 'yearly', '__proto__', undefined]) {
      expect(() => enforcer.createEnvelope({ ...LLM, period: period as 'daily' })).toThrow(
        /period/,
      );
    }
    for (const category of ['', 'x'.repeat(1025), '\uD800', 7]) {
      expect(() => enforcer.createEnvelope({ ...LLM, category: category as string })).toThrow(
        /category/,
      );
    }
    expect(() => enforcer.createEnvelope({ ...LLM, id: '' })).toThrow(/id is ""/);
    expect(() => enforcer.createEnvelope(null as never)).toThrow(/category/);
    expect(enforcer.listEnvelopes()).toMatchObject([{ limit: 10 }]);
  });

  it('takes any text as its category, and tells them apart', () => {
    const enforcer = new BudgetEnforcer();
    const categories = ['a|b', 'a', '__proto__', 'constructor', 'ns/x', 'ü 💶', 'a b=c;,%'];
    for (const category of categories) enforcer.createEnvelope({ ...LLM, category });
    enforcer.record('a', 10);
    const full = categories.filter((category) => !enforcer.check(category, 1).permitted);
    expect(full).toEqual(['a']);
    expect(enforcer.getTransactions({ category: 'a' })).toHaveLength(1);
    expect(enforcer.getTransactions({ category: 'a|b' })).toEqual([]);
  });

  it('that is replaced begins with nothing, also under the same id and in the same moment', () => {
    const enforcer = makeEnforcer();
    const config = { ...LLM, id: 'same', period: 'total' } as const;
    enforcer.createEnvelope(config);
    const { commitId } = enforcer.commit('llm', 4);
    enforcer.record('llm', 5);
    enforcer.suspendEnvelope('llm');
    expect(enforcer.createEnvelope(config)).toMatchObject({
      id: 'same',
      spent: 0,
      committed: 0,
      suspended: false,
    });
    enforcer.commit('llm', 3);
    enforcer.release(String(commitId));
    expect(enforcer.utilization('llm')).toMatchObject({ spent: 0, committed: 3 });
    expect(enforcer.getTransactions()).toHaveLength(1);
  });

  it('is replaced as often as one likes: nothing that is gone adds up', () => {
    const enforcer = makeEnforcer();
    for (let task = 0; task < 500; task += 1) {
      enforcer.createEnvelope({ ...LLM, period: 'total' });
      enforcer.record('llm', 10);
      if (task % 50 === 0) enforcer.commit('llm', 0);
    }
    expect(enforcer.listEnvelopes()).toHaveLength(1);
    expect(enforcer.check('llm', 0.01).permitted).toBe(false);
  });
});

describe('check', () => {
  it('answers with everything, and changes nothing', () => {
    const enforcer = makeEnforcer();
    enforcer.record('llm', 2);
    enforcer.commit('llm', 3);
    const before = enforcer.utilization('llm');
    expect(enforcer.check('llm', 5)).toEqual({
      permitted: true,
      available: 5,
      requested: 5,
      limit: 10,
      spent: 2,
      committed: 3,
      reason: 'within_budget',
    });
    expect(enforcer.check('llm', 5.00000001)).toEqual({
      permitted: false,
      available: 5,
      requested: 5.00000001,
      limit: 10,
      spent: 2,
      committed: 3,
      reason: 'exceeds_budget',
    });
    expect(enforcer.utilization('llm')).toEqual(before);
  });

  it('fails closed for a category without an envelope', () => {
    expect(makeEnforcer().check('web', 0)).toEqual({
      permitted: false,
      available: 0,
      requested: 0,
      limit: 0,
      spent: 0,
      committed: 0,
      reason: 'no_envelope',
    });
    expect(makeEnforcer().commit('web', 1)).toMatchObject({
      commitId: null,
      reason: 'no_envelope',
    });
  });

  it('refuses what is too large to be counted, and throws only for what is no amount', () => {
    const enforcer = makeEnforcer();
    for (const amount of [1e9, Number.MAX_SAFE_INTEGER, Number.MAX_VALUE]) {
      const refused = {
        permitted: false,
        available: 10,
        requested: amount,
        reason: 'exceeds_budget',
      };
      expect(enforcer.check('llm', amount)).toMatchObject(refused);
      expect(enforcer.commit('llm', amount)).toMatchObject(refused);
    }
    expect(() => enforcer.record('llm', 1e9)).toThrow(/1000000000, which is over the most/);
    expect(() => enforcer.check('llm', '5' as never)).toThrow(InvalidAmountError);
    expect(() => enforcer.check('web', -1)).toThrow(InvalidAmountError);
    expect(enforcer.check('llm', 0).permitted).toBe(true);
  });
});

describe('record', () => {
  it('deducts what was spent, whatever is left, and never checks again', () => {
    const enforcer = makeEnforcer();
    const clock = manualClock();
    expect(enforcer.record('llm', 25, 'a long answer')).toEqual({
      id: expect.any(String),
      category: 'llm',
      amount: 25,
      description: 'a long answer',
      timestamp: new Date(clock.now()),
      envelopeId: enforcer.utilization('llm').envelopeId,
    });
    expect('description' in enforcer.record('llm', 1)).toBe(false);
    expect(enforcer.utilization('llm')).toMatchObject({
      spent: 26,
      available: 0,
      utilizationPercent: 260,
    });
    enforcer.suspendEnvelope('llm');
    enforcer.record('llm', 1);
    expect(enforcer.utilization('llm').spent).toBe(27);
  });

  it('throws for a category without an envelope, and records nothing', () => {
    const enforcer = makeEnforcer();
    expect(() => enforcer.record('web', 1)).toThrow(/"web" has no envelope/);
    expect(() => enforcer.utilization('web')).toThrow(/"web"/);
    expect(() => enforcer.suspendEnvelope('web')).toThrow(/"web"/);
    expect(() => enforcer.resumeEnvelope('web')).toThrow(/"web"/);
    expect(enforcer.getTransactions()).toEqual([]);
  });

  it('keeps the beginning of a description that is too long', () => {
    const enforcer = makeEnforcer();
    const { description } = enforcer.record('llm', 1, `${'x'.repeat(4095)}💶`);
    expect(description).toHaveLength(4096);
    expect(description?.isWellFormed()).toBe(true);
    expect(() => enforcer.record('llm', 1, 7 as never)).toThrow(/description/);
  });
});

describe('a commit', () => {
  it('sets capacity aside until it is released, once', () => {
    const enforcer = makeEnforcer();
    const commit = enforcer.commit('llm', 4);
    expect(commit).toEqual({
      permitted: true,
      commitId: expect.any(String),
      available: 6,
      requested: 4,
      reason: 'within_budget',
    });
    expect(enforcer.commit('llm', 7)).toEqual({
      permitted: false,
      commitId: null,
      available: 6,
      requested: 7,
      reason: 'exceeds_budget',
    });
    enforcer.release(String(commit.commitId));
    enforcer.commit('llm', 4);
    enforcer.release(String(commit.commitId));
    enforcer.release('unknown');
    enforcer.release(null as never);
    expect(enforcer.utilization('llm').committed).toBe(4);
  });

  it('is settled in one step: what it really cost is recorded, the rest is free', () => {
    const enforcer = makeEnforcer();
    const id = String(enforcer.commit('llm', 9).commitId);
    const settled = enforcer.settle(id, 2, 'done');
    expect(settled).toMatchObject({ id, category: 'llm', amount: 2, description: 'done' });
    expect(enforcer.utilization('llm')).toMatchObject({ spent: 2, committed: 0, available: 8 });
    expect(enforcer.settle(id, 2, 'done')).toEqual(settled);
    expect(() => enforcer.settle(id, 3)).toThrow(ConflictError);
    enforcer.release(id);
    expect(enforcer.utilization('llm')).toMatchObject({ spent: 2, committed: 0 });
    expect(() => enforcer.settle('unknown', 3)).toThrow(HoldNotFoundError);
    expect(enforcer.getTransactions()).toEqual([settled]);
  });

  it('may cost more than was set aside, and is recorded after it was released or expired', () => {
    const clock = manualClock();
    const enforcer = new BudgetEnforcer({ clock });
    enforcer.createEnvelope(LLM);
    const released = String(enforcer.commit('llm', 1).commitId);
    enforcer.release(released);
    enforcer.settle(released, 12);
    expect(enforcer.utilization('llm').spent).toBe(12);
    const expired = String(enforcer.commit('llm', 0, { ttlMs: 1000 }).commitId);
    clock.advance(1000);
    enforcer.settle(expired, 3);
    expect(enforcer.utilization('llm')).toMatchObject({ spent: 15, committed: 0 });
    expect(() => enforcer.commit('llm', 1, { ttlMs: 0 })).toThrow(/ttlMs/);
  });

  it('lives a day unless it is told otherwise', () => {
    const clock = manualClock();
    const enforcer = new BudgetEnforcer({ clock });
    enforcer.createEnvelope({ ...LLM, period: 'total' });
    enforcer.commit('llm', 10);
    clock.advance(86_399_999);
    expect(enforcer.check('llm', 1).permitted).toBe(false);
    clock.advance(1);
    expect(enforcer.check('llm', 10).permitted).toBe(true);
  });
});

test('a suspended envelope refuses every check and commit until it is resumed', () => {
  const enforcer = makeEnforcer();
  enforcer.suspendEnvelope('llm');
  enforcer.suspendEnvelope('llm');
  const refused = { permitted: false, available: 0, requested: 1, reason: 'suspended' };
  expect(enforcer.check('llm', 1)).toMatchObject(refused);
  expect(enforcer.check('llm', 0).permitted).toBe(false);
  expect(enforcer.commit('llm', 1)).toEqual({ ...refused, commitId: null });
  expect(enforcer.utilization('llm')).toMatchObject({ suspended: true, available: 0 });
  expect(enforcer.listEnvelopes()).toMatchObject([{ suspended: true }]);
  enforcer.resumeEnvelope('llm');
  enforcer.resumeEnvelope('llm');
  expect(enforcer.commit('llm', 1).permitted).toBe(true);
});

test('transactions are listed by what a filter asks for, the oldest first', () => {
  const clock = manualClock('2026-05-01T00:00:00Z');
  const enforcer = new BudgetEnforcer({ clock });
  enforcer.createEnvelope(LLM);
  enforcer.createEnvelope({ ...LLM, category: 'web' });
  const times: Date[] = [];
  for (const [index, category] of ['llm', 'web', 'llm', 'web', 'llm'].entries()) {
    times.push(enforcer.record(category, index + 1).timestamp);
    clock.advance(1000);
  }
  const amounts = (filter?: Parameters<BudgetEnforcer['getTransactions']>[0]): number[] =>
    enforcer.getTransactions(filter).map(({ amount }) => amount);
  expect(amounts()).toEqual([1, 2, 3, 4, 5]);
  expect(amounts({ category: 'llm' })).toEqual([1, 3, 5]);
  expect(amounts({ since: times[2] })).toEqual([3, 4, 5]);
  expect(amounts({ until: times[2] })).toEqual([1, 2, 3]);
  expect(amounts({ minAmount: 2, maxAmount: 4 })).toEqual([2, 3, 4]);
  expect(amounts({ category: 'web', since: times[1], maxAmount: 3 })).toEqual([2]);
  expect(amounts({ category: 'none' })).toEqual([]);
  expect(() => amounts({ since: new Date('never') })).toThrow(/since/);
  expect(() => amounts({ minAmount: Number.NaN })).toThrow(/minAmount/);
});

test('limits and amounts of every size are exact, as far as they are counted', () => {
  const enforcer = new BudgetEnforcer();
  const make = (limit: number): void => void enforcer.createEnvelope({ ...LLM, limit });
  for (const limit of [0.3, 10_000_000, 10_000_000.5, 1e9, 1e12, Number.MAX_SAFE_INTEGER]) {
    make(limit);
    expect(enforcer.utilization('llm')).toMatchObject({ limit, available: limit });
    expect(enforcer.check('llm', Math.min(limit, 1e15)).permitted).toBe(true);
  }
  make(1);
  // Finer than a step: up in spends, so that no amount is free, and down in limits.
  expect(enforcer.record('llm', 1e-12).amount).toBe(1e-8);
  make(0.123456789);
  expect(enforcer.utilization('llm').limit).toBe(0.12345678);
  make(0.29);
  enforcer.record('llm', 0.29);
  expect(enforcer.utilization('llm').utilizationPercent).toBe(100);
});

test("the error that users throw tells what was answered, and is the purse's too", () => {
  const enforcer = makeEnforcer();
  enforcer.record('llm', 8);
  const check = enforcer.check('llm', 5);
  const error = new BudgetExceededError(check);
  expect(error).toBeInstanceOf(PurseBudgetExceededError);
  expect(error).toMatchObject({
    name: 'BudgetExceededError',
    code: 'BUDGET_EXCEEDED',
    message: 'Budget exceeded: 5 requested, 2 available.',
    required: 5,
    remaining: 2,
    result: check,
    denial: { reason: 'exceeds', cap: 10, spent: 8, held: 0 },
  });
  expect(PurseBudgetExceededError.from(new Error('wrapped', { cause: error }))).toBe(error);
  expect(new BudgetExceededError(enforcer.commit('llm', 5))).toMatchObject({ remaining: 2 });
  expect(new BudgetExceededError(enforcer.check('web', 1)).message).toMatch(/no envelope/);
  enforcer.suspendEnvelope('llm');
  expect(new BudgetExceededError(enforcer.check('llm', 1)).message).toMatch(/suspended/);
  expect(InvalidAmountError).toBe(PurseInvalidAmountError);
});

test('a subclass sees every check and record', () => {
  const seen: string[] = [];
  class Metered extends BudgetEnforcer {
    override check(category: string, amount: number): BudgetCheckResult {
      const result = super.check(category, amount);
      seen.push(`check ${amount} ${result.reason}`);
      return result;
    }
    override record(category: string, amount: number, description?: string): Transaction {
      const transaction = super.record(category, amount, description);
      seen.push(`record ${transaction.amount}`);
      return transaction;
    }
  }
  const enforcer = new Metered();
  enforcer.createEnvelope(LLM);
  enforcer.check('llm', 4);
  enforcer.record('llm', 9);
  enforcer.check('llm', 4);
  expect(seen).toEqual(['check 4 within_budget', 'record 9', 'check 4 exceeds_budget']);
});

test('enforcers without a storage share nothing, and thousands of them cost little', () => {
  const tasks = Array.from({ length: 2000 }, (_, task) => {
    const enforcer = new BudgetEnforcer({ namespace: `task-${task}` });
    enforcer.createEnvelope({ category: 'llm', limit: 0.25, period: 'total' });
    return enforcer;
  });
  for (const enforcer of tasks) {
    enforcer.record('llm', 0.25);
    expect(enforcer.check('llm', 0.01).permitted).toBe(false);
  }
});

test('an enforcer that is closed refuses work, and options that cannot be meant are named', async () => {
  const enforcer = makeEnforcer();
  await enforcer.flush();
  await enforcer.close();
  await enforcer.close();
  expect(() => enforcer.check('llm', 1)).toThrow(StoreError);
  expect(() => enforcer.record('llm', 1)).toThrow(/closed/);
  expect(() => new BudgetEnforcer({ store: 'redis://localhost' })).toThrow(/redis URL/);
  expect(() => new BudgetEnforcer({ namespace: '\uD800' })).toThrow(/namespace/);
  expect(() => new BudgetEnforcer({ commitTtlMs: 0 })).toThrow(/commitTtlMs/);
  expect(() => new BudgetEnforcer({ maxTransactions: 0.5 })).toThrow(/maxTransactions/);
  expect(() => new BudgetEnforcer({ timeZone: 'Mars/Base' })).toThrow(/timeZone/);
  expect(() => new BudgetEnforcer(null as never)).toThrow(/config/);
  expect(() => new BudgetEnforcer({}, {} as never)).toThrow(/getEnvelopeByCategory/);
});
