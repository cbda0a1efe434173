import { setImmediate as nextTurn } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';
import { labelsAround } from './ambient-labels.ts';
import { type Charge, toCharge } from './charge.ts';
import { InvalidAmountError, InvariantError, StoreError } from './errors.ts';
import type { Announcer } from './events.ts';
import {
  Hold,
  type HoldKeeper,
  type RenameOptions,
  type SettleOptions,
  type WatchedHold,
} from './hold.ts';
import { HoldWatch } from './hold-watch.ts';
import type { Amounts } from './ledger/amount.ts';
import { actualAmounts } from './ledger/charge-row.ts';
import { type Denial, frozenDenial, shortfallDenials, uncoveredDenial } from './denial.ts';
import { fits } from './ledger/envelope.ts';
import { flat } from './ledger/flat.ts';
import { type Labels, type LabelSet, labelSet } from './ledger/labels.ts';
import type { Plan } from './ledger/plan.ts';
import type { Answer, Applied, ChargeRecord, HoldRecord, Operation } from './ledger/records.ts';
import { type StepAmounts, toDecimals, toStepAmounts, type Units } from './ledger/unit.ts';
import { contains } from './ledger/window.ts';
import { OperationQueue } from './operation-queue.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { denialsOf, refusalOf } from './refusal.ts';
import {
  type ChargeOptions,
  checkDescription,
  checkNewId,
  checkSpendOptions,
  checkTtl,
  type ReserveOptions,
} from './spend-options.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from './stores/store.ts';

/** What was refused, and why: one denial at least. */
export type Denials = readonly [Denial, ...(readonly Denial[])];

/** What a reserve came to. */
export type Reserved =
  | { readonly ok: true; readonly hold: Hold }
  | { readonly ok: false; readonly denials: Denials };

/** How a purse spends. */
export interface SpendingSettings {
  readonly holdTtlMs: number;
  readonly uncovered: 'deny' | 'allow';
}

/** How often one operation is planned before its store counts as contended. */
const MAX_PLANS = 1000;

/**
 * How often a charge is planned anew because the policy changes under it. After that it is posted
 * by the plan it has: what was spent is recorded (rule 3).
 */
const MAX_PLANS_OF_CHARGES = 16;

/** Plans an operation under the policy as it is known here. */
type PlanOperation = (revision: number | null) => Operation;

