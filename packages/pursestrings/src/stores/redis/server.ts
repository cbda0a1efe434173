import { createHash } from 'node:crypto';
import { StoreError } from '../../errors.ts';
import {
  addressOf,
  connectionOf,
  openConnection,
  type RedisClient,
  type RedisConnection,
} from './connection.ts';
import { isUnknownScript, redisFailure } from './failure.ts';
import { untilAborted } from '../until-aborted.ts';

/** How many replicas must have a write before it is acknowledged, and how long that may take. */
export interface ReplicaOptions {
  /** How many replicas, 1 or more. */
  readonly wait: number;
  /** After so many milliseconds the outcome counts as unknown. Default 1,000. */
  readonly timeoutMs?: number;
}

/** A script with the hash that servers know it by. */
interface Script {
  readonly source: string;
  readonly hash: string;
}

const scripts = new Map<string, Script>();

function scriptOf(source: string): Script {
  let script = scripts.get(source);
  if (script === undefined) {
    script = { source, hash: createHash('sha1').update(source).digest('hex') };
    scripts.set(source, script);
  }
  return script;
}

/** The last parts of a ledger's keys, in the order of the scripts' KEYS. */
const KEY_NAMES = [
  'meta',
  'ids',
  'envelopes',
  'numbers',
  'keys',
  'due',
  'closing',
  'gone',
  'slots',
  'bounds',
];

/** Writes the keys of a ledger. The braces put all of them into one slot of a cluster. */
export function keysOf(prefix: string, ledger: string): readonly string[] {
  return KEY_NAMES.map((name) => `${prefix}:{${ledger}}:${name}`);
}

/** A server, or a cluster of them, behind whichever client; opened at the first use. */
export class RedisServer {
  readonly #client: RedisClient | string;
  readonly #replicas: ReplicaOptions | undefined;
  #connecting: Promise<RedisConnection> | undefined;
  #connected: RedisConnection | undefined;
  #closed = false;

  constructor(client: RedisClient | string, replicas: ReplicaOptions | undefined) {
    this.#client = client;
    this.#replicas = replicas;
  }

  /** What failures call it. */
  get #name(): string {
    const address = addressOf(this.#client);
    return address === undefined ? 'The Redis server' : `The Redis server ${address}`;
  }

  /** True when every write waits for replicas. */
  get waits(): boolean {
    return this.#replicas !== undefined;
  }

  /** Runs a script that only reads. */
  async read(
    source: string,
    keys: readonly string[],
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    const [answer] = await this.#run(scriptOf(source), keys, args, { writes: false, signal });
    return answer;
  }

  /** Runs a script that writes, and waits for the replicas that must have it. */
  async write(
    source: string,
    keys: readonly string[],
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    const { wait, timeoutMs = 1000 } = this.#replicas ?? { wait: 0 };
    const waiting = wait === 0 ? undefined : ['WAIT', String(wait), String(timeoutMs)];
    const script = scriptOf(source);
    const how = { writes: true, waiting, signal };
    const [answer, reached] = await this.#run(script, keys, args, how);
    if (wait > 0 && Number(reached) < wait) throw tooFewReplicas(wait, Number(reached), timeoutMs);
    return answer;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connected = undefined;
    const connection = await this.#connecting?.catch(() => undefined);
    await connection?.close();
  }

  async #run(
    { source, hash }: Script,
    keys: readonly string[],
    args: readonly string[],
    how: {
      readonly writes: boolean;
      readonly waiting?: string[] | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<readonly unknown[]> {
    const [key = ''] = keys;
    const rest = [String(keys.length), ...keys, ...args];
    const connection = this.#connected ?? (await this.#connection(how.signal));
    const drop = connection.dropper();
    how.signal?.addEventListener('abort', drop);
    try {
      try {
        const sent = connection.send(key, ['EVALSHA', hash, ...rest], how.waiting);
        return await untilAborted(sent, how.signal);
      } catch (error) {
        // After a restart or a failover the server may never have seen it.
        if (!isUnknownScript(error)) throw error;
        const sent = connection.send(key, ['EVAL', source, ...rest], how.waiting);
        return await untilAborted(sent, how.signal);
      }
    } catch (error) {
      throw redisFailure(error, this.#name, how.writes);
    } finally {
      how.signal?.removeEventListener('abort', drop);
    }
  }

  async #connection(signal: AbortSignal | undefined): Promise<RedisConnection> {
    if (this.#closed) {
      throw new StoreError('STORE_UNAVAILABLE', 'closed', 'This Redis store was closed');
    }
    const connecting = (this.#connecting ??= this.#connect());
    try {
      const connection = await untilAborted(connecting, signal);
      if (!this.#closed) this.#connected = connection;
      return connection;
    } catch (error) {
      if (signal?.aborted !== true) this.#connecting = undefined;
      throw redisFailure(error, this.#name, false);
    }
  }

  #connect(): Promise<RedisConnection> {
    const client = this.#client;
    return typeof client === 'string' ? openConnection(client) : connectionOf(client);
  }
}

function tooFewReplicas(wait: number, reached: number, timeoutMs: number): StoreError {
  return new StoreError(
    'OUTCOME_UNKNOWN',
    'unreachable',
    `Only ${reached} of ${wait} replicas had the write within ${timeoutMs} ms; ask again with the same id`,
    { retryable: true },
  );
}
