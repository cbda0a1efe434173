import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createSentinel } from 'redis';
import { afterAll, describe, expect, it } from 'vitest';
import { redis } from '../../src/stores/redis.ts';
import { startSentinelGroup, until } from '../servers/redis-server.ts';
import { makePurse } from './fixture.ts';
import { expectNothingLost, spendUntil } from './spender.ts';

const group = await startSentinelGroup();
// More than one connection: a write and its WAIT must share one all the same.
const nodeRedis = createSentinel({
  name: group.name,
  sentinelRootNodes: [...group.sentinels],
  masterPoolSize: 3,
});
nodeRedis.on('error', () => undefined);
await nodeRedis.connect();
const ioRedis = new Redis({ name: group.name, sentinels: [...group.sentinels] });
ioRedis.on('error', () => undefined);

afterAll(async () => {
  await nodeRedis.destroy();
  ioRedis.disconnect();
  await group.stop();
});

/** Sentinels may vote more than once before they agree, and wait between two votes. */
const ELECTION = { retryForMs: 90_000 };

describe('a primary that Sentinels watch, killed while money is spent', () => {
  it.each([
    ['redis', nodeRedis],
    ['ioredis', ioRedis],
  ] as const)(
    'is followed by a replica, and nothing acknowledged is lost (%s)',
    async (name, client) => {
      const store = redis(client, { prefix: name, replicas: { wait: 1, timeoutMs: 500 } });
      const primary = group.primary();
      const spent = await spendUntil(
        store,
        name,
        async (purse) => {
          await sleep(500);
          await primary.kill();
          await until(() => group.primary() !== primary);
          // Nobody brings the killed one back: spending goes on by itself.
          const { id } = await purse.charge({ usd: 0.01 }, {}, { id: `after-0-0-1` });
          expect(id).toBe('after-0-0-1');
          await sleep(300);
        },
        ELECTION,
      );
      expect(spent.failures).toEqual([]);
      await expectNothingLost(await makePurse({ store }), spent);
      expect(group.primary().cli('role')).toContain('master');
      await primary.start();
      await until(() => primary.cli('info', 'replication').includes('master_link_status:up'));
    },
  );
});
