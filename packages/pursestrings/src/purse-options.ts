import type { Clock } from './clock.ts';
import { InvalidOptionError } from './errors.ts';
import { shown } from './ledger/invalid.ts';
import type { Labels } from './ledger/labels.ts';
import type { Limit } from './ledger/limit.ts';
import type { UnitOptions } from './ledger/unit.ts';
import { resolveTimeZone } from './ledger/window.ts';
import { DEFAULT_PATIENCE, type Patience } from './patience.ts';
import { checkTtl } from './spend-options.ts';
import { checkLedgerName } from './store-url.ts';
import type { LedgerStore } from './stores/store.ts';

/** How long a health check takes at most, unless it is told otherwise. */
export const HEALTH_TIMEOUT_MS = 2000;

/** The longest that a store may take to answer. */
export const MAX_TIMEOUT_MS = 600_000;

/** How a purse is opened. */
export interface PurseOptions {
  /** Where the ledger lives: a store, or a URL such as `'sqlite:./purse.db'`. Default `'memory:'`. */
  readonly store?: LedgerStore | string;
  /** The name of the ledger inside its store: 1 to 64 of `A-Z a-z 0-9 _ -`. Default `'default'`. */
  readonly ledger?: string;
  /** Written to the ledger's policy by name; limits not named here stay. */
  readonly limits?: readonly Limit[];
  /** Units besides `usd`, `sats`, `tokens`, `calls` and `slots`. */
  readonly units?: Readonly<Record<string, UnitOptions>>;
  /** The IANA zone of calendar windows, for limits that name none. Default `'UTC'`. */
  readonly timeZone?: string;
  /** How long a hold lives that names no `ttlMs`, in milliseconds. Default 600,000. */
  readonly holdTtlMs?: number;
  /** What becomes of a spend that no limit covers. Default `'deny'`. */
  readonly uncovered?: 'deny' | 'allow';
  /**
   * What becomes of a reserve while the store cannot be reached. `'deny'`: it throws a StoreError, and
   * nothing is spent. `'allow'`: it goes through under no limit, with an `error` event and a warning of
   * the process, and is charged when the store is back, if this process lives until then. Freezes and
   * missing coverage that are known here still deny. Default `'deny'`.
   */
  readonly onStoreFailure?: 'deny' | 'allow';
  /**
   * How long a store that is reached over a network may take to answer, in milliseconds: 1 to 600,000.
   * After that it is asked again, with the same ids. Default 5,000.
   */
  readonly operationTimeoutMs?: number;
  /**
   * For how long it is asked again, in milliseconds from the first asking: 0 to 3,600,000. Then a
   * StoreError tells whether the operation may have happened. Default 15,000.
   */
  readonly retryForMs?: number;
  /** The clock of a store that is made here from a URL. A store that is passed in has its own. */
  readonly clock?: Clock;
}

/** Which charges of the journal. */
export interface JournalOptions {
  /** Only charges that carry these labels. */
  readonly labels?: Labels;
  /** From this time on. */
  readonly since?: Date;
  /** Up to but not including this time. */
  readonly until?: Date;
  /** Default `'newest'`, which comes first. */
  readonly order?: 'newest' | 'oldest';
}

/** Which open holds. */
export interface HoldsQuery {
  /** Only holds that carry these labels. */
  readonly labels?: Labels;
  /** Only holds whose id begins so, 1 to 256 characters: others are not even read. */
  readonly idPrefix?: string;
}

/** Which report. */
export interface ReportQuery {
  /** The labels whose values get rows of their own. Default none: one row. */
  readonly by?: readonly string[];
  /** Default: all that the ledger keeps. */
  readonly since?: Date;
  /** Default: now. */
  readonly until?: Date;
}

