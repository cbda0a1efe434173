/**
 * The contract of a store, and the words of the ledger.
 *
 * | word | meaning |
 * |---|---|
 * | amount | how much of one unit: a decimal at the edge, a whole number of steps in here |
 * | amounts | one spend's amounts by unit |
 * | unit | what is counted: `usd`, `sats`, `tokens`, `calls`, `slots` or the user's own |
 * | labels | who and what a spend is for |
 * | limit | a rule: at most so much, per period, for spends that match, each X separately |
 * | period, window | the rule (`day`, in a time zone), and one concrete interval of it |
 * | envelope | one balance under a limit: `spent`, `held`, `available` |
 * | line | one unit of a spend against one limit that matches it |
 * | terms | the cap, mode and warnings that a line was planned with |
 * | hold | money set aside before the work; resolved exactly once |
 * | charge | recorded spend; immutable |
 * | journal | the append-only list of charges |
 * | denial | a refusal, as data |
 * | note | a small text that is kept beside a ledger until a time; no part of its balances |
 * | overrun, late | a charge that passed a cap; a charge settled after its hold was resolved otherwise |
 * | store | where a ledger lives |
 *
 * The core decides *what* (a plan: lines, amounts, caps, windows, ids); a store decides *whether*,
 * in one atomic step, and applies it.
 */
import type { LedgerRecord } from '../ledger/audit.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Policy } from '../ledger/policy.ts';
import type { Applied, ChargeRecord, Envelope, HoldRecord, Operation } from '../ledger/records.ts';
import type { Total } from '../ledger/report.ts';

/** Where ledgers live. Every method is required: safety never hangs on an optional one. */
export interface LedgerStore {
  /** What kind of store it is, for people: `memory`, `sqlite`. */
  readonly name: string;
  /** The name of the ledger that this store object reads and writes. */
  readonly ledger: string;
  /** How a store outside the process is best asked; a hint, and not needed for safety. */
  readonly batches?: Batches;
  /** The same store, another ledger in it: they share a connection and nothing else. */
  forLedger(ledger: string): LedgerStore;
  /**
   * Applies operations in order, each atomic on its own, in one round trip; one failing never
   * fails its neighbours. Resolves due holds first, at most `MAX_DUE_PER_APPLY`, also when there are no
   * operations. All or none of a batch is durable when the answer comes.
   *
   * A `rename` moves no balance: in one step the hold's record is released without freeing what it
   * holds, and the same lines are held under the new id. Nobody may ever see both of them open, or
   * neither. It is answered `held`, as a reserve is, or `conflict` with what stands under either id.
   *
   * A batch whose answer was lost is asked again with the same ids, none of them `fresh` any more, and
   * happens once. It may also arrive twice, with the repetition first: a store that is reached over a
   * network looks up the ids of `fresh` operations too.
   *
   * @param signal Aborts when nobody waits for the answer any longer: a store drops a connection of
   *   its own on which the call hangs, so that the next call does not hang on it too.
   * @throws StoreError `STORE_UNAVAILABLE`: nothing was written, and none of it ever will be;
   *   `OUTCOME_UNKNOWN`: it may have been, or may still be. `retryable` says whether asking again may help.
   */
  apply(operations: readonly Operation[], signal?: AbortSignal): Promise<Applied>;
  /**
   * Reads envelopes, in an order that stays while they are paged through.
   *
   * @param signal As that of `apply`; all that follows takes one too.
   */
  readBalances(query: BalanceQuery, signal?: AbortSignal): Promise<BalancePage>;
  /** Reads holds in the order of their ids. */
  readHolds(query: HoldQuery, signal?: AbortSignal): Promise<Page<HoldRecord>>;
  /** Reads the journal in the order of time. */
  readJournal(query: JournalQuery, signal?: AbortSignal): Promise<Page<ChargeRecord>>;
  /** Adds up the running totals of a span of whole quarter-hours, by label set. */
  readTotals(query: TotalsQuery, signal?: AbortSignal): Promise<readonly Total[]>;
  /**
   * Reads every envelope, then every open hold and every journal row, in one snapshot. Lines of
   * envelopes that were forgotten with their windows are left out.
   *
   * `'whole'`: also the resolved holds that are still remembered and, last, every running total; and
   * the journal in its order, the oldest first.
   */
  readLedger(scope?: LedgerScope, signal?: AbortSignal): AsyncIterable<LedgerRecord>;
  /**
   * Writes records of another ledger as they are, for `importLedger`: it decides nothing, adds
   * nothing up and resolves nothing, so that a charge moves no envelope and no total. All of a call
   * is written, or nothing. At most `MAX_WRITTEN_AT_ONCE` records.
   *
   * A record that stands already (an envelope of the key, a hold or a charge of the id, a total of
   * the span and labels) is replaced by its like, so that a call may be repeated. Lines name
   * their envelope by its `key`; one that was never written is left out. Charges come in the order of
   * the journal, and keep it where their times are the same.
   *
   * @param revision What the policy's revision must be. Where it is another, nothing is written and
   *   the answer is `false`: a repetition that comes late must not overwrite a ledger in use.
   */
  writeLedger(
    records: readonly LedgerRecord[],
    revision: number,
    signal?: AbortSignal,
  ): Promise<boolean>;
  readPolicy(signal?: AbortSignal): Promise<Policy>;
  /**
   * Replaces the policy when its revision is still the expected one, and counts it up; else
   * changes nothing. Either way it answers with the policy that stands.
   */
  writePolicy(policy: Policy, expectedRevision: number, signal?: AbortSignal): Promise<Policy>;
  /**
   * Reads a note; `null` when there is none, or its time is past by the store's clock.
   *
   * @param key 1 to 256 characters of Unicode text.
   */
  readNote(key: string, signal?: AbortSignal): Promise<string | null>;
  /**
   * Keeps a note until a time, in place of the one that had its key; `null` takes it away, and so
   * does a time that is past. The writing that arrives last wins: a repetition that comes late may
   * put an older note in the place of a newer one.
   *
   * Notes are caches. They touch no balance, are in no snapshot and no export, and may be gone
   * before their time: of more than `MAX_NOTES` in a ledger those that expire first go, where a
   * store does not let go of each by itself when its time is past.
   *
   * @param key 1 to 256 characters of Unicode text. Notes of other keys and other ledgers stay.
   * @param text At most 65,536 characters of Unicode text.
   * @param expiresAtMs A whole number, at most 400 days from now.
   */
  writeNote(
    key: string,
    text: string | null,
    expiresAtMs: number,
    signal?: AbortSignal,
  ): Promise<void>;
  close(): Promise<void>;
}

