import { statSync } from 'node:fs';
import { Command, Option } from 'commander';
import {
  type Clock,
  type LedgerStore,
  type Limit,
  openPurse,
  type Purse,
  type PurseOptions,
} from 'pursestrings';
import { type Config, findConfig } from './config.ts';
import { whyUnreadable } from './data-file.ts';
import { InputError } from './input-error.ts';
import { checkUrl, openStore, shownUrl, sqlitePath } from './store-path.ts';
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
    .addOption(
      new Option(
        '-s, --store <url>',
        'where the ledger is, such as sqlite:./purse.db or redis://host:6379',
      ),
    )
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
 * Works on a ledger that must exist already: a reading command never makes an empty one, which
 * would look like a ledger on which nothing was spent.
 */
export async function withLedger<T>(
  options: LedgerOptions,
  terminal: Terminal,
  work: (purse: Purse) => Promise<T>,
): Promise<T> {
  const place = placeOf(options);
  checkExists(place.store);
  return await withPurse(place.store, {}, ledgerOption(place.ledger), async (purse) => {
    if (await isUntouched(purse)) {
      const name = JSON.stringify(place.ledger ?? 'default');
      terminal.note(`The ledger ${name} of ${shownUrl(place.store)} has no limits and no charges.`);
    }
    return await work(purse);
  });
}

/** A store has any number of ledgers, so a slip in a name shows an empty one. */
async function isUntouched(purse: Purse): Promise<boolean> {
  if ((await purse.limits()).length > 0) return false;
  for await (const _ of purse.journal()) return false;
  return true;
}

/** Works on a ledger to write policy to, and makes it if there is none. */
export async function withPolicy<T>(
  place: LedgerPlace,
  limits: readonly Limit[],
  work: (purse: Purse) => Promise<T>,
): Promise<T> {
  const { timeZone, units } = place.config ?? {};
  const options = {
    ...ledgerOption(place.ledger),
    ...(timeZone !== undefined && { timeZone }),
    ...(units !== undefined && { units }),
    limits,
  };
  return await withPurse(place.store, {}, options, work);
}

/** How a store is opened for a command. */
export interface StoreSettings {
  readonly clock?: Clock;
  /** What is written can be had again by running the command again. */
  readonly repeatable?: true;
}

/** Opens a purse, works with it, and closes it and its store, whatever happens. */
export async function withPurse<T>(
  url: string,
  settings: StoreSettings,
  options: PurseOptions,
  work: (purse: Purse) => Promise<T>,
): Promise<T> {
  const { clock, repeatable } = settings;
  const store = await openStore(url, {
    journalDays: KEEP_DAYS,
    durability: repeatable === true ? 'normal' : 'full',
    ...(clock !== undefined && { clock }),
  });
  try {
    const where =
      store === null ? { store: url, ...(clock !== undefined && { clock }) } : { store };
    const purse = await openPurse({ retryForMs: PATIENCE_MS, ...options, ...where });
    try {
      return await work(purse);
    } finally {
      await purse.close();
    }
  } finally {
    await store?.close();
  }
}

/**
 * Opens the store itself, for what moves a whole ledger, and closes it, whatever happens.
 *
 * @param exists The ledger must exist already: see `withLedger`.
 */
export async function withStore<T>(
  { store: url, ledger }: LedgerPlace,
  exists: boolean,
  work: (store: LedgerStore) => Promise<T>,
): Promise<T> {
  if (exists) checkExists(url);
  const store = await openStore(url, { journalDays: KEEP_DAYS, durability: 'full' });
  if (store === null) {
    throw new InputError(
      `--store is ${JSON.stringify(shownUrl(url))}, which names no store; write sqlite:./purse.db, ` +
        `redis://host:6379 or postgres://user@host/database.`,
      { code: 'NO_STORE' },
    );
  }
  try {
    return await work(ledger === undefined ? store : store.forLedger(ledger));
  } finally {
    await store.close();
  }
}

/**
 * How long charges stay in the journal is for the program that owns a ledger to say. A command
 * that looks into it must not fold them away, however old they are.
 */
const KEEP_DAYS = 1_000_000;

/** Somebody waits at the terminal: a store that is away is not asked for as long as by a service. */
const PATIENCE_MS = 3000;

/** The option that names a ledger, when there is one to name. */
export function ledgerOption(ledger: string | undefined): { readonly ledger?: string } {
  return ledger === undefined ? {} : { ledger };
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
    { code: 'NO_SUCH_STORE' },
  );
}
