import { type IoRedisClient, optional, type RedisConnection } from './connection.ts';
import { replaceable } from './replacing.ts';

/** What is used of `Redis` and `Cluster` (https://github.com/redis/ioredis, versions 5 and 6). */
interface Client {
  call(command: string, ...args: string[]): Promise<unknown>;
  pipeline(commands: readonly (readonly string[])[]): {
    exec(): Promise<readonly (readonly [Error | null, unknown])[] | null>;
  };
  duplicate(): Client;
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: string, listener: () => void): unknown;
}

/** Speaks through a client of the package `ioredis`. */
export function ioRedisConnection(client: IoRedisClient, owned: boolean): RedisConnection {
  return replaceable(client as unknown as Client, owned, {
    name: 'ioredis',
    sender,
    duplicate,
    destroy: (given) => given.disconnect(),
  });
}

function sender(redis: Client): RedisConnection['send'] {
  let lost = 0;
  redis.on('close', () => (lost += 1));
  return async (key, command, wait) => {
    const [name = '', ...args] = command;
    if (wait === undefined) return [await redis.call(name, ...args)];
    // A pipeline goes to one server as a whole, also where WAIT names no key.
    const before = lost;
    const answers = await redis
      .pipeline([
        ['call', ...command],
        ['call', ...wait],
      ])
      .exec();
    const [first] = answers ?? [];
    // A pipeline does not learn where a slot has gone; a command with a key does.
    if (first?.[0]?.message.startsWith('MOVED') === true) await redis.call('EXISTS', key);
    const said = (answers ?? []).map(([error, answer]) => {
      if (error !== null) throw error;
      return answer;
    });
    // The client sends what is unanswered again by itself; a WAIT alone then means nothing.
    if (lost !== before) throw new Error('The connection was lost between a write and its WAIT');
    return said;
  };
}

function duplicate(redis: Client): Client {
  const made = redis.duplicate();
  made.on('error', () => undefined);
  // One that connects by itself says that it does so already.
  made.connect().catch(() => undefined);
  return made;
}

/** Opens a URL with the package `ioredis`; `null` where it is not installed. */
export async function openIoRedis(url: string): Promise<RedisConnection | null> {
  const loaded = await optional(() => import('ioredis'));
  if (loaded === null) return null;
  const client = new loaded.Redis(url, {
    lazyConnect: true,
    connectTimeout: 5000,
    // The purse asks again, and knows for how long; a command that waits here would only hide it.
    maxRetriesPerRequest: 1,
    autoResendUnfulfilledCommands: false,
  });
  client.on('error', () => undefined);
  await client.connect();
  return ioRedisConnection(client, true);
}
