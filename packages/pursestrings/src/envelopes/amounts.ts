import { InvalidAmountError } from '../errors.ts';
import { MAX_AMOUNT_STEPS, toDecimal, toSteps } from '../ledger/amount.ts';
import { shown } from '../ledger/invalid.ts';
import type { StepAmount, StepAmounts, UnitOptions } from '../ledger/unit.ts';

/** One way to count an envelope. */
interface Scale {
  readonly unit: string;
  readonly decimals: number;
  /** The largest limit that is counted so. */
  readonly largestLimit: number;
}

/** The unit of envelopes whose limit is at most ten million. */
export const AMOUNT_UNIT = 'amount';

/**
 * The larger a limit, the coarser its steps: dollars are counted in 1e-8, tokens by the thousand
 * million in 1e-3. What is finer than a step is rounded up in spends, and down in limits. No limit
 * of the first two is larger than one amount may be, so what is too large to be counted does not fit.
 */
const SCALES: readonly [Scale, ...Scale[]] = [
  { unit: AMOUNT_UNIT, decimals: 8, largestLimit: 10_000_000 },
  { unit: 'large_amount', decimals: 3, largestLimit: 1_000_000_000_000 },
  { unit: 'whole_amount', decimals: 0, largestLimit: Number.MAX_SAFE_INTEGER },
];

/** The units of envelopes, as a ledger is told of them. */
export const UNITS: Readonly<Record<string, UnitOptions>> = Object.fromEntries(
  SCALES.map(({ unit, decimals }) => [unit, { decimals }]),
);

/** The unit that an envelope of this limit is counted in. */
export function unitFor(limit: number): string {
  return scaleFor(limit).unit;
}

/** How many digits after the point a unit keeps. */
export function decimalsOf(unit: string): number {
  return UNITS[unit]?.decimals ?? 0;
}

/** True for a unit that envelopes are counted in. */
export function isUnit(unit: string): boolean {
  return Object.hasOwn(UNITS, unit);
}

/** An amount as far as a unit can count one spend: nothing larger fits any limit of the unit. */
export function asFarAsCounted(amount: number, unit: string): number {
  return Math.min(amount, toDecimal(MAX_AMOUNT_STEPS, decimalsOf(unit)));
}

/** An amount of one unit in steps. @throws InvalidAmountError for one that is too large. */
export function spendIn(unit: string, amount: number): StepAmounts {
  try {
    return [{ unit, steps: toSteps(amount, decimalsOf(unit), 'up') }];
  } catch (error) {
    if (!InvalidAmountError.isInstance(error)) throw error;
    throw new InvalidAmountError(`The amount ${error.message}`);
  }
}

/** The decimal of a spend from an envelope, which is of one unit. */
export function amountOf(amounts: StepAmounts): number {
  const { unit = AMOUNT_UNIT, steps = 0 }: Partial<StepAmount> = amounts[0] ?? {};
  return toDecimal(steps, decimalsOf(unit));
}

/** Checks an amount. @throws InvalidAmountError unless it is a finite number that is not negative. */
export function checkAmount(amount: number): void {
  if (typeof amount === 'number' && amount >= 0 && amount < Number.POSITIVE_INFINITY) return;
  throw new InvalidAmountError(
    `The amount is ${shown(amount)}; it must be a finite number that is not negative`,
  );
}

/** Checks a limit. @throws InvalidAmountError unless it is above 0 and can be counted. */
export function checkLimit(limit: number): void {
  if (typeof limit === 'number' && limit > 0 && limit <= Number.MAX_SAFE_INTEGER) {
    if (toSteps(limit, scaleFor(limit).decimals, 'down', Number.POSITIVE_INFINITY) > 0) return;
  }
  throw new InvalidAmountError(
    `The limit is ${shown(limit)}; it must be a number from 0.00000001 to ${Number.MAX_SAFE_INTEGER}`,
  );
}

function scaleFor(limit: number): Scale {
  return SCALES.find(({ largestLimit }) => limit <= largestLimit) ?? SCALES[0];
}
