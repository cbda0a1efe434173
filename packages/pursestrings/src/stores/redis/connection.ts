import { InvalidOptionError } from '../../errors.ts';
import { isReadableUrl } from '../readable-url.ts';

/** All that the store asks of a client. One small file for each client makes one of these. */
export interface RedisConnection {
  /** What the caller calls it: `redis`, `ioredis`. */
  readonly client: string;
  /**
   * Sends one command to the server that has a key, after those sent before on the same
   * connection; then, with `wait`, another one on that very connection.
   */
  send(
    key: string,
    command: readonly string[],
    wait?: readonly string[],
  ): Promise<readonly unknown[]>;
  /**
   * Tells how to give up the connection that is in use now, when a call turns out to hang on it; the
   * next command gets a new one. It does nothing once another is in use.
   */
  dropper(): () => void;
  /** Closes what was opened here; a client that was handed in stays open. */
  close(): Promise<void>;
}

/** What every client of the package `redis` has: single, pool, Sentinel and Cluster alike. */
export interface NodeRedisClient {
  sendCommand(...args: never[]): Promise<unknown>;
}

/** What every client of the package `ioredis` has: `Redis` and `Cluster` alike. */
export interface IoRedisClient {
  call(...args: never[]): Promise<unknown>;
  pipeline(...args: never[]): unknown;
}

/** A client of either package, as the caller made it. */
export type RedisClient = NodeRedisClient | IoRedisClient;

/** One adapter for each client, however many stores are made of it: it listens to the client. */
const adapters = new WeakMap<RedisClient, Promise<RedisConnection>>();

/** Finds the adapter for a client that the caller made. */
export function connectionOf(client: RedisClient): Promise<RedisConnection> {
  let adapter = adapters.get(client);
  if (adapter === undefined) {
    adapter = adapt(client);
    adapters.set(client, adapter);
  }
  return adapter;
}

async function adapt(client: RedisClient): Promise<RedisConnection> {
  if (isIoRedis(client)) {
    const { ioRedisConnection } = await import('./ioredis.ts');
    return ioRedisConnection(client, false);
  }
  const { nodeRedisConnection } = await import('./node-redis.ts');
  return nodeRedisConnection(client, false);
}

/** Opens a URL with `redis`, else with `ioredis`, whichever is installed. */
export async function openConnection(url: string): Promise<RedisConnection> {
  const { openNodeRedis } = await import('./node-redis.ts');
  const opened = await openNodeRedis(url);
  if (opened !== null) return opened;
  const { openIoRedis } = await import('./ioredis.ts');
  const other = await openIoRedis(url);
  if (other !== null) return other;
  throw new InvalidOptionError(
    'store is a Redis URL, and no client is installed; run npm install redis (or ioredis), or pass a client to redis()',
  );
}

/** Checks what was handed to `redis()`. */
export function checkClient(client: unknown): void {
  if (typeof client === 'string') {
    if (!/^rediss?:\/\/[^/]/.test(client)) {
      throw new InvalidOptionError(
        'The Redis URL must begin with redis:// or rediss:// and a host, such as redis://localhost:6379',
      );
    }
    if (isReadableUrl(client) && /^(\/\d*)?$/.test(new URL(client).pathname)) return;
    throw new InvalidOptionError(
      'The Redis URL cannot be read; write redis://user:password@host:6379/0, with special characters of the password percent-encoded and the number of the database last',
    );
  }
  const known =
    typeof client === 'object' && client !== null && (isIoRedis(client) || 'sendCommand' in client);
  if (known) return;
  throw new InvalidOptionError(
    'redis() takes a URL, or a client of the package redis or ioredis: createClient(), new Redis()',
  );
}

function isIoRedis(client: object): client is IoRedisClient {
  return 'call' in client && 'pipeline' in client && 'defineCommand' in client;
}

/** What clients of one server say of it: node-redis under `socket`, ioredis at once. */
interface Address {
  readonly host?: unknown;
  readonly port?: unknown;
}
interface ClientOptions extends Address {
  readonly socket?: Address;
  readonly sentinels?: unknown;
}

/** Where a server is, if it is one server and the client says so; never with a password. */
export function addressOf(client: RedisClient | string): string | undefined {
  if (typeof client === 'string') return new URL(client).host;
  const { options } = client as { readonly options?: ClientOptions };
  // Those that watch over the server are not the server.
  if (Array.isArray(options?.sentinels)) return undefined;
  const { host, port = 6379 } = options?.socket ?? options ?? {};
  return typeof host === 'string' ? `${host}:${String(port)}` : undefined;
}

/** Imports an optional package; `null` where it is not installed. */
export async function optional<T>(load: () => Promise<T>): Promise<T | null> {
  try {
    return await load();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') return null;
    throw error;
  }
}
