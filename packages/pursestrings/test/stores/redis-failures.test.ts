import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createClient, createClientPool } from 'redis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openPurse } from '../../src/index.ts';
import type { Operation } from '../../src/ledger/records.ts';
import { redis } from '../../src/stores/redis.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { type RedisProcess, startRedis } from '../servers/redis-server.ts';
import { balanceOf, charges, makePurse } from './fixture.ts';
import { freshPrefixes } from './redis-fixture.ts';

const LIMITS = [{ name: 'all', cap: { usd: 1000 } }];
const prefixes = freshPrefixes();
let server: RedisProcess;
let client: ReturnType<typeof createClient>;

beforeAll(async () => {
  server = await startRedis();
  client = createClient({ url: server.url });
  client.on('error', () => undefined);
  await client.connect();
});

afterAll(async () => {
  client.destroy();
  await server.stop();
});

/** Sets a setting of the server for one test. */
function configure(name: string, value: string): void {
  const [, before = ''] = server.cli('config', 'get', name).split('\n');
  server.cli('config', 'set', name, value);
  onTestFinished(() => void server.cli('config', 'set', name, before));
}

describe('a Redis store is refused', () => {
  it.each([undefined, null, {}, 'http://localhost', 'redis://', 42])('for %j', (given) => {
    expect(() => redis(given as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });

  it('for options that cannot be meant', () => {
    expect(() => redis(client, { prefix: 'a{b}' })).toThrow(/prefix/);
    expect(() => redis(client, { replicas: { wait: 0 } })).toThrow(/replicas/);
  });

  it('while the server evicts keys, with the remedy', async () => {
    configure('maxmemory-policy', 'allkeys-lru');
    const opening = openPurse({ store: redis(client, { prefix: prefixes.next() }) });
    await expect(opening).rejects.toMatchObject({
      failure: 'misconfigured',
      message: expect.stringContaining('CONFIG SET maxmemory-policy noeviction') as string,
    });
    const store = redis(client, { prefix: prefixes.next(), checkEviction: false });
    await (await makePurse({ store })).limits();
  });

  it('with a client that is not connected, or nobody at the address', async () => {
    const unopened = openPurse({ store: redis(createClient({ url: server.url })) });
    await expect(unopened).rejects.toThrow(/connect\(\)/);
    const store = redis('redis://bob:secret-word@127.0.0.1:1');
    await expect(store.readPolicy()).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      failure: 'unreachable',
      message: 'The Redis server 127.0.0.1:1 cannot be reached. Nothing was written.',
    });
    await store.close();
    await expect(store.readPolicy()).rejects.toMatchObject({ failure: 'closed' });
  });

  it('with a pool that is to wait for replicas', async () => {
    const pool = createClientPool({ url: server.url });
    await pool.connect();
    onTestFinished(() => pool.destroy());
    const opening = openPurse({ store: redis(pool, { replicas: { wait: 1 } }), limits: LIMITS });
    await expect(opening).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const purse = await makePurse({
      store: redis(pool, { prefix: prefixes.next() }),
      limits: LIMITS,
    });
    await purse.charge({ usd: 1 });
  });

  it('for a database that it does not have', async () => {
    const store = redis(`${server.url}/99`);
    await expect(store.readPolicy()).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      failure: 'misconfigured',
      message: expect.stringContaining(`127.0.0.1:${server.port} refused`) as string,
      cause: { message: 'ERR DB index is out of range' },
    });
    await store.close();
  });

  it('for a ledger of a newer version', async () => {
    const prefix = prefixes.next();
    await client.hSet(`${prefix}:{default}:meta`, 'schema', '2');
    const opening = openPurse({ store: redis(client, { prefix }) });
    await expect(opening).rejects.toMatchObject({ failure: 'newer_schema' });
  });
});

it('lets no connection that breaks end the process', async () => {
  const unheard = await createClient({ url: server.url }).connect();
  onTestFinished(() => unheard.destroy());
  await redis(unheard, { prefix: prefixes.next() }).readPolicy();
  expect(() => unheard.emit('error', new Error('Socket closed unexpectedly'))).not.toThrow();
});

