import { type Amounts, MAX_ENVELOPE_STEPS, toSteps } from './amount.ts';
import { InvalidAmountError, InvalidLimitError, shown } from './invalid.ts';
import { MAX_LABEL_NAME_LENGTH, MAX_LABEL_VALUE_LENGTH } from './labels.ts';
import type { Unit, Units } from './unit.ts';
import { dependsOnTimeZone, type Period, resolveTimeZone, windowFinder } from './window.ts';

/**
 * A rule: at most so much, per period, for spends that match, each combination separately.
 *
 * @example
 * ```ts
 * import type { Limit } from 'pursestrings';
 *
 * const limit: Limit = { name: 'agent-day', cap: { usd: 5 }, per: 'day', each: ['agent'] };
 * ```
 */
export interface Limit {
  /** Unique in the ledger, 1 to 128 characters. With the shape it is the limit's identity. */
  readonly name: string;
  /** One envelope for each unit; a cap of 0 blocks. A fraction finer than a step is dropped. */
  readonly cap: Amounts;
  /** Default `'total'`: one window that never resets. */
  readonly per?: Period;
  /** Only spends that carry these labels; a list means any of its values. */
  readonly where?: Readonly<Record<string, string | readonly string[]>>;
  /** One envelope for each combination of these labels' values. */
  readonly each?: readonly string[];
  /** `'soft'` never denies; it is counted and it warns. Default `'hard'`. */
  readonly mode?: 'hard' | 'soft';
  /** Fractions of the cap whose crossing is recorded and announced once a window. Default 0.8, 0.95, 1. */
  readonly warnAt?: readonly number[];
  /** The IANA zone of the windows. Default: the purse's. */
  readonly timeZone?: string;
}

/** The most limits one ledger may have. */
export const MAX_LIMITS = 10_000;

/** The warnings of a limit that names none. */
export const DEFAULT_WARN_AT: readonly number[] = [0.8, 0.95, 1];

/** What a line is judged by: fixed when the line is planned, and kept by its hold (rule 6). */
export interface Terms {
  readonly limit: string;
  readonly unit: string;
  readonly capSteps: number;
  readonly soft: boolean;
  readonly occupied: boolean;
  /** Steps of `spent` at which a fraction of the cap is crossed, ascending. */
  readonly warn: readonly { readonly fraction: number; readonly steps: number }[];
}

/** A limit made ready for planning. */
export interface Rule {
  /** The place of the limit in the policy: lines and denials keep that order. */
  readonly order: number;
  readonly limit: Limit;
  readonly where: readonly { readonly label: string; readonly values: ReadonlySet<string> }[];
  readonly each: readonly string[];
  readonly findWindow: ReturnType<typeof windowFinder>;
  /** By unit: the terms, and the beginning that the keys of this limit's envelopes share. */
  readonly caps: readonly { readonly terms: Terms; readonly keyPrefix: string }[];
}

const FIELDS = ['name', 'cap', 'per', 'where', 'each', 'mode', 'warnAt', 'timeZone'];

/**
 * Checks a limit whole and makes it ready for planning.
 *
 * @throws InvalidLimitError that names the limit and the field.
 */
export function compileLimit(limit: Limit, units: Units, order: number): Rule {
  const name = checkedName(limit);
  checkFields(name, limit);
  const where = checkedWhere(name, limit.where);
  const each = checkedEach(name, limit.each);
  const findWindow = checkedPeriod(name, limit);
  if (limit.mode !== undefined && limit.mode !== 'hard' && limit.mode !== 'soft') {
    throw new InvalidLimitError(
      name,
      'mode',
      `is ${shown(limit.mode)}; it must be 'hard' or 'soft'`,
    );
  }
  const warnAt = checkedWarnAt(name, limit.warnAt);
  const shape = shapeText(limit, where, each);
  const caps = checkedCap(name, limit, units).map(({ unit, steps }) => ({
    terms: {
      limit: name,
      unit: unit.name,
      capSteps: steps,
      soft: limit.mode === 'soft',
      occupied: unit.occupied,
      warn: unit.occupied
        ? []
        : warnAt.map((fraction) => ({ fraction, steps: shareOf(steps, fraction) })),
    },
    keyPrefix: `${keyPart(name)}|${shape}|${unit.name}|`,
  }));
  return { order, limit, where, each, findWindow, caps };
}