/** Carries spends to the store and their answers back: plan, ask, and plan again when told to. */
export class Spending implements HoldKeeper {
  readonly queue: OperationQueue;
  readonly #watch: HoldWatch;
  readonly #store: LedgerStore;
  readonly #embedded: EmbeddedStore | undefined;
  readonly #desk: PolicyDesk;
  readonly #announcer: Announcer;
  readonly #settings: SpendingSettings;
  #clockOffsetMs = 0;
  /** How many spends are being planned again. */
  #askingOn = 0;

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
    this.queue = new OperationQueue(store, (applied) => this.#noteApplied(applied));
    this.#watch = new HoldWatch(
      desk,
      () => this.now(),
      (error) => this.failed(error),
    );
  }

  get units(): Units {
    return this.#desk.rulebook.units;
  }

  /** The store's time, as well as this process knows it. */
  now(): number {
    return this.#embedded?.now() ?? Date.now() + this.#clockOffsetMs;
  }

  async reserve(
    amounts: Amounts,
    labels: Labels | undefined,
    options: ReserveOptions,
  ): Promise<Reserved> {
    checkSpendOptions(options);
    options.signal?.throwIfAborted();
    if (!this.#knowsUnits(amounts)) await this.#desk.reload();
    const asked = this.#stepAmounts(amounts);
    const who = labelSet(labelsAround(labels));
    const id = options.id ?? flat(uuidv7());
    let plan: Plan | undefined;
    const asking = this.#ask(() => {
      plan = this.#desk.plan(asked, who.labels, this.now());
      return this.#reserveOperation(id, asked, who, plan, options);
    });
    const answer = asking instanceof Promise ? await asking : asking;
    switch (answer.kind) {
      case 'held':
        if (!answer.replayed) this.#announcer.countHold?.('taken');
        if (options.signal?.aborted === true) return this.#giveUp(answer, options.signal);
        return { ok: true, hold: new Hold(answer.hold, this, answer.replayed) };
      case 'denied':
        return { ok: false, denials: this.#denied(answer, asked, who.labels, plan, options) };
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
    if (!this.#knowsUnits(amounts)) await this.#desk.reload();
    const spent = this.#stepAmounts(amounts);
    const occupied = spent.find(({ unit }) => this.units.get(unit)?.occupied);
    if (occupied !== undefined) {
      throw new InvalidAmountError(
        `Unit ${JSON.stringify(occupied.unit)} is occupied and always comes back, so it cannot be charged; reserve it`,
      );
    }
    const who = labelSet(labelsAround(labels));
    const id = options.id ?? flat(uuidv7());
    return this.#charge(id, options.id === undefined, spent, who, options.description, false);
  }

  async settle(
    record: HoldRecord,
    actual: Amounts | undefined,
    options: SettleOptions,
  ): Promise<Charge> {
    if (options.description !== undefined) checkDescription(options.description);
    if (actual !== undefined && !this.#knowsUnits(actual)) await this.#desk.reload();
    const said = actual === undefined ? NONE : this.#chargeable(toStepAmounts(actual, this.units));
    const labels =
      options.labels === undefined
        ? record.labels
        : labelSet({ ...record.labels.labels, ...options.labels });
    const asking = this.#askSettle(record, said, labels, options.description, false);
    const answer = asking instanceof Promise ? await asking : asking;
    if (answer.kind === 'charged') return this.#noteCharge(answer.charge, answer.replayed);
    if (answer.kind !== 'unknown_hold') throw refusalOf(record.id, answer, this.units);
    // The hold was resolved and forgotten long ago: what was spent is recorded all the same.
    const description = options.description ?? record.description;
    return this.#charge(record.id, false, actualAmounts(record, said), labels, description, true);
  }

  /** Settles as held, unless somebody has said what became of the hold. */
  async settleUnresolved(record: HoldRecord): Promise<void> {
    const answer = await this.#askSettle(record, NONE, record.labels, undefined, true);
    if (answer.kind === 'charged') this.#noteCharge(answer.charge, answer.replayed);
    else if (answer.kind !== 'resolved') throw refusalOf(record.id, answer, this.units);
  }

  async release(record: HoldRecord): Promise<void> {
    const answer = await this.#ask(() => ({ kind: 'release', id: record.id }));
    if (answer.kind !== 'released') throw refusalOf(record.id, answer, this.units);
    if (!answer.replayed && answer.charge === null) this.#announcer.countHold?.('released');
    if (answer.charge !== null) this.#noteCharge(answer.charge, answer.replayed);
  }

  async extend(record: HoldRecord, ttlMs: number): Promise<number> {
    checkTtl('ttlMs', ttlMs);
    const answer = await this.#ask(() => ({ kind: 'extend', id: record.id, ttlMs }));
    if (answer.kind !== 'extended') throw refusalOf(record.id, answer, this.units);
    return answer.expiresAtMs;
  }

  async rename(record: HoldRecord, id: string, { ttlMs }: RenameOptions): Promise<Hold> {
    checkNewId(record.id, id);
    if (ttlMs !== undefined) checkTtl('ttlMs', ttlMs);
    const asked = { kind: 'rename', id: record.id, newId: id, ttlMs: ttlMs ?? null } as const;
    const answer = await this.#ask(() => asked);
    if (answer.kind === 'held') return new Hold(answer.hold, this, answer.replayed);
    // A conflict is about the id that something stands under: this hold's, or the new one.
    const about = answer.kind === 'conflict' ? (answer.hold?.id ?? id) : record.id;
    throw refusalOf(about, answer, this.units);
  }

  /** Takes up a hold by its id: an open one, or also one that expired and is unresolved since. */
  async find(id: string, expired: boolean): Promise<Hold | null> {
    await this.queue.resolveDue();
    await this.#desk.reload();
    const { items } = await this.#store.readHolds({ id });
    const record = items[0];
    if (record === undefined) return null;
    const hold = new Hold(record, this, true);
    return record.state === 'open' || (expired && !hold.resolved) ? hold : null;
  }

  /** Says what a reserve would be told now, and changes nothing. */
  async check(amounts: Amounts, labels: Labels | undefined): Promise<readonly Denial[]> {
    if (!this.#knowsUnits(amounts)) await this.#desk.reload();
    const asked = this.#stepAmounts(amounts);
    const who = labelSet(labelsAround(labels));
    await this.queue.resolveDue();
    for (let count = 0; count < MAX_PLANS; count += 1) {
      const { policy, units } = this.#desk.rulebook;
      const plan = this.#desk.plan(asked, who.labels, this.now());
      const page = await this.#store.readBalances({ keys: plan.lines.map(({ key }) => key) });
      this.#clockOffsetMs = page.nowMs - Date.now();
      if (page.revision !== policy.revision) await this.#desk.reload();
      else if (plan.lines.every(({ window }) => contains(window, page.nowMs))) {
        if (plan.freeze !== undefined) return [frozenDenial(plan.freeze, asked, units)];
        if (this.#isUncovered(plan)) return [uncoveredDenial(who.labels, asked, units)];
        const envelopes = new Map(page.items.map((envelope) => [envelope.key, envelope]));
        const shortfalls = plan.lines
          .map((line) => ({ line, spent: 0, held: 0, ...pick(envelopes.get(line.key)) }))
          .filter(({ line, spent, held }) => !fits(line, { spent, held }));
        return shortfallDenials('exceeds', shortfalls, units);
      }
    }
    throw contended();
  }

  /** Takes notice of a policy that was changed here. */
  policyChanged(): void {
    this.#watch.check();
  }

  watch(hold: WatchedHold): void {
    this.#watch.add(hold);
  }

  unwatch(hold: WatchedHold): void {
    this.#watch.delete(hold);
  }

  failed(error: unknown): void {
    this.#announcer.emit('error', error);
  }

  /** Waits until every spend under way has its answer, then watches no hold any more. */
  async close(): Promise<void> {
    while (this.queue.pending > 0 || this.#askingOn > 0) {
      await this.queue.drain();
      await nextTurn();
    }
    this.#watch.clear();
  }

  /** Asks the store. The answer comes as it is where the store is asked at once. */
  #ask(planOperation: PlanOperation): Answer | Promise<Answer> {
    const answer = this.queue.submit(planOperation(this.#revision));
    return answer instanceof Promise || wantsNewPlan(answer)
      ? this.#askOn(answer, planOperation)
      : answer;
  }

  /** Goes on asking, planning anew as long as the store says that the plan is out of date. */
  async #askOn(first: Answer | Promise<Answer>, planOperation: PlanOperation): Promise<Answer> {
    this.#askingOn += 1;
    try {
      let answer = await first;
      for (let plans = 1; wantsNewPlan(answer); plans += answer.kind === 'again' ? 0 : 1) {
        if (plans >= MAX_PLANS) throw contended();
        if (answer.kind === 'stale') await this.#desk.reload();
        const revision = plans < MAX_PLANS_OF_CHARGES ? this.#revision : null;
        answer = await this.queue.submit(planOperation(revision));
      }
      return answer;
    } finally {
      this.#askingOn -= 1;
    }
  }

  get #revision(): number {
    return this.#desk.rulebook.policy.revision;
  }

  #askSettle(
    record: HoldRecord,
    said: StepAmounts,
    labels: LabelSet,
    description: string | undefined,
    ifUnresolved: boolean,
  ): Answer | Promise<Answer> {
    const beyond = said.filter(({ unit }) => !record.amounts.some((held) => held.unit === unit));
    const held = beyond.length === 0;
    return this.#ask((revision) => ({
      kind: 'settle',
      id: record.id,
      amounts: said,
      labels,
      description,
      ifUnresolved,
      lines: held ? NONE : this.#desk.plan(beyond, record.labels.labels, this.now()).lines,
      revision: held ? null : revision,
    }));
  }

  /** False for amounts of a unit that another process may have declared in the meantime. */
  #knowsUnits(amounts: Amounts): boolean {
    for (const unit in amounts) if (!this.units.has(unit)) return false;
    return true;
  }

  #reserveOperation(
    id: string,
    amounts: StepAmounts,
    labels: LabelSet,
    plan: Plan,
    options: ReserveOptions,
  ): Operation {
    return {
      kind: 'reserve',
      id,
      fresh: options.id === undefined,
      amounts,
      labels,
      description: options.description,
      ifAbandoned: options.ifAbandoned ?? 'release',
      ttlMs: options.ttlMs ?? this.#settings.holdTtlMs,
      occupied: this.#occupied(amounts),
      said: `${options.ttlMs ?? ''}/${options.ifAbandoned ?? ''}`,
      lines: plan.lines,
      revision: this.#revision,
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

  async #charge(
    id: string,
    fresh: boolean,
    amounts: StepAmounts,
    labels: LabelSet,
    description: string | undefined,
    late: boolean,
  ): Promise<Charge> {
    const answer = await this.#ask((revision) => {
      const { lines } = this.#desk.plan(amounts, labels.labels, this.now());
      return { kind: 'charge', id, fresh, amounts, labels, description, lines, revision, late };
    });
    if (answer.kind !== 'charged') throw refusalOf(id, answer, this.units);
    return this.#noteCharge(answer.charge, answer.replayed);
  }

  /** Lets go of a hold whose caller has given up in the meantime, unless it was taken before. */
  async #giveUp(
    { hold, replayed }: Extract<Answer, { kind: 'held' }>,
    signal: AbortSignal,
  ): Promise<never> {
    if (!replayed) await this.release(hold).catch((error: unknown) => this.failed(error));
    throw signal.reason;
  }

  #denied(
    answer: Extract<Answer, { kind: 'denied' }>,
    asked: StepAmounts,
    labels: Labels,
    plan: Plan | undefined,
    { tentative }: ReserveOptions,
  ): Denials {
    const denials = denialsOf(answer, { amounts: asked, labels, freeze: plan?.freeze }, this.units);
    const [first] = denials;
    if (first === undefined) throw new InvariantError(`A denial (${answer.reason}) names no line`);
    if (tentative !== true) this.#announcer.emit('denied', { ...first, denials });
    return [first, ...denials.slice(1)];
  }

  #noteApplied(applied: Applied): void {
    if (this.#embedded === undefined) this.#clockOffsetMs = applied.nowMs - Date.now();
    for (const { hold, charge } of applied.expiries) {
      this.#watch.expire(hold.id);
      this.#announcer.emit('expired', {
        id: hold.id,
        amounts: toDecimals(hold.amounts, this.units),
        labels: hold.labels.labels,
        ifAbandoned: hold.ifAbandoned,
        charge: charge === null ? null : this.#noteCharge(charge, false),
      });
    }
  }

  #noteCharge(record: ChargeRecord, replayed: boolean): Charge {
    const charge = toCharge(record, this.units, replayed);
    if (replayed) return charge;
    this.#announcer.emit('charge', charge);
    if (charge.overrun) this.#announcer.emit('overrun', charge);
    for (const crossing of charge.crossed)
      this.#announcer.emit('threshold', { ...crossing, charge });
    return charge;
  }

  #stepAmounts(amounts: Amounts): StepAmounts {
    const steps = toStepAmounts(amounts, this.units);
    if (steps.length === 0) {
      throw new InvalidAmountError(
        `A spend names at least one unit, such as { usd: 0.25 }; this one names none`,
      );
    }
    return steps;
  }

  #chargeable(amounts: StepAmounts): StepAmounts {
    const occupied = this.#occupied(amounts);
    return occupied.length === 0 ? amounts : amounts.filter(({ unit }) => !occupied.includes(unit));
  }

  #occupied(amounts: StepAmounts): readonly string[] {
    let occupied: string[] | undefined;
    for (const { unit } of amounts) {
      if (this.units.get(unit)?.occupied === true) (occupied ??= []).push(unit);
    }
    return occupied ?? NONE;
  }
}

const NONE: readonly never[] = [];

function pick(envelope: { readonly spent: number; readonly held: number } | undefined): {
  readonly spent?: number;
  readonly held?: number;
} {
  return envelope === undefined ? {} : { spent: envelope.spent, held: envelope.held };
}

/** True for an answer that asks for the operation once more, with a plan made now. */
function wantsNewPlan({ kind }: Answer): boolean {
  return kind === 'again' || kind === 'stale' || kind === 'outside_window';
}

function contended(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'contended',
    `The ledger changed ${MAX_PLANS} times while one spend was planned; try again when it is quieter`,
    { retryable: true },
  );
}
