import { MAX_ENVELOPE_STEPS } from '../../ledger/amount.ts';
import { InvalidAmountError, shown } from '../../ledger/invalid.ts';
import type { SpendStore } from './types.ts';

/** The steps of a USD that amounts are kept in. */
const STEPS_PER_USD = 1e8;

/** Keys kept at most; the ones longest unused are forgotten first. */
const MAX_KEYS = 100_000;

/** USD as whole steps, nearest: sums of binary fractions come out as the decimals they mean. */
export function stepsOf(usd: number): number {
  const steps = typeof usd === 'number' ? Math.round(usd * STEPS_PER_USD) : Number.NaN;
  if (!Number.isFinite(steps) || Math.abs(steps) > MAX_ENVELOPE_STEPS) {
    throw new InvalidAmountError(`${shown(usd)} is no amount of USD`);
  }
  return steps;
}

/** Whole steps as USD. */
export function usdOf(steps: number): number {
  return steps / STEPS_PER_USD;
}

interface Total {
  readonly steps: number;
  /** What of it stands in the ledger of the same memory. */
  readonly postedSteps: number;
}

/** The totals of one memory, and how far they stand in its ledger. */
export class MemoryTotals {
  readonly #totals = new Map<string, Total>();

  /** Adds steps, posted in the ledger or not, and answers with the new total. */
  add(key: string, steps: number, posted: boolean): number {
    const standing = this.#totals.get(key);
    const total = {
      steps: (standing?.steps ?? 0) + steps,
      postedSteps: (standing?.postedSteps ?? 0) + (posted ? steps : 0),
    };
    this.#totals.delete(key);
    this.#totals.set(key, total);
    if (this.#totals.size > MAX_KEYS) {
      for (const oldest of this.#totals.keys()) {
        this.#totals.delete(oldest);
        break;
      }
    }
    return total.steps;
  }

  get(key: string): number {
    return this.#totals.get(key)?.steps ?? 0;
  }

  /** What was added by hand and does not stand in the ledger yet; counts as posted from now on. */
  takeUnposted(key: string): number {
    const total = this.#totals.get(key);
    if (total === undefined || total.steps <= total.postedSteps) return 0;
    this.#totals.set(key, { steps: total.steps, postedSteps: total.steps });
    return total.steps - total.postedSteps;
  }

  entries(prefix: string): [string, number][] {
    const found: [string, number][] = [];
    for (const [key, { steps }] of this.#totals) {
      if (key.startsWith(prefix)) found.push([key, usdOf(steps)]);
    }
    return found;
  }
}

let readTotals: (store: MemoryStore) => MemoryTotals;

/**
 * Spend in this process's memory: a ledger of its own, whose totals can be read at any time.
 * Guards that are given no store share one.
 *
 * @example
 * ```ts
 * import { MemoryStore } from 'pursestrings/guard';
 *
 * const store = new MemoryStore();
 * for (let call = 0; call < 10; call += 1) store.add('my-app|chat|2026-11-22', 0.1);
 * console.log(store.get('my-app|chat|2026-11-22')); // 1
 * ```
 */
export class MemoryStore implements SpendStore {
  #totals = new MemoryTotals();

  static {
    readTotals = (store) => store.#totals;
  }

  /**
   * Adds USD to a key. What is added to a project's total counts against its cap; taking away
   * works for what was added by hand, and never gives back what guards have spent.
   *
   * @throws InvalidAmountError for what is no amount.
   */
  add(key: string, usd: number): number {
    return usdOf(this.#totals.add(key, stepsOf(usd), false));
  }

  get(key: string): number {
    return usdOf(this.#totals.get(key));
  }

  entries(prefix: string): [string, number][] {
    return this.#totals.entries(prefix);
  }

  /** Forgets all spend. Calls under way end in the old memory. */
  clear(): void {
    this.#totals = new MemoryTotals();
  }
}

/** The totals of a store, as they stand: `clear` begins new ones. */
export function totalsOf(store: MemoryStore): MemoryTotals {
  return readTotals(store);
}

/** The memory of all guards that are given no store. */
export const defaultStore: MemoryStore = new MemoryStore();
