/**
 * A process that runs agents: `spawner.ts <store> <cap>`. It does what it is told, a line at a time:
 * `spawn <count>` tries so many at one moment and says how many may run, `stop` ends them all. They run
 * until then, or until the process is killed.
 */
import { createInterface } from 'node:readline';
import { createClient } from 'redis';

import { type AgentSlot, BudgetService } from '../../src/agents/index.ts';
import { type LedgerStore, openPurse } from '../../src/index.ts';
import { redis } from '../../src/stores/redis.ts';
import { sqlite } from '../../src/stores/sqlite.ts';

const [where = '', cap = ''] = process.argv.slice(2);

async function openStore(): Promise<LedgerStore> {
  const [url = '', prefix] = where.split('#');
  if (prefix === undefined) return sqlite(where, { durability: 'normal', lockTimeoutMs: 60_000 });
  const client = createClient({ url });
  await client.connect();
  return redis(client, { prefix });
}

const config = new Map([['orchestrator.budget.maxConcurrentAgents', Number(cap)]]);
const service = new BudgetService(config, {
  purse: await openPurse({ store: await openStore() }),
  timeZone: 'UTC',
});
await service.ready();
const slots: AgentSlot[] = [];
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [command, count] = line.split(' ');
  if (command === 'spawn') {
    const spawned = await Promise.all(
      Array.from({ length: Number(count) }, (_, index) =>
        service.trySpawn({ agentId: `a-${process.pid}-${index}` }),
      ),
    );
    for (const one of spawned) if (one.allowed) slots.push(one.slot);
  } else {
    await Promise.all(slots.splice(0).map((slot) => slot.stop()));
  }
  process.stdout.write(`${slots.filter(({ signal }) => !signal.aborted).length}\n`);
}
