import type { Command } from 'commander';
import { formatCount } from '../format.ts';
import { addLedgerCommand, examples, type LedgerOptions, openLedger } from '../ledger-access.ts';
import { firstRows } from '../table.ts';
import { printJson, type Terminal } from '../terminal.ts';

const MOST_ROWS = 50;

/** `purse verify`: does the journal add up to the envelopes? */
export function addVerify(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'verify', 'check that the journal and the envelopes agree')
    .addHelpText(
      'after',
      examples(
        ['purse verify --store sqlite:./purse.db', 'status 0 when they do, to the last step'],
        ['purse verify --store sqlite:./purse.db --json', 'every mismatch, for a machine'],
      ) + '\nStatus 1 means that they do not agree; 2 that the ledger could not be read.\n',
    )
    .action(async (options: LedgerOptions) => {
      const purse = await openLedger(options, terminal);
      try {
        const result = await purse.verify();
        if (!result.ok) terminal.answerNo();
        if (options.json) {
          printJson(terminal, result);
          return;
        }
        const { envelopes, charges, mismatches } = result;
        const counts = `${formatCount(charges)} charges, ${formatCount(envelopes)} envelopes`;
        if (result.ok) {
          terminal.print(`${terminal.paint('green', '✓')} The ledger adds up: ${counts}.`);
          return;
        }
        const wrong = terminal.paint('red', '✗');
        const wrongCount =
          mismatches.length === 1 ? '1 mismatch' : `${mismatches.length} mismatches`;
        terminal.print(`${wrong} The ledger does not add up: ${wrongCount} in ${counts}.`);
        for (const mismatch of firstRows(terminal, mismatches, MOST_ROWS, 'mismatches')) {
          terminal.print(`  ${JSON.stringify(mismatch)}`);
        }
      } finally {
        await purse.close();
      }
    });
}