describe('a batch', () => {
  it('that is repeated happens once, also when its ids were fresh', async () => {
    const store = redis(client, { prefix: prefixes.next() });
    await makePurse({ store, limits: LIMITS });
    const operations: Operation[] = [];
    // Taken down as the purse hands them over.
    const spied = listening(store, (batch) => operations.push(...batch));
    const spender = await makePurse({ store: spied });
    await Promise.all([spender.charge({ usd: 1 }), spender.reserve({ usd: 2 })]);
    const again = await store.apply(operations);
    const kinds = again.answers.map((answer) =>
      'replayed' in answer ? answer.replayed : answer.kind,
    );
    expect(kinds).toEqual([true, true]);
    const purse = await makePurse({ store });
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 1, held: 2, available: 997 });
  });

  it('finds its script again after the server forgot it', async () => {
    const purse = await makePurse({
      store: redis(client, { prefix: prefixes.next() }),
      limits: LIMITS,
    });
    await purse.charge({ usd: 1 });
    server.cli('script', 'flush');
    await Promise.all(Array.from({ length: 200 }, () => purse.charge({ usd: 1 })));
    expect((await balanceOf(purse, 'all')).spent).toBe(201);
  });

  it('writes nothing when memory is full, and says so', async () => {
    const purse = await makePurse({
      store: redis(client, { prefix: prefixes.next() }),
      limits: LIMITS,
    });
    await purse.charge({ usd: 1 });
    configure('maxmemory', '1mb');
    await expect(purse.charge({ usd: 1 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      failure: 'full',
    });
    // It can still be read.
    expect((await balanceOf(purse, 'all')).spent).toBe(1);
    expect(await charges(purse)).toHaveLength(1);
    server.cli('config', 'set', 'maxmemory', '0');
    expect((await purse.verify()).ok).toBe(true);
  });

  it('is not acknowledged before the replicas have it', async () => {
    const prefix = prefixes.next();
    await makePurse({ store: redis(client, { prefix }), limits: LIMITS });
    const store = redis(client, { prefix, replicas: { wait: 1, timeoutMs: 20 } });
    await expect(store.apply([])).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  });
});

describe('a user of the least privilege', () => {
  const words =
    '+evalsha +eval +time +info +ping +hello +exists +get +set +hget +hmget +hset +hsetnx +hdel +hlen +hexists +hscan ' +
    '+hgetall +zadd +zrem +zrangebyscore +zrangebylex +zscan +rpush +lrange +lindex +ltrim +unlink +pexpire +wait';

  it('can do all that a ledger needs, under its own keys', async () => {
    server.cli('acl', 'setuser', 'purse', 'on', '>secret', '~mine:*', ...words.split(' '));
    const url = server.url.replace('redis://', 'redis://purse:secret@');
    const store = redis(url, { prefix: 'mine' });
    onTestFinished(() => store.close());
    const purse = await makePurse({ store, limits: LIMITS });
    const hold = await purse.reserve({ usd: 1 }, { a: 'b' }, { id: 'h' });
    await hold.settle({ usd: 0.5 });
    await purse.report();
    expect(await charges(purse)).toHaveLength(1);
    expect((await purse.verify()).ok).toBe(true);
    await Array.fromAsync(store.readLedger('whole'));
    const other = redis(url, { prefix: 'theirs' });
    onTestFinished(() => other.close());
    await expect(openPurse({ store: other })).rejects.toMatchObject({ failure: 'misconfigured' });
  });
});

it.each(['redis', 'ioredis'])(
  'tells a user of %s that lacks a right which server says so',
  async (kind) => {
    server.cli(
      'acl',
      'setuser',
      'weak',
      'on',
      '>secret',
      '~*',
      '+evalsha',
      '+eval',
      '+ping',
      '+info',
    );
    const weakUrl = server.url.replace('//', '//weak:secret@');
    const weak =
      kind === 'redis' ? await createClient({ url: weakUrl }).connect() : new Redis(weakUrl);
    onTestFinished(() => void weak.disconnect());
    const store = redis(weak, { prefix: prefixes.next() });
    await expect(store.readPolicy()).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      failure: 'misconfigured',
      message: `The Redis server 127.0.0.1:${server.port} does not let this user do what a ledger needs; see the ACL in the guide.`,
    });
  },
);

describe('a reading of the whole', () => {
  it('is one snapshot, while everything changes', async () => {
    const store = redis(client, { prefix: prefixes.next() });
    const purse = await makePurse({
      store,
      limits: [...LIMITS, { name: 'agent', cap: { usd: 100 }, each: ['agent'] }],
    });
    const run = { stopped: false };
    let turn = 0;
    const lanes = Array.from({ length: 20 }, async () => {
      while (!run.stopped) {
        turn += 1;
        const hold = await purse.reserve({ usd: 0.01 }, { agent: `a${turn % 1500}` });
        if (turn % 3 === 0) await hold.extend(900_000);
        if (turn % 5 > 0) await hold.settle({ usd: 0.007 });
      }
    });
    await sleep(500);
    for (let count = 0; count < 5; count += 1) {
      const { mismatches, charges: rows } = await purse.verify();
      expect(mismatches).toEqual([]);
      expect(rows).toBeGreaterThan(0);
      // Whole, each kind of record agrees with the others too.
      const totals = { charges: 0, rows: 0 };
      for await (const record of store.readLedger('whole')) {
        if (record.kind === 'charge') totals.rows += 1;
        if (record.kind === 'total' && record.grainMs < 86_400_000)
          totals.charges += record.charges;
      }
      expect(totals.charges).toBe(totals.rows);
    }
    run.stopped = true;
    await Promise.all(lanes);
    const left = (await client.keys('*:snapshot:*')).length;
    expect(left).toBe(0);
  });
});

/** The same store, with somebody listening to what it is asked. */
function listening(store: LedgerStore, listen: (batch: readonly Operation[]) => void): LedgerStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        if (name === 'apply') listen(given[0] as readonly Operation[]);
        return Reflect.apply(value, target, given);
      };
    },
  });
}
