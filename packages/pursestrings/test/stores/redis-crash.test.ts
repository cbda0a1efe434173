import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { redis } from '../../src/stores/redis.ts';
import { startRedis } from '../servers/redis-server.ts';
import { makePurse, seeded } from './fixture.ts';
import { expectNothingLost, spendUntil } from './spender.ts';

const KILLS = process.env['PURSE_TEST_LONG'] === '1' ? 40 : 6;

describe('a Redis server that is killed and started again', () => {
  it.each(['url', 'ioredis'])(
    `keeps what it acknowledged with appendfsync always, through ${KILLS} kills (%s)`,
    async (kind) => {
      const server = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always']);
      onTestFinished(() => server.stop());
      const client = new Redis(server.url, { lazyConnect: true });
      client.on('error', () => undefined);
      onTestFinished(() => client.disconnect());
      const store = kind === 'url' ? redis(server.url) : redis(client);
      onTestFinished(() => store.close());
      const random = seeded(20_261_122);
      const spent = await spendUntil(store, kind, async () => {
        for (let count = 0; count < KILLS; count += 1) {
          await sleep(100 + random() * 300);
          await server.kill();
          await sleep(random() * 200);
          await server.start();
        }
        await sleep(300);
      });
      expect(spent.failures).toEqual([]);
      expect(spent.acknowledged.size).toBeGreaterThan(KILLS);
      await expectNothingLost(await makePurse({ store }), spent);
    },
  );
});
