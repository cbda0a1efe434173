import type { LabelSet } from './labels.ts';
import {
  type ChargeRecord,
  CORRECTION_PREFIX,
  type HoldRecord,
  type ReserveOperation,
} from './records.ts';
import type { StepAmount, StepAmounts } from './unit.ts';

/** A journal row while it is being written. */
export type ChargeDraft = { -readonly [Field in keyof ChargeRecord]: ChargeRecord[Field] };

/** What a caller says of a charge. */
export interface Said {
  readonly amounts: StepAmounts;
  readonly labels?: LabelSet | undefined;
  readonly description?: string | undefined;
}

/** Drafts the row that settles a hold with these amounts. */
export function settleRow(hold: HoldRecord, said: Said, nowMs: number): ChargeDraft {
  return {
    id: hold.id,
    atMs: nowMs,
    amounts: said.amounts,
    labels: said.labels ?? hold.labels,
    description: said.description ?? hold.description,
    held: chargeable(hold, hold.amounts),
    overrun: false,
    late: hold.state !== 'open',
    abandoned: false,
    corrects: undefined,
    crossed: NONE,
    lines: NONE,
  };
}

/** Drafts the row that brings the charge of an abandoned hold to what was really spent. */
export function correctionRow(hold: HoldRecord, actual: Said, nowMs: number): ChargeDraft {
  const amounts = difference(actual.amounts, chargeable(hold, hold.amounts));
  const row = settleRow(hold, { ...actual, amounts }, nowMs);
  row.id = `${CORRECTION_PREFIX}${hold.id}`;
  row.corrects = hold.id;
  return row;
}

/** Drafts the row of a spend that was not held. */
export function chargeRow(
  id: string,
  said: Said & { readonly labels: LabelSet },
  late: boolean,
  nowMs: number,
): ChargeDraft {
  return {
    id,
    atMs: nowMs,
    amounts: said.amounts,
    labels: said.labels,
    description: said.description,
    held: undefined,
    overrun: false,
    late,
    abandoned: false,
    corrects: undefined,
    crossed: NONE,
    lines: NONE,
  };
}

/** Drafts the row that corrects the charge of an abandoned hold whose record is gone. */
export function lateCorrectionRow(recorded: ChargeRecord, row: ChargeDraft): ChargeDraft {
  return {
    ...row,
    id: `${CORRECTION_PREFIX}${recorded.id}`,
    amounts: difference(row.amounts, recorded.amounts),
    held: recorded.held,
    corrects: recorded.id,
  };
}

/** What a settle really records: what was said, and for the units left out what was held. */
export function actualAmounts(hold: HoldRecord, said: StepAmounts): StepAmounts {
  if (said.length === 0) return chargeable(hold, hold.amounts);
  const merged = [...said];
  for (const amount of chargeable(hold, hold.amounts)) {
    if (!said.some(({ unit }) => unit === amount.unit)) merged.push(amount);
  }
  return merged.length === said.length ? said : merged.sort(byUnit);
}

/** The part of amounts that is charged: occupied units come back instead (rule 11). */
export function chargeable(hold: HoldRecord, amounts: StepAmounts): StepAmounts {
  return hold.occupied.length === 0
    ? amounts
    : amounts.filter(({ unit }) => !hold.occupied.includes(unit));
}

/** The steps of one unit among amounts: 0 when it is not there. */
export function stepsOf(amounts: StepAmounts, unit: string): number {
  for (const amount of amounts) if (amount.unit === unit) return amount.steps;
  return 0;
}

/** True when a reserve repeats what this hold was taken with. */
export function sameReserve(operation: ReserveOperation, hold: HoldRecord): boolean {
  return (
    operation.said === hold.said &&
    operation.labels.key === hold.labels.key &&
    operation.description === hold.description &&
    sameAmounts(operation.amounts, hold.amounts)
  );
}

/** True when a row says what another has recorded. */
export function sameRow(recorded: ChargeRecord, row: ChargeRecord): boolean {
  return (
    recorded.labels.key === row.labels.key &&
    recorded.description === row.description &&
    sameAmounts(recorded.amounts, row.amounts)
  );
}

function difference(actual: StepAmounts, charged: StepAmounts): StepAmounts {
  const units = [...new Set([...actual, ...charged].map(({ unit }) => unit))].sort();
  return units.map((unit) => ({ unit, steps: stepsOf(actual, unit) - stepsOf(charged, unit) }));
}

function sameAmounts(a: StepAmounts, b: StepAmounts): boolean {
  return a.length === b.length && a.every((amount, index) => sameAmount(amount, b[index]));
}

function sameAmount(a: StepAmount, b: StepAmount | undefined): boolean {
  return a.unit === b?.unit && a.steps === b.steps;
}

function byUnit(a: StepAmount, b: StepAmount): number {
  return a.unit < b.unit ? -1 : 1;
}

const NONE: readonly never[] = [];
