/**
 * The base of every error this package throws, in whichever copy of the package it was made.
 * `code` says what happened to a program, `message` to a person: it names the thing, the value
 * and the remedy. `retryable` says whether the same call may succeed later, unchanged.
 *
 * @example
 * ```ts
 * import { PurseError } from 'pursestrings';
 *
 * function shouldRetry(error: unknown): boolean {
 *   return PurseError.isInstance(error) && error.retryable;
 * }
 * ```
 */
export class PurseError extends Error {
  /** The name that copies of the package know the class by, whatever a bundler makes of its own. */
  static readonly brand: string = 'PurseError';
  readonly code: string;
  readonly retryable: boolean;

  constructor(
    code: string,
    message: string,
    options: { readonly retryable?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.brand;
    this.code = code;
    this.retryable = options.retryable ?? false;
    for (const brand of brandsOf(new.target)) Object.defineProperty(this, brand, { value: true });
  }

  /** True for an error of this class, also one made by another copy of the package. */
  static isInstance<T extends (new (...parts: never[]) => PurseError) & { readonly brand: string }>(
    this: T,
    error: unknown,
  ): error is InstanceType<T> {
    return typeof error === 'object' && error !== null && symbolOf(this.brand) in error;
  }
}

function symbolOf(brand: string): symbol {
  return Symbol.for(`pursestrings.${brand}`);
}

/** The marks of a class and of those it extends. */
function brandsOf(errorClass: typeof PurseError): readonly symbol[] {
  const brands: symbol[] = [];
  let current: typeof PurseError = errorClass;
  while (current !== PurseError) {
    brands.push(symbolOf(current.brand));
    current = Object.getPrototypeOf(current) as typeof PurseError;
  }
  return [...brands, symbolOf(PurseError.brand)];
}

/** An amount that cannot be meant: negative, not a number, too large, of an unknown unit. Nothing was done. */
export class InvalidAmountError extends PurseError {
  static override readonly brand: string = 'InvalidAmountError';
  constructor(message: string) {
    super('INVALID_AMOUNT', message);
  }
}

/** A label that cannot be kept: not a string, too long, or too many of them; nothing was done. */
export class InvalidLabelError extends PurseError {
  static override readonly brand: string = 'InvalidLabelError';
  constructor(message: string) {
    super('INVALID_LABEL', message);
  }
}

/** An id, a description, a duration or another option out of its range; nothing was done. */
export class InvalidOptionError extends PurseError {
  static override readonly brand: string = 'InvalidOptionError';
  constructor(message: string) {
    super('INVALID_OPTION', message);
  }
}

/** A unit declared wrongly, or otherwise than the ledger already knows it. */
export class InvalidUnitError extends PurseError {
  static override readonly brand: string = 'InvalidUnitError';
  constructor(message: string) {
    super('INVALID_UNIT', message);
  }
}

/** A limit that cannot hold: `limit` names it and `field` names what is wrong with it. */
export class InvalidLimitError extends PurseError {
  static override readonly brand: string = 'InvalidLimitError';
  readonly limit: string;
  readonly field: string;

  constructor(limit: string, field: string, problem: string) {
    super('INVALID_LIMIT', `Limit ${JSON.stringify(limit)}: \`${field}\` ${problem}`);
    this.limit = limit;
    this.field = field;
  }
}

/** A rule of the ledger does not hold: a defect of this package. Please report it. */
export class InvariantError extends PurseError {
  static override readonly brand: string = 'InvariantError';
  constructor(message: string) {
    super('INVARIANT', `${message}. This is a defect of pursestrings: please report it.`);
  }
}

/** Writes a value for a message, whatever a caller may have passed; it is never long. */
export function shown(value: unknown): string {
  const text = writtenOut(value);
  return text.length > 100 ? `${text.slice(0, 100).toWellFormed()}…` : text;
}

function writtenOut(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  try {
    return JSON.stringify(value) ?? typeof value;
  } catch {
    // It refers to itself, or has a bigint in it.
    return Object.prototype.toString.call(value);
  }
}
