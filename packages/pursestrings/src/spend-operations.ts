import type { Denials } from './denial.ts';
import { InvariantError } from './errors.ts';
import { actualAmounts } from './ledger/charge-row.ts';
import { type LabelSet, labelSet } from './ledger/labels.ts';
import type { Plan } from './ledger/plan.ts';
import type {
  Answer,
  ChargeOperation,
  HoldRecord,
  ReserveOperation,
  SettleOperation,
} from './ledger/records.ts';
import type { StepAmounts, Units } from './ledger/unit.ts';
import type { Amounts } from './ledger/amount.ts';
import type { SettleOptions } from './hold.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { denialsOf } from './refusal.ts';
import { occupiedUnits, settleSteps } from './spend-amounts.ts';
import { checkDescription, type ReserveOptions } from './spend-options.ts';

/** How spends are planned. */
export interface PlanningSettings {
  readonly holdTtlMs: number;
  readonly uncovered: 'deny' | 'allow';
}

/** A spend that asks for money to be set aside, checked. */
export interface Reservation {
  readonly id: string;
  readonly amounts: StepAmounts;
  readonly labels: LabelSet;
  readonly options: ReserveOptions;
}

/** A spend that was not held, or whose hold nobody knows any more. */
export type Unheld = Pick<
  ChargeOperation,
  'id' | 'fresh' | 'amounts' | 'labels' | 'description' | 'late'
>;

/** A settle, checked. */
export interface Settlement {
  readonly record: HoldRecord;
  readonly said: StepAmounts;
  readonly labels: LabelSet;
  readonly description: string | undefined;
}

/** Makes the operations of spends, by the policy as this process knows it. */
export class SpendOperations {
  readonly #desk: PolicyDesk;
  readonly #settings: PlanningSettings;
  readonly #now: () => number;

  /** @param now The store's time, as well as this process knows it. */
  constructor(desk: PolicyDesk, settings: PlanningSettings, now: () => number) {
    this.#desk = desk;
    this.#settings = settings;
    this.#now = now;
  }

  get units(): Units {
    return this.#desk.rulebook.units;
  }

  plan({ amounts, labels }: Pick<Reservation, 'amounts' | 'labels'>): Plan {
    return this.#desk.plan(amounts, labels.labels, this.#now());
  }

  reserve({ id, amounts, labels, options }: Reservation, plan: Plan): ReserveOperation {
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
      revision: this.#desk.rulebook.policy.revision,
      refusal: this.#policyRefusal(plan),
      ...(options.tentative === true && { tentative: true }),
    };
  }

  charge(unheld: Unheld, revision: number | null): ChargeOperation {
    const { id, fresh, amounts, labels, description, late } = unheld;
    const { lines } = this.plan(unheld);
    return { kind: 'charge', id, fresh, amounts, labels, description, lines, revision, late };
  }

  settle(
    { record, said, labels, description }: Settlement,
    ifUnresolved: boolean,
    revision: number | null,
  ): SettleOperation {
    const beyond = said.filter(({ unit }) => !record.amounts.some((held) => held.unit === unit));
    const held = beyond.length === 0;
    return {
      kind: 'settle',
      id: record.id,
      amounts: said,
      labels,
      description,
      ifUnresolved,
      lines: held ? NONE : this.plan({ amounts: beyond, labels: record.labels }).lines,
      revision: held ? null : revision,
    };
  }

  /** What is denied, in full: one denial at least. */
  denials(
    answer: Extract<Answer, { kind: 'denied' }>,
    { amounts, labels }: Reservation,
    plan: Plan | undefined,
  ): Denials {
    const asked = { amounts, labels: labels.labels, freeze: plan?.freeze };
    const [first, ...others] = denialsOf(answer, asked, this.units);
    if (first === undefined) throw new InvariantError(`A denial (${answer.reason}) names no line`);
    return [first, ...others];
  }

  isUncovered(plan: Plan): boolean {
    return plan.uncovered && this.#settings.uncovered === 'deny';
  }

  #policyRefusal(plan: Plan): 'frozen' | 'uncovered' | null {
    if (plan.freeze !== undefined) return 'frozen';
    return this.isUncovered(plan) ? 'uncovered' : null;
  }
}

/** Checks what is said at a settle. @throws InvalidAmountError, InvalidLabelError, InvalidOptionError */
export function settlementOf(
  record: HoldRecord,
  actual: Amounts | undefined,
  { description, labels }: SettleOptions,
  units: Units,
): Settlement {
  if (description !== undefined) checkDescription(description);
  const said = settleSteps(actual, units);
  const all =
    labels === undefined ? record.labels : labelSet({ ...record.labels.labels, ...labels });
  return { record, said, labels: all, description };
}

/** The settle of a hold that was never known, or is forgotten: what was spent is recorded late. */
export function unheldBy({ record, said, labels, description }: Settlement): Unheld {
  return {
    id: record.id,
    fresh: false,
    amounts: actualAmounts(record, said),
    labels,
    description: description ?? record.description,
    late: true,
  };
}

const NONE: readonly never[] = [];
