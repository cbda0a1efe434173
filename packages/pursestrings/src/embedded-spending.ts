import { contended, MAX_PLANS, MAX_PLANS_OF_CHARGES, wantsNewPlan } from './asking.ts';
import { type Balance, type BalancesQuery, readBalancesSync } from './balance.ts';
import { type Charge, toCharge } from './charge.ts';
import type { Denial, Denials } from './denial.ts';
import { StoreError } from './errors.ts';
import type { SettleOptions } from './hold.ts';
import type { Amounts } from './ledger/amount.ts';
import type { LedgerRecord } from './ledger/audit.ts';
import type { Labels, LabelSet } from './ledger/labels.ts';
import type { Limit, Rule } from './ledger/limit.ts';
import { envelopeGroup, type Line, type Plan } from './ledger/plan.ts';
import {
  type Policy,
  type Rulebook,
  withFreeze,
  withLimits,
  withoutFreeze,
  withoutNamedLimit,
} from './ledger/policy.ts';
import type {
  Answer,
  Applied,
  ChargeRecord,
  Envelope,
  HoldRecord,
  Operation,
} from './ledger/records.ts';
import type { StepAmounts, Units } from './ledger/unit.ts';
import { newId } from './new-id.ts';
import type { News } from './news.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { refusalOf } from './refusal.ts';
import { chargeSteps, knowsUnits, spendSteps } from './spend-amounts.ts';
import { coversNow, denialsBy, type Standing, standingsOf } from './spend-check.ts';
import {
  type Reservation,
  settlementOf,
  type SpendOperations,
  type Unheld,
  unheldBy,
} from './spend-operations.ts';
import {
  type ChargeOptions,
  checkId,
  checkSpendOptions,
  checkTtl,
  type ReserveOptions,
} from './spend-options.ts';
import { type EmbeddedStore, type JournalQuery, MAX_WRITTEN_AT_ONCE } from './stores/store.ts';

/** What a reserve that waits for nobody came to. The record is the ledger's own: it is only read. */
export type EmbeddedReserved =
  | { readonly ok: true; readonly hold: HoldRecord; readonly replayed: boolean }
  | { readonly ok: false; readonly denials: Denials };

/** What a spend would draw on, as it stands now. */
export interface Looked {
  /** The envelopes that it would draw on, in the order of the limits. */
  readonly standings: readonly Standing[];
  /** What a reserve would be denied by. */
  readonly denials: readonly Denial[];
}

/** What synchronous spending works with: a purse's own parts, or parts of its own. */
export interface EmbeddedContext {
  readonly store: EmbeddedStore;
  readonly desk: PolicyDesk;
  readonly operations: SpendOperations;
  readonly news: News;
  /** Is told what every asking of the store came to, before the answer is used. */
  readonly applied: (applied: Applied) => void;
  readonly policyChanged: () => void;
}

/**
 * The spending of a purse whose store is inside the process, without waiting: the same plans, the
 * same operations and the same answers as `Spending` carries, asked by `applySync`. The interfaces
 * that are synchronous stand on it.
 *
 * It may be used beside the purse, on one store object, in any mixture: every operation is one step
 * of the store's. One that is asked here does not queue behind those that the purse has gathered in
 * this turn of the event loop, so the order on one id is the order in which the store is asked.
 *
 * Where other processes use the file too, a call blocks the thread while the file is locked, for
 * `lockTimeoutMs` at the most; then it throws a StoreError and nothing was written.
 */
export class EmbeddedSpending {
  readonly #context: EmbeddedContext;
  #closed = false;

  constructor(context: EmbeddedContext) {
    this.#context = context;
  }

  get store(): EmbeddedStore {
    return this.#context.store;
  }

  /** The policy as it is known here, compiled. It is another object when the policy is another one. */
  get rulebook(): Rulebook {
    return this.#context.desk.rulebook;
  }

  get units(): Units {
    return this.rulebook.units;
  }

  /** The store's time. */
  now(): number {
    return this.#context.store.now();
  }

  /**
   * Sets money aside, or says why not.
   *
   * @param labels Who and what it is for, as `labelSet` makes them.
   * @throws InvalidAmountError, InvalidOptionError, ConflictError, StoreError
   */
  reserve(
    amounts: Amounts,
    labels: LabelSet,
    options: Omit<ReserveOptions, 'signal'> = {},
  ): EmbeddedReserved {
    checkSpendOptions(options);
    this.#learnUnits(amounts);
    const steps = spendSteps(amounts, this.units);
    const reservation = { id: options.id ?? newId(), amounts: steps, labels, options };
    return this.#reserve(reservation);
  }

  /** Records a spend after the fact, in full. @throws InvalidAmountError, InvalidOptionError, ConflictError, StoreError */
  charge(amounts: Amounts, labels: LabelSet, options: ChargeOptions = {}): Charge {
    checkSpendOptions(options);
    this.#learnUnits(amounts);
    const steps = chargeSteps(amounts, this.units);
    const { id = newId(), description } = options;
    const fresh = options.id === undefined;
    const unheld = { id, fresh, amounts: steps, labels, description, late: false };
    const answer = this.#askCharge(unheld);
    return this.#context.news.charged(answer.charge, answer.replayed);
  }

