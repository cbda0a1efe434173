import { labelsAround, type Surroundings, surroundings } from './ambient-labels.ts';
import { Asking } from './asking.ts';
import type { Charge } from './charge.ts';
import { DrawnHolds } from './drawn-holds.ts';
import { Charging } from './charging.ts';
import type { Denial, Denials } from './denial.ts';
import type { Announcer } from './events.ts';
import { FailOpen, isOutage } from './fail-open.ts';
import { Hold } from './hold.ts';
import { HoldDesk } from './hold-desk.ts';
import { HoldWatch } from './hold-watch.ts';
import type { Amounts } from './ledger/amount.ts';
import { carries, type Labels, labelSet } from './ledger/labels.ts';
import type { Plan } from './ledger/plan.ts';
import type { Answer, Applied, HoldRecord, ReserveOperation } from './ledger/records.ts';
import type { Units } from './ledger/unit.ts';
import { EmbeddedSpending } from './embedded-spending.ts';
import { newId } from './new-id.ts';
import { News } from './news.ts';
import { OperationQueue } from './operation-queue.ts';
import type { Patience } from './patience.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { refusalOf } from './refusal.ts';
import { chargeSteps, knowsUnits, spendSteps } from './spend-amounts.ts';
import type { Share } from './share.ts';
import { type Shared, Shares } from './shares.ts';
import { checkSpend } from './spend-check.ts';
import { type PlanningSettings, SpendOperations } from './spend-operations.ts';
import { type ChargeOptions, checkSpendOptions, type ReserveOptions } from './spend-options.ts';
import { StoreClock } from './store-clock.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from './stores/store.ts';
import { UntrackedHolds } from './untracked-holds.ts';

/** What a reserve came to. */
export type Reserved =
  | { readonly ok: true; readonly hold: Hold }
  | { readonly ok: false; readonly denials: Denials };

/** How a purse spends. */
export interface SpendingSettings extends Patience, PlanningSettings {
  readonly onStoreFailure: 'deny' | 'allow';
}

/** Carries spends to the store and their answers back: plan, ask, and plan again when told to. */
export class Spending {
  readonly #asking: Asking;
  readonly #watch: HoldWatch;
  readonly #store: LedgerStore;
  readonly #embedded: EmbeddedStore | undefined;
  readonly #desk: PolicyDesk;
  readonly #news: News;
  readonly #operations: SpendOperations;
  readonly #clock = new StoreClock();
  readonly #failOpen: FailOpen | undefined;
  readonly #charging: Charging;
  readonly #holds: HoldDesk;
  readonly #untracked: UntrackedHolds;
  readonly #shares: Shares;
  #synchronous: EmbeddedSpending | undefined;

  constructor(
    store: LedgerStore,
    desk: PolicyDesk,
    announcer: Announcer,
    settings: SpendingSettings,
  ) {
    this.#store = store;
    this.#embedded = isEmbedded(store) ? store : undefined;
    this.#desk = desk;
    const now = (): number => this.now();
    const news = new News(announcer, desk);
    const failed = (error: unknown): void => news.failed(error);
    const operations = new SpendOperations(desk, settings, now);
    const queue = new OperationQueue(store, (applied) => this.#noteApplied(applied), settings);
    const asking = new Asking(queue, desk);
    const watch = new HoldWatch(() => this.#lookForChanges(), desk, now, failed);
    const charging = new Charging(asking, operations, news);
    const failOpen =
      settings.onStoreFailure === 'allow' ? new FailOpen(store, settings, failed) : undefined;
    this.#asking = asking;
    this.#watch = watch;
    this.#charging = charging;
    this.#failOpen = failOpen;
    this.#news = news;
    this.#operations = operations;
    this.#holds = new HoldDesk({
      asking,
      desk,
      operations,
      charging,
      news,
      watch,
      now,
      failOpen,
    });
    this.#untracked = new UntrackedHolds(this.#holds);
    this.#shares = new Shares({ asking, desk, operations, news, now });
  }

  get units(): Units {
    return this.#desk.rulebook.units;
  }

  /** How many operations have no answer yet, and how many settles wait for the store to be back. */
  get pending(): number {
    return this.#asking.queue.pending + (this.#failOpen?.owed ?? 0);
  }

