import type { Command } from 'commander';
import type { Hold } from 'pursestrings';
import { formatAmount, formatLabels, formatTime } from '../format.ts';
import { addLedgerCommand, examples, type LedgerOptions, withLedger } from '../ledger-access.ts';
import { collect, readLabels } from '../options.ts';
import { drawTable, firstRows } from '../table.ts';
import { printJson, type Terminal } from '../terminal.ts';

interface HoldsOptions extends LedgerOptions {
  readonly label?: readonly string[];
}

const MOST_ROWS = 100;

/** `purse holds`: what is under way, and until when its money is set aside. */
export function addHolds(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'holds', 'list the holds that are open: what is under way now')
    .option('--label <name=value>', 'only holds with this label; may be repeated', collect)
    .addHelpText(
      'after',
      examples(
        ['purse holds --store sqlite:./purse.db', 'every open hold'],
        ['purse holds -s sqlite:./purse.db --label agent=a1 --json', 'what agent a1 is at'],
      ),
    )
    .action(async (options: HoldsOptions) => {
      const labels = readLabels('--label', options.label ?? []);
      await withLedger(options, terminal, async (purse) => {
        const holds = await Array.fromAsync(purse.holds({ labels }));
        if (options.json) printJson(terminal, { holds: holds.map(holdFacts) });
        else printHolds(terminal, holds);
      });
    });
}

/** What is printed of a hold for machines. */
function holdFacts({ id, amounts, labels, description, expiresAt }: Hold): object {
  return { id, amounts, labels, description: description ?? null, expiresAt };
}

function printHolds(terminal: Terminal, holds: readonly Hold[]): void {
  if (holds.length === 0) {
    terminal.print('No hold is open.');
    return;
  }
  const columns = [
    { title: 'hold' },
    { title: 'for' },
    { title: 'held' },
    { title: 'expires (UTC)' },
    { title: 'what' },
  ];
  const rows = firstRows(terminal, holds, MOST_ROWS, 'holds').map((hold) => [
    hold.id,
    formatLabels(hold.labels),
    Object.entries(hold.amounts)
      .map(([unit, amount]) => formatAmount(unit, amount))
      .join(', '),
    formatTime(hold.expiresAt),
    hold.description ?? '',
  ]);
  terminal.print(drawTable(terminal, columns, rows));
}
