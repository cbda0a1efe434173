import { describe, expect, it } from 'vitest';

import { ConflictError, type Hold, type Limit, type Purse } from '../../src/index.ts';
import { manualClock, type ManualClock } from '../../src/testing/index.ts';
import {
  balanceOf,
  charges,
  KINDS,
  type Kind,
  makePurse,
  makeStore,
  openFile,
  seeded,
  steps,
  tempFile,
} from './fixture.ts';

const HOLDS = process.env['PURSE_TEST_LONG'] === '1' ? 5000 : 300;
const SEED = 7;
const TTL_MS = 1000;
const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1e6 } },
  { name: 'agent', cap: { usd: 1e5 }, each: ['agent'] },
];

/** Two purses on one ledger: on SQLite each has a connection, and a cache, of its own. */
async function openPair(kind: Kind, clock: ManualClock): Promise<[Purse, Purse]> {
  if (kind === 'memory') {
    const store = await makeStore(kind, { clock });
    return [await makePurse({ store, limits: LIMITS }), await makePurse({ store })];
  }
  const path = await tempFile();
  return [
    await makePurse({ store: openFile(path, { clock }), limits: LIMITS }),
    await makePurse({ store: openFile(path, { clock }) }),
  ];
}

/** What came of everything that was tried with one hold. */
interface Outcome {
  /** Settles that recorded something, in the order of their answers. */
  readonly settled: number[];
  released: boolean;
  readonly unexpected: unknown[];
}

/** Tries one thing with a hold, and notes what the ledger said. */
async function tryOne(what: number, hold: Hold, purse: Purse, outcome: Outcome): Promise<void> {
  const cents = 1 + (Math.floor(what * 300) % 3);
  try {
    if (what < 0.6) {
      const charge = await hold.settle({ usd: cents / 100 });
      if (!charge.replayed) outcome.settled.push(cents);
    } else if (what < 0.75) {
      await hold.release();
      outcome.released = true;
    } else if (what < 0.85) {
      await hold.extend(TTL_MS);
    } else {
      const again = await purse.hold(hold.id);
      if (again !== null) expect(again.amounts).toEqual(hold.amounts);
    }
  } catch (error) {
    if (!(error instanceof ConflictError)) outcome.unexpected.push(error);
  }
}

/** Sets things going with one hold on both purses while time passes and the policy changes. */
async function fireAt(
  hold: Hold,
  twin: Hold,
  purses: readonly [Purse, Purse],
  context: { readonly random: () => number; readonly clock: ManualClock },
): Promise<Outcome> {
  const { random, clock } = context;
  const outcome: Outcome = { settled: [], released: false, unexpected: [] };
  for (let round = 0; round < 3; round += 1) {
    if (random() < 0.3) clock.advance(TTL_MS);
    if (random() < 0.1) await purses[0].freeze({ agent: hold.labels['agent'] ?? '' });
    if (random() < 0.1) await purses[1].setLimit({ name: 'all', cap: { usd: 0 } });
    const tries = Array.from({ length: 4 }, (_, index) =>
      tryOne(random(), index % 2 === 0 ? hold : twin, purses[index % 2 === 0 ? 0 : 1], outcome),
    );
    await Promise.all(tries);
  }
  await purses[0].unfreeze({ agent: hold.labels['agent'] ?? '' });
  await purses[1].setLimit({ name: 'all', cap: { usd: 1e6 } });
  return outcome;
}

/** What a hold of 5 cents must have cost, in cents, given what its callers were told. */
function truth(outcome: Outcome, ifAbandoned: string): number {
  const [settled] = outcome.settled;
  if (settled !== undefined) return settled;
  return outcome.released || ifAbandoned === 'release' ? 0 : 5;
}