  /** The store's time, as well as this process knows it. */
  now(): number {
    return this.#embedded?.now() ?? this.#clock.now();
  }

  /** The same, asked for where the store has never said it: it is wanted for something that is kept. */
  async storeTime(): Promise<number> {
    if (this.#embedded === undefined && !this.#clock.known) await this.#lookForChanges();
    return this.now();
  }

  /** Resolves holds that are past their time, until none is left. */
  resolveDue(): Promise<void> {
    return this.#asking.queue.resolveDue();
  }

  async reserve(
    amounts: Amounts,
    labels: Labels | undefined,
    options: ReserveOptions,
  ): Promise<Reserved> {
    checkSpendOptions(options);
    options.signal?.throwIfAborted();
    surroundings().signal?.throwIfAborted();
    if (!knowsUnits(amounts, this.units)) await this.#desk.reload();
    const asked = spendSteps(amounts, this.units);
    const who = labelSet(labelsAround(labels));
    const reservation = { id: options.id ?? newId(), amounts: asked, labels: who, options };
    const share = this.#shares.around(asked);
    let plan: Plan | undefined;
    const planned = (): ReserveOperation => {
      plan = this.#operations.plan(reservation);
      return this.#operations.reserve(reservation, plan);
    };
    const asking =
      share !== undefined
        ? share.draw(reservation.id, asked, planned)
        : this.#failOpen === undefined
          ? this.#asking.ask(planned)
          : this.#askUnlessDown(this.#failOpen, planned);
    const answer = asking instanceof Promise ? await asking : asking;
    switch (answer.kind) {
      case 'held':
        if (!answer.replayed) this.#news.countHold('taken');
        return this.#admitted(answer, share, options.signal);
      case 'denied':
      case 'over_share': {
        const denials: Denials =
          answer.kind === 'over_share'
            ? [answer.denial]
            : this.#operations.denials(answer, reservation, plan);
        if (options.tentative !== true) this.#news.denied(denials);
        return { ok: false, denials };
      }
      case 'unreachable':
        options.signal?.throwIfAborted();
        return { ok: true, hold: this.#untracked.admit(answer.hold, answer.cause) };
      default:
        throw refusalOf(reservation.id, answer, this.units);
    }
  }

  async charge(
    amounts: Amounts,
    labels: Labels | undefined,
    options: ChargeOptions,
  ): Promise<Charge> {
    checkSpendOptions(options);
    if (!knowsUnits(amounts, this.units)) await this.#desk.reload();
    const spent = chargeSteps(amounts, this.units);
    const who = labelSet(labelsAround(labels));
    const { id = newId(), description } = options;
    const fresh = options.id === undefined;
    const unheld = { id, fresh, amounts: spent, labels: who, description, late: false };
    return this.#charging.charge(unheld, this.#shares.around(spent));
  }

  /** Sets money aside for work that makes spends of its own. */
  async openShare(amounts: Amounts, around: Surroundings, ttlMs: number): Promise<Shared> {
    if (!knowsUnits(amounts, this.units)) await this.#desk.reload();
    return this.#shares.open(chargeSteps(amounts, this.units), around, ttlMs);
  }

  /** Takes up a hold by its id: an open one, or also one that expired and is unresolved since. */
  async find(id: string, expired: boolean): Promise<Hold | null> {
    await this.resolveDue();
    await this.#desk.reload();
    const { items } = await this.#store.readHolds({ id });
    const record = items[0];
    if (record === undefined) return null;
    const hold = new Hold(record, this.#holds, true);
    return record.state === 'open' || (expired && !hold.resolved) ? hold : null;
  }

  /** Reads the open holds that carry these labels, in the order of their ids. */
  async *open(labels: Labels, idPrefix: string): AsyncGenerator<Hold> {
    await this.resolveDue();
    await this.#desk.reload();
    // An id that is the prefix and no more stands before all others that begin with it.
    const whole = idPrefix === '' ? null : await this.find(idPrefix, false);
    if (whole !== null && carries(whole.labels, labels)) yield whole;
    let after: string | null = idPrefix === '' ? null : idPrefix;
    do {
      const page = await this.#store.readHolds(after === null ? {} : { after });
      for (const record of page.items) {
        if (!record.id.startsWith(idPrefix)) return;
        if (carries(record.labels.labels, labels)) yield new Hold(record, this.#holds, true);
      }
      after = page.next;
    } while (after !== null);
  }

  /** Says what a reserve would be told now, and changes nothing. */
  async check(amounts: Amounts, labels: Labels | undefined): Promise<readonly Denial[]> {
    if (!knowsUnits(amounts, this.units)) await this.#desk.reload();
    const asked = spendSteps(amounts, this.units);
    const who = labelSet(labelsAround(labels));
    await this.resolveDue();
    const short = this.#shares.around(asked)?.denialOf(asked);
    if (short !== undefined) return [short];
    return checkSpend(asked, who.labels, {
      store: this.#store,
      desk: this.#desk,
      now: () => this.now(),
      noteTime: (nowMs) => this.#clock.note(nowMs),
      isUncovered: (plan) => this.#operations.isUncovered(plan),
    });
  }

  /** Takes notice of a policy that was changed here. */
  policyChanged(): void {
    this.#watch.check();
  }

  /** The same spending without waiting, where the store is inside the process. */
  get synchronous(): EmbeddedSpending | null {
    if (this.#embedded === undefined) return null;
    this.#synchronous ??= new EmbeddedSpending({
      store: this.#embedded,
      desk: this.#desk,
      operations: this.#operations,
      news: this.#news,
      applied: (applied) => this.#noteApplied(applied),
      policyChanged: () => this.policyChanged(),
    });
    return this.#synchronous;
  }

  /** Waits until every spend under way has its answer, then watches no hold any more. */
  async close(): Promise<void> {
    this.#synchronous?.close();
    await this.#asking.finish();
    await this.#failOpen?.close();
    this.#watch.clear();
  }

  /** Asks, unless the store is known to be away; says so when it turns out to be. */
  async #askUnlessDown(
    failOpen: FailOpen,
    planned: () => ReserveOperation,
  ): Promise<Answer | Unreachable> {
    if (!failOpen.isDown) {
      try {
        return await this.#asking.ask(planned);
      } catch (error) {
        if (!isOutage(error)) throw error;
        failOpen.noteDown(error);
      }
    }
    const operation = planned();
    // What the policy refuses whatever the balances, it refuses without the store too.
    const { refusal } = operation;
    if (refusal !== null) return { kind: 'denied', reason: refusal, shortfalls: [] };
    return {
      kind: 'unreachable',
      hold: untrackedRecord(operation, this.now()),
      cause: failOpen.cause,
    };
  }

  /** Hands a hold out, or lets go of it when its caller has given up, unless it was taken before. */
  async #admitted(
    { hold, replayed }: Extract<Answer, { kind: 'held' }>,
    share: Share | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Reserved> {
    const keeper = share === undefined ? this.#holds : new DrawnHolds(this.#holds, share);
    if (signal?.aborted !== true) return { ok: true, hold: new Hold(hold, keeper, replayed) };
    if (!replayed) {
      await keeper.release(hold).catch((error: unknown) => this.#holds.failed(error));
    }
    throw signal.reason;
  }

  #noteApplied(applied: Applied): void {
    if (this.#embedded === undefined) this.#clock.note(applied.nowMs);
    for (const expiry of applied.expiries) {
      this.#watch.expire(expiry.hold.id);
      if (!this.#shares.noteExpiry(expiry)) this.#news.expired(expiry);
    }
  }

  /** Asks the store for its revision and time, and takes over the policy when it is another. */
  async #lookForChanges(): Promise<void> {
    const nowMs = await this.#desk.refresh();
    if (nowMs !== null) this.#clock.note(nowMs);
  }
}

const NONE: readonly never[] = [];

/** The store cannot be reached, and the spend goes through all the same. */
interface Unreachable {
  readonly kind: 'unreachable';
  readonly hold: HoldRecord;
  readonly cause: unknown;
}

/** The hold that a store would have taken, under no limit. */
function untrackedRecord(operation: ReserveOperation, nowMs: number): HoldRecord {
  const { id, amounts, labels, description, ifAbandoned, occupied, said, ttlMs } = operation;
  return {
    id,
    amounts,
    labels,
    description,
    ifAbandoned,
    occupied,
    said,
    lines: NONE,
    expiresAtMs: nowMs + ttlMs,
    state: 'open',
    resolvedAtMs: null,
    charge: undefined,
  };
}
