import type { StoreError } from '../errors.ts';
import type { Labels } from '../ledger/labels.ts';
import { CATEGORY } from './envelope-limit.ts';
import type { EnvelopeLedger, LedgerWatcher } from './envelope-ledger.ts';
import type { StoredNames } from './namespace.ts';
import { type BudgetStorage, isInMemory } from './storage.ts';
import type { StoredEnvelope } from './stored.ts';
import type { PendingCommit, Transaction } from './types.ts';
import { WriteQueue } from './write-queue.ts';

/**
 * Keeps a storage up with a ledger. An envelope is written before what it was changed by, and a
 * commit goes after what it became: a crash between two writes may leave a line of history out, or
 * a commit that expires by itself, but never less spent than was.
 */
export class StorageMirror implements LedgerWatcher {
  readonly #storage: BudgetStorage;
  readonly #ledger: EnvelopeLedger;
  readonly #names: StoredNames;
  readonly #queue = new WriteQueue();
  /** Memory takes what it is given at once: there is nothing to wait for. */
  readonly #isDirect: boolean;
  /** Categories whose envelope waits to be written, as it will stand then. */
  readonly #waiting = new Set<string>();

  constructor(storage: BudgetStorage, ledger: EnvelopeLedger, names: StoredNames) {
    this.#storage = storage;
    this.#ledger = ledger;
    this.#names = names;
    this.#isDirect = isInMemory(storage) && storage.writesAtOnce;
  }

  get problem(): StoreError | null {
    return this.#queue.problem;
  }

  flush(): Promise<void> {
    return this.#queue.flush();
  }

  retry(): Promise<void> {
    return this.#queue.retry();
  }

  envelopeChanged(category: string): void {
    if (this.#waiting.has(category)) return;
    this.#waiting.add(category);
    this.#write(`the envelope of ${JSON.stringify(category)}`, async () => {
      this.#waiting.delete(category);
      await this.#storage.saveEnvelope(this.#envelope(category));
    });
  }

  committed(commit: PendingCommit): void {
    const stored = { ...commit, ...this.#named(commit) };
    this.#write('a commit', () => this.#storage.saveCommit(stored));
    this.envelopeChanged(commit.category);
  }

  recorded(transaction: Transaction): void {
    this.envelopeChanged(transaction.category);
    // The caller has the date too, before it is written.
    const timestamp = new Date(transaction.timestamp);
    const stored = { ...transaction, ...this.#named(transaction), timestamp };
    this.#write('a transaction', () => this.#storage.saveTransaction(stored));
  }

  resolved(commitId: string, category: string): void {
    if (this.#ledger.shelf.find(category) !== null) this.envelopeChanged(category);
    this.#write('the end of a commit', () => this.#storage.deleteCommit(commitId));
  }

  expired(commitId: string, labels: Labels): void {
    this.resolved(commitId, labels[CATEGORY] ?? '');
  }

  #write(what: string, run: () => Promise<unknown>): void {
    if (this.#isDirect) void run();
    else this.#queue.push(what, run);
  }

  #envelope(category: string): StoredEnvelope {
    const { shelf } = this.#ledger;
    const seen = shelf.requireSeen(category);
    const { period, sinceMs } = seen.envelope;
    const envelope = shelf.describe(seen);
    return {
      ...envelope,
      id: this.#names.write(envelope.id),
      category: this.#names.write(category),
      // The months of a period that began on the 31st cannot be counted from one that was clamped.
      ...(period === 'monthly' && { createdAt: new Date(sinceMs) }),
    };
  }

  #named({ category, envelopeId }: PendingCommit | Transaction): {
    readonly category: string;
    readonly envelopeId?: string;
  } {
    return {
      category: this.#names.write(category),
      ...(envelopeId !== undefined && { envelopeId: this.#names.write(envelopeId) }),
    };
  }
}
