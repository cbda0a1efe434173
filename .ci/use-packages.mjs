// Run inside a project that has nothing but the packed packages: every entry point must work there.
import assert from 'node:assert/strict';
import { openPurse } from 'pursestrings';
import { BudgetService, runAgent } from 'pursestrings/agents';
import { BudgetEnforcer } from 'pursestrings/envelopes';
import { guard, spendReport } from 'pursestrings/guard';
import { L402Client } from 'pursestrings/l402';
import { calculateCost, meteredFetch } from 'pursestrings/llm';
import { memory } from 'pursestrings/stores/memory';
import { sqlite } from 'pursestrings/stores/sqlite';
import { loopbackProvider, manualClock } from 'pursestrings/testing';

const clock = manualClock('2026-03-29T00:30:00Z');
for (const store of [memory({ clock }), sqlite('./purse.db', { clock })]) {
  const purse = await openPurse({
    store,
    limits: [{ name: 'all', cap: { usd: 1, tokens: 1_000_000 } }],
  });
  const hold = await purse.reserve({ usd: 0.4 }, { agent: 'a1' });
  assert.deepEqual((await hold.settle({ usd: 0.3 })).amounts, { usd: 0.3 });
  assert.equal((await purse.tryReserve({ usd: 0.8 })).ok, false);
  assert.equal((await purse.verify()).ok, true);

  const provider = await loopbackProvider({ ratesUsdPerMillion: { input: 2.5, output: 10 } });
  const answer = await meteredFetch(purse)(`${provider.url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-4o',
      max_tokens: 20,
      messages: [{ role: 'user', content: 'Hi' }],
    }),
  });
  assert.equal(answer.status, 200);
  await answer.json();
  assert.equal((await purse.report()).rows[0]?.charges, 2);
  await provider.close();
  await purse.close();
  await store.close();
}

const usage = { prompt_tokens: 1_000, completion_tokens: 200 };
const client = { create: async () => ({ model: 'gpt-4o', usage }) };
const guarded = guard(client, { project: 'ci', dailyCapUSD: 1 });
await guarded.create({ model: 'gpt-4o', max_tokens: 200, messages: [] }, { feature: 'chat' });
assert.deepEqual(await spendReport('ci'), { chat: calculateCost('gpt-4o', usage).usd });

const payer = new L402Client({
  wallet: { payInvoice: async () => ({ preimage: '' }) },
  budgetSats: 1,
});
assert.equal((await payer.fetch('data:text/plain,free')).status, 200);
assert.equal(payer.spendingReport()?.total, 0);

const budget = new BudgetService(new Map([['orchestrator.budget.dailyTokenLimit', 100]]));
await runAgent(budget.purse, { agent: 'a1', share: { tokens: 60 } }, async () => {
  await (await budget.purse.reserve({ tokens: 60 })).settle();
});
budget.recordUsage('a1', 't1', 30, 10);
assert.equal(budget.canSpawnAgent().reason, 'Daily token budget exceeded (100/100)');
await budget.close();

for (const store of ['memory:', 'sqlite:./envelopes.db']) {
  const enforcer = new BudgetEnforcer({ store });
  enforcer.createEnvelope({ category: 'llm', limit: 0.3, period: 'daily' });
  for (let count = 0; count < 3; count += 1) enforcer.record('llm', 0.1);
  assert.equal(enforcer.check('llm', 0.1).permitted, false);
  assert.equal(enforcer.utilization('llm').utilizationPercent, 100);
  await enforcer.close();
}
