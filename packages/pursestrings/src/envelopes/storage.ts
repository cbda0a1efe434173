import type { PendingCommit, SpendingEnvelope, Transaction } from './types.ts';

/**
 * Where an enforcer keeps what must outlive the process: a database of the user's own. It is read
 * once, when it is handed over, and written behind every call, in order, one write at a time.
 * Dates may come back as ISO text. What is handed to it may carry more fields than its type names;
 * a storage that keeps them whole (as JSON does) restores more.
 *
 * An envelope that is replaced is saved under its new id and the same category; the storage may
 * go on listing the old one, for `getEnvelopeByCategory` tells which counts.
 *
 * @example
 * ```ts
 * import { BudgetEnforcer, MemoryStorage, type BudgetStorage } from 'pursestrings/envelopes';
 *
 * const storage: BudgetStorage = new MemoryStorage(); // or one of your own, over Redis or SQL
 * const enforcer = await BudgetEnforcer.open({}, storage);
 * enforcer.createEnvelope({ category: 'llm', limit: 10, period: 'daily' });
 * await enforcer.flush();
 * console.log((await storage.getEnvelopeByCategory('llm'))?.limit); // 10
 * ```
 */
export interface BudgetStorage {
  getEnvelope(id: string): Promise<SpendingEnvelope | null>;
  getEnvelopeByCategory(category: string): Promise<SpendingEnvelope | null>;
  saveEnvelope(envelope: SpendingEnvelope): Promise<void>;
  listEnvelopes(): Promise<readonly SpendingEnvelope[]>;
  saveTransaction(transaction: Transaction): Promise<void>;
  listTransactions(): Promise<readonly Transaction[]>;
  saveCommit(commit: PendingCommit): Promise<void>;
  getCommit(id: string): Promise<PendingCommit | null>;
  deleteCommit(id: string): Promise<void>;
  listCommits(): Promise<readonly PendingCommit[]>;
}

/** How a memory storage is made. */
export interface MemoryStorageOptions {
  /** How many transactions are kept at most; the oldest go first. Default 100,000. */
  readonly maxTransactions?: number;
}

/** Everything that a storage holds. */
export interface StoredBudget {
  readonly envelopes: readonly SpendingEnvelope[];
  readonly transactions: readonly Transaction[];
  readonly commits: readonly PendingCommit[];
}

/**
 * Keeps everything in memory, by copies. Enforcers that are given the same one share it, and find at
 * once what is in it.
 *
 * @example
 * ```ts
 * import { BudgetEnforcer, MemoryStorage } from 'pursestrings/envelopes';
 *
 * const storage = new MemoryStorage({ maxTransactions: 1_000 });
 * const enforcer = new BudgetEnforcer({}, storage);
 * enforcer.createEnvelope({ category: 'llm', limit: 10, period: 'daily' });
 * enforcer.record('llm', 8);
 * console.log(new BudgetEnforcer({}, storage).check('llm', 5).permitted); // false
 * ```
 */
export class MemoryStorage implements BudgetStorage {
  readonly #envelopes = new Map<string, SpendingEnvelope>();
  readonly #byCategory = new Map<string, string>();
  readonly #transactions = new Map<string, Transaction>();
  readonly #commits = new Map<string, PendingCommit>();
  readonly #maxTransactions: number;

  constructor(options: MemoryStorageOptions = {}) {
    this.#maxTransactions = options.maxTransactions ?? 100_000;
  }

  async getEnvelope(id: string): Promise<SpendingEnvelope | null> {
    return copyOf(this.#envelopes.get(id));
  }

  async getEnvelopeByCategory(category: string): Promise<SpendingEnvelope | null> {
    return copyOf(this.#envelopes.get(this.#byCategory.get(category) ?? ''));
  }

  async saveEnvelope(envelope: SpendingEnvelope): Promise<void> {
    const { id, category } = envelope;
    const replaced = this.#byCategory.get(category);
    if (replaced !== undefined && replaced !== id) this.#envelopes.delete(replaced);
    this.#byCategory.set(category, id);
    this.#envelopes.set(id, structuredClone(envelope));
  }

  async listEnvelopes(): Promise<readonly SpendingEnvelope[]> {
    return this.everything().envelopes;
  }

  async saveTransaction(transaction: Transaction): Promise<void> {
    this.#transactions.set(transaction.id, structuredClone(transaction));
    if (this.#transactions.size <= this.#maxTransactions) return;
    for (const oldest of this.#transactions.keys()) {
      this.#transactions.delete(oldest);
      return;
    }
  }

  async listTransactions(): Promise<readonly Transaction[]> {
    return this.everything().transactions;
  }

  async saveCommit(commit: PendingCommit): Promise<void> {
    this.#commits.set(commit.id, structuredClone(commit));
  }

  async getCommit(id: string): Promise<PendingCommit | null> {
    return copyOf(this.#commits.get(id));
  }

  async deleteCommit(id: string): Promise<void> {
    this.#commits.delete(id);
  }

  async listCommits(): Promise<readonly PendingCommit[]> {
    return this.everything().commits;
  }

  /**
   * True where writing is this class's own, and done when the call returns.
   *
   * @internal
   */
  get writesAtOnce(): boolean {
    const own = MemoryStorage.prototype;
    return (
      this.saveEnvelope === own.saveEnvelope &&
      this.saveTransaction === own.saveTransaction &&
      this.saveCommit === own.saveCommit &&
      this.deleteCommit === own.deleteCommit
    );
  }

  /**
   * All that it holds, without waiting.
   *
   * @internal
   */
  everything(): StoredBudget {
    return {
      envelopes: structuredClone([...this.#envelopes.values()]),
      transactions: structuredClone([...this.#transactions.values()]),
      commits: structuredClone([...this.#commits.values()]),
    };
  }
}

/** True for a memory storage that is read as this class reads: it can be read without waiting. */
export function isInMemory(storage: BudgetStorage): storage is MemoryStorage {
  const own = MemoryStorage.prototype;
  return (
    storage instanceof MemoryStorage &&
    storage.listEnvelopes === own.listEnvelopes &&
    storage.listTransactions === own.listTransactions &&
    storage.listCommits === own.listCommits &&
    storage.getEnvelopeByCategory === own.getEnvelopeByCategory
  );
}

function copyOf<T>(kept: T | undefined): T | null {
  return kept === undefined ? null : structuredClone(kept);
}
