import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { openPurse } from '../../src/purse.ts';
import { memory } from '../../src/stores/memory.ts';
import { sqlite } from '../../src/stores/sqlite.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { type Command, CommandRunner, runOnModel } from '../../src/testing/commands.ts';
import { LedgerModel } from '../../src/testing/ledger-model.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { MODEL_LIMITS, randomCommand } from '../../src/testing/random-commands.ts';

const LONG = process.env['PURSE_TEST_LONG'] === '1';
const START = '2026-06-15T12:00:00Z';
const clock = manualClock(START);
const directory = mkdtempSync(join(tmpdir(), 'purse-model-'));
const file = sqlite(join(directory, 'model.db'), { clock, durability: 'normal' });
let ledgers = 0;

afterAll(async () => {
  await file.close();
  rmSync(directory, { recursive: true });
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

const stores: readonly [string, number, () => LedgerStore][] = [
  ['memory', LONG ? 10_000 : 400, () => memory({ clock })],
  [
    'SQLite',
    LONG ? 10_000 : 200,
    () => {
      ledgers += 1;
      return file.forLedger(`model-${ledgers}`);
    },
  ],
];

for (const [name, numRuns, makeStore] of stores) {
  test(
    `${name}: ${numRuns} random command sequences agree with the model`,
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(command, { minLength: 1, maxLength: 60, size: 'max' }),
          async (commands) => {
            clock.set(START);
            const purse = await openPurse({ store: makeStore(), limits: MODEL_LIMITS });
            const runner = new CommandRunner(purse, clock);
            const model = new LedgerModel(MODEL_LIMITS, clock.now());
            for (const next of commands)
              expect(await runner.run(next)).toBe(runOnModel(model, next));
            expect(await purse.verify()).toMatchObject({ ok: true });
            expect((await purse.report()).total).toEqual(model.total());
          },
        ),
        { numRuns },
      );
    },
    LONG ? 3_600_000 : 120_000,
  );
}
