import { announcerOf } from './announcing.ts';
import { type Balance, type BalancesQuery, readBalances } from './balance.ts';
import type { Charge } from './charge.ts';
import { BudgetExceededError, InvalidLimitError } from './errors.ts';
import type { Announcer, PurseEvents } from './events.ts';
import { askHealth, unhealthy } from './health.ts';
import type { Hold } from './hold.ts';
import type { Amounts } from './ledger/amount.ts';
import type { Denial } from './denial.ts';
import { checkedJournalQuery, readJournal } from './journal.ts';
import { type Labels, labelSet } from './ledger/labels.ts';
import type { Limit } from './ledger/limit.ts';
import {
  type Policy,
  withFreeze,
  withLimits,
  withoutFreeze,
  withoutLimit,
  withUnits,
} from './ledger/policy.ts';
import { type Report, reportRows, slotEnd, slotOf } from './ledger/report.ts';
import { checkedNote, checkNoteKey, type NoteOptions } from './notes.ts';
import { overlayLimits } from './overlaid-limits.ts';
import { PatientStore } from './patient-store.ts';
import {
  checkedLabelNames,
  checkedSettings,
  checkMs,
  type Health,
  HEALTH_TIMEOUT_MS,
  type HealthOptions,
  type HoldsQuery,
  type JournalOptions,
  MAX_TIMEOUT_MS,
  type PurseOptions,
  type PurseSettings,
  type ReportQuery,
  timeOf,
} from './purse-options.ts';
import { PolicyDesk } from './policy-desk.ts';
import { alreadyDone, purseClosed } from './refusal.ts';
import {
  type ChargeOptions,
  checkDescription,
  checkId,
  type ReserveOptions,
  type TakeUpOptions,
} from './spend-options.ts';
import { Spending } from './spending.ts';
import { closeInTime, openStore } from './store-url.ts';
import type { LedgerStore } from './stores/store.ts';
import { type Verification, verifyLedger } from './verification.ts';

/**
 * Opens a ledger: limits and units are checked whole and written to its policy, or nothing is.
 *
 * @throws InvalidLimitError, InvalidUnitError, InvalidOptionError: nothing was opened.
 * @throws StoreError
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 *
 * const purse = await openPurse({
 *   store: 'memory:',
 *   limits: [
 *     { name: 'all', cap: { usd: 50 }, per: 'day' },
 *     { name: 'agent', cap: { usd: 5 }, per: 'day', each: ['agent'] },
 *   ],
 * });
 * const hold = await purse.reserve({ usd: 0.4 }, { agent: 'researcher' });
 * await hold.settle({ usd: 0.31 });
 * await purse.close();
 * ```
 */
export async function openPurse(options: PurseOptions = {}): Promise<Purse> {
  const settings = checkedSettings(options);
  const given = options.store ?? 'memory:';
  const opened = typeof given === 'string' ? await openStore(given, options.clock) : null;
  try {
    const base = opened ?? (given as LedgerStore);
    const mine =
      options.ledger === undefined || options.ledger === base.ledger
        ? base
        : base.forLedger(options.ledger);
    const store = PatientStore.on(mine, settings);
    const desk = await PolicyDesk.open(store);
    await desk.change((policy) =>
      withLimits(withUnits(policy, options.units ?? {}), options.limits ?? [], settings.timeZone),
    );
    return new Purse(store, desk, settings, opened);
  } catch (error) {
    // Why it was not opened matters more than a store that cannot be closed either.
    if (opened !== null) await closeInTime(opened, settings.operationTimeoutMs);
    throw error;
  }
}

/**
 * Limits and a store: the object that spends go through. Made by `openPurse`; safe to share by any
 * number of concurrent calls.
 */
export class Purse implements AsyncDisposable {
  readonly #store: LedgerStore;
  readonly #owned: LedgerStore | null;
  readonly #desk: PolicyDesk;
  readonly #settings: PurseSettings;
  readonly #announcer: Announcer;
  readonly #spending: Spending;
  /** The purse that this one lays limits over: it closes this one too. */
  #base: Purse | null = null;
  #closed = false;

  /** @internal Purses are opened by `openPurse`. */
  constructor(
    store: LedgerStore,
    desk: PolicyDesk,
    settings: PurseSettings,
    owned: LedgerStore | null,
    announcer: Announcer = announcerOf(store.ledger),
  ) {
    this.#store = store;
    this.#owned = owned;
    this.#desk = desk;
    this.#settings = settings;
    this.#announcer = announcer;
    this.#spending = new Spending(store, desk, this.#announcer, settings);
  }

