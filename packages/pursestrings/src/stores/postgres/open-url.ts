import { InvalidOptionError } from '../../errors.ts';
import { isReadableUrl } from '../readable-url.ts';
import { connectionOf, type PostgresConnection } from './connection.ts';

/** How many connections a store from a URL opens at most: batches go one by one, reads beside them. */
const MAX_CONNECTIONS = 4;
const CONNECT_TIMEOUT_MS = 5000;

/** The parts of both packages that are used here. */
interface PgModule {
  readonly Pool: new (options: object) => object;
}
type PostgresJsModule = (url: string, options: object) => unknown;

/**
 * Opens a URL with `pg`, else with `postgres`, whichever is installed.
 *
 * @throws InvalidOptionError when neither is.
 */
export async function openUrl(url: string): Promise<PostgresConnection> {
  const pg = await installed<PgModule>('pg');
  if (pg !== undefined) {
    const pool = new pg.Pool({
      connectionString: url,
      max: MAX_CONNECTIONS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    });
    const connection = connectionOf(pool, true);
    if (connection !== null) return connection;
  }
  const postgresJs = await installed<PostgresJsModule>('postgres');
  if (postgresJs !== undefined) {
    const sql = postgresJs(url, {
      max: MAX_CONNECTIONS,
      connect_timeout: CONNECT_TIMEOUT_MS / 1000,
      prepare: false,
      fetch_types: false,
      onnotice: () => undefined,
    });
    const connection = connectionOf(sql, true);
    if (connection !== null) return connection;
  }
  throw new InvalidOptionError(
    "A postgres:// URL needs the package 'pg' or 'postgres': install one of them (npm install pg)",
  );
}

/** Checks the form of a URL, which `postgres` may give several hosts. @throws InvalidOptionError */
export function checkUrl(url: string): void {
  const isPostgres = /^postgres(ql)?:\/\//.test(url);
  // With one host in the place of several it is a URL that Node knows how to read.
  if (isPostgres && isReadableUrl(url.replace(/(@|\/\/)[^@/?]*,/, '$1'))) return;
  throw new InvalidOptionError(
    'The Postgres URL cannot be read; write postgres://user:password@host:5432/database, with special characters of the password percent-encoded',
  );
}

/** Loads a package; undefined when it is not installed. Any other failure to load is thrown. */
async function installed<T>(name: string): Promise<T | undefined> {
  try {
    const loaded = (await import(name)) as { readonly default: T };
    return loaded.default;
  } catch (error) {
    const missing =
      error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    if (missing && error.message.includes(`'${name}'`)) return undefined;
    throw error;
  }
}
