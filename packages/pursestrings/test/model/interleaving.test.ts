import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import type { Charge } from '../../src/charge.ts';
import { ConflictError, HoldNotFoundError } from '../../src/errors.ts';
import type { Hold } from '../../src/hold.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import { memory } from '../../src/stores/memory.ts';
import { sqlite } from '../../src/stores/sqlite.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';

const LONG = process.env['PURSE_TEST_LONG'] === '1';
const clock = manualClock('2026-06-15T12:00:00Z');
const directory = mkdtempSync(join(tmpdir(), 'purse-interleaving-'));
// Two connections to one file, as two processes have them.
const files = [0, 1].map(() => sqlite(join(directory, 'i.db'), { clock, durability: 'normal' }));
let ledgers = 0;

afterAll(async () => {
  for (const file of files) await file.close();
  rmSync(directory, { recursive: true });
});

const limits = [
  { name: 'all', cap: { tokens: 60, slots: 6 } },
  { name: 'agent', cap: { tokens: 25 }, each: ['agent'] },
];

/** What one of the parallel callers does; numbers are small, so that they get in each other's way. */
interface Step {
  readonly purse: 0 | 1;
  readonly kind: 'reserve' | 'settle' | 'release' | 'extend' | 'rename' | 'advance';
  readonly id: string;
  /** The id that a rename wants. */
  readonly to: string;
  readonly tokens: number;
  readonly agent: string;
  readonly ifAbandoned: 'release' | 'charge';
}

const step: fc.Arbitrary<Step> = fc.record({
  purse: fc.constantFrom(0, 1),
  kind: fc.constantFrom(
    'reserve',
    'reserve',
    'reserve',
    'settle',
    'settle',
    'release',
    'extend',
    'rename',
    'rename',
    'advance',
  ),
  id: fc.nat(11).map((n) => `h${n}`),
  // Often the id of another hold, which may be free, open or resolved.
  to: fc.nat(17).map((n) => `h${n}`),
  tokens: fc.integer({ min: 1, max: 9 }),
  agent: fc.nat(2).map((n) => `a${n}`),
  ifAbandoned: fc.constantFrom('release', 'charge'),
});

const stores: readonly [string, number, () => readonly [LedgerStore, LedgerStore]][] = [
  [
    'memory',
    LONG ? 10_000 : 300,
    () => {
      const store = memory({ clock });
      return [store, store];
    },
  ],
  [
    'SQLite, two connections',
    LONG ? 3000 : 60,
    () => {
      ledgers += 1;
      const [first, second] = files.map((file) => file.forLedger(`i-${ledgers}`));
      if (first === undefined || second === undefined) throw new Error('two files are open');
      return [first, second];
    },
  ],
];

for (const [name, numRuns, makeStores] of stores) {
  test(
    `${name}: ${numRuns} random interleavings keep every cap and lose no charge`,
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(step, { minLength: 1, maxLength: 10, size: 'max' }), {
            minLength: 1,
            maxLength: 8,
            size: 'max',
          }),
          (groups) => interleave(makeStores(), groups),
        ),
        { numRuns },
      );
    },
    LONG ? 3_600_000 : 120_000,
  );
}

async function interleave(
  stores: readonly [LedgerStore, LedgerStore],
  groups: readonly (readonly Step[])[],
): Promise<void> {
  clock.set('2026-06-15T12:00:00Z');
  const purses: [Purse, Purse] = [
    await openPurse({ store: stores[0], limits }),
    await openPurse({ store: stores[1], limits }),
  ];
  const holds = new Map<string, Hold>();
  const acknowledged = new Map<string, Charge>();
  for (const group of groups) {
    await Promise.all(group.map((next) => carryOut(next, purses, holds, acknowledged)));
    await expectCapsKept(purses[0]);
  }
  await expectJournalHolds(purses[1], acknowledged);
  expect(await purses[0].verify()).toMatchObject({ ok: true });
}

async function carryOut(
  { purse, kind, id, to, tokens, agent, ifAbandoned }: Step,
  purses: readonly [Purse, Purse],
  holds: Map<string, Hold>,
  acknowledged: Map<string, Charge>,
): Promise<void> {
  try {
    switch (kind) {
      case 'reserve': {
        const amounts = { tokens, slots: 1 };
        const answer = await purses[purse].tryReserve(
          amounts,
          { agent },
          { id, ttlMs: 50, ifAbandoned },
        );
        if (answer.ok) holds.set(id, answer.hold);
        return;
      }
      case 'settle': {
        const hold = holds.get(id);
        const atMost = Math.min(tokens, hold?.amounts['tokens'] ?? 0);
        const charge = await hold?.settle({ tokens: atMost });
        if (charge !== undefined && !charge.late) acknowledged.set(charge.id, charge);
        return;
      }
      case 'release':
        return await holds.get(id)?.release();
      case 'extend':
        return await holds.get(id)?.extend(tokens * 20);
      case 'rename': {
        if (id === to) return;
        const renamed = await holds.get(id)?.rename(to, { ttlMs: tokens * 20 });
        if (renamed !== undefined) holds.set(to, renamed);
        return;
      }
      case 'advance':
        clock.advance(tokens * 5);
    }
  } catch (error) {
    if (!(error instanceof ConflictError) && !(error instanceof HoldNotFoundError)) throw error;
  }
}

/** Late settles are the one thing that may take an envelope past its cap, and they say so. */
async function expectCapsKept(purse: Purse): Promise<void> {
  let late = 0;
  for await (const charge of purse.journal()) {
    // What a correction gives back is free again, and may have been taken since.
    if (charge.late) late += Math.max(0, charge.amounts['tokens'] ?? 0);
  }
  for await (const { spent, held, cap } of purse.balances()) {
    expect(spent + held).toBeLessThanOrEqual(cap + late);
  }
}

async function expectJournalHolds(
  purse: Purse,
  acknowledged: ReadonlyMap<string, Charge>,
): Promise<void> {
  const journal = new Map<string, Charge>();
  for await (const charge of purse.journal()) {
    expect(journal.has(charge.id)).toBe(false);
    journal.set(charge.id, charge);
  }
  for (const [id, charge] of acknowledged) {
    expect(journal.get(id)?.amounts).toEqual(charge.amounts);
  }
}