describe.each(KINDS)('a hold resolves once on %s', (kind) => {
  it(`records what was spent to the step, whatever races (${HOLDS} holds)`, async () => {
    const clock = manualClock();
    const purses = await openPair(kind, clock);
    const random = seeded(SEED);
    const expected = new Map<string, number>();
    for (let index = 0; index < HOLDS; index += 1) {
      const ifAbandoned = index % 2 === 0 ? 'charge' : 'release';
      const options = { id: `hold-${index}`, ttlMs: TTL_MS, ifAbandoned } as const;
      const labels = { agent: `a${index % 7}` };
      const hold = await purses[0].reserve({ usd: 0.05 }, labels, options);
      // The same reserve again, elsewhere: the same hold.
      const twin = await purses[1].reserve({ usd: 0.05 }, labels, options);
      const outcome = await fireAt(hold, twin, purses, { random, clock });
      expect(outcome.unexpected, `seed ${SEED}, hold ${index}`).toEqual([]);
      expect(outcome.settled.length, `seed ${SEED}, hold ${index}`).toBeLessThanOrEqual(1);
      expected.set(hold.id, truth(outcome, ifAbandoned) * 1e6);
    }
    clock.advance(TTL_MS);
    const balance = await balanceOf(purses[0], 'all');

    const recorded = new Map<string, number>();
    const journal = await charges(purses[1]);
    for (const { id, corrects, amounts } of journal) {
      const about = corrects ?? id;
      recorded.set(about, (recorded.get(about) ?? 0) + steps(amounts['usd']));
    }
    const wrong = [...expected].filter(([id, amount]) => (recorded.get(id) ?? 0) !== amount);
    expect(wrong).toEqual([]);
    const total = [...expected.values()].reduce((sum, amount) => sum + amount, 0);
    expect([steps(balance.spent), balance.held]).toEqual([total, 0]);
    expect(journal.some(({ corrects }) => corrects !== undefined)).toBe(true);
    expect(journal.some(({ late, corrects }) => late && corrects === undefined)).toBe(true);
    for (const purse of purses) expect((await purse.verify()).ok).toBe(true);
  });

  it('answers every replay as the first time, before and after', async () => {
    const clock = manualClock();
    const [one, two] = await openPair(kind, clock);
    const reserve = { id: 'r', ttlMs: TTL_MS, description: 'work' };
    const hold = await one.reserve({ usd: 3 }, { agent: 'a' }, reserve);
    await one.setLimit({ name: 'all', cap: { usd: 0 } });
    await one.freeze({});
    const again = await two.reserve({ usd: 3 }, { agent: 'a' }, reserve);
    expect(again.expiresAt).toEqual(hold.expiresAt);
    await expect(two.reserve({ usd: 4 }, { agent: 'a' }, reserve)).rejects.toThrow(ConflictError);
    await expect(two.reserve({ usd: 3 }, { agent: 'b' }, reserve)).rejects.toThrow(ConflictError);
    await expect(two.charge({ usd: 3 }, { agent: 'a' }, { id: 'r' })).rejects.toThrow(
      ConflictError,
    );

    const settled = await again.settle({ usd: 2 });
    expect(settled).toMatchObject({
      id: 'r',
      amounts: { usd: 2 },
      replayed: false,
      overrun: false,
    });
    clock.advance(10 * TTL_MS);
    expect(await hold.settle({ usd: 2 })).toEqual({ ...settled, replayed: true });
    const conflict = await hold.settle({ usd: 1 }).catch((error: unknown) => error);
    expect(conflict).toMatchObject({
      recorded: { hold: 'settled', charge: { amounts: { usd: 2 } } },
    });
    await expect(hold.release()).rejects.toThrow(ConflictError);
    await expect(hold.extend(5)).rejects.toThrow(ConflictError);
    await expect(one.reserve({ usd: 3 }, { agent: 'a' }, reserve)).resolves.toMatchObject({
      id: 'r',
    });

    const first = await one.charge({ usd: 1 }, {}, { id: 'c' });
    expect(await two.charge({ usd: 1 }, {}, { id: 'c' })).toEqual({ ...first, replayed: true });
    await expect(two.charge({ usd: 2 }, {}, { id: 'c' })).rejects.toThrow(ConflictError);
    await expect(two.reserve({ usd: 1 }, {}, { id: 'c' })).rejects.toThrow(ConflictError);
    expect((await balanceOf(two, 'all')).spent).toBe(3);
    expect((await two.verify()).ok).toBe(true);
  });

  it('settles with the caps and windows that the hold was taken with', async () => {
    const clock = manualClock('2026-03-01T23:59:00Z');
    const store = await makeStore(kind, { clock });
    const limits: Limit[] = [{ name: 'day', cap: { usd: 10 }, per: 'day' }];
    const purse = await makePurse({ store, limits });
    const hold = await purse.reserve({ usd: 6 });
    clock.advance(120_000);
    await purse.setLimit({ name: 'day', cap: { usd: 1 }, per: 'day' });
    const charge = await hold.settle({ usd: 8 });
    expect(charge).toMatchObject({ overrun: false, crossed: [{ limit: 'day', fraction: 0.8 }] });
    expect(await balanceOf(purse, 'day')).toEqual({ spent: 0, held: 0, available: 1 });
    clock.advance(-120_000);
    expect(await balanceOf(purse, 'day')).toEqual({ spent: 8, held: 0, available: 0 });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('corrects a charge that expiry made, down and up, and once', async () => {
    const clock = manualClock();
    const [one, two] = await openPair(kind, clock);
    const options = { ttlMs: TTL_MS, ifAbandoned: 'charge' } as const;
    const down = await one.reserve({ usd: 5 }, {}, { ...options, id: 'down' });
    const up = await one.reserve({ usd: 5 }, {}, { ...options, id: 'up' });
    const none = await one.reserve({ usd: 5 }, {}, { ...options, id: 'none' });
    clock.advance(TTL_MS);
    expect((await balanceOf(two, 'all')).spent).toBe(15);
    expect(await down.settle({ usd: 2 })).toMatchObject({ amounts: { usd: -3 }, corrects: 'down' });
    expect(await up.settle({ usd: 7 })).toMatchObject({ amounts: { usd: 2 }, late: true });
    await none.release();
    await none.release();
    expect(await down.settle({ usd: 2 })).toMatchObject({ replayed: true });
    await expect(down.settle({ usd: 3 })).rejects.toThrow(ConflictError);
    expect((await balanceOf(two, 'all')).spent).toBe(9);
    expect(await two.verify()).toMatchObject({ ok: true, charges: 6 });
  });
});
