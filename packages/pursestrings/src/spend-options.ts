import { InvalidOptionError } from './errors.ts';
import { CORRECTION_PREFIX, type IfAbandoned } from './ledger/records.ts';

/** How a spend is reserved. */
export interface ReserveOptions {
  /** The idempotency key, 1 to 256 characters. Default: a new UUIDv7. */
  readonly id?: string;
  /** How long the hold lives, in milliseconds: 1 to 400 days. Default: the purse's `holdTtlMs`. */
  readonly ttlMs?: number;
  /**
   * What becomes of a hold that expires, is disposed of, or whose `run` throws: its money goes
   * back, or counts as spent. Default `'release'`.
   */
  readonly ifAbandoned?: IfAbandoned;
  /** What the spend is, for the journal: at most 4,096 characters. */
  readonly description?: string;
  /** Gives up the reserve when it aborts: nothing stays held. */
  readonly signal?: AbortSignal;
  /**
   * A refusal is neither counted nor announced, because the caller goes on to ask for less, or asks
   * once more in earnest. Default `false`.
   */
  readonly tentative?: boolean;
}

/** How a spend is charged after the fact. */
export interface ChargeOptions {
  /** The idempotency key, 1 to 256 characters. Default: a new UUIDv7. */
  readonly id?: string;
  readonly description?: string;
}

/** How a hold is taken up by its id. */
export interface TakeUpOptions {
  /** Also one whose time ran out while nobody said what became of it. Default `false`. */
  readonly expired?: boolean;
}

const MAX_ID_LENGTH = 256;
export const MAX_DESCRIPTION_LENGTH = 4096;
/** The longest life of a hold, from now. */
export const MAX_TTL_MS: number = 400 * 86_400_000;

/** Checks the options of a spend. @throws InvalidOptionError that names the option. */
export function checkSpendOptions(options: ReserveOptions): void {
  if (options.id !== undefined) checkId(options.id);
  if (options.ttlMs !== undefined) checkTtl('ttlMs', options.ttlMs);
  if (options.description !== undefined) checkDescription(options.description);
  if (
    options.ifAbandoned !== undefined &&
    options.ifAbandoned !== 'release' &&
    options.ifAbandoned !== 'charge'
  ) {
    throw new InvalidOptionError(
      `ifAbandoned is ${JSON.stringify(options.ifAbandoned)}; it must be 'release' or 'charge'`,
    );
  }
}

/** Checks an id. @throws InvalidOptionError */
export function checkId(id: string): void {
  if (typeof id !== 'string' || id === '' || id.length > MAX_ID_LENGTH || !id.isWellFormed()) {
    throw new InvalidOptionError(
      `id is ${JSON.stringify(id)?.slice(0, 80)}; it must be 1 to ${MAX_ID_LENGTH} characters of Unicode text`,
    );
  }
  if (id.startsWith(CORRECTION_PREFIX)) {
    throw new InvalidOptionError(
      `id ${JSON.stringify(id.slice(0, 80))} begins with '${CORRECTION_PREFIX}', which the ledger keeps for its own rows`,
    );
  }
}

/** Checks the id that a hold is to have instead of its own. @throws InvalidOptionError */
export function checkNewId(id: string, newId: string): void {
  checkId(newId);
  if (newId !== id) return;
  throw new InvalidOptionError(
    `id ${JSON.stringify(id)} is the hold's own; give another, or keep it open with extend()`,
  );
}

/** Checks a duration. @throws InvalidOptionError */
export function checkTtl(name: string, ttlMs: number): void {
  if (!Number.isInteger(ttlMs) || ttlMs < 1 || ttlMs > MAX_TTL_MS) {
    throw new InvalidOptionError(
      `${name} is ${String(ttlMs)}; it must be a whole number of milliseconds from 1 to ${MAX_TTL_MS} (400 days)`,
    );
  }
}

/** Checks a description. @throws InvalidOptionError */
export function checkDescription(description: string): void {
  if (
    typeof description !== 'string' ||
    description.length > MAX_DESCRIPTION_LENGTH ||
    !description.isWellFormed()
  ) {
    throw new InvalidOptionError(
      `description must be at most ${MAX_DESCRIPTION_LENGTH} characters of Unicode text; shorten it`,
    );
  }
}
