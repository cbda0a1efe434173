import assert from 'node:assert/strict';
import { all, admitted, balanceOf, type ConformanceCase, conformanceCase } from './case.ts';

const ALL = { name: 'all', cap: { usd: 10 } };
const CONFLICT = { code: 'CONFLICT' };

/** Rules 3 to 6: a hold resolves once, and what was spent is recorded whatever happens. */
export const RESOLUTION_CASES: readonly ConformanceCase[] = [
  conformanceCase(
    'a settle is recorded once, however often it is said',
    [ALL],
    async ({ purse }) => {
      const hold = await purse.reserve({ usd: 2 }, {}, { id: 'h' });
      const first = await hold.settle({ usd: 1.5 });
      const again = await Promise.all([hold.settle({ usd: 1.5 }), hold.settle({ usd: '1.50' })]);
      assert.equal(first.replayed, false);
      assert.deepEqual(
        again.map(({ replayed, id, amounts }) => ({ replayed, id, amounts })),
        [
          { replayed: true, id: 'h', amounts: { usd: 1.5 } },
          { replayed: true, id: 'h', amounts: { usd: 1.5 } },
        ],
      );
      await assert.rejects(hold.settle({ usd: 1.6 }), CONFLICT);
      await assert.rejects(hold.release(), CONFLICT);
      await assert.rejects(hold.extend(1000), CONFLICT);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 1.5, held: 0, available: 8.5 });
    },
  ),

  conformanceCase(
    'parallel settles with other amounts record exactly one',
    [ALL],
    async ({ purse }) => {
      const hold = await purse.reserve({ usd: 2 });
      const settles = await Promise.allSettled(
        [1, 1.2, 1.4, 1.6].map((usd) => hold.settle({ usd })),
      );
      assert.equal(settles.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.equal((await all(purse.journal())).length, 1);
    },
  ),

  conformanceCase(
    'a reserve repeated with its id is the same hold, before and after it resolved',
    [ALL],
    async ({ purse }) => {
      const again = (): Promise<boolean> =>
        admitted(purse.reserve({ usd: 6 }, { a: '1' }, { id: 'h', description: 'd' }));
      assert.equal(await again(), true);
      assert.equal(await again(), true);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 6, available: 4 });
      await (await purse.hold('h'))?.settle({ usd: 6 });
      assert.equal(await again(), true);
      for (const [amounts, labels, options] of [
        [{ usd: 5 }, { a: '1' }, { id: 'h', description: 'd' }],
        [{ usd: 6 }, { a: '2' }, { id: 'h', description: 'd' }],
        [{ usd: 6 }, { a: '1' }, { id: 'h' }],
        [{ usd: 6 }, { a: '1' }, { id: 'h', description: 'd', ifAbandoned: 'charge' }],
      ] as const) {
        await assert.rejects(purse.reserve(amounts, labels, options), CONFLICT);
      }
      await assert.rejects(
        purse.charge({ usd: 6 }, { a: '1' }, { id: 'h', description: 'd' }),
        CONFLICT,
      );
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 6, held: 0, available: 4 });
    },
  ),

  conformanceCase(
    'a replay is answered whatever was frozen or lowered since',
    [ALL],
    async ({ purse }) => {
      await purse.reserve({ usd: 6 }, {}, { id: 'h' });
      await purse.freeze({});
      await purse.setLimit({ ...ALL, cap: { usd: 1 } });
      assert.equal(await admitted(purse.reserve({ usd: 6 }, {}, { id: 'h' })), true);
      assert.equal(await admitted(purse.reserve({ usd: 0.5 })), false);
      const charge = await (await purse.hold('h'))?.settle({ usd: 7 });
      assert.deepEqual([charge?.amounts, charge?.overrun], [{ usd: 7 }, false]);
      assert.equal((await balanceOf(purse, 'all')).spent, 7);
    },
  ),

  conformanceCase(
    'a charge is recorded once, in full, past every cap',
    [ALL],
    async ({ purse }) => {
      await purse.freeze({});
      const charge = await purse.charge({ usd: 12 }, { a: '1' }, { id: 'c' });
      const again = await purse.charge({ usd: 12 }, { a: '1' }, { id: 'c' });
      assert.deepEqual([charge.overrun, charge.replayed, again.replayed], [true, false, true]);
      await assert.rejects(purse.charge({ usd: 13 }, { a: '1' }, { id: 'c' }), CONFLICT);
      await assert.rejects(purse.reserve({ usd: 12 }, { a: '1' }, { id: 'c' }), CONFLICT);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 12, held: 0, available: 0 });
    },
  ),

  conformanceCase('an expired hold gives its money back', [ALL], async ({ purse, clock }) => {
    const hold = await purse.reserve({ usd: 10 }, {}, { ttlMs: 1000 });
    clock.advance(999);
    assert.equal(await admitted(purse.reserve({ usd: 1 })), false);
    clock.advance(1);
    assert.equal(await admitted(purse.reserve({ usd: 1 })), true);
    await hold.release();
    await assert.rejects(hold.extend(1000), CONFLICT);
    const charge = await hold.settle({ usd: 4 });
    assert.deepEqual([charge.late, charge.amounts], [true, { usd: 4 }]);
    assert.deepEqual(await balanceOf(purse, 'all'), { spent: 4, held: 1, available: 5 });
  }),

  conformanceCase(
    'an expired hold that charges is corrected by the truth',
    [ALL],
    async ({ purse, clock }) => {
      const hold = await purse.reserve(
        { usd: 5 },
        {},
        { id: 'h', ttlMs: 1000, ifAbandoned: 'charge' },
      );
      clock.advance(1000);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 5, held: 0, available: 5 });
      const correction = await hold.settle({ usd: 3 });
      assert.deepEqual(
        [correction.amounts, correction.late, correction.corrects],
        [{ usd: -2 }, true, 'h'],
      );
      assert.equal((await hold.settle({ usd: 3 })).replayed, true);
      await assert.rejects(hold.settle({ usd: 4 }), CONFLICT);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 3, held: 0, available: 7 });
      assert.deepEqual((await purse.report()).total, { usd: 3 });
    },
  ),

  conformanceCase('a release takes back what expiry charged', [ALL], async ({ purse, clock }) => {
    const hold = await purse.reserve({ usd: 5 }, {}, { ttlMs: 1000, ifAbandoned: 'charge' });
    clock.advance(2000);
    await hold.release();
    await hold.release();
    assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 0, available: 10 });
  }),

  conformanceCase('a settle after a release is recorded late', [ALL], async ({ purse }) => {
    const hold = await purse.reserve({ usd: 5 });
    await hold.release();
    const charge = await hold.settle({ usd: 2 });
    assert.equal(charge.late, true);
    assert.deepEqual(await balanceOf(purse, 'all'), { spent: 2, held: 0, available: 8 });
  }),

  conformanceCase(
    'nobody is denied by holds that are past their time',
    [{ name: 'all', cap: { calls: 1000 } }],
    async ({ purse, clock }) => {
      await Promise.all(
        Array.from({ length: 1000 }, () => purse.reserve({ calls: 1 }, {}, { ttlMs: 1000 })),
      );
      clock.advance(1000);
      assert.equal(await admitted(purse.reserve({ calls: 1000 })), true);
    },
  ),

  conformanceCase(
    'an extended hold lives longer, and is never shortened',
    [ALL],
    async ({ purse, clock }) => {
      const hold = await purse.reserve({ usd: 10 }, {}, { ttlMs: 1000 });
      await hold.extend(5000);
      await hold.extend(1);
      clock.advance(4999);
      assert.equal(await admitted(purse.reserve({ usd: 1 })), false);
      clock.advance(1);
      assert.equal(await admitted(purse.reserve({ usd: 1 })), true);
    },
  ),

  conformanceCase(
    'a hold settles into the window it was taken in',
    [{ name: 'day', cap: { usd: 10 }, per: 'day' }],
    async ({ purse, clock }) => {
      clock.set('2026-06-15T23:59:59Z');
      const hold = await purse.reserve({ usd: 4 }, {}, { ttlMs: 60_000 });
      clock.advance(10_000);
      assert.deepEqual(await balanceOf(purse, 'day'), { spent: 0, held: 0, available: 10 });
      await hold.settle({ usd: 3 });
      assert.deepEqual(await balanceOf(purse, 'day'), { spent: 0, held: 0, available: 10 });
      clock.set('2026-06-15T23:59:59Z');
      assert.deepEqual(await balanceOf(purse, 'day'), { spent: 3, held: 0, available: 7 });
    },
  ),

  conformanceCase(
    'units that were not held are counted at settle',
    [{ name: 'all', cap: { usd: 10, tokens: 100 } }],
    async ({ purse }) => {
      const hold = await purse.reserve({ usd: 1 });
      const charge = await hold.settle(
        { tokens: 40 },
        { labels: { model: 'm' }, description: 'done' },
      );
      assert.deepEqual(charge.amounts, { tokens: 40, usd: 1 });
      assert.deepEqual([charge.labels, charge.description], [{ model: 'm' }, 'done']);
      const balances = await all(purse.balances());
      assert.deepEqual(
        balances.map(({ unit, spent }) => [unit, spent]),
        [
          ['usd', 1],
          ['tokens', 40],
        ],
      );
    },
  ),

  conformanceCase(
    'warnings are crossed once a window, by the charge that crosses',
    [{ ...ALL, per: 'hour', warnAt: [0.5, 1] }],
    async ({ purse, clock }) => {
      const crossings: (readonly number[])[] = [];
      for (const usd of [4.99999999, 0.00000001, 1, 4, 1]) {
        crossings.push((await purse.charge({ usd })).crossed.map(({ fraction }) => fraction));
      }
      clock.advance(3_600_000);
      crossings.push((await purse.charge({ usd: 100 })).crossed.map(({ fraction }) => fraction));
      assert.deepEqual(crossings, [[], [0.5], [], [1], [], [0.5, 1]]);
      const recorded = (await all(purse.journal({ order: 'oldest' }))).map(
        ({ crossed }) => crossed.length,
      );
      assert.deepEqual(recorded, [0, 1, 0, 1, 0, 2]);
    },
  ),
];
