import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import type { Purse } from '../../purse.ts';
import { openStore } from '../../store-url.ts';
import { GuardLedger } from './guard-ledger.ts';
import type { LedgerStore } from './cap-purse.ts';
import { defaultStore, MemoryStore, type MemoryTotals, totalsOf } from './memory-store.ts';
import { PurseAccount } from './purse-account.ts';
import { SharedPurse } from './shared-purse.ts';
import { storeAccount } from './store-account.ts';
import type { Account } from './account.ts';
import type { SpendStore } from './types.ts';

/** Where a guard, or a report, finds its money. */
export type SpendSource = SpendStore | string | Purse | undefined;

const memories = new WeakMap<MemoryTotals, Account>();
const purses = new WeakMap<Purse, Account>();
const files = new Map<string, File>();

/** A store that is named by a URL, and opened by its first call. */
interface File {
  readonly account: Account;
  opened: Promise<LedgerStore> | null;
}

/** The account of a source: the same one for the same source, so that guards of a source share it. */
export function accountOf(source: SpendSource): Account {
  if (source === undefined) return memoryAccount(defaultStore);
  if (typeof source === 'string') return urlAccount(source);
  if (isPurse(source)) return kept(purses, source, () => new PurseAccount(new SharedPurse(source)));
  // One that counts by itself, such as a subclass that watches `add`, is asked like any other.
  if (source instanceof MemoryStore && source.add === MemoryStore.prototype.add) {
    return memoryAccount(source);
  }
  checkStore(source);
  return storeAccount(source);
}

/**
 * Makes a store that keeps spend in a file, where it outlives the process and other processes share
 * it: scripts that run by the hour keep to one cap. The same as the URL `sqlite:` and the path.
 *
 * @example
 * ```ts
 * import { fileStore, guard } from 'pursestrings/guard';
 *
 * const client = { create: async (_: { model: string }) => ({ usage: { input: 9, output: 9 } }) };
 * guard(client, { project: 'cron', dailyCapUSD: 5, store: fileStore('./spend.db') });
 * ```
 */
export function fileStore(path: string): `sqlite:${string}` {
  if (typeof path !== 'string' || path === '') {
    throw new InvalidOptionError(`The path of a file store is ${shown(path)}; name a file`);
  }
  return `sqlite:${path}`;
}

/** Closes the files that guards have opened by URL; a guard that is used again opens its own. */
export async function closeStores(): Promise<void> {
  const open = [...files.values()];
  files.clear();
  for (const { opened } of open) {
    await opened?.then(
      (store) => store.close(),
      () => undefined,
    );
  }
}

/** Reports read totals, so the charges themselves are kept only to answer a settle that is repeated. */
const MAX_CHARGES = 10_000;

function memoryAccount(store: MemoryStore): Account {
  const totals = totalsOf(store);
  return kept(memories, totals, () => {
    let opened: Promise<LedgerStore> | undefined;
    const open = (): Promise<LedgerStore> =>
      (opened ??= openStore('memory:', undefined, { maxCharges: MAX_CHARGES }));
    return new PurseAccount(new GuardLedger(open, totals));
  });
}

function urlAccount(url: string): Account {
  const known = files.get(url);
  if (known !== undefined) return known.account;
  const file: File = {
    opened: null,
    account: new PurseAccount(
      new GuardLedger(() => {
        file.opened ??= openStore(url, undefined);
        // A file that could not be opened is tried again at the next call.
        file.opened.catch(() => {
          file.opened = null;
        });
        return file.opened;
      }, null),
    ),
  };
  files.set(url, file);
  return file.account;
}

function kept<K extends object>(map: WeakMap<K, Account>, key: K, make: () => Account): Account {
  let account = map.get(key);
  if (account === undefined) {
    account = make();
    map.set(key, account);
  }
  return account;
}

function isPurse(source: SpendStore | Purse): source is Purse {
  return 'tryReserve' in source && typeof source.tryReserve === 'function';
}

function checkStore(store: SpendStore): void {
  for (const name of ['add', 'get', 'entries'] as const) {
    if (typeof store?.[name] !== 'function') {
      throw new InvalidOptionError(
        `store has no ${name}(); a spend store has add(key, usd), get(key) and entries(prefix)`,
      );
    }
  }
}