/**
 * The limit as the policy keeps it: with the time zone its windows follow, where they follow one.
 *
 * @throws InvalidLimitError when the zone is unknown.
 */
export function resolveLimit(limit: Limit, defaultTimeZone: string): Limit {
  const name = checkedName(limit);
  const { timeZone = defaultTimeZone, ...rest } = limit;
  let resolved: string;
  try {
    resolved = resolveTimeZone(timeZone);
  } catch {
    throw new InvalidLimitError(
      name,
      'timeZone',
      `is ${shown(timeZone)}, which is no IANA time zone; write one such as 'Europe/Berlin'`,
    );
  }
  // A period that is none is left for compileLimit to refuse.
  return dependsOnTimeZone(limit.per ?? 'total') ? { ...rest, timeZone: resolved } : rest;
}

/** Makes a part of an envelope's key that no value can forge: the separator never stands in it. */
export function keyPart(value: string): string {
  return /[%|,;=]/.test(value) ? value.replaceAll(/[%|,;=]/g, encodeURIComponent) : value;
}

function checkedName(limit: Limit): string {
  const name: unknown = limit?.name;
  if (typeof name !== 'string' || name === '' || name.length > 128 || !name.isWellFormed()) {
    const written = typeof name === 'string' ? name.slice(0, 128) : shown(name);
    throw new InvalidLimitError(written, 'name', 'must be 1 to 128 characters of text');
  }
  return name;
}

function checkFields(name: string, limit: Limit): void {
  for (const field of Object.keys(limit)) {
    if (!FIELDS.includes(field)) {
      throw new InvalidLimitError(
        name,
        field,
        `is not a field of a limit; those are ${FIELDS.join(', ')}`,
      );
    }
  }
}

function checkedCap(
  name: string,
  limit: Limit,
  units: Units,
): readonly { readonly unit: Unit; readonly steps: number }[] {
  const cap: unknown = limit.cap;
  if (
    typeof cap !== 'object' ||
    cap === null ||
    Array.isArray(cap) ||
    Object.keys(cap).length === 0
  ) {
    throw new InvalidLimitError(name, 'cap', 'must name at least one unit, such as { usd: 50 }');
  }
  return Object.keys(limit.cap).map((unitName) => {
    const field = `cap.${unitName}`;
    const unit = units.get(unitName);
    if (unit === undefined) {
      throw new InvalidLimitError(
        name,
        field,
        `is of an unknown unit; this ledger counts ${[...units.keys()].join(', ')}`,
      );
    }
    if (unit.occupied && (limit.per ?? 'total') !== 'total') {
      throw new InvalidLimitError(
        name,
        'per',
        `is ${shown(limit.per)}, but ${unitName} is occupied and always comes back: its limits are 'total'`,
      );
    }
    try {
      const steps = toSteps(
        limit.cap[unitName] as number,
        unit.decimals,
        'down',
        MAX_ENVELOPE_STEPS,
      );
      return { unit, steps };
    } catch (error) {
      if (!InvalidAmountError.isInstance(error)) throw error;
      throw new InvalidLimitError(name, field, error.message);
    }
  });
}

function checkedPeriod(name: string, limit: Limit): Rule['findWindow'] {
  try {
    const { per = 'total', timeZone = 'UTC' } = limit;
    const findWindow = windowFinder(per, timeZone);
    findWindow(0);
    return findWindow;
  } catch (error) {
    throw new InvalidLimitError(
      name,
      'per',
      error instanceof Error ? error.message : String(error),
    );
  }
}

