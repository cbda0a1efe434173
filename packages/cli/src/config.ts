import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Limit, UnitOptions } from 'pursestrings';
import { checkKeys, isMapping, type Mapping, readDataFile } from './data-file.ts';
import { InputError } from './input-error.ts';
import { sqlitePath } from './store-path.ts';
import { limitsOf, readLimitsFile } from './limits-file.ts';

/** What a config file says. Paths in it are relative to the file, and absolute here. */
export interface Config {
  readonly path: string;
  readonly store?: string;
  readonly ledger?: string;
  readonly timeZone?: string;
  readonly units?: Readonly<Record<string, UnitOptions>>;
  /** The limits, and the file that they stand in. */
  readonly limits?: { readonly path: string; readonly list: readonly Limit[] };
  /** The path of a price book. */
  readonly prices?: string;
  /** What pays for HTTP. Its secret is better kept in PURSE_WALLET_SECRET. */
  readonly wallet?: string;
}

/** The config file that is read when no store is named. */
const DEFAULT_CONFIG = 'purse.yaml';

const KEYS = ['store', 'ledger', 'timeZone', 'units', 'limits', 'prices', 'wallet'] as const;

/**
 * Reads a config file, in YAML or JSON.
 *
 * @throws InputError that names the file and the key.
 */
export function readConfig(path: string): Config {
  const data = readDataFile(path, 'config file') ?? {};
  if (!isMapping(data)) {
    throw new InputError(`${path}: a config file is a mapping of ${KEYS.join(', ')}.`);
  }
  checkKeys(data, KEYS, path);
  const store = textAt(data, 'store', path);
  const ledger = textAt(data, 'ledger', path);
  const timeZone = textAt(data, 'timeZone', path);
  const prices = textAt(data, 'prices', path);
  const wallet = walletAt(data, path);
  const units = unitsAt(data, path);
  const limits = limitsAt(data, path);
  return {
    path,
    ...(store !== undefined && { store: besideFile(path, store) }),
    ...(ledger !== undefined && { ledger }),
    ...(timeZone !== undefined && { timeZone }),
    ...(wallet !== undefined && { wallet }),
    ...(units !== undefined && { units }),
    ...(limits !== undefined && { limits }),
    ...(prices !== undefined && { prices: resolve(dirname(path), prices) }),
  };
}

/** Reads the config file named, or the one in the working directory, if there is one. */
export function findConfig(path: string | undefined): Config | null {
  if (path !== undefined) return readConfig(path);
  return existsSync(DEFAULT_CONFIG) ? readConfig(DEFAULT_CONFIG) : null;
}

function textAt(data: Mapping, key: string, path: string): string | undefined {
  const value = data[key];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value !== '') return value;
  throw new InputError(`${path}: \`${key}\` is ${JSON.stringify(value)}; it must be a text.`);
}

/** The value is not repeated: it may be a secret. */
function walletAt(data: Mapping, path: string): string | undefined {
  const value = data['wallet'];
  if (value === undefined || (typeof value === 'string' && value !== '')) return value;
  throw new InputError(
    `${path}: \`wallet\` must be a text, such as lnd:https://localhost:8080; see purse fetch --help.`,
  );
}

function unitsAt(data: Mapping, path: string): Record<string, UnitOptions> | undefined {
  const value = data['units'];
  if (value === undefined) return undefined;
  const example = 'write { decimals: 3 }, and occupied: true for what always comes back';
  if (!isMapping(value)) {
    throw new InputError(`${path}: \`units\` must map names to options; ${example}.`);
  }
  const units = new Map<string, UnitOptions>();
  for (const [name, options] of Object.entries(value)) {
    const place = `${path}: \`units.${name}\``;
    if (!isMapping(options)) throw new InputError(`${place} must have options; ${example}.`);
    checkKeys(options, ['decimals', 'occupied'], place);
    const { decimals, occupied } = options;
    if (typeof decimals !== 'number' || !['boolean', 'undefined'].includes(typeof occupied)) {
      throw new InputError(`${place} is ${JSON.stringify(options)}; ${example}.`);
    }
    units.set(name, { decimals, ...(occupied === true && { occupied }) });
  }
  return Object.fromEntries(units);
}

/** `limits` is a list of limits, or the path of a limits file. */
function limitsAt(data: Mapping, path: string): Config['limits'] {
  const value = data['limits'];
  if (value === undefined) return undefined;
  if (typeof value !== 'string') return { path, list: limitsOf(value, path) };
  const file = resolve(dirname(path), value);
  return { path: file, list: readLimitsFile(file) };
}

/** A SQLite path in a config file is meant from where the file is, wherever purse is run. */
function besideFile(path: string, store: string): string {
  const file = sqlitePath(store);
  return file === null || file === '' ? store : `sqlite:${resolve(dirname(path), file)}`;
}
