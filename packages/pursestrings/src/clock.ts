/**
 * Tells the time. The ledger knows one clock, its store's; tests hand a store their own.
 *
 * @example
 * ```ts
 * import type { Clock } from 'pursestrings';
 *
 * const noon: Clock = { now: () => Date.UTC(2026, 0, 1, 12) };
 * ```
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
}

/** The clock of this process. */
export const systemClock: Clock = { now: () => Date.now() };
