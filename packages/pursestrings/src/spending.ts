import { uuidv7 } from 'uuidv7';
import { labelsAround, type Surroundings, surroundings } from './ambient-labels.ts';
import { Asking } from './asking.ts';
import type { Charge } from './charge.ts';
import { Charging } from './charging.ts';
import type { Denial } from './denial.ts';
import { InvariantError } from './errors.ts';
import type { Announcer } from './events.ts';
import { FailOpen, isOutage } from './fail-open.ts';
import { Hold } from './hold.ts';
import { HoldDesk } from './hold-desk.ts';
import { HoldWatch } from './hold-watch.ts';
import type { Amounts } from './ledger/amount.ts';
import { flat } from './ledger/flat.ts';
import { type Labels, type LabelSet, labelSet } from './ledger/labels.ts';
import type { Plan } from './ledger/plan.ts';
import type { Answer, Applied, HoldRecord, ReserveOperation } from './ledger/records.ts';
import { type StepAmounts, toDecimals, type Units } from './ledger/unit.ts';
import { OperationQueue } from './operation-queue.ts';
import type { Patience } from './patience.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { DrawnHolds } from './drawn-holds.ts';
import { Share, SHARE_SAID, type ShareDesk } from './share.ts';
import { denialsOf, refusalOf } from './refusal.ts';
import { chargeSteps, knowsUnits, occupiedUnits, spendSteps } from './spend-amounts.ts';
import { checkSpend } from './spend-check.ts';
import { type ChargeOptions, checkSpendOptions, type ReserveOptions } from './spend-options.ts';
import { StoreClock } from './store-clock.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from './stores/store.ts';
import { UntrackedHolds } from './untracked-holds.ts';

/** What was refused, and why: one denial at least. */
export type Denials = readonly [Denial, ...(readonly Denial[])];

/** What a reserve came to. */
export type Reserved = { readonly ok: true; readonly hold: Hold } | Refused;

interface Refused {
  readonly ok: false;
  readonly denials: Denials;
}

/** How a purse spends. */
export interface SpendingSettings extends Patience {
  readonly holdTtlMs: number;
  readonly uncovered: 'deny' | 'allow';
  readonly onStoreFailure: 'deny' | 'allow';
}

/** Carries spends to the store and their answers back: plan, ask, and plan again when told to. */
export class Spending {
  readonly #asking: Asking;
  readonly #watch: HoldWatch;
  readonly #store: LedgerStore;
  readonly #embedded: EmbeddedStore | undefined;
  readonly #desk: PolicyDesk;
  readonly #announcer: Announcer;
  readonly #settings: SpendingSettings;
  readonly #clock = new StoreClock();
  readonly #failOpen: FailOpen | undefined;
  readonly #charging: Charging;
  readonly #holds: HoldDesk;
  readonly #untracked: UntrackedHolds;
  readonly #shares: ShareDesk;

