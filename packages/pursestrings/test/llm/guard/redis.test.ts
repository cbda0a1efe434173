import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import {
  BudgetExceededError,
  guard,
  type RedisLike,
  redisStore,
  spendReport,
} from '../../../src/llm/guard/index.ts';
import { DOLLAR, fakeClient, newProject, type Request, watchWarnings } from './fixture.ts';
import { connectRedis, type TestRedis, testRedis } from './resp-client.ts';

const TODAY = new Date().toISOString().slice(0, 10);
const REQUEST: Request = { model: 'gpt-4o' };

let redis: TestRedis;
let server: Awaited<ReturnType<typeof testRedis>>;

beforeAll(async () => {
  server = await testRedis();
  redis = await connectRedis(server.url);
});

afterAll(async () => {
  redis.close();
  await server.stop();
});

describe('redisStore', () => {
  it('keeps totals under bg:, for two days after they are written', async () => {
    const project = newProject();
    const store = redisStore(redis);
    const ai = guard(fakeClient(), { project, dailyCapUSD: 2, store });
    await ai.create(REQUEST, { feature: 'chat' });
    await ai.create(REQUEST);
    await expect(ai.create(REQUEST)).rejects.toThrow(BudgetExceededError);
    expect(await redis.get(`bg:${project}|__total__|${TODAY}`)).toBe('2');
    expect(await redis.send('TTL', `bg:${project}|chat|${TODAY}`)).toBe(172_800);
    expect(await spendReport(project, TODAY, store)).toEqual({ chat: 1, default: 1 });
  });

  it('takes a client of node-redis as it is, and guards that share it share a cap', async () => {
    const client = createClient({ url: server.url });
    client.on('error', () => undefined);
    await client.connect();
    onTestFinished(() => client.destroy());
    const project = newProject();
    const estimateUsage = (): typeof DOLLAR => DOLLAR;
    const guards = Array.from({ length: 4 }, () =>
      guard(fakeClient(), { project, dailyCapUSD: 3, estimateUsage, store: redisStore(client) }),
    );
    const calls = guards.flatMap((ai) => Array.from({ length: 3 }, () => ai.create(REQUEST)));
    const outcomes = await Promise.allSettled(calls);
    const done = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThanOrEqual(3);
    expect(await spendReport(project, TODAY, redisStore(client))).toEqual({ default: done });
  });

  it('keeps them as long, and under what, it is told; and months longer', async () => {
    const store = redisStore(redis, { ttlSeconds: 60, keyPrefix: 'mine:' });
    await store.add('p|x|2026-03-01', 1);
    expect(await redis.send('TTL', 'mine:p|x|2026-03-01')).toBe(60);
    await redisStore(redis).add('p|x|2026-03', 1);
    expect(await redis.send('TTL', 'bg:p|x|2026-03')).toBe(40 * 86_400);
    expect(() => redisStore(redis, { ttlSeconds: 0.5 })).toThrow(/ttlSeconds/);
  });

  it('adds tenths to one, and lists what begins so, whatever stands in a name', async () => {
    const store = redisStore(redis, { keyPrefix: 'lists:' });
    for (let count = 0; count < 10; count += 1) await store.add('a*?[x]\\|f|2026-03-01', 0.1);
    expect(await store.get('a*?[x]\\|f|2026-03-01')).toBe(1);
    await store.add('abc|f|2026-03-01', 5);
    expect(await store.entries('a*?[x]\\|')).toEqual([['a*?[x]\\|f|2026-03-01', 1]]);
    expect(await store.get('nothing')).toBe(0);
    for (let count = 0; count < 1_000; count += 1) await store.add(`many|${count}|d`, 1e-8);
    expect(await store.entries('many|')).toHaveLength(1_000);
  });

  it('takes a cursor that is a number, and a total that is one, as node-redis 4 gives them', async () => {
    const cursors: unknown[] = [];
    const old: RedisLike<number> = {
      ...redis,
      incrByFloat: async (key, amount) => Number(await redis.incrByFloat(key, amount)),
      scan: async (cursor, options) => {
        cursors.push(cursor);
        const page = await redis.scan(String(cursor) as never, options);
        return { ...page, cursor: Number(page.cursor) };
      },
    };
    const store = redisStore(old, { keyPrefix: 'old:' });
    expect(await store.add('k', 0.25)).toBe(0.25);
    expect(await store.entries('k')).toEqual([['k', 0.25]]);
    // A page was not the last: its cursor goes back as it came.
    expect(typeof cursors.at(-1)).toBe('number');
  });

  it('counts an amount whose key could not be made to expire', async () => {
    const codes = watchWarnings();
    const failing: RedisLike = { ...redis, expire: () => Promise.reject(new Error('down')) };
    expect(await redisStore(failing, { keyPrefix: 'failing:' }).add('k', 1)).toBe(1);
    expect(codes).toEqual(['PURSE_EXPIRE']);
  });
});
