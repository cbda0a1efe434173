import { contended, MAX_PLANS } from '../asking.ts';
import type { Denial } from '../denial.ts';
import type { EmbeddedSpending } from '../embedded-spending.ts';
import { ConflictError, HoldNotFoundError } from '../errors.ts';
import type { ChargeRecord, HoldRecord } from '../ledger/records.ts';
import { amountOf, asFarAsCounted, spendIn } from './amounts.ts';
import { CATEGORY, ENVELOPE } from './envelope-limit.ts';
import { EnvelopeMaking } from './envelope-making.ts';
import { availableIn, decimalIn, EnvelopeShelf } from './envelope-shelf.ts';
import { toTransaction, transactionBy, transactionsOf } from './transactions.ts';
import type {
  BudgetCheckResult,
  BudgetUtilization,
  CheckReason,
  CommitResult,
  EnvelopeConfig,
  PendingCommit,
  SpendingEnvelope,
  Transaction,
  TransactionFilter,
} from './types.ts';

/** Is told of what changes, so that it can be kept elsewhere too. */
export interface LedgerWatcher {
  envelopeChanged(category: string): void;
  committed(commit: PendingCommit): void;
  recorded(transaction: Transaction): void;
  /** A commit is settled, released or expired. */
  resolved(commitId: string, category: string): void;
}

/**
 * Envelopes by category, on a ledger: each is a limit for the spends that carry its labels, a commit
 * is a hold, a transaction is a charge, and a suspension is a freeze. It does no arithmetic of its own.
 */
export class EnvelopeLedger {
  readonly spending: EmbeddedSpending;
  readonly shelf: EnvelopeShelf;
  readonly #making: EnvelopeMaking;
  #watcher: LedgerWatcher | null = null;

  /** @param isShared Others may change the policy too. */
  constructor(spending: EmbeddedSpending, isShared: boolean, timeZone: string) {
    this.spending = spending;
    this.shelf = new EnvelopeShelf(spending, isShared);
    this.#making = new EnvelopeMaking(spending, this.shelf, timeZone);
  }

  /** From now on this one is told of every change. */
  watchedBy(watcher: LedgerWatcher): void {
    this.#watcher = watcher;
  }

  /**
   * Makes, adopts or replaces an envelope: see `EnvelopeMaking`.
   *
   * @param newId The id of one that is made, when the configuration names none.
   */
  create(config: EnvelopeConfig, adopt: boolean, newId?: string): SpendingEnvelope {
    const changed = this.#making.make(config, adopt, newId);
    this.#watcher?.envelopeChanged(config.category);
    for (const hold of changed) this.#watcher?.committed(pendingCommit(hold, this.spending.now()));
    return this.shelf.describe(this.shelf.requireSeen(config.category));
  }

  check(category: string, amount: number): BudgetCheckResult {
    const seen = this.shelf.look(category, amount);
    if (seen === null) return { ...NO_ENVELOPE, requested: amount };
    const { envelope, own, looked } = seen;
    const isCounted = asFarAsCounted(amount, envelope.unit) === amount;
    const reason = reasonFor(looked.denials[0], isCounted);
    return {
      permitted: reason === 'within_budget',
      available: reason === 'suspended' ? 0 : availableIn(looked.standings),
      requested: amount,
      limit: envelope.limit,
      spent: decimalIn(own.spent, envelope),
      committed: decimalIn(own.held, envelope),
      reason,
    };
  }

  commit(category: string, amount: number, ttlMs: number): CommitResult {
    for (let attempt = 0; attempt < MAX_PLANS; attempt += 1) {
      const envelope = this.shelf.find(category);
      const isCounted = envelope !== null && asFarAsCounted(amount, envelope.unit) === amount;
      if (!isCounted) return refused(this.check(category, amount));
      const amounts = { [envelope.unit]: amount };
      const reserved = this.spending.reserve(amounts, envelope.labels, { ttlMs });
      if (reserved.ok) {
        const isOurs = reserved.hold.lines.some(({ terms }) => terms.limit === envelope.limitName);
        if (isOurs) return this.#committed(reserved.hold, amount, ttlMs);
        // Replaced by another process since it was found: other limits alone have let it pass.
        this.spending.release(reserved.hold.id);
        continue;
      }
      const [denial] = reserved.denials;
      // The same, and its labels lead to no limit any more.
      if (denial.reason === 'uncovered') continue;
      const available = Math.min(...reserved.denials.map((each) => each.available));
      return refused({ requested: amount, available, reason: reasonFor(denial, true) });
    }
    throw contended();
  }