function checkedWhere(name: string, where: Limit['where']): Rule['where'] {
  if (where === undefined) return [];
  if (typeof where !== 'object' || where === null || Array.isArray(where)) {
    throw new InvalidLimitError(name, 'where', "must be labels, such as { team: 'search' }");
  }
  return Object.keys(where)
    .sort()
    .map((label) => {
      checkLabelName(name, `where.${label}`, label);
      const given: unknown = where[label];
      const values: readonly unknown[] = Array.isArray(given) ? given : [given];
      if (values.length === 0 || values.length > 1000 || !values.every(isLabelValue)) {
        throw new InvalidLimitError(
          name,
          `where.${label}`,
          `is ${shown(given)}; it must be a string, or a list of 1 to 1000 strings`,
        );
      }
      return { label, values: new Set(values as readonly string[]) };
    });
}

function checkedEach(name: string, each: Limit['each']): readonly string[] {
  if (each === undefined) return [];
  if (!Array.isArray(each) || each.length > 8) {
    throw new InvalidLimitError(
      name,
      'each',
      "must be a list of at most 8 label names, such as ['agent']",
    );
  }
  for (const label of each) checkLabelName(name, 'each', label);
  if (new Set(each).size !== each.length) {
    throw new InvalidLimitError(name, 'each', `names a label twice: ${each.join(', ')}`);
  }
  const labels: readonly string[] = each;
  return [...labels].sort();
}

function checkLabelName(name: string, field: string, label: unknown): void {
  if (
    typeof label !== 'string' ||
    label === '' ||
    label.length > MAX_LABEL_NAME_LENGTH ||
    !label.isWellFormed()
  ) {
    throw new InvalidLimitError(
      name,
      field,
      `names the label ${shown(label)}; a name is text of 1 to ${MAX_LABEL_NAME_LENGTH} characters`,
    );
  }
}

function isLabelValue(value: unknown): boolean {
  return (
    typeof value === 'string' && value.length <= MAX_LABEL_VALUE_LENGTH && value.isWellFormed()
  );
}

function checkedWarnAt(name: string, warnAt: Limit['warnAt']): readonly number[] {
  if (warnAt === undefined) return DEFAULT_WARN_AT;
  const valid =
    Array.isArray(warnAt) &&
    warnAt.length <= 16 &&
    warnAt.every((fraction) => typeof fraction === 'number' && fraction > 0 && fraction <= 100);
  if (!valid) {
    throw new InvalidLimitError(
      name,
      'warnAt',
      `is ${shown(warnAt)}; it must be a list of at most 16 fractions of the cap, over 0 and up to 100`,
    );
  }
  return [...new Set(warnAt)].sort((a, b) => a - b);
}

/** The first whole step at or over a fraction of a cap, in exact arithmetic. */
function shareOf(capSteps: number, fraction: number): number {
  const scaled = toSteps(fraction, 12, 'up', Number.POSITIVE_INFINITY);
  const product = BigInt(capSteps) * BigInt(scaled);
  const steps = (product + 10n ** 12n - 1n) / 10n ** 12n;
  return steps > BigInt(MAX_ENVELOPE_STEPS) ? MAX_ENVELOPE_STEPS : Number(steps);
}

/** Writes a limit's shape: two limits of one name share envelopes when these are equal (rule 9). */
function shapeText(limit: Limit, where: Rule['where'], each: readonly string[]): string {
  const per = limit.per ?? 'total';
  const period =
    typeof per === 'object'
      ? `${per.every}${per.from === undefined ? '' : `;${keyPart(per.from)}`}`
      : per;
  const zone =
    limit.timeZone === undefined || !dependsOnTimeZone(per) ? '' : `;${keyPart(limit.timeZone)}`;
  const labels = where.map(
    ({ label, values }) => `${keyPart(label)}=${[...values].sort().map(keyPart).join(',')}`,
  );
  return [`${period}${zone}`, labels.join(';'), each.map(keyPart).join(',')].join('|');
}