  /**
   * The same for a spend in steps under a new id, answered by the journal's row: for interfaces that
   * have a form of their own for it.
   */
  post(amounts: StepAmounts, labels: LabelSet, description: string | undefined): ChargeRecord {
    const unheld = { id: newId(), fresh: true, amounts, labels, description, late: false };
    const { charge } = this.#askCharge(unheld);
    this.#context.news.posted(charge);
    return charge;
  }

  /**
   * Records what was really spent of a hold: `purse.hold` and `settle` in one. Without amounts the
   * whole hold is spent.
   *
   * @throws InvalidAmountError, InvalidLabelError, InvalidOptionError, ConflictError, StoreError
   */
  settle(record: HoldRecord, actual?: Amounts, options: SettleOptions = {}): Charge {
    const { news, operations } = this.#context;
    if (actual !== undefined) this.#learnUnits(actual);
    const settlement = settlementOf(record, actual, options, this.units);
    const answer = this.#ask((revision) => operations.settle(settlement, false, revision));
    if (answer.kind === 'charged') return news.charged(answer.charge, answer.replayed);
    if (answer.kind !== 'unknown_hold') throw refusalOf(record.id, answer, this.units);
    const late = this.#askCharge(unheldBy(settlement));
    return news.charged(late.charge, late.replayed);
  }

  /**
   * Gives a hold's money back.
   *
   * @returns the correction of the charge that its expiry had made, if it had made one.
   * @throws ConflictError when it is settled, HoldNotFoundError when it is not known, StoreError
   */
  release(id: string): Charge | null {
    const { news } = this.#context;
    const answer = this.#ask(() => ({ kind: 'release', id }));
    if (answer.kind !== 'released') throw refusalOf(id, answer, this.units);
    if (answer.charge !== null) return news.charged(answer.charge, answer.replayed);
    if (!answer.replayed) news.countHold('released');
    return null;
  }

  /**
   * Keeps a hold open for at least `ttlMs` from now.
   *
   * @returns when it expires by then, in epoch milliseconds of the store's clock.
   * @throws InvalidOptionError, ConflictError, HoldNotFoundError, StoreError
   */
  extend(id: string, ttlMs: number): number {
    checkTtl('ttlMs', ttlMs);
    const answer = this.#ask(() => ({ kind: 'extend', id, ttlMs }));
    if (answer.kind !== 'extended') throw refusalOf(id, answer, this.units);
    return answer.expiresAtMs;
  }

  /** The hold of an id, whatever became of it; `null` when none is known. Due holds are resolved first. */
  find(id: string): HoldRecord | null {
    checkId(id);
    this.resolveDue();
    return this.#context.store.readHoldsSync({ id }).items[0] ?? null;
  }

  /** Lists the holds that are open. */
  *openHolds(): Generator<HoldRecord> {
    this.resolveDue();
    let after: string | null = null;
    do {
      const page = this.#context.store.readHoldsSync(after === null ? {} : { after });
      yield* page.items;
      after = page.next;
    } while (after !== null);
  }

  /** Says what a reserve would be told now, and changes nothing. */
  check(amounts: Amounts, labels: LabelSet): readonly Denial[] {
    return this.look(amounts, labels).denials;
  }

  /** The same, with what the spend would draw on. */
  look(amounts: Amounts, labels: LabelSet): Looked {
    this.#learnUnits(amounts);
    return this.lookAt(spendSteps(amounts, this.units), labels);
  }

  /** The same of a spend in steps. */
  lookAt(asked: StepAmounts, labels: LabelSet): Looked {
    this.resolveDue();
    return this.#look(asked, labels);
  }

  /** The envelope of a limit without `each`, at a time; `null` when nothing was moved in it yet. */
  envelopeIn({ caps, findWindow }: Rule, nowMs: number): Envelope | null {
    const key = envelopeGroup(caps[0]?.keyPrefix ?? '', findWindow(nowMs));
    return this.#envelope(key);
  }

