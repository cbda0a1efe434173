import { describe, expect, it } from 'vitest';

import { manualClock } from '../../src/testing/index.ts';
import { balanceOf, charges, KINDS, makePurse, makeStore } from './fixture.ts';
import { retentionCases } from './retention-cases.ts';

describe.each(KINDS)('what %s forgets', (kind) => {
  retentionCases((options) => makeStore(kind, options));
});

it('lists at most maxCharges in memory, and counts the others', async () => {
  const purse = await makePurse({
    store: await makeStore('memory', { maxCharges: 10 }),
    limits: [{ name: 'all', cap: { usd: 1000 } }],
  });
  for (let index = 0; index < 25; index += 1) await purse.charge({ usd: 1 });
  expect(await charges(purse)).toHaveLength(10);
  expect((await balanceOf(purse, 'all')).spent).toBe(25);
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 10 });
});

it('folds in memory at once what a day brought', async () => {
  const clock = manualClock();
  const store = await makeStore('memory', { clock, journalDays: 1 });
  const purse = await makePurse({ store, limits: [{ name: 'all', cap: { usd: 1000 } }] });
  for (let day = 0; day < 6; day += 1) {
    await Promise.all(Array.from({ length: 900 }, () => purse.charge({ usd: 0.01 })));
    clock.advance(86_400_000);
  }
  await purse.charge({ usd: 1 });
  expect((await purse.verify()).charges).toBeLessThanOrEqual(901);
});
