import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import pg from 'pg';
import postgresJs from 'postgres';
import { createClient } from 'redis';
import { postgres } from '../../src/stores/postgres.ts';
import { redis } from '../../src/stores/redis.ts';
import type { LedgerStore } from '../../src/stores/store.ts';

/** A store on a client of the caller's own, and what the caller ends it by. */
export interface OpenedStore {
  readonly store: LedgerStore;
  end(): Promise<void>;
}

/** A way to reach a server: all of them are put through the same cases. */
export interface Backend {
  readonly name: string;
  readonly server: 'redis' | 'postgres';
  /** Opens a store on the server at a URL; the ledger is one of its own. */
  open(url: string, ledger: string): Promise<OpenedStore>;
}

/** A name that no other run uses. */
export function freshLedger(): string {
  return `faults-${randomBytes(6).toString('hex')}`;
}

async function byNodeRedis(url: string): Promise<OpenedStore> {
  const client = createClient({ url, socket: { connectTimeout: 1000 } });
  client.on('error', () => undefined);
  await client.connect();
  const store = redis(client);
  return { store, end: async () => (await store.close(), client.destroy()) };
}

async function byIoRedis(url: string): Promise<OpenedStore> {
  const client = new Redis(url);
  client.on('error', () => undefined);
  const store = redis(client);
  return { store, end: async () => (await store.close(), client.disconnect()) };
}

async function byPg(url: string): Promise<OpenedStore> {
  const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: 500, max: 2 });
  pool.on('error', () => undefined);
  const store = postgres(pool);
  return { store, end: async () => (await store.close(), pool.end()) };
}

async function byPostgresJs(url: string): Promise<OpenedStore> {
  const sql = postgresJs(url, { connect_timeout: 1, fetch_types: false });
  const store = postgres(sql);
  return { store, end: async () => (await store.close(), sql.end({ timeout: 1 })) };
}

async function byUrl(url: string): Promise<OpenedStore> {
  const store = url.startsWith('redis') ? redis(url) : postgres(url);
  return { store, end: () => store.close() };
}

function backend(
  name: string,
  server: Backend['server'],
  open: (url: string) => Promise<OpenedStore>,
): Backend {
  return {
    name,
    server,
    open: async (url, ledger) => {
      const opened = await open(url);
      return { ...opened, store: opened.store.forLedger(ledger) };
    },
  };
}

/** Every client that a store takes, and a URL for each kind of server. */
export const BACKENDS: readonly Backend[] = [
  backend('node-redis', 'redis', byNodeRedis),
  backend('ioredis', 'redis', byIoRedis),
  backend('a URL of Redis', 'redis', byUrl),
  backend('pg', 'postgres', byPg),
  backend('postgres.js', 'postgres', byPostgresJs),
  backend('a URL of Postgres', 'postgres', byUrl),
];
