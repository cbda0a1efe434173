import type { Charge } from '../../src/charge.ts';
import type { Purse } from '../../src/purse.ts';

/** What a purse says of its money, read as a user reads it. */
export interface PurseMoney {
  /** Every charge so far, oldest first. */
  charges(): Promise<Charge[]>;
  /** All USD recorded, in steps of 1e-8. */
  spentSteps(): Promise<bigint>;
  /** All USD still held under the limit `all`, in steps of 1e-8. */
  heldSteps(): Promise<bigint>;
}

/** Reads the money of a purse. */
export function moneyOf(purse: Purse): PurseMoney {
  const charges = async (): Promise<Charge[]> => {
    const all: Charge[] = [];
    for await (const charge of purse.journal({ order: 'oldest' })) all.push(charge);
    return all;
  };
  return {
    charges,
    spentSteps: async () =>
      (await charges()).reduce((sum, { amounts }) => sum + steps(amounts.usd ?? 0), 0n),
    heldSteps: async () => {
      let held = 0n;
      for await (const balance of purse.balances({ limit: 'all' })) {
        if (balance.unit === 'usd') held += steps(balance.held);
      }
      return held;
    },
  };
}

/** USD in steps of 1e-8. */
export function steps(usd: number): bigint {
  return BigInt(Math.round(usd * 1e8));
}
