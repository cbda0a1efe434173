import { describe, expect, it } from 'vitest';
import { BudgetEnforcer } from '../../src/envelopes/index.ts';
import { FAILURE_CASES, type MakeEnforcer } from './failure-cases.ts';
import { NaiveEnforcer } from './naive-enforcer.ts';

const ours: MakeEnforcer = async (config, storage) => {
  const enforcer = await BudgetEnforcer.open(config, storage);
  return { enforcer, flush: () => enforcer.flush() };
};

const naive: MakeEnforcer = async ({ clock }, storage) => {
  return { enforcer: new NaiveEnforcer(clock, storage), flush: async () => undefined };
};

describe.each(FAILURE_CASES)('$failure', ({ passes }) => {
  it('cannot happen', () => passes(ours));

  it('would be seen, for it happens to a naive enforcer', async () => {
    await expect(passes(naive)).rejects.toBeInstanceOf(Error);
  });
});