  /**
   * Sets money aside, in every limit that matches or in none.
   *
   * @param amounts Decimals by unit, rounded up to the unit's step: at most 2^50 steps each.
   * @param labels Who and what it is for; labels that are missing count as `''`.
   * @throws BudgetExceededError when a limit has no room, the labels are frozen, or no limit covers it.
   * @throws InvalidAmountError, InvalidLabelError, InvalidOptionError: nothing was done.
   * @throws ConflictError when the id is known with other content.
   * @throws StoreError: nothing is held, or nobody knows (`OUTCOME_UNKNOWN`).
   * @example
   * ```ts
   * import { openPurse, tokens, usd } from 'pursestrings';
   *
   * const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 }, per: 'day' }] });
   * await using hold = await purse.reserve({ ...usd(0.4), ...tokens(12_000) }, { agent: 'a1' });
   * await hold.settle({ usd: 0.35, tokens: 9_800 });
   * ```
   */
  async reserve(amounts: Amounts, labels?: Labels, options: ReserveOptions = {}): Promise<Hold> {
    this.#assertOpen();
    const reserved = await this.#spending.reserve(amounts, labels, options);
    if (reserved.ok) return reserved.hold;
    throw new BudgetExceededError(reserved.denials);
  }

  /** Like `reserve`, with a refusal as an answer instead of an error. */
  async tryReserve(
    amounts: Amounts,
    labels?: Labels,
    options: ReserveOptions = {},
  ): Promise<
    | { readonly ok: true; readonly hold: Hold }
    | { readonly ok: false; readonly denial: Denial; readonly denials: readonly Denial[] }
  > {
    this.#assertOpen();
    const reserved = await this.#spending.reserve(amounts, labels, options);
    if (reserved.ok) return reserved;
    return { ok: false, denial: reserved.denials[0], denials: reserved.denials };
  }

  /** Says whether a reserve would be admitted now. It changes nothing, and promises nothing. */
  async check(
    amounts: Amounts,
    labels?: Labels,
  ): Promise<{ readonly allowed: boolean; readonly denials: readonly Denial[] }> {
    this.#assertOpen();
    const denials = await this.#spending.check(amounts, labels);
    return { allowed: denials.length === 0, denials };
  }

  /**
   * Records a spend after the fact: always, in full, whatever the caps say, marked `overrun` when
   * it takes an envelope past its cap. Again with the same id: the same charge, marked `replayed`.
   *
   * @throws InvalidAmountError, InvalidLabelError, InvalidOptionError, ConflictError, StoreError
   */
  async charge(amounts: Amounts, labels?: Labels, options: ChargeOptions = {}): Promise<Charge> {
    this.#assertOpen();
    return this.#spending.charge(amounts, labels, options);
  }

  /**
   * Reserves, works, and settles as held unless the work settled or released by itself. When the
   * work throws, the hold is abandoned, which does what `ifAbandoned` says, and the error goes on.
   *
   * @throws what `reserve` throws, before the work begins; ConflictError when the id's hold is
   *   settled or released already, for then the work was done; what the work throws; StoreError
   */
  async run<T>(
    amounts: Amounts,
    labels: Labels | undefined,
    work: (hold: Hold) => Promise<T>,
    options: ReserveOptions = {},
  ): Promise<T> {
    const hold = await this.reserve(amounts, labels, options);
    if (hold.resolved) throw alreadyDone(hold);
    let result: T;
    try {
      result = await work(hold);
    } catch (error) {
      await hold.abandon();
      throw error;
    }
    await hold.finish();
    return result;
  }

  /**
   * Takes up an open hold, in any process. `null` when there is none of this id that is open.
   *
   * With `expired`, also a hold whose time ran out and of which nobody has said since what became,
   * so that the real cost of its work can still be settled: that charge is marked `late`, and
   * corrects the one that expiry made, if it made one. Such holds are remembered for 7 days.
   *
   * @throws InvalidOptionError, StoreError
   */
  async hold(id: string, options: TakeUpOptions = {}): Promise<Hold | null> {
    this.#assertOpen();
    checkId(id);
    return this.#spending.find(id, options.expired === true);
  }

