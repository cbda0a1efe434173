import { createClient } from 'redis';
import { afterAll, expect, test } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { redis } from '../../src/stores/redis.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { freshPrefixes, removeAll } from './redis-fixture.ts';

const server = await sharedRedis();
const client = createClient({ url: server.url });
await client.connect();
const prefixes = freshPrefixes();

afterAll(async () => {
  await removeAll((...command) => client.sendCommand(command), prefixes);
  client.destroy();
  await server.stop();
});

test('a note has a key of its own, which goes by itself at its time', async () => {
  const prefix = prefixes.next();
  const purse = await openPurse({ store: redis(client, { prefix }), ledger: 'l' });
  await purse.writeNote('{other}:meta\n*', 'text', { ttlMs: 60_000 });
  const [key = '', ...more] = await client.keys(`${prefix}:{l}:note:*`);
  expect([key, more]).toEqual([`${prefix}:{l}:note:%7Bother%7D%3Ameta%0A*`, []]);
  const leftMs = await client.pTTL(key);
  expect(leftMs).toBeGreaterThan(50_000);
  expect(leftMs).toBeLessThanOrEqual(60_000);
  await purse.writeNote('{other}:meta\n*', 'text', { ttlMs: 1 });
  await expect.poll(() => client.exists(key)).toBe(0);
  expect(await purse.readNote('{other}:meta\n*')).toBeNull();
  await purse.writeNote('k', 'text', { ttlMs: 400 * 86_400_000 });
  expect(await client.pTTL(`${prefix}:{l}:note:k`)).toBeLessThanOrEqual(400 * 86_400_000);
  await purse.writeNote('k', null);
  expect(await client.keys(`${prefix}:{l}:note:*`)).toEqual([]);
});

test('a note goes also where the clock of the ledger stands still, or is far off', async () => {
  const prefix = prefixes.next();
  const clock = manualClock('2000-01-01T00:00:00Z');
  const store = redis(client, { prefix, clock });
  await store.writeNote('k', 'text', clock.now() + 50);
  expect(await store.readNote('k')).toBe('text');
  await expect.poll(() => client.keys(`${prefix}:*note:*`)).toEqual([]);
  expect(await store.readNote('k')).toBeNull();
});

test('what stands under the key of a note and is none is told, and nothing is harmed', async () => {
  const prefix = prefixes.next();
  const store = redis(client, { prefix });
  await client.lPush(`${prefix}:{default}:note:k`, 'something else');
  await expect(store.readNote('k')).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
});
