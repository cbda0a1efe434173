import { InvalidAmountError } from './errors.ts';
import type { Amounts } from './ledger/amount.ts';
import { type StepAmounts, toStepAmounts, type Units } from './ledger/unit.ts';

const NONE: readonly never[] = [];

/** False for amounts of a unit that another process may have declared in the meantime. */
export function knowsUnits(amounts: Amounts, units: Units): boolean {
  for (const unit in amounts) if (!units.has(unit)) return false;
  return true;
}

/** The amounts of a spend in steps. @throws InvalidAmountError also for a spend of nothing at all. */
export function spendSteps(amounts: Amounts, units: Units): StepAmounts {
  const steps = toStepAmounts(amounts, units);
  if (steps.length === 0) {
    throw new InvalidAmountError(
      `A spend names at least one unit, such as { usd: 0.25 }; this one names none`,
    );
  }
  return steps;
}

/** The amounts of a charge in steps. @throws InvalidAmountError also for a unit that comes back. */
export function chargeSteps(amounts: Amounts, units: Units): StepAmounts {
  const steps = spendSteps(amounts, units);
  const [occupied] = occupiedUnits(steps, units);
  if (occupied === undefined) return steps;
  throw new InvalidAmountError(
    `Unit ${JSON.stringify(occupied)} is occupied and always comes back, so it cannot be charged; reserve it`,
  );
}

/** What a settle says, in steps, without the units that come back. @throws InvalidAmountError */
export function settleSteps(actual: Amounts | undefined, units: Units): StepAmounts {
  if (actual === undefined) return NONE;
  const steps = toStepAmounts(actual, units);
  const occupied = occupiedUnits(steps, units);
  return occupied.length === 0 ? steps : steps.filter(({ unit }) => !occupied.includes(unit));
}

/** The units among some amounts that come back instead of being charged. */
export function occupiedUnits(amounts: StepAmounts, units: Units): readonly string[] {
  let occupied: string[] | undefined;
  for (const { unit } of amounts) {
    if (units.get(unit)?.occupied === true) (occupied ??= []).push(unit);
  }
  return occupied ?? NONE;
}