/** How operations are handed to a store. */
export interface Batches {
  /** The most operations in one `apply`. Default 1,024. */
  readonly size: number;
  /** How many `apply` may wait for their answers at a time. Default 1. */
  readonly inFlight: number;
}

/** How much of a ledger is read: what adds up to its balances, or all that it remembers. */
export type LedgerScope = 'balances' | 'whole';

/**
 * A store inside the process: the same operations, synchronously too. The synchronous interfaces
 * stand on it, and `apply` calls it: there is no second arithmetic.
 */
export interface EmbeddedStore extends LedgerStore {
  /** `'turn'`: much is gained by handing over all operations of one turn of the event loop at once. */
  readonly batching: 'none' | 'turn';
  forLedger(ledger: string): EmbeddedStore;
  /** The store's time, in epoch milliseconds. */
  now(): number;
  /**
   * A number that has become another one when anything in the ledger may have changed since, by whomever,
   * but for holds that have come due and are not resolved yet. It is cheap to ask for.
   */
  changeCount(): number;
  applySync(operations: readonly Operation[]): Applied;
  /** The same where it needs no waiting for others; `null`, with nothing done, where it would. */
  applyAtOnce(operations: readonly Operation[]): Applied | null;
  readBalancesSync(query: BalanceQuery): BalancePage;
  readHoldsSync(query: HoldQuery): Page<HoldRecord>;
  readJournalSync(query: JournalQuery): Page<ChargeRecord>;
  readTotalsSync(query: TotalsQuery): readonly Total[];
  /**
   * The same as `writeLedger`; and an envelope that is marked `closed` is forgotten, as it would be
   * when its window has closed, unless something is held in it.
   */
  writeLedgerSync(records: readonly LedgerRecord[], revision: number): boolean;
  readPolicySync(): Policy;
  writePolicySync(policy: Policy, expectedRevision: number): Policy;
}

/** True for a store inside the process. */
export function isEmbedded(store: LedgerStore): store is EmbeddedStore {
  return 'applySync' in store && typeof store.applySync === 'function';
}

/** A part of a list. `next` is handed back as `after` to go on; it is null at the end. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

/** Envelopes, with the revision of the policy and the time that they were read at. */
export interface BalancePage extends Page<Envelope> {
  readonly revision: number;
  readonly nowMs: number;
}

/** Which envelopes: those with these keys, or all of one group. */
export interface BalanceQuery {
  readonly keys?: readonly string[];
  /** All envelopes of one limit, unit and window: see `envelopeGroup`. */
  readonly group?: string;
  readonly after?: string;
  /** At most so many; default and most 1,000. */
  readonly size?: number;
}

/** Which holds: the one with this id, or all that are open. */
export interface HoldQuery {
  readonly id?: string;
  readonly after?: string;
  readonly size?: number;
}

/** Which charges: since a time, until before a time, by labels that they carry. */
export interface JournalQuery {
  readonly labels?: Labels;
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly order?: 'newest' | 'oldest';
  readonly after?: string;
  readonly size?: number;
}

/** A span of whole quarter-hours. */
export interface TotalsQuery {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** The most records that one page holds. */
export const MAX_PAGE_SIZE = 1000;

/** The most records that one `writeLedger` takes. */
export const MAX_WRITTEN_AT_ONCE = 500;

/** How many due holds one `apply` resolves at most. */
export const MAX_DUE_PER_APPLY = 128;

/** The most notes of one ledger, in a store that has to count them. */
export const MAX_NOTES = 100_000;

/** How many notes whose time is past one `writeNote` forgets at most. */
export const MAX_NOTES_PRUNED = 64;

/** How long the embedded stores keep things, and how many. */
export interface Retention {
  /** Days that a charge stays in the journal before it is folded into its envelopes. Default 400. */
  readonly journalDays?: number;
  /** Charges that the journal lists at most; older ones are folded. Default: see each store. */
  readonly maxCharges?: number;
  /** Envelopes that may stand open; a reserve that needs one more is denied. Default 1,000,000. */
  readonly maxEnvelopes?: number;
}
