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
  const scheme = url.slice(0, url.indexOf(':') + 1).toLowerCase();
  if (url === 'memory:') return memory(options);
  switch (scheme) {
    case 'sqlite:': {
      const path = url.slice(scheme.length).replace(/^\/\/(?=.)/, '');
      if (path === '') throw unknownStore(url);
      const { sqlite } = await import('./stores/sqlite.ts');
      return sqlite(path, options);
    }
    case 'redis:':
    case 'rediss:': {
      const { redis } = await import('./stores/redis.ts');
      return redis(url, options);
    }
    case 'postgres:':
    case 'postgresql:': {
      const { postgres } = await import('./stores/postgres.ts');
      return postgres(url, options);
    }
    default:
      throw unknownStore(url);
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
