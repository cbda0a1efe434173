import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { afterAll, describe, test } from 'vitest';
import { redis } from '../../src/stores/redis.ts';
import { storeConformance } from '../../src/testing/store-conformance.ts';
import { freshPrefixes, removeAll } from './redis-fixture.ts';
import { sharedRedis } from '../servers/redis-server.ts';

const server = await sharedRedis();
const nodeRedis = createClient({ url: server.url });
await nodeRedis.connect();
const ioRedis = new Redis(server.url);
const prefixes = freshPrefixes();

afterAll(async () => {
  await removeAll((...command) => nodeRedis.sendCommand(command), prefixes);
  nodeRedis.destroy();
  ioRedis.disconnect();
  await server.stop();
});

for (const [name, client] of [
  ['the package redis', nodeRedis],
  ['the package ioredis', ioRedis],
] as const) {
  describe(`Redis by ${name}`, () => {
    storeConformance({
      test,
      makeStore: ({ clock }) => redis(client, { clock, prefix: prefixes.next() }),
    });
  });
}
