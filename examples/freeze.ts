/** Freezing an agent denies what it asks for next, and still records what it spent. */
import assert from 'node:assert/strict';
import { BudgetExceededError, openPurse } from 'pursestrings';

const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
const hold = await purse.reserve({ usd: 1 }, { agent: 'a1' });
const { signal } = hold;

await purse.freeze({ agent: 'a1' }, 'runaway loop');
assert.equal(signal.aborted, true);
await assert.rejects(purse.reserve({ usd: 1 }, { agent: 'a1' }), BudgetExceededError);
await purse.reserve({ usd: 1 }, { agent: 'a2' });

const charge = await hold.settle({ usd: 0.4 });
assert.deepEqual(charge.amounts, { usd: 0.4 });
