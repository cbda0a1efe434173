import type { Charge } from './charge.ts';
import type { Denial } from './denial.ts';
import { PurseError } from './ledger/invalid.ts';

export {
  InvalidAmountError,
  InvalidLabelError,
  InvalidLimitError,
  InvalidOptionError,
  InvalidUnitError,
  InvariantError,
  PurseError,
} from './ledger/invalid.ts';

/**
 * A spend was refused and no money moved. `denial` is the first limit that refused, `denials` all
 * of them, in the order of the limits.
 *
 * @example
 * ```ts
 * import { BudgetExceededError, openPurse } from 'pursestrings';
 *
 * const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 1 } }] });
 * try {
 *   await purse.reserve({ usd: 2 });
 * } catch (error) {
 *   const exceeded = BudgetExceededError.from(error);
 *   if (exceeded === null) throw error;
 *   console.log(exceeded.required, exceeded.remaining, exceeded.unit); // 2 1 usd
 * }
 * ```
 */
export class BudgetExceededError extends PurseError {
  static override readonly brand: string = 'BudgetExceededError';
  readonly denial: Denial;
  readonly denials: readonly Denial[];
  /** What was asked, in decimals of `unit`. */
  readonly required: number;
  /** What was left, in decimals of `unit`. */
  readonly remaining: number;
  readonly unit: string;

  constructor(
    denials: readonly [Denial, ...(readonly Denial[])],
    options: { readonly cause?: unknown } = {},
  ) {
    super('BUDGET_EXCEEDED', denials.map(({ message }) => message).join(' '), options);
    this.denial = denials[0];
    this.denials = denials;
    this.required = this.denial.requested;
    this.remaining = this.denial.available;
    this.unit = this.denial.unit;
  }

  /**
   * Finds the refusal in whatever an SDK made of it: the error itself, its cause chain, the errors
   * of an aggregate, a parsed or written body under `error`, `body`, `response`, `data` and their
   * like, or a message that holds the body. Answers `null` when there is none.
   */
  static from(error: unknown): BudgetExceededError | null {
    return search(error, error, 0, new Set());
  }
}

/** An id is known with other content; nothing was done. `recorded` is what stands under it. */
export class ConflictError extends PurseError {
  static override readonly brand: string = 'ConflictError';
  readonly id: string;
  readonly recorded: Recorded;

  constructor(id: string, recorded: Recorded, message: string) {
    super('CONFLICT', message);
    this.id = id;
    this.recorded = recorded;
  }
}

/** What stands recorded under an id. */
export interface Recorded {
  /** Where the hold stands: `open`, `settled`, `released`, `expired`, `expired_charged`, `corrected`; `null` without a hold. */
  readonly hold: string | null;
  readonly charge: Charge | null;
}

/** No hold with this id is open: it never was, or it was forgotten after its time. */
export class HoldNotFoundError extends PurseError {
  static override readonly brand: string = 'HoldNotFoundError';
  readonly id: string;

  constructor(id: string, message: string) {
    super('HOLD_NOT_FOUND', message);
    this.id = id;
  }
}

/** Nobody knows what this model costs, so no money goes out for it. */
export class PriceUnknownError extends PurseError {
  static override readonly brand: string = 'PriceUnknownError';
  readonly model: string;

  constructor(model: string, message: string) {
    super('PRICE_UNKNOWN', message);
    this.model = model;
  }
}

/** What a store can say of itself. */
export type StoreErrorCode = 'STORE_UNAVAILABLE' | 'OUTCOME_UNKNOWN' | 'STORE_CORRUPT';

/** Why a store failed. */
export type StoreFailure =
  | 'closed'
  | 'contended'
  | 'corrupt'
  | 'full'
  | 'io'
  | 'locked'
  | 'misconfigured'
  | 'newer_schema'
  | 'overloaded'
  | 'read_only'
  | 'unreachable';

/**
 * The store failed. Under `STORE_UNAVAILABLE` and `STORE_CORRUPT` nothing was written; under
 * `OUTCOME_UNKNOWN` the operation may have happened: ask again with the same id.
 */
export class StoreError extends PurseError {
  static override readonly brand: string = 'StoreError';
  readonly failure: StoreFailure;
  declare readonly code: StoreErrorCode;

  constructor(
    code: StoreErrorCode,
    failure: StoreFailure,
    message: string,
    options: { readonly retryable?: boolean; readonly cause?: unknown } = {},
  ) {
    super(code, message, options);
    this.failure = failure;
  }
}

/** Nothing an SDK throws nests deeper than this. */
const MAX_DEPTH = 16;

/** So many of a list are looked at. */
const MAX_LISTED = 100;

/** Where errors of SDKs and of their frameworks keep what they were made of. */
const PLACES = [
  'cause',
  'error',
  'errors',
  'body',
  'response',
  'data',
  'denial',
  'details',
  'metadata',
  'responseBody',
  'lastError',
  'originalError',
  'rawError',
  'innerError',
  'parent',
  'reason',
  'message',
];

function search(
  value: unknown,
  root: unknown,
  depth: number,
  seen: Set<unknown>,
): BudgetExceededError | null {
  if (value instanceof BudgetExceededError) return value;
  if (depth > MAX_DEPTH) return null;
  if (typeof value === 'string') return searchText(value, root, depth, seen);
  if (typeof value !== 'object' || value === null || seen.has(value)) return null;
  seen.add(value);
  const found = denialsIn(value);
  if (found !== null) return new BudgetExceededError(found, { cause: root });
  const inner = Array.isArray(value)
    ? (value as readonly unknown[]).slice(0, MAX_LISTED)
    : PLACES.map((place) => read(value, place));
  for (const each of inner) {
    const inside = search(each, root, depth + 1, seen);
    if (inside !== null) return inside;
  }
  return null;
}

/** Searches text that is JSON, or has JSON in it: `402 {…}`, `got status: 402. {…}`. */
function searchText(
  text: string,
  root: unknown,
  depth: number,
  seen: Set<unknown>,
): BudgetExceededError | null {
  // Text within text has its quotes escaped.
  if (!/"denials?\\*"/.test(text)) return null;
  const written = json(text) ?? json(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1));
  return written === undefined ? null : search(written, root, depth + 1, seen);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function denialsIn(value: object): [Denial, ...Denial[]] | null {
  const given: unknown = read(value, 'denials') ?? [read(value, 'denial')];
  if (!Array.isArray(given)) return null;
  const denials = given.map(readDenial);
  const [first, ...rest] = denials;
  if (first === undefined || first === null || rest.includes(null)) return null;
  return [first, ...rest.filter((denial) => denial !== null)];
}

/** Reads a property of anything; one that throws is not there. */
function read(value: object, name: string): unknown {
  try {
    return Reflect.get(value, name);
  } catch {
    return undefined;
  }
}

const REASONS = new Set<unknown>(['exceeds', 'frozen', 'uncovered', 'too_many_envelopes']);

/** Reads a denial that may have travelled as JSON: its time is a string then. */
function readDenial(value: unknown): Denial | null {
  if (typeof value !== 'object' || value === null) return null;
  const denial = value as Denial;
  const numbers = [denial.cap, denial.spent, denial.held, denial.requested, denial.available];
  if (!REASONS.has(denial.reason) || !numbers.every((part) => typeof part === 'number'))
    return null;
  const resetsAt: unknown = denial.resetsAt;
  return {
    ...denial,
    resetsAt: typeof resetsAt === 'string' ? new Date(resetsAt) : denial.resetsAt,
  };
}
