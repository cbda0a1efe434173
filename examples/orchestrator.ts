/** An orchestrator: it spawns what fits, records what its agents use, and stops when the day is used up. */
import assert from 'node:assert/strict';
import { BudgetService } from 'pursestrings/agents';

const budget = new BudgetService(
  new Map([
    ['orchestrator.budget.dailyTokenLimit', 1_000],
    ['orchestrator.budget.maxConcurrentAgents', 2],
  ]),
);

// The synchronous way: ask, count, record, count down.
assert.deepEqual(budget.canSpawnAgent(), { allowed: true });
budget.agentStarted();
budget.recordUsage('planner', 'task-1', 500, 120);
budget.agentStopped();

// The exact way: asking and starting are one step, so that many who ask at a time share what is free.
const spawned = await Promise.all(
  ['reader', 'writer', 'critic'].map((agentId) => budget.trySpawn({ agentId, taskId: 'task-2' })),
);
const running = spawned.filter((one) => one.allowed);
assert.equal(running.length, 2);
assert.deepEqual(
  spawned.find((one) => !one.allowed),
  { allowed: false, reason: 'Maximum concurrent agents reached (2)' },
);
for (const { slot } of running) {
  // Spends inside carry the agent's labels, and the limits of the day and of the agent bind them.
  await slot.run(async () => {
    const hold = await budget.purse.reserve({ tokens: 190 });
    await hold.settle();
  });
  await slot.stop();
}

const summary = budget.getUsageSummary();
assert.equal(summary.dailyTokensUsed, 1_000);
assert.equal(summary.budgetStatus, 'exceeded');
assert.equal(budget.canSpawnAgent().reason, 'Daily token budget exceeded (1000/1000)');
assert.deepEqual(
  summary.agentUsage.map(({ agentId, totalTokens }) => [agentId, totalTokens]),
  [
    ['planner', 620],
    ['reader', 190],
    ['writer', 190],
  ],
);
await budget.close();
