import { Cluster } from 'ioredis';
import { createCluster } from 'redis';
import { afterAll, describe, expect, test } from 'vitest';
import { openPurse } from '../../src/purse.ts';
import { redis } from '../../src/stores/redis.ts';
import { storeConformance } from '../../src/testing/store-conformance.ts';
import { startCluster } from '../servers/redis-server.ts';
import { freshPrefixes } from './redis-fixture.ts';

const cluster = await startCluster();
const nodeRedis = createCluster({
  rootNodes: cluster.ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
});
nodeRedis.on('error', () => undefined);
await nodeRedis.connect();
const ioRedis = new Cluster(cluster.ports.map((port) => ({ host: '127.0.0.1', port })));
ioRedis.on('error', () => undefined);
const prefixes = freshPrefixes();

afterAll(async () => {
  nodeRedis.destroy();
  ioRedis.disconnect();
  await cluster.stop();
});

for (const [name, client] of [
  ['the package redis', nodeRedis],
  ['the package ioredis', ioRedis],
] as const) {
  describe(`a Redis Cluster by ${name}`, () => {
    storeConformance({
      test,
      makeStore: ({ clock }) => redis(client, { clock, prefix: prefixes.next() }),
    });

    test('a ledger lies on one node, and ledgers on all of them', async () => {
      const store = redis(client, { prefix: prefixes.next(), replicas: { wait: 1 } });
      const limits = [{ name: 'all', cap: { usd: 5 } }];
      const primaries = new Set<number>();
      for (const ledger of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
        const purse = await openPurse({ store, ledger, limits });
        await purse.charge({ usd: 1 }, {}, { id: 'same' });
        expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
        primaries.add(cluster.primaryOf(`x:{${ledger}}:meta`).port);
      }
      expect(primaries.size).toBe(3);
    });
  });
}
