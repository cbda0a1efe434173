import fc from 'fast-check';
import { createClient } from 'redis';
import { afterAll, expect, test } from 'vitest';
import type { Charge } from '../../src/charge.ts';
import { ConflictError, HoldNotFoundError } from '../../src/errors.ts';
import type { Hold } from '../../src/hold.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import { redis } from '../../src/stores/redis.ts';
import { type Command, CommandRunner, runOnModel } from '../../src/testing/commands.ts';
import { LedgerModel } from '../../src/testing/ledger-model.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { MODEL_LIMITS, randomCommand } from '../../src/testing/random-commands.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { freshPrefixes, removeAll } from './redis-fixture.ts';

const LONG = process.env['PURSE_TEST_LONG'] === '1';
const START = '2026-06-15T12:00:00Z';
const clock = manualClock(START);
const server = await sharedRedis();
const prefixes = freshPrefixes();
// Two connections, as two processes have them.
const clients = [createClient({ url: server.url }), createClient({ url: server.url })] as const;
for (const client of clients) await client.connect();

afterAll(async () => {
  await removeAll((...words) => clients[0].sendCommand(words), prefixes);
  for (const client of clients) client.destroy();
  await server.stop();
});

/** A command drawn from a short tape of numbers: shorter and smaller tapes are simpler commands. */
const command: fc.Arbitrary<Command> = fc
  .array(fc.nat(9999), { minLength: 10, maxLength: 10 })
  .map((tape) => {
    let place = 0;
    return randomCommand((below) => {
      place += 1;
      return (tape[place - 1] ?? 0) % below;
    });
  });

const numRuns = LONG ? 5000 : 150;
const timeout = LONG ? 3_600_000 : 120_000;

test(`${numRuns} random command sequences agree with the model`, { timeout }, async () => {
  const commands = fc.array(command, { minLength: 1, maxLength: 60, size: 'max' });
  await fc.assert(
    fc.asyncProperty(commands, async (commands) => {
      clock.set(START);
      const store = redis(clients[0], { clock, prefix: prefixes.next() });
      const purse = await openPurse({ store, limits: MODEL_LIMITS });
      const runner = new CommandRunner(purse, clock);
      const model = new LedgerModel(MODEL_LIMITS, clock.now());
      for (const next of commands) expect(await runner.run(next)).toBe(runOnModel(model, next));
      expect(await purse.verify()).toMatchObject({ ok: true });
      expect((await purse.report()).total).toEqual(model.total());
    }),
    { numRuns },
  );
});

const limits = [
  { name: 'all', cap: { tokens: 60, slots: 6 } },
  { name: 'agent', cap: { tokens: 25 }, each: ['agent'] },
];

/** What one of the parallel callers does; numbers are small, so that they get in each other's way. */
interface Step {
  readonly purse: 0 | 1;
  readonly kind: 'reserve' | 'settle' | 'release' | 'extend' | 'rename' | 'charge' | 'advance';
  readonly id: string;
  /** The id that a rename wants: often that of another hold. */
  readonly to: string;
  readonly tokens: number;
  readonly agent: string;
  readonly ifAbandoned: 'release' | 'charge';
}

const kinds = ['reserve', 'settle', 'release', 'extend', 'rename', 'charge', 'advance'] as const;
const step: fc.Arbitrary<Step> = fc.record({
  purse: fc.constantFrom(0, 1),
  kind: fc.constantFrom(...kinds, 'reserve', 'reserve', 'settle', 'rename'),
  id: fc.nat(11).map((n) => `h${n}`),
  to: fc.nat(17).map((n) => `h${n}`),
  tokens: fc.integer({ min: 1, max: 9 }),
  agent: fc.nat(2).map((n) => `a${n}`),
  ifAbandoned: fc.constantFrom('release', 'charge'),
});

test(`${numRuns} random interleavings keep every cap and lose no charge`, { timeout }, async () => {
  const group = fc.array(step, { minLength: 1, maxLength: 10, size: 'max' });
  const groups = fc.array(group, { minLength: 1, maxLength: 8, size: 'max' });
  await fc.assert(fc.asyncProperty(groups, interleave), { numRuns });
});

async function interleave(groups: readonly (readonly Step[])[]): Promise<void> {
  clock.set(START);
  const prefix = prefixes.next();
  const [first, second] = clients.map((client) => redis(client, { clock, prefix }));
  if (first === undefined || second === undefined) throw new Error('there are two clients');
  const purses: readonly [Purse, Purse] = [
    await openPurse({ store: first, limits }),
    await openPurse({ store: second, limits }),
  ];
  const holds = new Map<string, Hold>();
  const acknowledged = new Map<string, Charge>();
  let charged = 0;
  for (const group of groups) {
    const steps = group.map((next) => carryOut(next, purses, holds, acknowledged));
    for (const tokens of await Promise.all(steps)) charged += tokens;
    await expectCapsKept(purses[0], charged);
  }
  const journal = new Map<string, Charge>();
  for await (const charge of purses[1].journal()) {
    expect(journal.has(charge.id)).toBe(false);
    journal.set(charge.id, charge);
  }
  for (const [id, { amounts }] of acknowledged) expect(journal.get(id)?.amounts).toEqual(amounts);
  expect(await purses[0].verify()).toMatchObject({ ok: true, charges: journal.size });
}

/** Answers how many tokens were charged without having been held. */
async function carryOut(
  { purse, kind, id, to, tokens, agent, ifAbandoned }: Step,
  purses: readonly [Purse, Purse],
  holds: Map<string, Hold>,
  acknowledged: Map<string, Charge>,
): Promise<number> {
  const hold = holds.get(id);
  try {
    switch (kind) {
      case 'reserve': {
        const options = { id, ttlMs: 50, ifAbandoned };
        const answer = await purses[purse].tryReserve({ tokens, slots: 1 }, { agent }, options);
        if (answer.ok) holds.set(id, answer.hold);
        break;
      }
      case 'settle': {
        const charge = await hold?.settle({
          tokens: Math.min(tokens, hold.amounts['tokens'] ?? 0),
        });
        if (charge !== undefined && !charge.late) acknowledged.set(charge.id, charge);
        break;
      }
      case 'charge': {
        const charge = await purses[purse].charge({ tokens }, { agent }, { id: `c${id}${tokens}` });
        acknowledged.set(charge.id, charge);
        return charge.replayed ? 0 : tokens;
      }
      case 'release':
        await hold?.release();
        break;
      case 'extend':
        await hold?.extend(tokens * 20);
        break;
      case 'rename': {
        const renamed = id === to ? undefined : await hold?.rename(to, { ttlMs: tokens * 20 });
        if (renamed !== undefined) holds.set(to, renamed);
        break;
      }
      case 'advance':
        clock.advance(tokens * 5);
    }
  } catch (error) {
    if (!(error instanceof ConflictError) && !(error instanceof HoldNotFoundError)) throw error;
  }
  return 0;
}

/** Late settles and plain charges may take an envelope past its cap, and nothing else may. */
async function expectCapsKept(purse: Purse, charged: number): Promise<void> {
  let late = 0;
  for await (const charge of purse.journal()) {
    // What a correction gives back is free again, and may have been taken since.
    if (charge.late) late += Math.max(0, charge.amounts['tokens'] ?? 0);
  }
  for await (const { spent, held, cap } of purse.balances()) {
    expect(spent + held).toBeLessThanOrEqual(cap + late + charged);
  }
}
