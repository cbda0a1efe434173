import type { Clock, LedgerStore } from 'pursestrings';
import { memory } from 'pursestrings/stores/memory';
import { sqlite } from 'pursestrings/stores/sqlite';
import { InputError } from './input-error.ts';

/** Checks that a store is written as a URL; which stores there are is for the library to say. */
export function checkUrl(store: string): void {
  if (/^[a-z]+:/i.test(store)) return;
  throw new InputError(
    `--store is ${JSON.stringify(store)}, which is no URL; for a file write sqlite:${store}.`,
  );
}

/** The path of a SQLite store; `null` for any other store. */
export function sqlitePath(store: string): string | null {
  if (!store.startsWith('sqlite:')) return null;
  const path = store.slice('sqlite:'.length).replace(/^\/\/(?=.)/, '');
  return path === ':memory:' ? null : path;
}

/** What is to be known of a store that a command opens. */
export interface StoreOptions {
  readonly journalDays: number;
  readonly durability: 'full' | 'normal';
  readonly clock?: Clock;
}

/**
 * Opens the store that a URL names, to be closed by the caller; `null` for one that the library alone
 * can tell about.
 */
export async function openStore(url: string, options: StoreOptions): Promise<LedgerStore | null> {
  const path = sqlitePath(url);
  if (path !== null && path !== '') return sqlite(path, options);
  const { journalDays, clock } = options;
  const kept = { journalDays, ...(clock !== undefined && { clock }) };
  switch (url.slice(0, url.indexOf(':')).toLowerCase()) {
    case 'redis':
    case 'rediss': {
      const { redis } = await import('pursestrings/stores/redis');
      return redis(url, kept);
    }
    case 'postgres':
    case 'postgresql': {
      const { postgres } = await import('pursestrings/stores/postgres');
      return postgres(url, kept);
    }
    default:
      return url === 'memory:' ? memory(kept) : null;
  }
}

/** A URL as it may be shown: without its password. */
export function shownUrl(url: string): string {
  return url.replace(/(\/\/[^/@:]*):[^@]*@/, '$1:…@');
}
