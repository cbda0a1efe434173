import type { NodeRedisClient, RedisConnection } from './connection.ts';
import { optional } from './connection.ts';

/** The three shapes of `sendCommand` (https://github.com/redis/node-redis, versions 4 to 6). */
interface Single {
  sendCommand(command: readonly string[]): Promise<unknown>;
}
interface Sentinel {
  sendCommand(isReadonly: boolean, command: readonly string[]): Promise<unknown>;
}
interface Cluster {
  sendCommand(key: string, isReadonly: boolean, command: readonly string[]): Promise<unknown>;
}

/** What is closed in some versions by this and in others by that. */
interface Closable {
  connect?(): Promise<unknown>;
  close?(): Promise<unknown>;
  destroy?(): void;
  disconnect?(): Promise<unknown>;
}

type Send = (key: string, command: readonly string[]) => Promise<unknown>;

/** Speaks through a client of the package `redis`. */
export function nodeRedisConnection(client: NodeRedisClient, owned: boolean): RedisConnection {
  let current = client;
  let send = sender(current);
  return {
    client: 'redis',
    send: (key, command, wait) => {
      const sent = [send(key, command)];
      if (wait !== undefined) sent.push(send(key, wait));
      return Promise.all(sent);
    },
    drop: () => {
      if (!owned) return;
      const fresh = duplicate(current);
      destroy(current);
      current = fresh;
      send = sender(fresh);
      // Commands wait for the connection, and say so when there is none.
      (fresh as Closable).connect?.().catch(() => undefined);
    },
    close: async () => {
      if (owned) destroy(current);
    },
  };
}

/** Opens a URL with the package `redis`; `null` where it is not installed. */
export async function openNodeRedis(url: string): Promise<RedisConnection | null> {
  const loaded = await optional(() => import('redis'));
  if (loaded === null) return null;
  const client = loaded.createClient({
    url,
    // A half-open connection is noticed although nothing is said on it.
    pingInterval: 10_000,
    socket: { connectTimeout: 5000, keepAlive: true },
  });
  // Each command says by itself that it failed; without a listener Node would end the process.
  client.on('error', () => undefined);
  await client.connect();
  return nodeRedisConnection(client, true);
}

function sender(client: NodeRedisClient): Send {
  if ('nodeClient' in client || 'getRandomNode' in client) {
    const cluster = client as unknown as Cluster;
    return (key, command) => cluster.sendCommand(key, false, command);
  }
  if ('getMasterNode' in client || 'sentinelId' in client) {
    const sentinel = client as unknown as Sentinel;
    return (_, command) => sentinel.sendCommand(false, command);
  }
  const single = client as unknown as Single;
  return (_, command) => single.sendCommand(command);
}

function duplicate(client: NodeRedisClient): NodeRedisClient {
  const made = (client as unknown as { duplicate(): NodeRedisClient }).duplicate();
  (made as unknown as { on(event: string, listener: () => void): void }).on(
    'error',
    () => undefined,
  );
  return made;
}

function destroy(client: NodeRedisClient): void {
  const closable = client as Closable;
  try {
    if (closable.destroy === undefined) void closable.disconnect?.().catch(() => undefined);
    else closable.destroy();
  } catch {
    // It was closed already.
  }
}
