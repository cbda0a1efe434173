import { type Clock, systemClock } from '../clock.ts';
import { StoreError } from '../errors.ts';
import { applyOperation, expire } from '../ledger/apply.ts';
import type { LedgerRecord } from '../ledger/audit.ts';
import { carries } from '../ledger/labels.ts';
import { EMPTY_POLICY, type Policy } from '../ledger/policy.ts';
import type {
  Answer,
  Applied,
  ChargeRecord,
  Envelope,
  Expiry,
  HoldRecord,
  Operation,
} from '../ledger/records.ts';
import type { Total } from '../ledger/report.ts';
import { MemoryBook } from './memory/book.ts';
import { MemoryNotes } from './memory/notes.ts';
import { checkRetention } from './retention.ts';
import {
  type BalancePage,
  type BalanceQuery,
  type EmbeddedStore,
  type HoldQuery,
  type JournalQuery,
  type LedgerScope,
  MAX_DUE_PER_APPLY,
  MAX_PAGE_SIZE,
  type Page,
  type Retention,
  type TotalsQuery,
} from './store.ts';

/** How a memory store is made. */
export interface MemoryOptions extends Retention {
  /** The time that the ledger goes by. Default: the process's clock. */
  readonly clock?: Clock;
}

/**
 * Makes a store that lives and ends with this process. The journal lists the newest 1,000,000
 * charges unless `maxCharges` says otherwise; older ones stay counted in their envelopes.
 *
 * @throws InvalidOptionError for an option that cannot be meant.
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { memory } from 'pursestrings/stores/memory';
 *
 * const purse = await openPurse({ store: memory(), limits: [{ name: 'all', cap: { usd: 10 } }] });
 * await purse.close();
 * ```
 */
export function memory(options: MemoryOptions = {}): EmbeddedStore {
  checkRetention(options);
  return new MemoryStore('default', options, { ledgers: new Map(), closed: false });
}

/** One ledger's pages, its notes and its policy. */
interface Ledger {
  readonly book: MemoryBook;
  readonly notes: MemoryNotes;
  policy: Policy;
  changes: number;
}

/** What the stores of all ledgers in one memory share. */
interface Shared {
  readonly ledgers: Map<string, Ledger>;
  closed: boolean;
}

class MemoryStore implements EmbeddedStore {
  readonly name = 'memory';
  readonly batching = 'none';
  readonly ledger: string;
  readonly #options: MemoryOptions;
  readonly #clock: Clock;
  readonly #shared: Shared;
  readonly #mine: Ledger;

  constructor(ledger: string, options: MemoryOptions, shared: Shared) {
    this.ledger = ledger;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#shared = shared;
    const standing = shared.ledgers.get(ledger);
    this.#mine = standing ?? {
      book: new MemoryBook(options),
      notes: new MemoryNotes(),
      policy: EMPTY_POLICY,
      changes: 0,
    };
    shared.ledgers.set(ledger, this.#mine);
  }

  /** The pages of the ledger, as long as the store is open. */
  get #book(): MemoryBook {
    if (this.#shared.closed) throw storeClosed();
    return this.#mine.book;
  }

  /** The notes of the ledger, as long as the store is open. */
  get #notes(): MemoryNotes {
    if (this.#shared.closed) throw storeClosed();
    return this.#mine.notes;
  }

