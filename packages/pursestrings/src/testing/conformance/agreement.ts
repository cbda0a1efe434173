import assert from 'node:assert/strict';
import { balancesOf, CommandRunner, runOnModel } from '../commands.ts';
import { LedgerModel, windowName } from '../ledger-model.ts';
import { MODEL_LIMITS, randomCommand, seededDraw } from '../random-commands.ts';
import { type ConformanceCase, conformanceCase } from './case.ts';

const SEQUENCES = 40;
const COMMANDS = 120;

/** The store and the model do the same, whatever they are told to do. */
export const AGREEMENT_CASES: readonly ConformanceCase[] = Array.from(
  { length: SEQUENCES },
  (_, seed) =>
    conformanceCase(
      `random commands agree with the model (seed ${seed})`,
      MODEL_LIMITS,
      async ({ purse, clock }) => {
        const draw = seededDraw(seed);
        const model = new LedgerModel(MODEL_LIMITS, clock.now());
        const runner = new CommandRunner(purse, clock);
        for (let count = 0; count < COMMANDS; count += 1) {
          const command = randomCommand(draw);
          const said = JSON.stringify(command);
          assert.equal(
            await runner.run(command),
            runOnModel(model, command),
            `command ${count}: ${said}`,
          );
          if (count % 10 === 0) {
            assert.deepEqual(
              await balancesOf(purse),
              currentOf(model, clock.now()),
              `after command ${count}: ${said}`,
            );
          }
        }
        assert.deepEqual((await purse.report()).total, inOrder(model.total()));
      },
    ),
);

/** The model's balances in the windows of now. */
function currentOf(model: LedgerModel, nowMs: number): ReturnType<LedgerModel['balances']> {
  const windows = new Set((['hour', 'day', 'total'] as const).map((per) => windowName(per, nowMs)));
  return new Map([...model.balances()].filter(([key]) => windows.has(key.split(' ')[2] ?? '')));
}

function inOrder(total: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(total).sort(([a], [b]) => (a < b ? -1 : 1)));
}
