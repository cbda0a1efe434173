import { InvalidOptionError, StoreError } from '../errors.ts';
import { shown } from '../ledger/invalid.ts';
import { newId } from '../new-id.ts';
import { checkTtl, MAX_DESCRIPTION_LENGTH } from '../spend-options.ts';
import { checkAmount } from './amounts.ts';
import { type Backing, type EnforcerSettings, ledgerBacking, storageBacking } from './backing.ts';
import { checkConfig } from './envelope-limit.ts';
import { checkedNamespace } from './namespace.ts';
import type { BudgetStorage } from './storage.ts';
import type {
  BudgetCheckResult,
  BudgetEnforcerConfig,
  BudgetUtilization,
  CommitOptions,
  CommitResult,
  EnvelopeConfig,
  SpendingEnvelope,
  Transaction,
  TransactionFilter,
} from './types.ts';

/** A day: how long a commit lives that nobody releases or settles. */
const COMMIT_TTL_MS = 86_400_000;

/**
 * A synchronous budget: envelopes by category, each with a limit for a period that begins at its
 * creation and begins anew by itself. It stands on the ledger: a commit is a hold, a transaction is a
 * charge, and several enforcers on one `sqlite:` file are exact together.
 *
 * Amounts are exact to 8 decimals where the limit is at most 10,000,000, to 3 decimals up to
 * 1,000,000,000,000, and whole above; what is finer is rounded up in spends, and down in limits.
 * An amount is never negative, and at most 2^50 of these steps.
 *
 * @example
 * ```ts
 * import { BudgetEnforcer, BudgetExceededError } from 'pursestrings/envelopes';
 *
 * const enforcer = new BudgetEnforcer();
 * enforcer.createEnvelope({ category: 'llm', limit: 10, period: 'daily' });
 *
 * const commit = enforcer.commit('llm', 0.4);
 * if (!commit.permitted || commit.commitId === null) throw new BudgetExceededError(commit);
 * const cost = 0.31; // what the work really cost
 * enforcer.settle(commit.commitId, cost, 'completion');
 * console.log(enforcer.utilization('llm').available); // 9.69
 * ```
 */
export class BudgetEnforcer implements AsyncDisposable {
  readonly #backing: Backing;
  readonly #commitTtlMs: number;
  /** Categories that this object has made an envelope of: the next time it replaces it. */
  readonly #made = new Set<string>();
  #isClosed = false;

  /**
   * @param storage A storage of the user's own. It begins to be loaded at once; until `ready()`
   *   nothing is permitted and nothing can be recorded. Enforcers of one storage object and
   *   namespace share their envelopes, and go by the settings of the first.
   * @throws InvalidOptionError for a configuration that cannot be meant, StoreError for a file that
   *   cannot be opened.
   */
  constructor(config: BudgetEnforcerConfig = {}, storage?: BudgetStorage) {
    const settings = checkedSettings(config, storage);
    this.#commitTtlMs = settings.commitTtlMs;
    this.#backing =
      storage === undefined ? ledgerBacking(settings) : storageBacking(storage, settings);
  }

  /**
   * Makes an enforcer and waits until its storage is loaded. On a storage whose write has failed it
   * first writes what is missing; then every enforcer on it goes on.
   *
   * @throws InvalidOptionError, StoreError: the storage could not be read, or still not be written.
   */
  static async open<T extends BudgetEnforcer>(
    this: new (config?: BudgetEnforcerConfig, storage?: BudgetStorage) => T,
    config?: BudgetEnforcerConfig,
    storage?: BudgetStorage,
  ): Promise<T> {
    const enforcer = new this(config, storage);
    await enforcer.#backing.recover();
    return enforcer;
  }

  /** Waits until the storage is loaded. @throws StoreError when it cannot be; asked again, it tries again. */
  ready(): Promise<void> {
    return this.#backing.ready();
  }

  /** Waits until everything so far is in the storage. @throws StoreError when a write has failed. */
  flush(): Promise<void> {
    return this.#backing.flush();
  }

