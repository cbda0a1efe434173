import { describe, expect, it } from 'vitest';
import { BudgetEnforcer } from '../../src/envelopes/index.ts';
import { StoreError } from '../../src/index.ts';
import { type Database, JsonStorage } from './json-storage.ts';

const LLM = { category: 'llm', limit: 10, period: 'daily' } as const;

/** A promise that is settled by hand. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

describe('a storage that is being loaded', () => {
  it('permits nothing and records nothing until it is', async () => {
    const database: Database = new Map();
    const before = await BudgetEnforcer.open({}, new JsonStorage(database));
    before.createEnvelope(LLM);
    before.record('llm', 9);
    const { commitId } = before.commit('llm', 1);
    await before.flush();

    const { opened, open } = gate();
    const enforcer = new BudgetEnforcer({}, new JsonStorage(database, () => opened));
    expect(enforcer.createEnvelope({ ...LLM, limit: 12 })).toMatchObject({ limit: 12, spent: 0 });
    const refused = { permitted: false, available: 0, reason: 'suspended', requested: 1 };
    expect(enforcer.check('llm', 1)).toMatchObject({ ...refused, error: expect.any(StoreError) });
    expect(enforcer.commit('llm', 1)).toMatchObject({ ...refused, commitId: null });
    expect(() => enforcer.record('llm', 1)).toThrow(/await ready\(\)/);
    expect(() => enforcer.settle('x', 1)).toThrow(/await ready\(\)/);
    expect(() => enforcer.utilization('llm')).toThrow(/await ready\(\)/);
    expect(() => enforcer.listEnvelopes()).toThrow(/await ready\(\)/);
    expect(() => enforcer.check('llm', -1)).toThrow(/negative/);
    enforcer.release(String(commitId));
    open();
    await enforcer.ready();
    expect(enforcer.listEnvelopes()).toMatchObject([{ limit: 12, spent: 9, committed: 0 }]);
    expect(enforcer.check('llm', 3).permitted).toBe(true);
    enforcer.createEnvelope(LLM);
    expect(enforcer.utilization('llm')).toMatchObject({ limit: 10, spent: 0 });
  });

  it('and does not go with what was said meanwhile keeps refusing, and says why', async () => {
    const database: Database = new Map();
    const before = await BudgetEnforcer.open({}, new JsonStorage(database));
    before.createEnvelope({ ...LLM, id: 'e-1' });
    await before.flush();
    const enforcer = new BudgetEnforcer({}, new JsonStorage(database));
    enforcer.createEnvelope({ ...LLM, category: 'web', id: 'e-1' });
    await expect(enforcer.ready()).rejects.toMatchObject({
      cause: { message: expect.stringContaining('id "e-1" is the envelope') as string },
    });
    expect(enforcer.check('llm', 1)).toMatchObject({ permitted: false, reason: 'suspended' });
    expect(() => enforcer.record('llm', 1)).toThrow(StoreError);
  });

  it('and cannot be keeps refusing, says so, and is tried again when it is asked for', async () => {
    let broken = true;
    const storage = new JsonStorage(new Map(), () => {
      if (broken) throw new Error('connection refused to secret@host');
    });
    const enforcer = new BudgetEnforcer({}, storage);
    enforcer.createEnvelope(LLM);
    await expect(enforcer.ready()).rejects.toThrow(/could not be loaded/);
    await expect(enforcer.ready()).rejects.not.toThrow(/secret/);
    await expect(BudgetEnforcer.open({}, storage)).rejects.toThrow(StoreError);
    await expect(enforcer.flush()).rejects.toThrow(StoreError);
    expect(enforcer.check('llm', 1)).toMatchObject({ permitted: false });
    expect(() => enforcer.record('llm', 1)).toThrow(/could not be loaded/);
    broken = false;
    await enforcer.ready();
    expect(enforcer.check('llm', 1).permitted).toBe(true);
  });
});
