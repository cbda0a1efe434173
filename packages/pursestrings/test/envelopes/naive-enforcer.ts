import { randomUUID } from 'node:crypto';
import type { Clock } from '../../src/index.ts';
import type {
  BudgetCheckResult,
  BudgetStorage,
  BudgetUtilization,
  CommitResult,
  EnvelopeConfig,
  SpendingEnvelope,
  Transaction,
} from '../../src/envelopes/index.ts';

const PERIOD_MS = {
  hourly: 3_600_000,
  daily: 86_400_000,
  weekly: 604_800_000,
  monthly: 30 * 86_400_000,
  total: Number.POSITIVE_INFINITY,
};

/** An enforcer as one writes it on a first afternoon: every failure that is tested for is in it. */
export class NaiveEnforcer {
  readonly #clock: Clock;
  readonly #storage: BudgetStorage | undefined;
  readonly #envelopes = new Map<string, SpendingEnvelope>();
  readonly #idByCategory = new Map<string, string>();
  readonly #commits = new Map<string, { readonly category: string; readonly amount: number }>();
  readonly #transactions: Transaction[] = [];

  constructor(clock: Clock, storage?: BudgetStorage) {
    this.#clock = clock;
    this.#storage = storage;
  }

  createEnvelope({ id = randomUUID(), ...config }: EnvelopeConfig): SpendingEnvelope {
    const periodStart = new Date(this.#clock.now());
    const envelope = { id, ...config, spent: 0, committed: 0, periodStart, suspended: false };
    this.#envelopes.set(id, envelope);
    this.#idByCategory.set(config.category, id);
    void this.#storage?.saveEnvelope(envelope);
    return { ...envelope };
  }

  check(category: string, amount: number): BudgetCheckResult {
    const { limit, spent, committed } = this.#envelope(category);
    const available = limit - spent - committed;
    const permitted = !(amount > available);
    const reason = permitted ? 'within_budget' : 'exceeds_budget';
    return { permitted, available, requested: amount, limit, spent, committed, reason };
  }

  record(category: string, amount: number): Transaction {
    const envelope = this.#envelope(category);
    envelope.spent += amount;
    const timestamp = new Date(this.#clock.now());
    const transaction = { id: randomUUID(), category, amount, timestamp, envelopeId: envelope.id };
    this.#transactions.push(transaction);
    void this.#storage?.saveTransaction(transaction);
    return { ...transaction };
  }

  commit(category: string, amount: number): CommitResult {
    const { permitted, available, reason } = this.check(category, amount);
    const refused = { permitted, commitId: null, available, requested: amount, reason };
    if (!permitted) return refused;
    const commitId = randomUUID();
    this.#envelope(category).committed += amount;
    this.#commits.set(commitId, { category, amount });
    return { ...refused, commitId, available: available - amount };
  }

  release(commitId: string): void {
    const commit = this.#commits.get(commitId);
    if (commit === undefined) return;
    const envelope = this.#envelope(commit.category);
    envelope.committed = Math.max(0, envelope.committed - commit.amount);
    this.#commits.delete(commitId);
  }

  settle(commitId: string, actual: number): Transaction {
    const commit = this.#commits.get(commitId);
    if (commit === undefined) throw new Error('no such commit');
    this.release(commitId);
    return this.record(commit.category, actual);
  }

  utilization(category: string): BudgetUtilization {
    const envelope = this.#envelope(category);
    const { limit, spent, committed } = envelope;
    const available = limit - spent - committed;
    const utilizationPercent = ((spent + committed) / limit) * 100;
    return { ...envelope, envelopeId: envelope.id, available, utilizationPercent };
  }

  listEnvelopes(): readonly SpendingEnvelope[] {
    return [...this.#envelopes.values()].map((envelope) => ({ ...envelope }));
  }

  getTransactions(): readonly Transaction[] {
    return this.#transactions;
  }

  #envelope(category: string): SpendingEnvelope {
    const envelope = this.#envelopes.get(this.#idByCategory.get(category) ?? '');
    if (envelope === undefined) throw new Error(`no envelope for ${category}`);
    const lengthMs = PERIOD_MS[envelope.period];
    const periods = Math.floor((this.#clock.now() - envelope.periodStart.getTime()) / lengthMs);
    if (periods > 0) {
      envelope.spent = 0;
      envelope.committed = 0;
      envelope.periodStart = new Date(envelope.periodStart.getTime() + periods * lengthMs);
    }
    return envelope;
  }
}
