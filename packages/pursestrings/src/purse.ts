import { Backstage } from './backstage.ts';
import { type Balance, type BalancesQuery, readBalances } from './balance.ts';
import { type Charge, toCharge } from './charge.ts';
import {
  BudgetExceededError,
  ConflictError,
  InvalidLimitError,
  InvalidOptionError,
  StoreError,
} from './errors.ts';
import type { EmbeddedSpending } from './embedded-spending.ts';
import { Announcer, type PurseEvents } from './events.ts';
import { askHealth, unhealthy } from './health.ts';
import type { Hold } from './hold.ts';
import type { Amounts } from './ledger/amount.ts';
import type { Denial } from './denial.ts';
import { shown } from './ledger/invalid.ts';
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
import { inTime } from './patience.ts';
import { PatientStore } from './patient-store.ts';
import {
  checkedLabelNames,
  checkedSettings,
  checkMs,
  type Health,
  HEALTH_TIMEOUT_MS,
  type HealthOptions,
  type JournalOptions,
  MAX_TIMEOUT_MS,
  type PurseOptions,
  type PurseSettings,
  type ReportQuery,
  timeOf,
} from './purse-options.ts';
import { PolicyDesk } from './policy-desk.ts';
import {
  type ChargeOptions,
  checkDescription,
  checkId,
  type ReserveOptions,
  type TakeUpOptions,
} from './spend-options.ts';
import { Spending } from './spending.ts';
import { openStore } from './store-url.ts';
import type { LedgerStore } from './stores/store.ts';
import { observePurse } from './telemetry.ts';
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
  readonly #announcer = new Announcer();
  readonly #spending: Spending;
  #backstage: Backstage | undefined;
  #closed = false;

  /** @internal Purses are opened by `openPurse`. */
  constructor(
    store: LedgerStore,
    desk: PolicyDesk,
    settings: PurseSettings,
    owned: LedgerStore | null,
  ) {
    this.#store = store;
    this.#owned = owned;
    this.#desk = desk;
    this.#settings = settings;
    const announcer = this.#announcer;
    announcer.countHold = observePurse({ on: announcer.observe.bind(announcer) }, store.ledger);
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
    const { order = 'newest' } = query;
    if (order !== 'newest' && order !== 'oldest') {
      throw new InvalidOptionError(`order is ${shown(order)}; it must be 'newest' or 'oldest'`);
    }
    await this.#spending.resolveDue();
    await this.#desk.reload();
    const read = {
      order,
      ...(query.labels !== undefined && { labels: labelSet(query.labels).labels }),
      ...(query.since !== undefined && { sinceMs: timeOf('since', query.since) }),
      ...(query.until !== undefined && { untilMs: timeOf('until', query.until) }),
    };
    let after: string | null = null;
    do {
      const page = await this.#store.readJournal(after === null ? read : { ...read, after });
      for (const charge of page.items) yield toCharge(charge, this.#desk.rulebook.units, false);
      after = page.next;
    } while (after !== null);
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
   * The same spending without waiting, for interfaces that are synchronous; `null` where the store is
   * reached over a network.
   *
   * @internal
   */
  get synchronous(): EmbeddedSpending | null {
    this.#assertOpen();
    return this.#spending.synchronous;
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

  /** What interfaces that stand on the purse need of it besides. @internal */
  get backstage(): Backstage {
    this.#assertOpen();
    this.#backstage ??= new Backstage(this.#store, this.#desk, this.#spending, this.#settings);
    return this.#backstage;
  }

  async #change(edit: (policy: Policy) => Policy): Promise<void> {
    this.#assertOpen();
    await this.#desk.change(edit);
    this.#spending.policyChanged();
  }

  #assertOpen(): void {
    if (this.#closed) throw purseClosed();
  }
}

async function closeInTime(store: LedgerStore, timeoutMs: number): Promise<void> {
  await inTime(() => store.close(), timeoutMs).catch(() => undefined);
}

function purseClosed(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'closed',
    'This purse is closed; open another with openPurse()',
  );
}

function alreadyDone(hold: Hold): ConflictError {
  return new ConflictError(
    hold.id,
    { hold: 'resolved', charge: null },
    `The work of ${JSON.stringify(hold.id)} was done before: its hold is settled or released. ` +
      `Give new work a new id`,
  );
}