  /** Waits until everything is in the storage, then lets go of it and refuses work. @throws StoreError */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.flush();
    } finally {
      this.#backing.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Makes an envelope. One that the storage or the file holds already is adopted when this object
   * makes it for the first time: it keeps what was spent and committed, under the limit and the
   * period given now. A second time it is replaced by one that begins with nothing; commits of the
   * old one give back nothing to the new.
   *
   * @returns a copy. Before the storage is loaded it is what would be made on an empty one.
   * @throws InvalidAmountError, InvalidOptionError, StoreError
   */
  createEnvelope(config: EnvelopeConfig): SpendingEnvelope {
    checkConfig(config);
    const adopt = !this.#made.has(config.category);
    if (!this.#backing.isLoaded) return this.#createLater(config, adopt);
    const { ledger } = this.#working();
    const created = ledger.create(config, adopt);
    this.#made.add(config.category);
    return created;
  }

  /**
   * Says whether a spend would be permitted now. It changes nothing, and promises nothing.
   *
   * @throws InvalidAmountError
   */
  check(category: string, amount: number): BudgetCheckResult {
    checkAmount(amount);
    const problem = this.#problem();
    if (problem === null) return this.#backing.ledger.check(category, amount);
    const seen = this.#backing.isLoaded ? this.#backing.ledger.check(category, amount) : NOTHING;
    const permitted = false;
    return {
      ...seen,
      permitted,
      available: 0,
      requested: amount,
      reason: 'suspended',
      error: problem,
    };
  }

  /**
   * Records what was really spent, in full, whatever the limit says: it is never checked again.
   * Of a description the first 4,096 characters are kept.
   *
   * @throws InvalidAmountError, InvalidOptionError for a category without an envelope, StoreError:
   *   nothing was recorded.
   */
  record(category: string, amount: number, description?: string): Transaction {
    checkAmount(amount);
    return this.#working().ledger.record(category, amount, kept(description));
  }

  /**
   * Sets capacity aside until it is settled or released, or its time has passed. It belongs to the
   * period that it was taken in, also when the next has begun.
   *
   * @throws InvalidAmountError, InvalidOptionError
   */
  commit(category: string, amount: number, options: CommitOptions = {}): CommitResult {
    checkAmount(amount);
    const { ttlMs = this.#commitTtlMs } = options;
    checkTtl('ttlMs', ttlMs);
    const problem = this.#problem();
    if (problem === null) return this.#backing.ledger.commit(category, amount, ttlMs);
    const refusal = { permitted: false, commitId: null, available: 0, requested: amount };
    return { ...refusal, reason: 'suspended', error: problem };
  }

  /** Gives a commit back. An id that is not known, or was settled or released, changes nothing. */
  release(commitId: string): void {
    this.#assertOpen();
    if (typeof commitId !== 'string') return;
    this.#backing.whenLoaded(() => this.#backing.ledger.release(commitId));
  }

  /**
   * Records what a commit really cost and gives the rest back: `release` and `record` in one step,
   * between which nobody can take the capacity. Said again in the same words: the same transaction. After
   * the commit was released or has expired, the cost is recorded all the same, for seven days.
   *
   * @throws HoldNotFoundError for an id that is not known, ConflictError for another amount or another
   *   description than is recorded, InvalidAmountError, InvalidOptionError, StoreError
   */
  settle(commitId: string, actual: number, description?: string): Transaction {
    checkAmount(actual);
    return this.#working().ledger.settle(commitId, actual, kept(description));
  }

  /** Permits nothing more from an envelope. @throws InvalidOptionError for a category without one. */
  suspendEnvelope(category: string): void {
    this.#working().ledger.suspend(category);
  }

  /** Ends a suspension. @throws InvalidOptionError for a category without an envelope. */
  resumeEnvelope(category: string): void {
    this.#working().ledger.resume(category);
  }

  /** How far an envelope is used: a copy. @throws InvalidOptionError for a category without one. */
  utilization(category: string): BudgetUtilization {
    return this.#loaded().ledger.utilization(category);
  }

  /** The envelopes that count, as copies. */
  listEnvelopes(): readonly SpendingEnvelope[] {
    return this.#loaded().ledger.list();
  }

  /** What was recorded, the oldest first, as copies. @throws InvalidOptionError, InvalidAmountError */
  getTransactions(filter: TransactionFilter = {}): readonly Transaction[] {
    return this.#loaded().ledger.transactions(filter);
  }

  #createLater(config: EnvelopeConfig, adopt: boolean): SpendingEnvelope {
    this.#assertOpen();
    const { id = newId(), category, limit, period } = config;
    this.#made.add(category);
    const { ledger } = this.#backing;
    this.#backing.whenLoaded(() => ledger.create(config, adopt, id));
    const periodStart = new Date(ledger.spending.now());
    return { id, category, limit, period, spent: 0, committed: 0, periodStart, suspended: false };
  }

  /** Why nothing is permitted now. */
  #problem(): StoreError | null {
    this.#assertOpen();
    return this.#backing.problem;
  }

  /** @throws StoreError while nothing can be kept. */
  #working(): Backing {
    const problem = this.#problem();
    if (problem !== null) throw problem;
    return this.#backing;
  }

  /** @throws StoreError while nothing is known. */
  #loaded(): Backing {
    const problem = this.#problem();
    if (problem !== null && !this.#backing.isLoaded) throw problem;
    return this.#backing;
  }

  #assertOpen(): void {
    if (!this.#isClosed) return;
    throw new StoreError(
      'STORE_UNAVAILABLE',
      'closed',
      'This enforcer is closed; make another with new BudgetEnforcer()',
    );
  }
}