  forLedger(ledger: string): EmbeddedStore {
    return new MemoryStore(ledger, this.#options, this.#shared);
  }

  now(): number {
    return this.#clock.now();
  }

  changeCount(): number {
    return this.#mine.changes;
  }

  applySync(operations: readonly Operation[]): Applied {
    const nowMs = this.#clock.now();
    const book = this.#book;
    const expiries: Expiry[] = [];
    for (let count = 0; count < MAX_DUE_PER_APPLY; count += 1) {
      const due = book.takeDueHold(nowMs);
      if (due === undefined) break;
      expiries.push(expire(due, book, nowMs));
    }
    const answers = applyAll(operations, book, nowMs, expiries);
    book.forget(nowMs);
    if (operations.length + expiries.length > 0) this.#mine.changes += 1;
    return { answers, expiries, nowMs };
  }

  applyAtOnce(operations: readonly Operation[]): Applied {
    return this.applySync(operations);
  }

  readBalancesSync(query: BalanceQuery): BalancePage {
    const { items, next } = this.#book.envelopes(query, pageSize(query));
    const envelopes = items.map((envelope): Envelope => ({ ...envelope }));
    return { items: envelopes, next, revision: this.#mine.policy.revision, nowMs: this.now() };
  }

  readHoldsSync(query: HoldQuery): Page<HoldRecord> {
    if (query.id !== undefined) {
      const hold = this.#book.findHold(query.id);
      return { items: hold === undefined ? [] : [{ ...hold }], next: null };
    }
    const { after } = query;
    const rest = this.#book.openHolds().filter(({ id }) => after === undefined || id > after);
    const items = rest.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, pageSize(query));
    const next = items.length < rest.length ? (items.at(-1)?.id ?? null) : null;
    return { items: items.map((hold) => ({ ...hold })), next };
  }

  readJournalSync(query: JournalQuery): Page<ChargeRecord> {
    const size = pageSize(query);
    const step = query.order === 'oldest' ? 1 : -1;
    const { journal } = this.#book;
    const lastPlace = journal.firstPlace + journal.length - 1;
    let place = step > 0 ? journal.firstPlace : lastPlace;
    if (query.after !== undefined) place = Number(query.after) + step;
    if (step > 0) place = Math.max(place, journal.firstPlace);
    const items: ChargeRecord[] = [];
    for (; items.length < size; place += step) {
      const charge = journal.at(place);
      if (charge === undefined) return { items, next: null };
      if (matches(charge, query)) items.push(charge);
    }
    return { items, next: String(place - step) };
  }

  readTotalsSync(query: TotalsQuery): readonly Total[] {
    return this.#book.totals(query);
  }

  readPolicySync(): Policy {
    return this.#mine.policy;
  }

  writePolicySync(policy: Policy, expectedRevision: number): Policy {
    if (this.#mine.policy.revision === expectedRevision) {
      const revision = expectedRevision + 1;
      this.#mine.policy = { ...structuredClone(policy), revision };
      this.#book.revision = revision;
      this.#mine.changes += 1;
    }
    return this.#mine.policy;
  }

  async *readLedger(scope: LedgerScope = 'balances'): AsyncIterable<LedgerRecord> {
    yield* this.#book.snapshot(scope);
  }

  writeLedger(records: readonly LedgerRecord[], revision: number): Promise<boolean> {
    return settled(() => this.writeLedgerSync(records, revision));
  }

  writeLedgerSync(records: readonly LedgerRecord[], revision: number): boolean {
    const book = this.#book;
    if (this.#mine.policy.revision !== revision) return false;
    for (const record of records) book.write(record);
    this.#mine.changes += 1;
    return true;
  }

  apply(operations: readonly Operation[]): Promise<Applied> {
    return settled(() => this.applySync(operations));
  }

  readBalances(query: BalanceQuery): Promise<BalancePage> {
    return settled(() => this.readBalancesSync(query));
  }

  readHolds(query: HoldQuery): Promise<Page<HoldRecord>> {
    return settled(() => this.readHoldsSync(query));
  }

  readJournal(query: JournalQuery): Promise<Page<ChargeRecord>> {
    return settled(() => this.readJournalSync(query));
  }

  readTotals(query: TotalsQuery): Promise<readonly Total[]> {
    return settled(() => this.readTotalsSync(query));
  }

  readPolicy(): Promise<Policy> {
    return settled(() => this.readPolicySync());
  }

  writePolicy(policy: Policy, expectedRevision: number): Promise<Policy> {
    return settled(() => this.writePolicySync(policy, expectedRevision));
  }

  readNote(key: string): Promise<string | null> {
    return settled(() => this.#notes.read(key, this.now()));
  }

  writeNote(key: string, text: string | null, expiresAtMs: number): Promise<void> {
    return settled(() => this.#notes.write(key, text, expiresAtMs, this.now()));
  }

  /** Lets go of what it holds, for every ledger of this store. */
  async close(): Promise<void> {
    this.#shared.closed = true;
    this.#shared.ledgers.clear();
  }
}

/** Mostly there is one operation, and a list of one is made in one piece. */
function applyAll(
  operations: readonly Operation[],
  book: MemoryBook,
  nowMs: number,
  expiries: Expiry[],
): readonly Answer[] {
  const [only] = operations;
  if (only === undefined) return NONE;
  if (operations.length === 1) return [applyOperation(only, book, nowMs, expiries)];
  return operations.map((operation) => applyOperation(operation, book, nowMs, expiries));
}

const NONE: readonly never[] = [];

function storeClosed(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'closed',
    'This memory store was closed, and what it held is gone; make another with memory()',
  );
}

/** The answer of a synchronous call as a promise: what it throws becomes a rejection. */
async function settled<T>(call: () => T): Promise<T> {
  return call();
}

function pageSize(query: { readonly size?: number }): number {
  return Math.min(query.size ?? MAX_PAGE_SIZE, MAX_PAGE_SIZE);
}

/** True when a charge is one that a query asks for. */
export function matches(charge: ChargeRecord, query: JournalQuery): boolean {
  if (query.sinceMs !== undefined && charge.atMs < query.sinceMs) return false;
  if (query.untilMs !== undefined && charge.atMs >= query.untilMs) return false;
  return query.labels === undefined || carries(charge.labels.labels, query.labels);
}
