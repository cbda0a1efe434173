import { createClient } from 'redis';
import { afterAll, expect, it } from 'vitest';
import { redis } from '../../src/stores/redis.ts';
import { startChild } from '../contention/children.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { balanceOf, makePurse, tempDirectory } from './fixture.ts';
import { freshPrefixes, removeAll } from './redis-fixture.ts';

const server = await sharedRedis();
const client = createClient({ url: server.url });
await client.connect();
const prefixes = freshPrefixes();

afterAll(async () => {
  await removeAll((...words) => client.sendCommand(words), prefixes);
  client.destroy();
  await server.stop();
});

it('8 processes: 20,000 spends on a cap that affords 1,000 admit exactly 1,000', async () => {
  const prefix = prefixes.next();
  const compiled = await tempDirectory();
  const script = new URL('redis-worker.ts', import.meta.url);
  const workers = Array.from({ length: 8 }, (_, index) =>
    startChild(script, [server.url, prefix, '2500', index % 2 ? 'ioredis' : 'redis'], compiled),
  );
  for (const worker of workers) expect(await worker.line()).toBe('ready');
  for (const worker of workers) worker.say('go');
  const told = await Promise.all(
    workers.map(
      async (worker) => JSON.parse(await worker.line()) as { admitted: number; failures: string[] },
    ),
  );
  expect(told.flatMap(({ failures }) => failures)).toEqual([]);
  expect(told.reduce((sum, { admitted }) => sum + admitted, 0)).toBe(1000);
  const purse = await makePurse({ store: redis(client, { prefix }) });
  expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 1000, available: 0 });
  expect((await purse.report()).rows[0]?.denials).toBe(19_000);
  expect((await purse.verify()).ok).toBe(true);
});
