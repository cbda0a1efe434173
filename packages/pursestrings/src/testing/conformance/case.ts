import assert from 'node:assert/strict';
import type { Clock } from '../../clock.ts';
import { BudgetExceededError } from '../../errors.ts';
import type { Limit } from '../../ledger/limit.ts';
import { openPurse, type Purse } from '../../purse.ts';
import type { PurseOptions } from '../../purse-options.ts';
import type { LedgerStore } from '../../stores/store.ts';
import { type ManualClock, manualClock } from '../manual-clock.ts';

/** Makes an empty store that goes by a clock. */
export type MakeStore = (options: { readonly clock: Clock }) => LedgerStore | Promise<LedgerStore>;

/** One promise of a store. */
export interface ConformanceCase {
  readonly name: string;
  readonly run: (makeStore: MakeStore) => Promise<void>;
}

/** What a case works with. */
export interface Bench {
  readonly purse: Purse;
  readonly store: LedgerStore;
  readonly clock: ManualClock;
  /** Opens another purse on the same store. */
  open(options?: Omit<PurseOptions, 'store'>): Promise<Purse>;
}

/** Noon of a day without surprises. */
export const START = '2026-06-15T12:00:00Z';

/** Writes a case that begins with a purse on an empty store, and ends with a clean verification. */
export function conformanceCase(
  name: string,
  limits: readonly Limit[],
  run: (bench: Bench) => Promise<void>,
): ConformanceCase {
  return {
    name,
    run: async (makeStore) => {
      const clock = manualClock(START);
      const store = await makeStore({ clock });
      try {
        const purse = await openPurse({ store, limits });
        const open: Bench['open'] = (options = {}) => openPurse({ ...options, store });
        await run({ purse, store, clock, open });
        const verification = await (await open()).verify();
        assert.deepEqual(verification.mismatches, [], `${name}: the ledger does not add up`);
      } finally {
        await store.close();
      }
    },
  };
}

/** Tells whether a spend is admitted; it stays held. */
export async function admitted(spend: Promise<unknown>): Promise<boolean> {
  try {
    await spend;
    return true;
  } catch (error) {
    if (error instanceof BudgetExceededError) return false;
    throw error;
  }
}

/** Spent and held of a limit's one balance in a unit. */
export async function balanceOf(
  purse: Purse,
  limit: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<{ readonly spent: number; readonly held: number; readonly available: number }> {
  for await (const { spent, held, available } of purse.balances({ limit, labels })) {
    return { spent, held, available };
  }
  return { spent: 0, held: 0, available: Number.NaN };
}

/** Reads an asynchronous list to its end. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