  constructor(
    store: LedgerStore,
    desk: PolicyDesk,
    announcer: Announcer,
    settings: SpendingSettings,
  ) {
    this.#store = store;
    this.#embedded = isEmbedded(store) ? store : undefined;
    this.#desk = desk;
    this.#announcer = announcer;
    this.#settings = settings;
    const now = (): number => this.now();
    const failed = (error: unknown): void => announcer.emit('error', error);
    const queue = new OperationQueue(store, (applied) => this.#noteApplied(applied), settings);
    const asking = new Asking(queue, desk);
    const watch = new HoldWatch(() => this.#lookForChanges(), desk, now, failed);
    const charging = new Charging(asking, desk, announcer, now);
    const failOpen =
      settings.onStoreFailure === 'allow' ? new FailOpen(store, settings, failed) : undefined;
    this.#asking = asking;
    this.#watch = watch;
    this.#charging = charging;
    this.#failOpen = failOpen;
    this.#holds = new HoldDesk({ asking, desk, charging, announcer, watch, now, failOpen });
    this.#untracked = new UntrackedHolds(this.#holds);
    this.#shares = { asking, desk, now, open: new Set() };
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
    const id = options.id ?? flat(uuidv7());
    const share = this.#shareFor(asked);
    let plan: Plan | undefined;
    const planned = (): ReserveOperation => {
      plan = this.#desk.plan(asked, who.labels, this.now());
      return this.#reserveOperation(id, asked, who, plan, options);
    };
    const asking =
      share !== undefined
        ? share.draw(id, asked, planned)
        : this.#failOpen === undefined
          ? this.#asking.ask(planned)
          : this.#askUnlessDown(this.#failOpen, planned);
    const answer = asking instanceof Promise ? await asking : asking;
    switch (answer.kind) {
      case 'held':
        if (!answer.replayed) this.#announcer.countHold?.('taken');
        return this.#admitted(answer, share, options.signal);
      case 'denied':
        return { ok: false, denials: this.#denied(answer, asked, who.labels, plan, options) };
      case 'over_share':
        return { ok: false, denials: this.#announced([answer.denial], options) };
      case 'unreachable':
        options.signal?.throwIfAborted();
        return { ok: true, hold: this.#untracked.admit(answer.hold, answer.cause) };
      default:
        throw refusalOf(id, answer, this.units);
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
    const { id = flat(uuidv7()), description } = options;
    const fresh = options.id === undefined;
    const share = this.#shareFor(spent);
    const unheld = { id, fresh, amounts: spent, labels: who, description, late: false };
    return this.#charging.charge(unheld, share);
  }

  /**
   * Sets money aside for work that makes spends of its own: out of the share that surrounds the call,
   * where there is one, or out of what the limits leave.
   */
  async openShare(
    amounts: Amounts,
    around: Surroundings,
    ttlMs: number,
  ): Promise<{ readonly ok: true; readonly share: Share } | Refused> {
    if (!knowsUnits(amounts, this.units)) await this.#desk.reload();
    const asked = chargeSteps(amounts, this.units);
    const labels = labelSet(around.labels);
    const { ancestors } = around;
    const planned = (id: string): ReserveOperation => {
      const plan = this.#desk.plan(asked, labels.labels, this.now(), ancestors);
      const reserve = this.#reserveOperation(id, asked, labels, plan, { id, ttlMs });
      return { ...reserve, said: SHARE_SAID };
    };
    const terms = { amounts: asked, labels, ancestors, ttlMs };
    const opened = await Share.open(this.#shares, terms, this.#shareFor(asked), planned);
    if (opened instanceof Share) return { ok: true, share: opened };
    if (opened.kind === 'over_share') {
      return { ok: false, denials: this.#announced([opened.denial], {}) };
    }
    if (opened.kind !== 'denied') throw refusalOf('', opened, this.units);
    const freeze = this.#desk.plan(asked, labels.labels, this.now(), ancestors).freeze;
    const denials = denialsOf(
      opened,
      { amounts: asked, labels: labels.labels, freeze },
      this.units,
    );
    return { ok: false, denials: this.#announced(denials, {}) };
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

  /** Says what a reserve would be told now, and changes nothing. */
  async check(amounts: Amounts, labels: Labels | undefined): Promise<readonly Denial[]> {
    if (!knowsUnits(amounts, this.units)) await this.#desk.reload();
    const asked = spendSteps(amounts, this.units);
    const who = labelSet(labelsAround(labels));
    await this.resolveDue();
    const short = this.#shareFor(asked)?.denialOf(asked);
    if (short !== undefined) return [short];
    return checkSpend(asked, who.labels, {
      store: this.#store,
      desk: this.#desk,
      now: () => this.now(),
      noteTime: (nowMs) => this.#clock.note(nowMs),
      isUncovered: (plan) => this.#isUncovered(plan),
    });
  }

  /** Takes notice of a policy that was changed here. */
  policyChanged(): void {
    this.#watch.check();
  }

  /** Waits until every spend under way has its answer, then watches no hold any more. */
  async close(): Promise<void> {
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

  #reserveOperation(
    id: string,
    amounts: StepAmounts,
    labels: LabelSet,
    plan: Plan,
    options: ReserveOptions,
  ): ReserveOperation {
    return {
      kind: 'reserve',
      id,
      fresh: options.id === undefined,
      amounts,
      labels,
      description: options.description,
      ifAbandoned: options.ifAbandoned ?? 'release',
      ttlMs: options.ttlMs ?? this.#settings.holdTtlMs,
      occupied: occupiedUnits(amounts, this.units),
      said: `${options.ttlMs ?? ''}/${options.ifAbandoned ?? ''}`,
      lines: plan.lines,
      revision: this.#asking.revision,
      refusal: this.#policyRefusal(plan),
      ...(options.tentative === true && { tentative: true }),
    };
  }

  #policyRefusal(plan: Plan): 'frozen' | 'uncovered' | null {
    if (plan.freeze !== undefined) return 'frozen';
    return this.#isUncovered(plan) ? 'uncovered' : null;
  }

  #isUncovered(plan: Plan): boolean {
    return plan.uncovered && this.#settings.uncovered === 'deny';
  }

  /** The share that surrounds a spend, where it is of this purse and of one of the units. */
  #shareFor(amounts: StepAmounts): Share | undefined {
    const { share } = surroundings();
    return share?.isOf(this.#shares) === true && share.concerns(amounts) ? share : undefined;
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

  #denied(
    answer: Extract<Answer, { kind: 'denied' }>,
    asked: StepAmounts,
    labels: Labels,
    plan: Plan | undefined,
    options: ReserveOptions,
  ): Denials {
    const denials = denialsOf(answer, { amounts: asked, labels, freeze: plan?.freeze }, this.units);
    return this.#announced(denials, options);
  }

  #announced(
    denials: readonly Denial[],
    { tentative }: Pick<ReserveOptions, 'tentative'>,
  ): Denials {
    const [first, ...others] = denials;
    if (first === undefined) throw new InvariantError('A denial names no line');
    if (tentative !== true) this.#announcer.emit('denied', { ...first, denials });
    return [first, ...others];
  }

  #noteApplied(applied: Applied): void {
    if (this.#embedded === undefined) this.#clock.note(applied.nowMs);
    for (const expiry of applied.expiries) {
      const { hold, charge } = expiry;
      this.#watch.expire(hold.id);
      for (const share of this.#shares.open) share.expired(expiry);
      if (hold.said === SHARE_SAID) continue;
      this.#announcer.emit('expired', {
        id: hold.id,
        amounts: toDecimals(hold.amounts, this.units),
        labels: hold.labels.labels,
        ifAbandoned: hold.ifAbandoned,
        charge: charge === null ? null : this.#charging.note(charge, false),
      });
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
