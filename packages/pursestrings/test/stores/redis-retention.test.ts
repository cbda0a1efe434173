import { createClient } from 'redis';
import { afterAll, describe, expect, it } from 'vitest';
import type { Limit } from '../../src/index.ts';
import { redis, type RedisOptions } from '../../src/stores/redis.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/index.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { balanceOf, makePurse } from './fixture.ts';
import { freshPrefixes, removeAll } from './redis-fixture.ts';
import { retentionCases } from './retention-cases.ts';

const DAY_MS = 86_400_000;
const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 1000 } },
  { name: 'day', cap: { usd: 100 }, per: 'day' },
];

const server = await sharedRedis();
const client = createClient({ url: server.url });
await client.connect();
const prefixes = freshPrefixes();
const command = (...words: string[]): Promise<unknown> => client.sendCommand(words);

afterAll(async () => {
  await removeAll(command, prefixes);
  client.destroy();
  await server.stop();
});

function makeStore(options: RedisOptions): LedgerStore {
  return redis(client, { prefix: prefixes.next(), ...options });
}

describe('what Redis forgets', () => {
  retentionCases(makeStore);
});

it('leaves nothing of holds and windows behind, and bounds the life of what stays', async () => {
  const clock = manualClock();
  const prefix = prefixes.next();
  const purse = await makePurse({
    store: makeStore({ clock, prefix, journalDays: 1 }),
    limits: LIMITS,
  });
  for (let index = 0; index < 300; index += 1) {
    await (await purse.reserve({ usd: 0.01 }, { task: `t${index}` })).settle();
  }
  await (await purse.reserve({ usd: 1 })).release();
  const expiring = (await command('KEYS', `${prefix}:{default}:[tg]*:*`)) as string[];
  expect(expiring.length).toBeGreaterThan(2);
  for (const key of expiring) expect(await command('PTTL', key)).toBeGreaterThan(0);
  clock.advance(9 * DAY_MS);
  for (let turn = 0; turn < 5; turn += 1) {
    clock.advance(60_000);
    await purse.verify();
    await purse.charge({ usd: 0 }, {}, { id: `turn-${turn}` });
  }
  const sizes: Record<string, unknown> = {};
  const commands = { ids: 'HLEN', envelopes: 'HLEN', numbers: 'HLEN', keys: 'ZCARD', due: 'ZCARD' };
  for (const [name, word] of Object.entries({ ...commands, gone: 'LLEN', closing: 'ZCARD' })) {
    sizes[name] = await command(word, `${prefix}:{default}:${name}`);
  }
  // The five charges and the envelopes they were posted to.
  expect(sizes).toEqual({ ids: 5, envelopes: 2, numbers: 2, keys: 2, due: 0, gone: 0, closing: 1 });
  expect(await command('HLEN', `${prefix}:{default}:bounds`)).toBe(1);
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 5 });
  expect((await balanceOf(purse, 'all')).spent).toBe(3);
});
