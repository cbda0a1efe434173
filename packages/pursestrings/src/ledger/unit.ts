import { type Amounts, type Decimal, toDecimal, toSteps } from './amount.ts';
import { InvalidAmountError, InvalidUnitError, shown } from './invalid.ts';

/** How a unit is counted. */
export interface UnitOptions {
  /** Digits after the point that the ledger keeps, 0 to 12: the unit's smallest step is 10^-decimals. */
  readonly decimals: number;
  /** An occupied unit (such as `slots`) always comes back: it is held, never charged. */
  readonly occupied?: boolean;
}

/** The units every ledger has. */
export const STANDARD_UNITS: Readonly<Record<string, UnitOptions>> = {
  usd: { decimals: 8 },
  sats: { decimals: 3 },
  tokens: { decimals: 0 },
  calls: { decimals: 0 },
  slots: { decimals: 0, occupied: true },
};

/** The most units one ledger may know. */
export const MAX_UNITS = 64;

/** A unit as the ledger uses it. */
export interface Unit {
  readonly name: string;
  readonly decimals: number;
  readonly occupied: boolean;
}

/** The units of one ledger, by name. */
export type Units = ReadonlyMap<string, Unit>;

/** One unit's amount in whole steps. */
export interface StepAmount {
  readonly unit: string;
  readonly steps: number;
}

/** One spend's amounts in whole steps, ordered by unit, each unit once. */
export type StepAmounts = readonly StepAmount[];

/**
 * Joins the standard units with declared ones.
 *
 * @throws InvalidUnitError for a bad declaration, or one that contradicts a unit already known.
 */
export function declareUnits(
  known: Readonly<Record<string, UnitOptions>>,
  declared: Readonly<Record<string, UnitOptions>>,
): Record<string, UnitOptions> {
  const units = new Map(Object.entries({ ...STANDARD_UNITS, ...known }));
  for (const [name, options] of Object.entries(declared)) {
    checkUnit(name, options);
    const standing = units.get(name);
    if (standing !== undefined && !sameUnit(standing, options)) {
      throw new InvalidUnitError(
        `Unit ${JSON.stringify(name)} is declared with ${describeUnit(options)}, but the ledger counts it with ` +
          `${describeUnit(standing)}; declare it the same way, or give yours another name`,
      );
    }
    units.set(name, {
      decimals: options.decimals,
      ...(options.occupied === true && { occupied: true }),
    });
  }
  if (units.size > MAX_UNITS) {
    throw new InvalidUnitError(
      `A ledger knows at most ${MAX_UNITS} units, and these would be ${units.size}`,
    );
  }
  return Object.fromEntries(units);
}

/** Makes the lookup of units from their declarations. */
export function unitsFrom(declared: Readonly<Record<string, UnitOptions>>): Units {
  return new Map(
    Object.entries(declared).map(([name, options]) => [
      name,
      { name, decimals: options.decimals, occupied: options.occupied === true },
    ]),
  );
}

/**
 * Turns a spend's amounts into whole steps, ordered by unit.
 *
 * @throws InvalidAmountError for an unknown unit or a bad amount, naming both.
 */
export function toStepAmounts(amounts: Amounts, units: Units): StepAmounts {
  if (typeof amounts !== 'object' || amounts === null || Array.isArray(amounts)) {
    throw new InvalidAmountError(
      `Amounts must be an object such as { usd: 0.25 }, not ${shown(amounts)}`,
    );
  }
  const given = Object.keys(amounts);
  const [only] = given;
  if (given.length === 1 && only !== undefined && amounts[only] !== undefined) {
    return [{ unit: only, steps: stepsOfUnit(only, amounts[only], units) }];
  }
  const names = given.filter((name) => amounts[name] !== undefined);
  // Kept by the million, and a list that is mapped has no more room than it needs.
  const steps = names.map((unit) => ({
    unit,
    steps: stepsOfUnit(unit, amounts[unit] as Decimal, units),
  }));
  return steps.length > 1 ? steps.sort(byUnit) : steps;
}

/** Turns amounts in steps back into decimals by unit. Unit names are letters first: safe as keys. */
export function toDecimals(amounts: StepAmounts, units: Units): Record<string, number> {
  const decimals: Record<string, number> = {};
  for (const { unit, steps } of amounts) {
    decimals[unit] = toDecimal(steps, units.get(unit)?.decimals ?? 0);
  }
  return decimals;
}

function stepsOfUnit(name: string, value: Decimal, units: Units): number {
  const unit = units.get(name);
  if (unit === undefined) {
    throw new InvalidAmountError(
      `Unit ${JSON.stringify(name)} is not declared; this ledger counts ${[...units.keys()].join(', ')}. ` +
        `Declare others in openPurse({ units })`,
    );
  }
  try {
    return toSteps(value, unit.decimals, 'up');
  } catch (error) {
    if (!InvalidAmountError.isInstance(error)) throw error;
    throw new InvalidAmountError(`Amount of ${name} ${error.message}`);
  }
}

function checkUnit(name: string, options: UnitOptions): void {
  if (!/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(name)) {
    throw new InvalidUnitError(
      `Unit ${JSON.stringify(name)}: a name is a letter, then up to 63 letters, digits, '_', '.' or '-'`,
    );
  }
  if (typeof options !== 'object' || options === null) {
    throw new InvalidUnitError(
      `Unit ${JSON.stringify(name)} is declared as ${shown(options)}; write { decimals: 3 }`,
    );
  }
  const unknown = Object.keys(options).find((key) => key !== 'decimals' && key !== 'occupied');
  if (unknown !== undefined) {
    throw new InvalidUnitError(
      `Unit ${JSON.stringify(name)}: ${shown(unknown)} is not a field of a unit; those are decimals, occupied`,
    );
  }
  const { decimals } = options;
  if (!Number.isInteger(decimals) || decimals < 0 || decimals > 12) {
    throw new InvalidUnitError(
      `Unit ${JSON.stringify(name)}: decimals is ${shown(decimals)}; it must be a whole number from 0 to 12`,
    );
  }
  if (options.occupied !== undefined && typeof options.occupied !== 'boolean') {
    throw new InvalidUnitError(
      `Unit ${JSON.stringify(name)}: occupied is ${shown(options.occupied)}; it must be true or false`,
    );
  }
}

function sameUnit(a: UnitOptions, b: UnitOptions): boolean {
  return a.decimals === b.decimals && (a.occupied === true) === (b.occupied === true);
}

function describeUnit(unit: UnitOptions): string {
  return `${unit.decimals} decimals${unit.occupied === true ? ', occupied' : ''}`;
}

function byUnit(a: StepAmount, b: StepAmount): number {
  return a.unit < b.unit ? -1 : 1;
}