/** What is known before a storage is loaded. */
const NOTHING = { limit: 0, spent: 0, committed: 0 };

/** A description as it is kept: a spend is not lost because somebody has said too much of it. */
function kept(description: string | undefined): string | undefined {
  if (description === undefined) return undefined;
  if (typeof description === 'string') {
    return description.slice(0, MAX_DESCRIPTION_LENGTH).toWellFormed();
  }
  throw new InvalidOptionError(`description is ${shown(description)}; it must be text`);
}

const STORAGE_METHODS = [
  'getEnvelopeByCategory',
  'saveEnvelope',
  'listEnvelopes',
  'saveTransaction',
  'listTransactions',
  'saveCommit',
  'deleteCommit',
  'listCommits',
] as const;

function checkedSettings(
  config: BudgetEnforcerConfig,
  storage: BudgetStorage | undefined,
): EnforcerSettings {
  if (typeof config !== 'object' || config === null) {
    throw new InvalidOptionError(`config is ${shown(config)}; it must be an object, such as {}`);
  }
  const { commitTtlMs = COMMIT_TTL_MS, maxTransactions = 100_000, timeZone = 'UTC' } = config;
  checkTtl('commitTtlMs', commitTtlMs);
  if (!Number.isInteger(maxTransactions) || maxTransactions < 1 || maxTransactions > 10_000_000) {
    throw new InvalidOptionError(
      `maxTransactions is ${shown(maxTransactions)}; it must be a whole number from 1 to 10000000`,
    );
  }
  if (storage !== undefined) checkStorage(storage, config.store);
  const namespace = checkedNamespace(config.namespace);
  const { store = 'memory:', clock } = config;
  return { commitTtlMs, maxTransactions, timeZone, namespace, store, clock };
}

function checkStorage(storage: BudgetStorage, store: string | undefined): void {
  if (store !== undefined) {
    throw new InvalidOptionError(
      `A storage and store ${shown(store)} are both given; an enforcer keeps its envelopes in one place`,
    );
  }
  const missing = STORAGE_METHODS.find((name) => typeof storage?.[name] !== 'function');
  if (missing !== undefined) {
    throw new InvalidOptionError(`The storage has no ${missing}(); it must be a BudgetStorage`);
  }
}
