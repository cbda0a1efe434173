import assert from 'node:assert/strict';
import { admitted, balanceOf, type ConformanceCase, conformanceCase } from './case.ts';

const ALL = { name: 'all', cap: { usd: 10 } };

/** Rule 9, freezes and the policy's revision. */
export const POLICY_CASES: readonly ConformanceCase[] = [
  conformanceCase(
    'a limit changed by one purse binds the other at its next reserve',
    [ALL],
    async ({ purse, open }) => {
      const other = await open();
      await purse.charge({ usd: 3 });
      await purse.setLimit({ ...ALL, cap: { usd: 4 } });
      assert.equal(await admitted(other.reserve({ usd: 1.5 })), false);
      assert.equal(await admitted(other.reserve({ usd: 1 })), true);
    },
  ),

  conformanceCase(
    'a freeze binds every purse until it is lifted',
    [ALL],
    async ({ purse, open }) => {
      const other = await open();
      await purse.freeze({ agent: 'a' }, 'night');
      assert.equal(await admitted(other.reserve({ usd: 1 }, { agent: 'a', x: 'y' })), false);
      assert.equal(await admitted(other.reserve({ usd: 1 }, { agent: 'b' })), true);
      await other.unfreeze({ agent: 'a' });
      assert.equal(await admitted(purse.reserve({ usd: 1 }, { agent: 'a' })), true);
    },
  ),

  conformanceCase(
    'a new cap keeps balances, a new shape begins anew, the old one is found again',
    [ALL],
    async ({ purse }) => {
      await purse.charge({ usd: 6 });
      await purse.setLimit({ ...ALL, cap: { usd: 7 }, mode: 'soft', warnAt: [0.5] });
      assert.equal((await balanceOf(purse, 'all')).spent, 6);
      await purse.setLimit({ ...ALL, per: 'day' });
      assert.equal((await balanceOf(purse, 'all')).spent, 0);
      await purse.removeLimit('all');
      await purse.setLimit(ALL);
      assert.equal((await balanceOf(purse, 'all')).spent, 6);
    },
  ),

  conformanceCase(
    'writing a policy needs the revision it was read at',
    [ALL],
    async ({ store }) => {
      const standing = await store.readPolicy();
      const written = await store.writePolicy(
        { ...standing, freezes: [{ where: {} }] },
        standing.revision,
      );
      assert.equal(written.revision, standing.revision + 1);
      const refused = await store.writePolicy({ ...standing, limits: [] }, standing.revision);
      assert.deepEqual(refused, written);
      assert.deepEqual(await store.readPolicy(), written);
    },
  ),

  conformanceCase(
    'limits that are not named stay, and bad ones change nothing',
    [ALL],
    async ({ purse, open }) => {
      const other = await open({ limits: [{ name: 'more', cap: { tokens: 5 } }] });
      assert.deepEqual(
        (await purse.limits()).map(({ name }) => name),
        ['all', 'more'],
      );
      await assert.rejects(other.setLimit({ name: 'all', cap: { usd: -1 } }), {
        code: 'INVALID_LIMIT',
        limit: 'all',
        field: 'cap.usd',
      });
      await assert.rejects(
        open({
          limits: [
            { name: 'x', cap: { usd: 1 } },
            { name: 'y', cap: {} },
          ],
        }),
        { limit: 'y' },
      );
      assert.deepEqual(
        (await purse.limits()).map(({ name }) => name),
        ['all', 'more'],
      );
    },
  ),

  conformanceCase('a unit is counted in one way by all', [ALL], async ({ open }) => {
    await open({ units: { gpu_minutes: { decimals: 3 } } });
    await open({ units: { gpu_minutes: { decimals: 3 } } });
    await assert.rejects(open({ units: { gpu_minutes: { decimals: 2 } } }), {
      code: 'INVALID_UNIT',
    });
    await assert.rejects(open({ units: { usd: { decimals: 2 } } }), { code: 'INVALID_UNIT' });
  }),

  conformanceCase('ledgers in one store are apart', [ALL], async ({ purse, store, open }) => {
    const other = await open({ ledger: 'other', limits: [ALL] });
    await purse.charge({ usd: 9 }, {}, { id: 'same' });
    await other.charge({ usd: 2 }, {}, { id: 'same' });
    assert.equal((await balanceOf(other, 'all')).spent, 2);
    assert.equal((await balanceOf(purse, 'all')).spent, 9);
    assert.equal(store.forLedger('other').ledger, 'other');
    assert.equal((await other.verify()).ok, true);
  }),
];
