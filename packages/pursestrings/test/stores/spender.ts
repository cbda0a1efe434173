import { type Limit, openPurse, type Purse, type PurseOptions } from '../../src/index.ts';
import { StoreError } from '../../src/errors.ts';
import { expect } from 'vitest';
import { charges } from './fixture.ts';

/** What spending came to while servers were taken away. */
export interface Spent {
  /** Cents by the id of each charge that was acknowledged. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** Cents of all charges together that were acknowledged under the cap. */
  readonly cappedCents: number;
  readonly failures: readonly unknown[];
}

const LANES = 16;
export const CAPPED_USD = 3;

const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1e6 } },
  { name: 'capped', cap: { usd: CAPPED_USD }, where: { kind: 'capped' } },
];

/** Spends in every way until told to stop; ids tell the amount. */
export async function spendUntil(
  store: NonNullable<PurseOptions['store']>,
  run: string,
  work: (purse: Purse) => Promise<void>,
  patience: Pick<PurseOptions, 'operationTimeoutMs' | 'retryForMs'> = {},
): Promise<Spent> {
  const purse = await openPurse({ store, limits: LIMITS, ...patience });
  const acknowledged = new Map<string, number>();
  let cappedCents = 0;
  const failures: unknown[] = [];
  const until = { stopped: false };
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    for (let turn = 0; !until.stopped; turn += 1) {
      const cents = 1 + ((lane * 31 + turn * 17) % 40);
      const id = `${run}-${lane}-${turn}-${cents}`;
      try {
        if ((lane + turn) % 4 === 3) {
          const settled = await spendCapped(purse, cents);
          cappedCents += settled;
        } else {
          await spend(purse, id, cents / 100, (lane + turn) % 4);
          acknowledged.set(id, cents);
        }
      } catch (error) {
        failures.push(error);
        if (!StoreError.isInstance(error)) throw error;
      }
    }
  });
  try {
    await work(purse);
  } finally {
    until.stopped = true;
  }
  await Promise.all(lanes);
  await purse.close();
  return { acknowledged, cappedCents, failures };
}

async function spend(purse: Purse, id: string, usd: number, way: number): Promise<void> {
  if (way === 0) {
    await purse.charge({ usd }, {}, { id });
    return;
  }
  const early = way === 2 ? { id: `early-${id}` } : { id };
  const hold = await purse.reserve({ usd: 0.5 }, {}, early);
  await (way === 2 ? await hold.rename(id) : hold).settle({ usd });
}

/** Spends without an id of the caller's own, under a cap that is soon reached. */
async function spendCapped(purse: Purse, cents: number): Promise<number> {
  const reserved = await purse.tryReserve({ usd: cents / 100 }, { kind: 'capped' });
  if (!reserved.ok) return 0;
  await reserved.hold.settle();
  return cents;
}

/** Expects that every acknowledged charge is in the journal, once and whole, and no cap was passed. */
export async function expectNothingLost(purse: Purse, { acknowledged }: Spent): Promise<void> {
  const journal = await charges(purse);
  const byId = new Map(journal.map((charge) => [charge.id, charge]));
  expect(byId.size).toBe(journal.length);
  const lost = [...acknowledged].filter(
    ([id, cents]) => Math.round((byId.get(id)?.amounts['usd'] ?? 0) * 100) !== cents,
  );
  expect(lost).toEqual([]);
  await expectSound(purse);
}

/** Expects that the ledger adds up, and that the cap held. */
export async function expectSound(purse: Purse): Promise<void> {
  const [capped] = await Array.fromAsync(purse.balances({ limit: 'capped' }));
  expect((capped?.spent ?? 0) + (capped?.held ?? 0)).toBeLessThanOrEqual(CAPPED_USD);
  expect((await purse.verify()).mismatches).toEqual([]);
}
