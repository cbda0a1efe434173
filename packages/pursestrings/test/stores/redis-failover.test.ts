import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { createCluster } from 'redis';
import { afterAll, describe, expect, it } from 'vitest';
import { redis } from '../../src/stores/redis.ts';
import { startCluster, until } from '../servers/redis-server.ts';
import { makePurse } from './fixture.ts';
import { expectNothingLost, expectSound, spendUntil } from './spender.ts';

const cluster = await startCluster();
const nodeRedis = createCluster({
  rootNodes: cluster.ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
});
nodeRedis.on('error', () => undefined);
await nodeRedis.connect();
const ioRedis = new Cluster(cluster.ports.map((port) => ({ host: '127.0.0.1', port })));
ioRedis.on('error', () => undefined);

afterAll(async () => {
  nodeRedis.destroy();
  ioRedis.disconnect();
  await cluster.stop();
});

/** Kills the primary of a ledger, waits for its replica to take over, and brings it back. */
async function failOver(key: string): Promise<void> {
  const primary = cluster.primaryOf(key);
  await primary.kill();
  await until(() => {
    try {
      return cluster.primaryOf(key) !== primary;
    } catch {
      return false;
    }
  });
  await primary.start();
  await until(() => primary.cli('info', 'replication').includes('master_link_status:up'));
}

describe('a cluster whose primary is killed', () => {
  it.each([
    ['redis', nodeRedis],
    ['ioredis', ioRedis],
  ] as const)(
    'loses nothing that a replica had before it was acknowledged (%s)',
    async (name, client) => {
      const store = redis(client, {
        prefix: `waiting-${name}`,
        replicas: { wait: 1, timeoutMs: 500 },
      });
      const spent = await spendUntil(store, name, async () => {
        await sleep(500);
        await failOver('x:{default}:meta');
        await sleep(500);
      });
      expect(spent.failures).toEqual([]);
      await expectNothingLost(await makePurse({ store }), spent);
    },
  );

  it('adds up and keeps its caps, whatever the last moments held, without waiting', async () => {
    const store = redis(nodeRedis, { prefix: 'eager' });
    const spent = await spendUntil(store, 'eager', async () => {
      await sleep(500);
      await failOver('x:{default}:meta');
      await sleep(500);
    });
    expect(spent.acknowledged.size).toBeGreaterThan(0);
    await expectSound(await makePurse({ store }));
  });
});
