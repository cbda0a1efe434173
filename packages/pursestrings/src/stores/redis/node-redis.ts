import { InvalidOptionError } from '../../errors.ts';
import { type NodeRedisClient, optional, type RedisConnection } from './connection.ts';
import { replaceable } from './replacing.ts';

/** What is used of a client (https://github.com/redis/node-redis, versions 4 to 6). */
interface Single {
  sendCommand(command: readonly string[]): Promise<unknown>;
}
interface Sentinel {
  sendCommand(isReadonly: boolean, command: readonly string[]): Promise<unknown>;
  multi(): SentinelPipeline;
}
interface SentinelPipeline {
  addCommand(isReadonly: boolean, command: readonly string[]): SentinelPipeline;
  execAsPipeline(): Promise<readonly unknown[]>;
}
interface Cluster {
  readonly slots: readonly ({ readonly master: object } | undefined)[];
  sendCommand(key: string, isReadonly: boolean, command: readonly string[]): Promise<unknown>;
  nodeClient(node: object): Single | Promise<Single>;
}
interface Emitter {
  on(event: string, listener: () => void): unknown;
}

interface Duplicable {
  duplicate(): NodeRedisClient & Emitter & { connect(): Promise<unknown> };
}

/** What is closed in some versions by this and in others by that. */
interface Closable {
  destroy?(): void;
  disconnect?(): Promise<unknown>;
}

type Send = RedisConnection['send'];

const CONNECT_TIMEOUT_MS = 5000;

/** Speaks through a client of the package `redis`. */
export function nodeRedisConnection(client: NodeRedisClient, owned: boolean): RedisConnection {
  return replaceable(client, owned, { name: 'redis', sender, duplicate, destroy });
}

/** Opens a URL with the package `redis`; `null` where it is not installed. */
export async function openNodeRedis(url: string): Promise<RedisConnection | null> {
  const loaded = await optional(() => import('redis'));
  if (loaded === null) return null;
  const client = loaded.createClient({
    url,
    // A half-open connection is noticed although nothing is said on it.
    pingInterval: 10_000,
    socket: { connectTimeout: CONNECT_TIMEOUT_MS, keepAlive: true },
  });
  // Each command says by itself that it failed; without a listener Node would end the process.
  client.on('error', () => undefined);
  // The client would try for ever: whether to ask again, and for how long, is the purse's to say.
  // A server that takes the connection may still say nothing.
  let timer: NodeJS.Timeout | undefined;
  const failed = new Promise<never>((_, reject) => {
    client.once('error', reject);
    timer = setTimeout(() => reject(new Error('ETIMEDOUT: no answer')), CONNECT_TIMEOUT_MS);
  });
  try {
    await Promise.race([client.connect(), failed]);
  } catch (error) {
    destroy(client);
    throw error;
  } finally {
    clearTimeout(timer);
  }
  failed.catch(() => undefined);
  return nodeRedisConnection(client, true);
}

function sender(client: NodeRedisClient): Send {
  if ('nodeClient' in client) return clusterSender(client as unknown as Cluster);
  if ('getMasterNode' in client) return sentinelSender(client as unknown as Sentinel);
  const single = client as unknown as Single & Partial<Emitter>;
  const lost = losses(single, 'reconnecting');
  return async (_, command, wait) => {
    if (wait === undefined) return [await single.sendCommand(command)];
    if ('execute' in client) throw poolCannotWait();
    return onOneConnection(lost, [single.sendCommand(command), single.sendCommand(wait)]);
  };
}

/**
 * Two commands sent one by one may go to two connections: the client has a pool of them, and sends a
 * command again by itself after a failover. A pipeline stays on one, or fails as a whole.
 */
function sentinelSender(sentinel: Sentinel): Send {
  return async (_, command, wait) => {
    if (wait === undefined) return [await sentinel.sendCommand(false, command)];
    return sentinel.multi().addCommand(false, command).addCommand(false, wait).execAsPipeline();
  };
}

/** WAIT goes to the very node that took the write: a redirection would part the two. */
function clusterSender(cluster: Cluster): Send {
  const slots = new Map<string, number>();
  return async (key, command, wait) => {
    if (wait === undefined) return [await cluster.sendCommand(key, false, command)];
    let slot = slots.get(key);
    if (slot === undefined) {
      slot = Number(await cluster.sendCommand(key, true, ['CLUSTER', 'KEYSLOT', key]));
      slots.set(key, slot);
    }
    const node = cluster.slots[slot]?.master;
    try {
      if (node === undefined) throw new Error('MOVED: no node is known for the slot');
      const client = await cluster.nodeClient(node);
      return await Promise.all([client.sendCommand(command), client.sendCommand(wait)]);
    } catch (error) {
      // A command with a key learns where the slot has gone.
      await cluster.sendCommand(key, false, ['EXISTS', key]).catch(() => undefined);
      throw error;
    }
  };
}

/** Counts how often a connection was lost. */
function losses(client: Partial<Emitter>, event: string): () => number {
  let count = 0;
  client.on?.(event, () => (count += 1));
  return () => count;
}

/** What was answered, unless the connection was another one before the last answer came. */
export async function onOneConnection(
  lost: () => number,
  sent: readonly Promise<unknown>[],
): Promise<readonly unknown[]> {
  const before = lost();
  const answers = await Promise.all(sent);
  if (sent.length > 1 && lost() !== before) {
    throw new Error('The connection was lost between a write and its WAIT');
  }
  return answers;
}

function poolCannotWait(): InvalidOptionError {
  return new InvalidOptionError(
    'replicas needs a client with one connection: a pool may wait on another one than it wrote on',
  );
}

/** A pool has none: it goes on with its other connections. */
function duplicate(client: NodeRedisClient): NodeRedisClient | undefined {
  const made = (client as Partial<Duplicable>).duplicate?.();
  made?.on('error', () => undefined);
  // Commands wait for the connection, and say so when there is none.
  made?.connect().catch(() => undefined);
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
