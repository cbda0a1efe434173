import { open, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import { exportLedger } from 'pursestrings';
import { whyUnreadable } from '../data-file.ts';
import { formatCount } from '../format.ts';
import { InputError } from '../input-error.ts';
import {
  addLedgerCommand,
  examples,
  type LedgerOptions,
  placeOf,
  withStore,
} from '../ledger-access.ts';
import { shownUrl } from '../store-path.ts';
import { printJson, type Terminal } from '../terminal.ts';

interface ExportOptions extends LedgerOptions {
  readonly output?: string;
}

/** What the last line of an export says. */
interface Counts {
  readonly envelopes: number;
  readonly holds: number;
  readonly charges: number;
  readonly totals: number;
}

/** So many characters are gathered before they are written. */
const WRITTEN_AT_ONCE = 256 * 1024;

/** `purse export`: a ledger as lines of JSON. */
export function addExport(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'export', 'write a ledger as lines of JSON, to be imported elsewhere')
    .option('-o, --output <file>', 'a file that is not there yet (default: standard output)')
    .addHelpText(
      'after',
      examples(
        ['purse export --store sqlite:./purse.db --output purse.jsonl', 'into a file'],
        [
          'purse export -s sqlite:./purse.db | purse import - -s redis://localhost:6379',
          'straight into another store',
        ],
      ) +
        '\nEvery spend is frozen from then on, for the ledger has moved: purse unfreeze --all goes on\n' +
        'with the old one. Holds cannot be moved: while some are open the status is 1, and nothing\n' +
        'is changed.\n',
    )
    .action(async (options: ExportOptions) => {
      const place = placeOf(options);
      await withStore(place, true, async (store) => {
        const lines = exportLedger(store);
        const { output } = options;
        const counts =
          output === undefined ? await print(terminal, lines) : await writeFile(output, lines);
        terminal.progress('');
        const where = `${JSON.stringify(store.ledger)} of ${shownUrl(place.store)}`;
        if (options.json && output !== undefined) {
          printJson(terminal, { ledger: store.ledger, output, ...counts });
        } else {
          terminal.note(
            `Exported the ledger ${where}: ${formatCount(counts.charges)} charges, ` +
              `${formatCount(counts.envelopes)} envelopes. It is frozen now.`,
          );
        }
      });
    });
}

async function print(terminal: Terminal, lines: AsyncIterable<string>): Promise<Counts> {
  let last = '';
  for await (const line of lines) {
    last = line;
    await deliver(terminal, line);
  }
  return JSON.parse(last) as Counts;
}

/** Thrown on, what goes wrong here breaks the export off, and so its freeze is lifted. */
async function deliver(terminal: Terminal, line: string): Promise<void> {
  if (terminal.deliver === undefined) return terminal.print(line);
  try {
    await terminal.deliver(line);
  } catch (cause) {
    throw new InputError(
      'Whoever reads the export left before its end, so the ledger has not moved; export it again.',
      { code: 'EXPORT_CUT', cause },
    );
  }
}

/** Writes a file whole and safe on the disk, or leaves none. */
async function writeFile(path: string, lines: AsyncIterable<string>): Promise<Counts> {
  const file = await create(path);
  let last = '';
  try {
    let text = '';
    for await (const line of lines) {
      last = line;
      text += `${line}\n`;
      if (text.length < WRITTEN_AT_ONCE) continue;
      await file.write(text);
      text = '';
    }
    await file.write(text);
    await file.sync();
    await file.close();
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(path, { force: true });
    throw error;
  }
  return JSON.parse(last) as Counts;
}

async function create(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(path, 'wx');
  } catch (cause) {
    const there = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST';
    const why = there ? 'it is there already; name another, or remove it' : whyUnreadable(cause);
    throw new InputError(`Cannot write the export ${path}: ${why}.`, { cause });
  }
}
