import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Charge } from '../../src/charge.ts';
import { ConflictError, HoldNotFoundError } from '../../src/errors.ts';
import type { Hold } from '../../src/hold.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import type { PurseOptions } from '../../src/purse-options.ts';
import { postgres } from '../../src/stores/postgres.ts';
import { type Command, CommandRunner, runOnModel } from '../../src/testing/commands.ts';
import { LedgerModel } from '../../src/testing/ledger-model.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { MODEL_LIMITS, randomCommand } from '../../src/testing/random-commands.ts';
import { CLIENTS, makeClient, migratedSchema } from './postgres-fixture.ts';

const LONG = process.env['PURSE_TEST_LONG'] === '1';
const START = '2026-06-15T12:00:00Z';
const numRuns = LONG ? 3000 : 80;
const timeout = LONG ? 3_600_000 : 240_000;

const clock = manualClock(START);
const schema = await migratedSchema();
// One purse by each client, as two processes may have them.
const stores = CLIENTS.map((kind) => postgres(makeClient(kind), { schema, clock }));
let ledgers = 0;

/** A command drawn from a short tape of numbers: shorter and smaller tapes are simpler commands. */
const command: fc.Arbitrary<Command> = fc
  .array(fc.nat(9999), { minLength: 10, maxLength: 10 })
  .map((tape) => {
    const rest = tape.values();
    return randomCommand((below) => (rest.next().value ?? 0) % below);
  });

test(`${numRuns} random command sequences agree with the model`, { timeout }, async () => {
  const sequences = fc.array(command, { minLength: 1, maxLength: 60, size: 'max' });
  await fc.assert(
    fc.asyncProperty(sequences, async (commands) => {
      clock.set(START);
      const [purse] = await openPurses(MODEL_LIMITS);
      const runner = new CommandRunner(purse, clock);
      const model = new LedgerModel(MODEL_LIMITS, clock.now());
      for (const next of commands) expect(await runner.run(next)).toBe(runOnModel(model, next));
      expect(await purse.verify()).toMatchObject({ ok: true });
      expect((await purse.report()).total).toEqual(model.total());
    }),
    { numRuns },
  );
});

/** What one of the parallel callers does: a few ids and small caps, so that they meet. */
interface Step {
  readonly by: 0 | 1;
  readonly what: 'reserve' | 'settle' | 'release' | 'extend' | 'rename' | 'charge' | 'advance';
  readonly id: string;
  readonly otherId: string;
  readonly tokens: number;
  readonly agent: string;
  readonly ifAbandoned: 'release' | 'charge';
}

const step: fc.Arbitrary<Step> = fc.record({
  by: fc.constantFrom(0, 1),
  what: fc.constantFrom(
    'reserve',
    'reserve',
    'reserve',
    'settle',
    'settle',
    'release',
    'extend',
    'rename',
    'charge',
    'advance',
  ),
  id: fc.nat(11).map((n) => `h${n}`),
  otherId: fc.nat(17).map((n) => `h${n}`),
  tokens: fc.integer({ min: 1, max: 9 }),
  agent: fc.nat(2).map((n) => `a${n}`),
  ifAbandoned: fc.constantFrom('release', 'charge'),
});

const SMALL_LIMITS = [
  { name: 'all', cap: { tokens: 60, slots: 6 } },
  { name: 'agent', cap: { tokens: 25 }, each: ['agent'] },
];

/** What the parallel callers know of: holds by id, and the charges that they were told of. */
interface Known {
  readonly holds: Map<string, Hold>;
  readonly charges: Map<string, Charge>;
}

test(`${numRuns} random interleavings keep every cap and lose no charge`, { timeout }, async () => {
  const together = fc.array(step, { minLength: 1, maxLength: 10, size: 'max' });
  const groups = fc.array(together, { minLength: 1, maxLength: 8, size: 'max' });
  await fc.assert(
    fc.asyncProperty(groups, async (steps) => {
      clock.set(START);
      const purses = await openPurses(SMALL_LIMITS);
      const known: Known = { holds: new Map(), charges: new Map() };
      for (const group of steps) {
        await Promise.all(group.map((next) => carryOut(next, purses, known)));
        await expectCapsKept(purses[0]);
      }
      await expectJournalHolds(purses[1], known);
    }),
    { numRuns },
  );
});

async function openPurses(
  limits: NonNullable<PurseOptions['limits']>,
): Promise<readonly [Purse, Purse]> {
  ledgers += 1;
  const [first, second] = stores.map((store) => store.forLedger(`model-${ledgers}`));
  if (first === undefined || second === undefined) throw new Error('there are two clients');
  return [await openPurse({ store: first, limits }), await openPurse({ store: second, limits })];
}

async function carryOut(next: Step, purses: readonly [Purse, Purse], known: Known): Promise<void> {
  try {
    await act(next, purses[next.by], known);
  } catch (error) {
    if (!(error instanceof ConflictError) && !(error instanceof HoldNotFoundError)) throw error;
  }
}

async function act(next: Step, purse: Purse, { holds, charges }: Known): Promise<void> {
  const { what, id, otherId, tokens, agent, ifAbandoned } = next;
  const hold = holds.get(id);
  switch (what) {
    case 'reserve': {
      const options = { id, ttlMs: 50, ifAbandoned };
      const answer = await purse.tryReserve({ tokens, slots: 1 }, { agent }, options);
      if (answer.ok) holds.set(id, answer.hold);
      return;
    }
    case 'settle': {
      const atMost = Math.min(tokens, hold?.amounts['tokens'] ?? 0);
      const charge = await hold?.settle({ tokens: atMost });
      if (charge !== undefined && !charge.late) charges.set(charge.id, charge);
      return;
    }
    case 'charge': {
      // The id of a hold now and then: then one of the two must be refused.
      const chargeId = tokens % 3 === 0 ? id : `c${id}`;
      const charge = await purse.charge({ tokens }, { lane: 'free' }, { id: chargeId });
      charges.set(charge.id, charge);
      return;
    }
    case 'release':
      return hold?.release();
    case 'extend':
      return hold?.extend(tokens * 20);
    case 'rename': {
      const renamed =
        id === otherId ? undefined : await hold?.rename(otherId, { ttlMs: tokens * 20 });
      if (renamed !== undefined) holds.set(otherId, renamed);
      return;
    }
    case 'advance':
      clock.advance(tokens * 5);
  }
}

/** Late settles and plain charges may take an envelope past its cap, and nothing else may. */
async function expectCapsKept(purse: Purse): Promise<void> {
  let uncapped = 0;
  for await (const { late, labels, amounts } of purse.journal()) {
    if (late || labels['lane'] === 'free') uncapped += Math.max(0, amounts['tokens'] ?? 0);
  }
  for await (const { spent, held, cap } of purse.balances()) {
    expect(spent + held).toBeLessThanOrEqual(cap + uncapped);
  }
}

async function expectJournalHolds(purse: Purse, { charges }: Known): Promise<void> {
  const journal = new Map<string, Charge>();
  for await (const charge of purse.journal()) {
    expect(journal.has(charge.id)).toBe(false);
    journal.set(charge.id, charge);
  }
  for (const [id, { amounts }] of charges) expect(journal.get(id)?.amounts).toEqual(amounts);
  expect(await purse.verify()).toMatchObject({ ok: true, charges: journal.size });
}
