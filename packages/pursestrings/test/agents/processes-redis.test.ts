import { createClient } from 'redis';
import { afterAll, it } from 'vitest';

import { redis } from '../../src/stores/redis.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { freshPrefixes, removeAll } from '../stores/redis-fixture.ts';
import { runAndKill } from './run-and-kill.ts';

const server = await sharedRedis();
const client = createClient({ url: server.url });
await client.connect();
const prefixes = freshPrefixes();

afterAll(async () => {
  await removeAll((...words) => client.sendCommand(words), prefixes);
  client.destroy();
  await server.stop();
});

it('four processes on one Redis run exactly 10 of 1,000 agents, and the slots of the dead return', async () => {
  const prefix = prefixes.next();
  await runAndKill(`${server.url}#${prefix}`, redis(client, { prefix }));
});
