import { statSync } from 'node:fs';
import { Command, Option } from 'commander';
import { openPurse, type Purse, type PurseOptions } from 'pursestrings';
import { type Config, findConfig } from './config.ts';
import { whyUnreadable } from './data-file.ts';
import { InputError } from './input-error.ts';
import { checkUrl, sqlitePath } from './store-path.ts';
import type { Terminal } from './terminal.ts';

/** The options that every command takes. */
export interface LedgerOptions {
  readonly store?: string;
  readonly config?: string;
  readonly ledger?: string;
  readonly json?: true;
}

/** Where a ledger is, and what its config file says besides. */
export interface LedgerPlace {
  readonly store: string;
  readonly ledger: string | undefined;
  readonly config: Config | null;
}

/**
 * Adds a command with the options that every command takes, so that they read alike everywhere.
 */
export function addLedgerCommand(program: Command, name: string, summary: string): Command {
  return program
    .command(name)
    .description(summary)
    .addOption(new Option('-s, --store <url>', 'where the ledger is, such as sqlite:./purse.db'))
    .addOption(new Option('-c, --config <file>', 'read the store and the rest from this file'))
    .addOption(new Option('--ledger <name>', 'which ledger of the store (default: default)'))
    .addOption(new Option('--json', 'print the answer for machines'));
}

/** Formats the examples that end a command's help. */
export function examples(...lines: readonly (readonly [command: string, why: string])[]): string {
  const text = lines.map(([command, why]) => `  $ ${command}\n      ${why}`);
  return `\nExamples:\n${text.join('\n')}\n`;
}

/**
 * Finds the ledger that the options name: `--store` goes before the config file.
 *
 * @throws InputError when neither names one.
 */
export function placeOf(options: LedgerOptions): LedgerPlace {
  const config =
    options.store === undefined || options.config !== undefined ? findConfig(options.config) : null;
  const store = options.store ?? config?.store;
  if (store === undefined) {
    throw new InputError(
      config === null
        ? 'No store is named; add --store sqlite:./purse.db, or --config purse.yaml.'
        : `${config.path} names no \`store\`; add it there, or give --store sqlite:./purse.db.`,
      { code: 'NO_STORE' },
    );
  }
  checkUrl(store);
  return { store, ledger: options.ledger ?? config?.ledger, config };
}

/**
 * Opens a ledger that must exist already: a reading command never makes an empty one, which would
 * look like a ledger on which nothing was spent.
 */
export async function openLedger(options: LedgerOptions, terminal: Terminal): Promise<Purse> {
  const place = placeOf(options);
  checkExists(place.store);
  if (place.store.startsWith('memory:')) {
    terminal.note('A memory: ledger lasts as long as its process; this one is empty.');
  }
  return await openPurse(purseOptions(place));
}

/** Opens a ledger to write policy to, and makes it if there is none. */
export async function openOrCreateLedger(
  place: LedgerPlace,
  more: PurseOptions = {},
): Promise<Purse> {
  const { timeZone, units } = place.config ?? {};
  return await openPurse({
    ...purseOptions(place),
    ...(timeZone !== undefined && { timeZone }),
    ...(units !== undefined && { units }),
    ...more,
  });
}

function purseOptions({ store, ledger }: LedgerPlace): PurseOptions {
  return { store, ...(ledger !== undefined && { ledger }) };
}

function checkExists(store: string): void {
  const path = sqlitePath(store);
  if (path === null || path === '') return;
  let size: number;
  try {
    size = statSync(path).size;
  } catch (cause) {
    throw new InputError(
      `Cannot open the store ${store}: ${whyUnreadable(cause)}, or make one with purse limits set.`,
      { code: 'NO_SUCH_STORE', cause },
    );
  }
  if (size > 0) return;
  throw new InputError(
    `Cannot open the store ${store}: the file is empty; name another, or make one with purse limits set.`,
    {
      code: 'NO_SUCH_STORE',
    },
  );
}