  /** @throws InvalidOptionError for a category that has no envelope; what `charge` throws. */
  record(category: string, amount: number, description: string | undefined): Transaction {
    const { unit, labels } = this.shelf.require(category);
    return this.#recorded(this.spending.post(spendIn(unit, amount), labels, description));
  }

  /** Gives a commit back. One that is not known, or was resolved, is left as it is. */
  release(commitId: string): void {
    const hold = this.#watcher === null ? null : this.spending.find(commitId);
    try {
      this.spending.release(commitId);
    } catch (error) {
      if (HoldNotFoundError.isInstance(error) || ConflictError.isInstance(error)) return;
      throw error;
    }
    if (hold !== null) this.#watcher?.resolved(commitId, hold.labels.labels[CATEGORY] ?? '');
  }

  /** Records what a commit really cost, and gives the rest of it back, in one step. */
  settle(commitId: string, actual: number, description: string | undefined): Transaction {
    const hold = this.spending.find(commitId);
    const unit = hold?.amounts[0]?.unit;
    if (hold === null || unit === undefined) {
      throw new HoldNotFoundError(
        commitId,
        `No commit ${JSON.stringify(commitId)} is known; record what was spent with record()`,
      );
    }
    const said = description === undefined ? {} : { description };
    const charge = this.spending.settle(hold, { [unit]: actual }, said);
    const transaction = transactionBy(charge);
    if (charge.replayed) return transaction;
    this.#watcher?.recorded(transaction);
    this.#watcher?.resolved(commitId, transaction.category);
    return transaction;
  }

  suspend(category: string): void {
    this.#making.suspend(this.shelf.require(category));
    this.#watcher?.envelopeChanged(category);
  }

  resume(category: string): void {
    this.#making.resume(this.shelf.require(category));
    this.#watcher?.envelopeChanged(category);
  }

  utilization(category: string): BudgetUtilization {
    const seen = this.shelf.requireSeen(category);
    const { id, limit, spent, committed, period, periodStart, suspended } =
      this.shelf.describe(seen);
    const { own, looked } = seen;
    return {
      category,
      envelopeId: id,
      limit,
      spent,
      committed,
      available: suspended ? 0 : availableIn(looked.standings),
      utilizationPercent: ((own.spent + own.held) * 100) / own.line.terms.capSteps,
      period,
      periodStart,
      suspended,
    };
  }

  list(): SpendingEnvelope[] {
    return this.shelf.all().flatMap(({ category }) => {
      const seen = this.shelf.look(category, 0);
      return seen === null ? [] : [this.shelf.describe(seen)];
    });
  }

  transactions(filter: TransactionFilter): Transaction[] {
    return transactionsOf(this.spending, filter);
  }

  #committed(hold: HoldRecord, requested: number, ttlMs: number): CommitResult {
    const { id, expiresAtMs, lines } = hold;
    this.#watcher?.committed(pendingCommit(hold, expiresAtMs - ttlMs));
    const standings = lines.map(({ terms, envelope }) => {
      return { line: { terms }, spent: envelope.spent, held: envelope.held };
    });
    const available = availableIn(standings);
    return { permitted: true, commitId: id, available, requested, reason: 'within_budget' };
  }

  #recorded(row: ChargeRecord): Transaction {
    const transaction = toTransaction(row);
    this.#watcher?.recorded(transaction);
    return transaction;
  }
}

/** A hold as a storage keeps it. */
function pendingCommit(hold: HoldRecord, createdAtMs: number): PendingCommit {
  const { id, amounts, labels, expiresAtMs } = hold;
  const { [CATEGORY]: category = '', [ENVELOPE]: envelopeId = '' } = labels.labels;
  return {
    id,
    category,
    amount: amountOf(amounts),
    createdAt: new Date(createdAtMs),
    envelopeId,
    expiresAt: new Date(expiresAtMs),
  };
}

/** What is said of a category that has no envelope. */
const NO_ENVELOPE: Omit<BudgetCheckResult, 'requested'> = {
  permitted: false,
  available: 0,
  limit: 0,
  spent: 0,
  committed: 0,
  reason: 'no_envelope',
};

function refused({
  available,
  requested,
  reason,
}: Pick<CommitResult, 'available' | 'requested' | 'reason'>): CommitResult {
  const left = reason === 'suspended' ? 0 : available;
  return { permitted: false, commitId: null, available: left, requested, reason };
}

/** @param isCounted False for an amount that is too large to be counted: it fits nowhere. */
function reasonFor(denial: Denial | undefined, isCounted: boolean): CheckReason {
  if (denial?.reason === 'frozen') return 'suspended';
  return denial === undefined && isCounted ? 'within_budget' : 'exceeds_budget';
}