  /** True when something is held in the envelope of a line. */
  isHeldIn({ key }: Line): boolean {
    return (this.#envelope(key)?.held ?? 0) > 0;
  }

  /** Lists balances in their current windows, as `purse.balances` does. */
  balances(query: BalancesQuery = {}): Generator<Balance> {
    this.resolveDue();
    this.refresh();
    return readBalancesSync(this.#context.store, this.rulebook, query, this.now());
  }

  /** Lists charges, a page at a time. */
  *journal(query: JournalQuery): Generator<Charge> {
    this.resolveDue();
    let after: string | null = null;
    do {
      const page = this.#context.store.readJournalSync(
        after === null ? query : { ...query, after },
      );
      for (const charge of page.items) yield toCharge(charge, this.units, false);
      after = page.next;
    } while (after !== null);
  }

  /** Takes over the policy that stands in the store, if it is another one. */
  refresh(): void {
    this.#assertOpen();
    const { desk, store } = this.#context;
    const { revision } = store.readBalancesSync({ keys: [] });
    if (revision !== desk.rulebook.policy.revision) desk.reloadSync();
  }

  /** Adds a limit, or replaces the one of its name. @throws InvalidLimitError, StoreError */
  setLimit(limit: Limit, timeZone = 'UTC'): void {
    this.changePolicy((policy) => withLimits(policy, [limit], timeZone));
  }

  /** Takes a limit out of the policy. @throws InvalidLimitError when there is none. */
  removeLimit(name: string): void {
    this.changePolicy((policy) => withoutNamedLimit(policy, name));
  }

  freeze(where: Labels, reason?: string): void {
    this.changePolicy((policy) => withFreeze(policy, where, reason));
  }

  unfreeze(where: Labels): void {
    this.changePolicy((policy) => withoutFreeze(policy, where));
  }

  /** Changes the policy in one step, over again when another process was quicker. */
  changePolicy(edit: (policy: Policy) => Policy): void {
    this.#assertOpen();
    this.#context.desk.changeSync(edit);
    this.#context.policyChanged();
  }

  /**
   * Writes records as they are, `MAX_WRITTEN_AT_ONCE` of them in a step, under the policy as it is
   * known here: what was kept elsewhere comes into the ledger, or moves in it.
   *
   * @throws StoreError when the policy has been changed meanwhile.
   */
  write(records: readonly LedgerRecord[]): void {
    this.#assertOpen();
    const { revision } = this.rulebook.policy;
    for (let from = 0; from < records.length; from += MAX_WRITTEN_AT_ONCE) {
      const some = records.slice(from, from + MAX_WRITTEN_AT_ONCE);
      if (!this.store.writeLedgerSync(some, revision)) throw contended();
    }
  }

  /** Resolves holds that are past their time, until none is left. */
  resolveDue(): void {
    while (this.#apply([]).expiries.length > 0);
  }

  /** Refuses work from now on. The store stays open: it is its owner's to close. */
  close(): void {
    this.#closed = true;
  }

  #reserve(reservation: Reservation): EmbeddedReserved {
    const { news, operations } = this.#context;
    let plan: Plan | undefined;
    const answer = this.#ask(() => {
      plan = operations.plan(reservation);
      return operations.reserve(reservation, plan);
    });
    if (answer.kind === 'held') {
      if (!answer.replayed) news.countHold('taken');
      return { ok: true, hold: answer.hold, replayed: answer.replayed };
    }
    if (answer.kind !== 'denied') throw refusalOf(reservation.id, answer, this.units);
    const denials = operations.denials(answer, reservation, plan);
    if (reservation.options.tentative !== true) news.denied(denials);
    return { ok: false, denials };
  }

  #askCharge(unheld: Unheld): Extract<Answer, { kind: 'charged' }> {
    const { operations } = this.#context;
    const answer = this.#ask((revision) => operations.charge(unheld, revision));
    if (answer.kind !== 'charged') throw refusalOf(unheld.id, answer, this.units);
    return answer;
  }

  #look(asked: StepAmounts, labels: LabelSet): Looked {
    const { desk, operations, store } = this.#context;
    const spend = { amounts: asked, labels };
    for (let count = 0; count < MAX_PLANS; count += 1) {
      const { policy, units } = desk.rulebook;
      const plan = operations.plan(spend);
      const page = store.readBalancesSync({ keys: plan.lines.map(keyOf) });
      if (page.revision !== policy.revision) desk.reloadSync();
      else if (coversNow(plan, page)) {
        const uncovered = operations.isUncovered(plan);
        const standings = standingsOf(plan.lines, page);
        const looked = { asked, labels: labels.labels, plan, uncovered };
        return { standings, denials: denialsBy(looked, standings, units) };
      }
    }
    throw contended();
  }

  #envelope(key: string): Envelope | null {
    return this.#context.store.readBalancesSync({ keys: [key] }).items[0] ?? null;
  }

  /** Asks the store, and plans and asks again as long as it says that a plan is out of date. */
  #ask(planOperation: (revision: number | null) => Operation): Answer {
    const { desk } = this.#context;
    for (let plans = 0; plans < MAX_PLANS;) {
      const revision = plans < MAX_PLANS_OF_CHARGES ? this.rulebook.policy.revision : null;
      const answer = this.#apply([planOperation(revision)]).answers[0] as Answer;
      if (!wantsNewPlan(answer)) return answer;
      if (answer.kind === 'stale') desk.reloadSync();
      if (answer.kind !== 'again') plans += 1;
    }
    throw contended();
  }

  #apply(operations: readonly Operation[]): Applied {
    this.#assertOpen();
    const applied = this.#context.store.applySync(operations);
    this.#context.applied(applied);
    return applied;
  }

  /** A unit that is not known here may have been declared by another process meanwhile. */
  #learnUnits(amounts: Amounts): void {
    if (!knowsUnits(amounts, this.units)) this.#context.desk.reloadSync();
  }

  #assertOpen(): void {
    if (!this.#closed) return;
    throw new StoreError(
      'STORE_UNAVAILABLE',
      'closed',
      'What this spends from is closed; open another',
    );
  }
}

function keyOf({ key }: Line): string {
  return key;
}
