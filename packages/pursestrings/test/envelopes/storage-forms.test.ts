import { describe, expect, it, test } from 'vitest';
import {
  BudgetEnforcer,
  type BudgetStorage,
  MemoryStorage,
  type PendingCommit,
  type SpendingEnvelope,
  type Transaction,
} from '../../src/envelopes/index.ts';
import { manualClock } from '../../src/testing/index.ts';

const LLM = { category: 'llm', limit: 10, period: 'daily' } as const;

describe('a memory storage', () => {
  it('is there at once, and holds copies', async () => {
    const storage = new MemoryStorage();
    const enforcer = new BudgetEnforcer({}, storage);
    const { id } = enforcer.createEnvelope(LLM);
    const { id: recorded } = enforcer.record('llm', 4);
    const { commitId } = enforcer.commit('llm', 5);
    expect(enforcer.check('llm', 2).permitted).toBe(false);
    expect(await storage.getEnvelope(id)).toMatchObject({ spent: 4, committed: 5 });
    expect(await storage.getEnvelopeByCategory('llm')).toMatchObject({ id });
    expect(await storage.getCommit(String(commitId))).toMatchObject({ amount: 5 });
    expect(await storage.listTransactions()).toMatchObject([{ id: recorded, amount: 4 }]);
    const listed = await storage.listEnvelopes();
    Object.assign(listed[0] ?? {}, { spent: 0 });
    expect(await storage.getEnvelope(id)).toMatchObject({ spent: 4 });
    expect(new BudgetEnforcer({}, storage).check('llm', 2).permitted).toBe(false);
    enforcer.createEnvelope(LLM);
    expect(await storage.listEnvelopes()).toHaveLength(1);
    expect(await storage.getEnvelope(id)).toBeNull();
    expect(await storage.getCommit('unknown')).toBeNull();
  });

  it('keeps the newest transactions, and may be extended', async () => {
    const saved: unknown[] = [];
    class Watched extends MemoryStorage {
      override async saveTransaction(transaction: Transaction): Promise<void> {
        saved.push(transaction.amount);
        return super.saveTransaction(transaction);
      }
    }
    const storage: BudgetStorage = new Watched({ maxTransactions: 2 });
    const enforcer = new BudgetEnforcer({}, storage);
    enforcer.createEnvelope(LLM);
    for (const amount of [1, 2, 3]) enforcer.record('llm', amount);
    await enforcer.flush();
    expect(saved).toEqual([1, 2, 3]);
    expect((await storage.listTransactions()).map(({ amount }) => amount)).toEqual([2, 3]);
  });
});

test('a storage of fixed columns restores what its columns hold', async () => {
  const rows = { envelopes: new Map(), transactions: new Map(), commits: new Map() };
  const pick = <T extends object>(from: T, fields: string[]): T =>
    Object.fromEntries(fields.map((field) => [field, Reflect.get(from, field)])) as T;
  const storage: BudgetStorage = {
    getEnvelope: async (id) => rows.envelopes.get(id) ?? null,
    getEnvelopeByCategory: async (category) =>
      [...rows.envelopes.values()].findLast((row: SpendingEnvelope) => row.category === category) ??
      null,
    saveEnvelope: async (envelope) => {
      const fields = ['id', 'category', 'limit', 'period', 'spent', 'committed', 'periodStart'];
      rows.envelopes.set(envelope.id, pick(envelope, [...fields, 'suspended']));
    },
    listEnvelopes: async () => [...rows.envelopes.values()],
    saveTransaction: async (transaction) => {
      const fields = ['id', 'category', 'amount', 'description', 'timestamp', 'envelopeId'];
      rows.transactions.set(transaction.id, pick(transaction, fields));
    },
    listTransactions: async () => [...rows.transactions.values()],
    saveCommit: async (commit: PendingCommit) => {
      rows.commits.set(commit.id, pick(commit, ['id', 'category', 'amount', 'createdAt']));
    },
    getCommit: async (id) => rows.commits.get(id) ?? null,
    deleteCommit: async (id) => void rows.commits.delete(id),
    listCommits: async () => [...rows.commits.values()],
  };
  const clock = manualClock();
  const before = await BudgetEnforcer.open({ clock }, storage);
  before.createEnvelope(LLM);
  before.record('llm', 4);
  before.commit('llm', 3);
  await before.flush();
  const copy = { ...storage };
  const after = await BudgetEnforcer.open({ clock }, copy);
  expect(after.listEnvelopes()).toEqual(before.listEnvelopes());
  expect(after.getTransactions()).toEqual(before.getTransactions());
});