  /**
   * Lists the holds that are open, in the order of their ids: what is under way, in any process.
   * Those whose time is past are resolved first. Each hold is as it stood when its page of up to
   * 1,000 was read, and may be settled, released or extended like one that `hold` takes up.
   *
   * Holds that are `untracked` are in no store and in no list.
   *
   * @throws InvalidLabelError, InvalidOptionError, StoreError
   * @example
   * ```ts
   * import { openPurse } from 'pursestrings';
   *
   * const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
   * await purse.reserve({ usd: 4 }, { agent: 'a1' }, { description: 'the nightly batch' });
   * for await (const hold of purse.holds({ labels: { agent: 'a1' } })) {
   *   console.log(hold.id, hold.amounts, hold.description);
   * }
   * ```
   */
  async *holds(query: HoldsQuery = {}): AsyncGenerator<Hold> {
    this.#assertOpen();
    const { labels = {}, idPrefix } = query;
    if (idPrefix !== undefined) checkId(idPrefix);
    yield* this.#spending.open(labelSet(labels).labels, idPrefix ?? '');
  }

  /** Lists balances in their current windows. A limit without `each` always has one. */
  async *balances(query: BalancesQuery = {}): AsyncGenerator<Balance> {
    this.#assertOpen();
    const labels = labelSet(query.labels ?? {}).labels;
    await this.#spending.resolveDue();
    await this.#desk.reload();
    const asked = query.limit === undefined ? { labels } : { limit: query.limit, labels };
    yield* readBalances(this.#store, this.#desk.rulebook, asked, this.#spending.now());
  }

  /** Adds up spend by labels, from running totals: its cost does not follow the journal's length. */
  async report(query: ReportQuery = {}): Promise<Report> {
    this.#assertOpen();
    await this.#spending.resolveDue();
    const sinceMs = slotOf(query.since === undefined ? 0 : timeOf('since', query.since));
    const untilMs = slotEnd(
      query.until === undefined ? this.#spending.now() + 1 : timeOf('until', query.until),
    );
    const by = checkedLabelNames(query.by ?? []);
    await this.#desk.reload();
    const totals = await this.#store.readTotals({ sinceMs, untilMs });
    const rows = reportRows(totals, by, this.#desk.rulebook.units);
    return { since: new Date(sinceMs), until: new Date(untilMs), ...rows };
  }

  /** Lists charges, newest first unless `order` says otherwise. */
  async *journal(query: JournalOptions = {}): AsyncGenerator<Charge> {
    this.#assertOpen();
    const asked = checkedJournalQuery(query);
    await this.#spending.resolveDue();
    await this.#desk.reload();
    yield* readJournal(this.#store, () => this.#desk.rulebook.units, asked);
  }

  /** The limits that stand, with the time zone that each one's windows follow. */
  async limits(): Promise<readonly Limit[]> {
    this.#assertOpen();
    await this.#desk.reload();
    return structuredClone<readonly Limit[]>(this.#desk.rulebook.policy.limits);
  }

  /**
   * Adds a limit, or replaces the one of its name, for every process from its next reserve on. A
   * new cap, mode or `warnAt` keeps balances; another shape begins new envelopes.
   *
   * @throws InvalidLimitError, StoreError
   */
  async setLimit(limit: Limit): Promise<void> {
    await this.#change((policy) => withLimits(policy, [limit], this.#settings.timeZone));
  }

  /**
   * Takes a limit out of the policy. Added again with the same shape, it finds its balances.
   *
   * @throws InvalidLimitError when there is no such limit.
   */
  async removeLimit(name: string): Promise<void> {
    await this.#change((policy) => {
      if (!policy.limits.some((limit) => limit.name === name)) {
        throw new InvalidLimitError(
          name,
          'name',
          'is not a limit of this ledger; see limits() for those that are',
        );
      }
      return withoutLimit(policy, name);
    });
  }

  /**
   * Denies spends that carry these labels from now on, in every process, and aborts the signals
   * of their open holds. `{}` freezes all. What is spent already is still recorded.
   */
  async freeze(where: Labels, reason?: string): Promise<void> {
    if (reason !== undefined) checkDescription(reason);
    await this.#change((policy) => withFreeze(policy, where, reason));
    this.#announcer.emit('frozen', { where, ...(reason !== undefined && { reason }) });
  }

  /** Lifts the freeze on exactly these labels, if there is one. */
  async unfreeze(where: Labels): Promise<void> {
    await this.#change((policy) => withoutFreeze(policy, where));
  }

  /** The freezes that stand. */
  async freezes(): Promise<Policy['freezes']> {
    this.#assertOpen();
    await this.#desk.reload();
    return structuredClone<Policy['freezes']>(this.#desk.rulebook.policy.freezes);
  }

  /**
   * Reads a note; `null` when there is none, its time is past, or the store had to let go of it.
   *
   * @param key 1 to 256 characters.
   * @throws InvalidOptionError, StoreError
   */
  async readNote(key: string): Promise<string | null> {
    this.#assertOpen();
    checkNoteKey(key);
    return this.#store.readNote(key);
  }

  /** Takes a note away, if there is one. */
  async writeNote(key: string, text: null): Promise<void>;
  /**
   * Keeps a small text beside the ledger for a while, for every process that shares it: what was
   * paid for and may be used again, such as a credential. `null` takes it away. Whoever writes last
   * wins.
   *
   * Notes are a cache: they touch no balance, are in no journal and no export, and may be gone before
   * their time when a ledger has more than 100,000. They lie in the store as they are: whoever may
   * read the store may read them.
   *
   * @param key 1 to 256 characters. Begin it with a name of your own, so that others' keys are others.
   * @param text At most 65,536 characters.
   * @throws InvalidOptionError: nothing was written.
   * @throws StoreError
   * @example
   * ```ts
   * import { openPurse } from 'pursestrings';
   *
   * const purse = await openPurse({ store: 'memory:' });
   * await purse.writeNote('weather:token', 'abc', { ttlMs: 3_600_000 });
   * console.log(await purse.readNote('weather:token')); // abc
   * ```
   */
  async writeNote(key: string, text: string | null, options: NoteOptions): Promise<void>;
  async writeNote(key: string, text: string | null, options?: NoteOptions): Promise<void> {
    this.#assertOpen();
    checkNoteKey(key);
    if (text === null) return this.#store.writeNote(key, null, 0);
    const { ttlMs } = checkedNote(text, options);
    return this.#store.writeNote(key, text, (await this.#spending.storeTime()) + ttlMs);
  }

  /**
   * The same purse with more limits, which only what is spent through it is tested against: they are
   * laid over the ledger's policy and not written to it. Listeners hear of both.
   *
   * @internal For adapters whose users give caps of their own to a purse that others share.
   * @throws InvalidLimitError, StoreError
   */
  async withLimits(limits: readonly Limit[]): Promise<Purse> {
    this.#assertOpen();
    const { timeZone } = this.#settings;
    const overlaid = overlayLimits(PatientStore.within(this.#store), limits, timeZone);
    const store = PatientStore.on(overlaid, this.#settings);
    const desk = await PolicyDesk.open(store);
    const purse = new Purse(store, desk, this.#settings, null, this.#announcer);
    purse.#base = this;
    return purse;
  }

  /** Adds the journal and the holds up again and compares every envelope, in one snapshot. */
  async verify(): Promise<Verification> {
    this.#assertOpen();
    await this.#desk.reload();
    return verifyLedger(this.#store, this.#desk.rulebook.units, this.#settings);
  }

  /**
   * Listens to an event until the function it answers with is called. A listener that throws harms
   * nothing: its error becomes an `error` event.
   */
  on<E extends keyof PurseEvents>(
    event: E,
    listener: (payload: PurseEvents[E]) => void,
  ): () => void {
    return this.#announcer.on(event, listener);
  }

  /**
   * Announces a failure that no caller can be told of, as the purse's `error` event.
   *
   * @internal For adapters that must hand on an answer whatever becomes of its records.
   */
  failed(error: unknown): void {
    this.#announcer.emit('error', error);
  }

  /**
   * Says what a probe of a service needs to know, in bounded time. It does not throw when the store
   * fails: `ok` is false then, and `error` says why.
   *
   * @throws InvalidOptionError for a `timeoutMs` that is not 1 to 600,000.
   */
  async health(options: HealthOptions = {}): Promise<Health> {
    const { timeoutMs = Math.min(HEALTH_TIMEOUT_MS, this.#settings.operationTimeoutMs) } = options;
    checkMs('timeoutMs', timeoutMs, 1, MAX_TIMEOUT_MS);
    const { pending } = this.#spending;
    const store = PatientStore.within(this.#store);
    const health = this.#closed
      ? unhealthy(store, purseClosed(), 0)
      : await askHealth(store, timeoutMs);
    return { ...health, pending };
  }

  /**
   * Waits for what is under way, then refuses work. A store that was opened here from a URL is
   * closed; one that was passed in stays open, and is its owner's to close.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#spending.close();
    await this.#owned?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #change(edit: (policy: Policy) => Policy): Promise<void> {
    this.#assertOpen();
    await this.#desk.change(edit);
    this.#spending.policyChanged();
  }

  #assertOpen(): void {
    if (this.#closed || (this.#base !== null && this.#base.#closed)) throw purseClosed();
  }
}
