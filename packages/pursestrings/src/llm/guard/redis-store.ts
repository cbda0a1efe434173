import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import { warnOf, reasonOf } from './announce.ts';
import { isMonthly } from './store-keys.ts';
import type { SpendStore } from './types.ts';

/**
 * What `redisStore` asks of a client: node-redis 4 and later have it. `Cursor` is what its `scan`
 * takes, a number in node-redis 4 and text later; it is given what it has answered.
 */
export interface RedisLike<Cursor extends string | number = never> {
  incrByFloat(key: string, amount: number): Promise<string | number>;
  get(key: string): Promise<string | null>;
  expire(key: string, seconds: number): Promise<unknown>;
  scan(
    cursor: Cursor,
    options: { readonly MATCH: string; readonly COUNT: number },
  ): Promise<ScanPage>;
}

interface ScanPage {
  readonly cursor: string | number;
  readonly keys: readonly string[];
}

/** How keys are kept in Redis. */
export interface RedisStoreOptions {
  /** Seconds until a key that nobody writes to is gone. Default 172,800, and 40 days for months. */
  readonly ttlSeconds?: number;
  /** Default `'bg:'`. */
  readonly keyPrefix?: string;
}

const DAY_KEY_SECONDS = 172_800;
const MONTH_KEY_SECONDS = 40 * 86_400;
const PAGE_SIZE = 200;

/**
 * Keeps totals in Redis, where guards of many processes share a cap. Its `add` is one atomic
 * command, so the cap holds across processes.
 *
 * @param client A connected client of node-redis, 4 or later.
 * @throws InvalidOptionError for a `ttlSeconds` that is no whole number from 1.
 * @example
 * ```ts
 * import { type RedisLike, redisStore } from 'pursestrings/guard';
 *
 * const storeOf = (client: RedisLike) => redisStore(client, { keyPrefix: 'spend:' });
 * ```
 */
export function redisStore(
  client: RedisLike | RedisLike<number>,
  options: RedisStoreOptions = {},
): SpendStore {
  const { ttlSeconds, keyPrefix = 'bg:' } = options;
  if (ttlSeconds !== undefined && !(Number.isSafeInteger(ttlSeconds) && ttlSeconds >= 1)) {
    throw new InvalidOptionError(
      `ttlSeconds is ${shown(ttlSeconds)}; it must be a whole number of seconds from 1`,
    );
  }
  return {
    async add(key, usd) {
      const total = Number(await client.incrByFloat(keyPrefix + key, usd));
      const seconds = ttlSeconds ?? (isMonthly(key) ? MONTH_KEY_SECONDS : DAY_KEY_SECONDS);
      try {
        await client.expire(keyPrefix + key, seconds);
      } catch (error) {
        // The amount stands. The next add sets the time again, and a key that stays does no harm.
        warnOf(`The key ${key} could not be made to expire (${reasonOf(error)})`, 'PURSE_EXPIRE');
      }
      return total;
    },
    async get(key) {
      return Number((await client.get(keyPrefix + key)) ?? 0);
    },
    async entries(prefix) {
      const found = new Map<string, number>();
      const MATCH = `${literally(keyPrefix + prefix)}*`;
      let cursor: string | number = '0';
      do {
        const page: ScanPage = await client.scan(cursor as never, { MATCH, COUNT: PAGE_SIZE });
        for (const key of page.keys) {
          const total = await client.get(key);
          if (total !== null) found.set(key.slice(keyPrefix.length), Number(total));
        }
        cursor = page.cursor;
      } while (String(cursor) !== '0');
      return [...found];
    },
  };
}

/** Text as a pattern that matches itself only. */
function literally(text: string): string {
  return text.replaceAll(/[\\*?[\]^]/g, String.raw`\$&`);
}
