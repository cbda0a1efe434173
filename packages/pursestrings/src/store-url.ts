import { inTime } from './patience.ts';
import type { Clock } from './clock.ts';
import { InvalidOptionError } from './errors.ts';
import { memory } from './stores/memory.ts';
import type { LedgerStore, Retention } from './stores/store.ts';

/**
 * Opens the store that a URL names. What a store needs besides is loaded only then.
 *
 * @throws InvalidOptionError for a URL of no known store.
 */
export async function openStore(
  url: string,
  clock: Clock | undefined,
  retention: Retention = {},
): Promise<LedgerStore> {
  const options = clock === undefined ? retention : { ...retention, clock };
  const read = readStoreUrl(url);
  switch (read?.scheme) {
    case 'memory':
      return memory(options);
    case 'sqlite': {
      const { sqlite } = await import('./stores/sqlite.ts');
      return sqlite(read.path, options);
    }
    case 'redis': {
      const { redis } = await import('./stores/redis.ts');
      return redis(url, options);
    }
    case 'postgres': {
      const { postgres } = await import('./stores/postgres.ts');
      return postgres(url, options);
    }
    case undefined:
      throw unknownStore(url);
  }
}

/** A URL of a store inside the process. */
export interface EmbeddedUrl {
  readonly scheme: 'memory' | 'sqlite';
  /** The file; empty for a memory. */
  readonly path: string;
}

/** Reads which store a URL names; `null` when it names none. */
export function readStoreUrl(
  url: string,
): EmbeddedUrl | { readonly scheme: 'redis' | 'postgres' } | null {
  if (url === 'memory:') return { scheme: 'memory', path: '' };
  const scheme = url.slice(0, url.indexOf(':') + 1).toLowerCase();
  switch (scheme) {
    case 'sqlite:': {
      const path = url.slice(scheme.length).replace(/^\/\/(?=.)/, '');
      return path === '' ? null : { scheme: 'sqlite', path };
    }
    case 'redis:':
    case 'rediss:':
      return { scheme: 'redis' };
    case 'postgres:':
    case 'postgresql:':
      return { scheme: 'postgres' };
    default:
      return null;
  }
}

/** Checks a ledger's name. @throws InvalidOptionError */
export function checkLedgerName(name: string): void {
  if (typeof name !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    throw new InvalidOptionError(
      `ledger is ${JSON.stringify(name)}; a name is 1 to 64 letters, digits, '_' or '-'`,
    );
  }
}

function unknownStore(url: string): InvalidOptionError {
  return new InvalidOptionError(
    `store is ${JSON.stringify(withoutPassword(url))}, which names no store; write 'memory:', ` +
      `'sqlite:./purse.db', 'redis://host:6379' or 'postgres://user@host/database'`,
  );
}

/** A URL as it may be shown. */
function withoutPassword(url: string): string {
  return url.replace(/(\/\/[^/@:]*):[^@]*@/, '$1:…@');
}

/** Closes a store that could not be used, and waits no longer than that for it. */
export async function closeInTime(store: LedgerStore, timeoutMs: number): Promise<void> {
  await inTime(() => store.close(), timeoutMs).catch(() => undefined);
}
