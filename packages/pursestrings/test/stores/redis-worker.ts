/**
 * A process that spends from a shared Redis: `redis-worker.ts <url> <prefix> <count> <client>`. It
 * waits for a line on standard input, and ends with one line: how many reserves were admitted, and
 * what failed.
 */
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { openPurse } from '../../src/index.ts';
import { redis, type RedisClient } from '../../src/stores/redis.ts';

const [url = '', prefix = '', count = '0', kind = ''] = process.argv.slice(2);

async function clientOf(): Promise<{ readonly client: RedisClient; readonly end: () => void }> {
  if (kind === 'ioredis') {
    const client = new Redis(url);
    return { client, end: () => client.disconnect() };
  }
  const client = createClient({ url });
  await client.connect();
  return { client, end: () => client.destroy() };
}

const { client, end } = await clientOf();
const purse = await openPurse({
  store: redis(client, { prefix }),
  limits: [{ name: 'all', cap: { calls: 1000 } }],
});
process.stdout.write('ready\n');
await once(process.stdin, 'data');
let left = Number(count);
let admitted = 0;
const failures: string[] = [];
const lanes = Array.from({ length: 100 }, async () => {
  while (left > 0) {
    left -= 1;
    const spend = purse.tryReserve({ calls: 1 });
    await spend.then(
      ({ ok }) => (admitted += ok ? 1 : 0),
      (error: unknown) => failures.push(String(error)),
    );
  }
});
await Promise.all(lanes);
process.stdout.write(`${JSON.stringify({ admitted, failures })}\n`);
await purse.close();
end();
process.stdin.destroy();
