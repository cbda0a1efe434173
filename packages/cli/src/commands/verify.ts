import type { Command } from 'commander';
import type { Verification } from 'pursestrings';
import { formatAmount, formatCount, formatLabels, formatWindow } from '../format.ts';
import { addLedgerCommand, examples, type LedgerOptions, withLedger } from '../ledger-access.ts';
import { drawTable, firstRows, numbers } from '../table.ts';
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
      const result = await withLedger(options, terminal, (purse) => purse.verify());
      if (!result.ok) terminal.answerNo();
      if (options.json) printJson(terminal, result);
      else printVerification(terminal, result);
    });
}

function printVerification(terminal: Terminal, result: Verification): void {
  const { envelopes, charges, mismatches } = result;
  const counts = `${formatCount(charges)} charges, ${formatCount(envelopes)} envelopes`;
  if (result.ok) {
    terminal.print(`${terminal.paint('green', '✓')} The ledger adds up: ${counts}.`);
    return;
  }
  const found = mismatches.length === 1 ? '1 mismatch' : `${mismatches.length} mismatches`;
  terminal.print(
    `${terminal.paint('red', '✗')} The ledger does not add up: ${found} in ${counts}.\n`,
  );
  const rows = firstRows(terminal, mismatches, MOST_ROWS, 'mismatches').map((mismatch) => [
    mismatch.limit,
    formatLabels(mismatch.labels),
    formatWindow(mismatch.window.start, mismatch.window.end),
    mismatch.field,
    formatAmount(mismatch.unit, mismatch.recorded),
    formatAmount(mismatch.unit, mismatch.expected),
  ]);
  const columns = [
    { title: 'limit' },
    { title: 'for' },
    { title: 'window (UTC)' },
    { title: 'field' },
    numbers('envelope says'),
    numbers('journal says'),
  ];
  terminal.print(drawTable(terminal, columns, rows));
}
