import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import type { BudgetService } from '../../src/agents/index.ts';
import type { LedgerStore } from '../../src/index.ts';
import { type Child, startChild } from '../contention/children.ts';
import { makePurse, tempDirectory } from '../stores/fixture.ts';
import { makeService } from './budget-fixture.ts';

const SPAWNER = new URL('spawner.ts', import.meta.url);
const CAP = 10;
/** What a dead agent's slot is back within. */
const BOUND_MS = 15_000;

async function spawners(where: string, count: number): Promise<readonly Child[]> {
  const compiled = await tempDirectory();
  const children = Array.from({ length: count }, () =>
    startChild(SPAWNER, [where, String(CAP)], compiled),
  );
  for (const child of children) expect(await child.line()).toBe('ready');
  return children;
}

async function told(child: Child, line: string): Promise<number> {
  child.say(line);
  return Number(await child.line());
}

async function activeAgents(service: BudgetService): Promise<number> {
  return (await service.summary()).activeAgents;
}

/**
 * Four processes run exactly 10 of 1,000 agents; 5 are killed, and their slots come back.
 *
 * @param where What the processes open, as `spawner.ts` reads it.
 */
export async function runAndKill(where: string, store: LedgerStore): Promise<void> {
  const children = await spawners(where, 4);
  const ran = await Promise.all(children.map((child) => told(child, 'spawn 250')));
  expect(ran.reduce((sum, count) => sum + count, 0)).toBe(CAP);

  const budget = { maxConcurrentAgents: CAP };
  const service = makeService(budget, { purse: await makePurse({ store }), timeZone: 'UTC' });
  expect(await activeAgents(service)).toBe(CAP);
  await Promise.all(children.map((child) => told(child, 'stop')));
  expect(await activeAgents(service)).toBe(0);

  const [doomed, survivor] = children as [Child, Child];
  expect(await told(doomed, 'spawn 5')).toBe(5);
  expect(await told(survivor, 'spawn 20')).toBe(5);
  // One heartbeat passes, so that what is measured is what heartbeats leave behind.
  await sleep(5500);
  const killedAtMs = performance.now();
  doomed.process.kill('SIGKILL');
  await doomed.ended();
  expect((await service.trySpawn({ agentId: 'x' })).allowed).toBe(false);
  await expect.poll(() => activeAgents(service), { timeout: 60_000, interval: 200 }).toBe(5);
  expect(performance.now() - killedAtMs).toBeLessThan(BOUND_MS);

  const back = await Promise.all(
    Array.from({ length: 50 }, (_, index) => service.trySpawn({ agentId: `b${index}` })),
  );
  const slots = back.filter((one) => one.allowed);
  expect(slots).toHaveLength(5);
  // The survivor's agents never lost their slots.
  expect(await told(survivor, 'spawn 1')).toBe(5);
  await Promise.all(slots.map(({ slot }) => slot.stop()));
  expect((await service.purse.verify()).ok).toBe(true);
}
