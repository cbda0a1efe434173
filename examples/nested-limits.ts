/** Three nested limits refuse whole: when one is short, none of them moves. */
import assert from 'node:assert/strict';
import { openPurse } from 'pursestrings';

const purse = await openPurse({
  limits: [
    { name: 'all', cap: { usd: 10 }, per: 'day' },
    { name: 'project', cap: { usd: 6 }, per: 'day', each: ['project'] },
    { name: 'agent', cap: { usd: 2 }, per: 'day', each: ['agent'] },
  ],
});

const labels = { project: 'search', agent: 'a1' };
await purse.run({ usd: 1.5 }, labels, async (hold) => hold.settle({ usd: 1.2 }));

const refused = await purse.tryReserve({ usd: 1 }, labels);
assert.equal(refused.ok, false);
assert.equal(refused.ok ? null : refused.denial.limit, 'agent');

for await (const { limit, spent, held } of purse.balances({ labels })) {
  assert.deepEqual({ limit, spent, held }, { limit, spent: 1.2, held: 0 });
}
