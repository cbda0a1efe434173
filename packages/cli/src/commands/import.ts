import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { importLedger } from 'pursestrings';
import { formatCount } from '../format.ts';
import { InputError } from '../input-error.ts';
import {
  addLedgerCommand,
  examples,
  type LedgerOptions,
  placeOf,
  withStore,
} from '../ledger-access.ts';
import { fileProgress, type Progress } from '../progress.ts';
import { shownUrl } from '../store-path.ts';
import { printJson, type Terminal } from '../terminal.ts';
import { readLines } from '../trace-lines.ts';

/** The header of an export holds the whole policy, which may be 8,000,000 characters long. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

/** `purse import`: the ledger that an export tells of, in another store. */
export function addImport(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'import', 'make the ledger that purse export wrote, in another store')
    .argument('<file>', 'what purse export wrote; - for standard input')
    .addHelpText(
      'after',
      examples(
        ['purse import purse.jsonl --store redis://localhost:6379', 'into a store that is shared'],
        ['purse import purse.jsonl -s sqlite:./copy.db --ledger copy', 'under another name'],
      ) +
        '\nThe ledger must not have been used yet. Nobody can spend from it until all of it is there and\n' +
        'adds up. An import that broke off is gone on with by the same command.\n',
    )
    .action(async (file: string, options: LedgerOptions) => {
      const place = placeOf(options);
      const imported = await withStore(place, false, (store) => {
        const progress = fileProgress(terminal, 'importing', sizeOf(file));
        // A file is read twice, so that one which is damaged changes nothing.
        const lines = file === '-' ? linesOf(file, progress) : () => linesOf(file, progress);
        return importLedger(store, lines).finally(() => progress.clear());
      });
      if (options.json) return printJson(terminal, imported);
      const where = `${JSON.stringify(imported.ledger)} of ${shownUrl(place.store)}`;
      terminal.print(
        `${terminal.paint('green', '✓')} Imported the ledger ${where}: ` +
          `${formatCount(imported.charges)} charges, ${formatCount(imported.envelopes)} envelopes. ` +
          `It adds up.`,
      );
    });
}

async function* linesOf(path: string, progress: Progress): AsyncGenerator<string> {
  let rows = 0;
  let bytes = 0;
  const options = { noun: 'export', maxLength: MAX_LINE_LENGTH };
  for await (const { number, text } of readLines(path, (read) => (bytes = read), options)) {
    if (text === null) {
      throw new InputError(`Line ${number} of the export ${path} is too long to be a record.`);
    }
    rows += 1;
    if (rows % 1000 === 0) progress.update(bytes, rows);
    yield text;
  }
}

function sizeOf(path: string): number {
  return path === '-' ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0);
}
