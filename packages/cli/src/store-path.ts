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
