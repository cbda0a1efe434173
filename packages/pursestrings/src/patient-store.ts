import type { LedgerRecord } from './ledger/audit.ts';
import type { Policy } from './ledger/policy.ts';
import type { Applied, ChargeRecord, HoldRecord, Operation } from './ledger/records.ts';
import type { Total } from './ledger/report.ts';
import { askUntilAnswered, type Patience } from './patience.ts';
import {
  type BalancePage,
  type BalanceQuery,
  type Batches,
  type HoldQuery,
  isEmbedded,
  type JournalQuery,
  type LedgerScope,
  type LedgerStore,
  type Page,
  type TotalsQuery,
} from './stores/store.ts';

/**
 * A store that is reached over a network, asked with patience: what may be asked any number of times
 * is asked again while the store cannot be reached. Operations are not asked again here, for the
 * queue knows better: which of them, with which ids, and in which order.
 */
export class PatientStore implements LedgerStore {
  readonly name: string;
  readonly ledger: string;
  readonly batches: Batches;
  readonly #store: LedgerStore;
  readonly #patience: Patience;

  /** A store that is reached over a network gets patience; one inside the process needs none. */
  static on(store: LedgerStore, patience: Patience): LedgerStore {
    return isEmbedded(store) ? store : new PatientStore(store, patience);
  }

  /** The store itself, for what is to be asked once only. */
  static within(store: LedgerStore): LedgerStore {
    return store instanceof PatientStore ? store.#store : store;
  }

  constructor(store: LedgerStore, patience: Patience) {
    this.name = store.name;
    this.ledger = store.ledger;
    this.batches = store.batches ?? { size: 1024, inFlight: 1 };
    this.#store = store;
    this.#patience = patience;
  }

  forLedger(ledger: string): LedgerStore {
    return new PatientStore(this.#store.forLedger(ledger), this.#patience);
  }

  apply(operations: readonly Operation[], signal?: AbortSignal): Promise<Applied> {
    return this.#store.apply(operations, signal);
  }

  readBalances(query: BalanceQuery): Promise<BalancePage> {
    return this.#read(() => this.#store.readBalances(query));
  }

  readHolds(query: HoldQuery): Promise<Page<HoldRecord>> {
    return this.#read(() => this.#store.readHolds(query));
  }

  readJournal(query: JournalQuery): Promise<Page<ChargeRecord>> {
    return this.#read(() => this.#store.readJournal(query));
  }

  readTotals(query: TotalsQuery): Promise<readonly Total[]> {
    return this.#read(() => this.#store.readTotals(query));
  }

  readPolicy(): Promise<Policy> {
    return this.#read(() => this.#store.readPolicy());
  }

  /** Written at the first asking, it is found at the second under the revision it was to have. */
  writePolicy(policy: Policy, expectedRevision: number): Promise<Policy> {
    return this.#ask(() => this.#store.writePolicy(policy, expectedRevision));
  }

  readNote(key: string): Promise<string | null> {
    return this.#read(() => this.#store.readNote(key));
  }

  /**
   * The same note once more does no harm. An asking that hung may still arrive after a newer note was
   * written, and win: whoever keeps notes must bear with an old one.
   */
  writeNote(key: string, text: string | null, expiresAtMs: number): Promise<void> {
    return this.#ask(() => this.#store.writeNote(key, text, expiresAtMs));
  }

  /** A snapshot is not begun again: whoever reads it has read a part of it. */
  readLedger(scope?: LedgerScope): AsyncIterable<LedgerRecord> {
    return this.#store.readLedger(scope);
  }

  writeLedger(records: readonly LedgerRecord[], revision: number): Promise<boolean> {
    return this.#ask(() => this.#store.writeLedger(records, revision));
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #read<T>(call: () => Promise<T>): Promise<T> {
    return askUntilAnswered(call, this.#patience, 'STORE_UNAVAILABLE');
  }

  #ask<T>(call: () => Promise<T>): Promise<T> {
    return askUntilAnswered(call, this.#patience);
  }
}
