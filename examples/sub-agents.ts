/** A planner gives each of its helpers a share of its money; what they leave goes back to it. */
import assert from 'node:assert/strict';
import { BudgetExceededError, openPurse } from 'pursestrings';
import { AgentTimeLimitError, runAgent } from 'pursestrings/agents';

const purse = await openPurse({
  limits: [
    { name: 'running', cap: { slots: 4 } },
    { name: 'day', cap: { usd: 20 }, per: 'day' },
    { name: 'agent', cap: { usd: 5 }, each: ['agent'] },
  ],
});

const spentBy = async (agent: string): Promise<number> => {
  for await (const { spent } of purse.balances({ limit: 'agent', labels: { agent } })) return spent;
  return 0;
};

const helper = async (): Promise<string> => {
  try {
    for (;;) {
      const call = await purse.reserve({ usd: 0.4 });
      await call.settle({ usd: 0.3 });
    }
  } catch (error) {
    if (BudgetExceededError.from(error) === null) throw error;
    return 'its share is used up';
  }
};

await runAgent(purse, { agent: 'planner', task: 'report', share: { usd: 3 } }, async () => {
  const answers = await Promise.all(
    ['reader', 'writer'].map((agent) => runAgent(purse, { agent, share: { usd: 1 } }, helper)),
  );
  assert.deepEqual(answers, ['its share is used up', 'its share is used up']);
  // Three calls each; 0.1 of each share was left and came back: 3 - 1.8.
  assert.equal((await purse.check({ usd: 1.2 })).allowed, true);
  assert.equal((await purse.check({ usd: 1.21 })).allowed, false);

  // A helper that hangs is told to end, and the journal keeps that it was.
  const hanging = runAgent(purse, { agent: 'critic', maxDurationMs: 20 }, ({ signal }) => {
    return new Promise((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason)),
    );
  });
  await assert.rejects(hanging, AgentTimeLimitError);
});

assert.equal(await spentBy('reader'), 0.9);
assert.equal(await spentBy('planner'), 1.8);
const { rows } = await purse.report({ by: ['agent', 'ended'] });
assert.ok(
  rows.some(({ labels }) => labels['agent'] === 'critic' && labels['ended'] === 'time_limit'),
);
await purse.close();
