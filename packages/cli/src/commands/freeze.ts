import type { Command } from 'commander';
import type { Freeze } from 'pursestrings';
import { formatLabels } from '../format.ts';
import { InputError } from '../input-error.ts';
import { addLedgerCommand, examples, type LedgerOptions, withLedger } from '../ledger-access.ts';
import { collect, readLabels } from '../options.ts';
import { printJson, type Terminal } from '../terminal.ts';

interface FreezeOptions extends LedgerOptions {
  readonly label?: readonly string[];
  readonly all?: true;
  readonly reason?: string;
}

/** `purse freeze`: deny matching spends from now on. */
export function addFreeze(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'freeze', 'deny every spend with these labels, from now on')
    .option('--label <name=value>', 'spends that carry this label; repeat it to narrow', collect)
    .option('--all', 'every spend of the ledger')
    .option('--reason <text>', 'why; it is told to whoever is denied')
    .addHelpText(
      'after',
      examples(
        ['purse freeze -s sqlite:./purse.db --label agent=a1 --reason "runs wild"', 'one agent'],
        ['purse freeze -s sqlite:./purse.db --all', 'everything, at once'],
      ) + '\nWork that runs under such labels is told to stop; what it did spend is recorded.\n',
    )
    .action(async (options: FreezeOptions) => {
      const where = whereOf('freeze', options);
      await withLedger(options, terminal, (purse) => purse.freeze(where, options.reason));
      const { reason } = options;
      if (options.json) printJson(terminal, { frozen: where, reason: reason ?? null });
      else terminal.print(`Frozen: ${describe(where)}. Lift it with purse unfreeze.`);
    });
}

/** `purse unfreeze`: lift a freeze. */
export function addUnfreeze(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'unfreeze', 'lift the freeze on exactly these labels')
    .option('--label <name=value>', 'the labels, as they were given to freeze', collect)
    .option('--all', 'the freeze on everything; freezes on labels stay')
    .addHelpText(
      'after',
      examples([
        'purse unfreeze -s sqlite:./purse.db --label agent=a1',
        'let agent a1 spend again',
      ]),
    )
    .action(async (options: FreezeOptions) => {
      const where = whereOf('unfreeze', options);
      await withLedger(options, terminal, async (purse) => {
        const before = await purse.freezes();
        await purse.unfreeze(where);
        const lifted = (await purse.freezes()).length < before.length;
        if (options.json) printJson(terminal, { unfrozen: where, lifted });
        else if (lifted) terminal.print(`Not frozen any more: ${describe(where)}.`);
        else
          terminal.print(`Nothing was frozen for exactly ${describe(where)}. ${standing(before)}`);
      });
    });
}

/** To stop everything takes the word `--all`: no label at all may be a slip. */
function whereOf(command: string, options: FreezeOptions): Record<string, string> {
  const labels = readLabels('--label', options.label ?? []);
  const named = Object.keys(labels).length > 0;
  if (named && options.all) {
    throw new InputError('--all means every spend, --label only some; give one of the two.');
  }
  if (named || options.all) return labels;
  throw new InputError(
    `Nothing says what to ${command}; add --label agent=a1, or --all for every spend.`,
  );
}

function describe(where: Readonly<Record<string, string>>): string {
  return Object.keys(where).length === 0 ? 'every spend' : `spends with ${formatLabels(where)}`;
}

function standing(freezes: readonly Freeze[]): string {
  if (freezes.length === 0) return 'The ledger has no freezes.';
  return `Frozen: ${freezes.map((freeze) => describe(freeze.where)).join('; ')}.`;
}