/** How a purse is doing. */
export interface Health {
  /** The store answers. */
  readonly ok: boolean;
  /** The kind of store. */
  readonly store: string;
  /** How long the store took to answer, in milliseconds. */
  readonly latencyMs: number;
  /** The store's time minus this process's, in milliseconds. */
  readonly clockOffsetMs: number;
  /** Operations of this purse that have no answer yet, and settles that wait for the store to be back. */
  readonly pending: number;
  /** Why it is not `ok`: a code of a `StoreError`, its `failure`, and the sentence. */
  readonly error?: { readonly code: string; readonly failure: string; readonly message: string };
}

/** How long a health check may take. */
export interface HealthOptions {
  /** In milliseconds: 1 to 600,000. Default 2,000, and at most `operationTimeoutMs`. */
  readonly timeoutMs?: number;
}

/** The options of a purse, checked, with their defaults. */
export interface PurseSettings extends Patience {
  readonly timeZone: string;
  readonly holdTtlMs: number;
  readonly uncovered: 'deny' | 'allow';
  readonly onStoreFailure: 'deny' | 'allow';
}

/** Checks how a purse is to be opened. @throws InvalidOptionError that names the option. */
export function checkedSettings(options: PurseOptions): PurseSettings {
  if (options.limits !== undefined && !Array.isArray(options.limits)) {
    throw new InvalidOptionError(`limits is ${shown(options.limits)}; it must be a list of limits`);
  }
  if (options.ledger !== undefined) checkLedgerName(options.ledger);
  if (options.holdTtlMs !== undefined) checkTtl('holdTtlMs', options.holdTtlMs);
  const { operationTimeoutMs = DEFAULT_PATIENCE.operationTimeoutMs } = options;
  const { retryForMs = DEFAULT_PATIENCE.retryForMs } = options;
  checkMs('operationTimeoutMs', operationTimeoutMs, 1, MAX_TIMEOUT_MS);
  checkMs('retryForMs', retryForMs, 0, 3_600_000);
  const timeZone = options.timeZone ?? 'UTC';
  try {
    resolveTimeZone(timeZone);
  } catch {
    throw new InvalidOptionError(
      `timeZone is ${JSON.stringify(timeZone)}, which is no IANA time zone, such as 'Europe/Berlin'`,
    );
  }
  return {
    timeZone,
    holdTtlMs: options.holdTtlMs ?? 600_000,
    uncovered: denyOrAllow('uncovered', options.uncovered),
    onStoreFailure: denyOrAllow('onStoreFailure', options.onStoreFailure),
    operationTimeoutMs,
    retryForMs,
  };
}

function denyOrAllow(name: string, given: 'deny' | 'allow' | undefined): 'deny' | 'allow' {
  if (given === undefined || given === 'deny' || given === 'allow') return given ?? 'deny';
  throw new InvalidOptionError(`${name} is ${shown(given)}; it must be 'deny' or 'allow'`);
}

/** Checks a span of time. @throws InvalidOptionError */
export function checkMs(name: string, ms: number, least: number, most: number): void {
  if (typeof ms === 'number' && ms >= least && ms <= most) return;
  throw new InvalidOptionError(
    `${name} is ${shown(ms)}; it must be a number of milliseconds from ${least} to ${most}`,
  );
}

/** Checks a list of label names. @throws InvalidOptionError */
export function checkedLabelNames(by: readonly string[]): readonly string[] {
  if (!Array.isArray(by) || !by.every((label) => typeof label === 'string')) {
    throw new InvalidOptionError(
      `by is ${shown(by)}; it must be a list of labels, such as ['agent']`,
    );
  }
  return [...new Set<string>(by)];
}

/** The time of a date. @throws InvalidOptionError for one that is invalid. */
export function timeOf(name: string, date: Date): number {
  const timeMs = date instanceof Date ? date.getTime() : Number.NaN;
  if (Number.isNaN(timeMs)) {
    throw new InvalidOptionError(`${name} is ${String(date)}; it must be a valid Date`);
  }
  return timeMs;
}
