import assert from 'node:assert/strict';
import { BudgetExceededError } from '../../errors.ts';
import { admitted, all, balanceOf, type ConformanceCase, conformanceCase } from './case.ts';

const ALL = { name: 'all', cap: { usd: 10 } };

/** Rules 1, 2, 10, 11: what is let through. */
export const ADMISSION_CASES: readonly ConformanceCase[] = [
  conformanceCase(
    '500 parallel reserves of 1 on a cap of 10 admit exactly 10',
    [ALL],
    async ({ purse }) => {
      const spends = Array.from({ length: 500 }, () => admitted(purse.reserve({ usd: 1 })));
      const outcomes = await Promise.all(spends);
      assert.equal(outcomes.filter(Boolean).length, 10);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 10, available: 0 });
    },
  ),

  conformanceCase('two purses on one store share its caps', [ALL], async ({ purse, open }) => {
    const other = await open();
    const spends = Array.from({ length: 60 }, (_, i) =>
      admitted((i % 2 ? purse : other).reserve({ usd: 1 })),
    );
    assert.equal((await Promise.all(spends)).filter(Boolean).length, 10);
  }),

  conformanceCase(
    'a refusal moves no line, whichever limit is short',
    [ALL, { name: 'agent', cap: { usd: 3, tokens: 5 }, each: ['agent'] }],
    async ({ purse }) => {
      assert.equal(
        await admitted(purse.reserve({ usd: 3.00000001, tokens: 5 }, { agent: 'a' })),
        false,
      );
      assert.equal(await admitted(purse.reserve({ usd: 3, tokens: 6 }, { agent: 'a' })), false);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 0, available: 10 });
      assert.deepEqual(await all(purse.balances({ limit: 'agent' })), []);
      assert.equal(await admitted(purse.reserve({ usd: 3, tokens: 5 }, { agent: 'a' })), true);
    },
  ),

  conformanceCase(
    '0.1 + 0.2 fits a cap of 0.3, to the last step',
    [{ name: 'all', cap: { usd: 0.3 } }],
    async ({ purse }) => {
      await (await purse.reserve({ usd: 0.1 })).settle();
      await (await purse.reserve({ usd: 0.2 })).settle();
      assert.equal(await admitted(purse.reserve({ usd: '0.00000001' })), false);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0.3, held: 0, available: 0 });
    },
  ),

  conformanceCase(
    'a cap of 0 blocks, also a spend of 0',
    [{ name: 'none', cap: { usd: 0 } }],
    async ({ purse }) => {
      assert.equal(await admitted(purse.reserve({ usd: 0 })), false);
      assert.equal(await admitted(purse.reserve({ usd: '0.00000001' })), false);
    },
  ),

  conformanceCase('a spend of 0 passes a full envelope', [ALL], async ({ purse }) => {
    await purse.charge({ usd: 10 });
    assert.equal(await admitted(purse.reserve({ usd: 0 })), true);
  }),

  conformanceCase(
    'soft limits count and never deny',
    [{ ...ALL, mode: 'soft' }],
    async ({ purse }) => {
      const hold = await purse.reserve({ usd: 25 });
      const charge = await hold.settle();
      assert.deepEqual(
        charge.crossed.map(({ fraction }) => fraction),
        [0.8, 0.95, 1],
      );
      assert.equal((await balanceOf(purse, 'all')).spent, 25);
    },
  ),

  conformanceCase(
    'what no limit covers is denied',
    [{ ...ALL, where: { team: 'x' } }],
    async ({ purse, open }) => {
      await assert.rejects(purse.reserve({ usd: 1 }), (error) => {
        assert.ok(error instanceof BudgetExceededError);
        assert.equal(error.denial.reason, 'uncovered');
        return true;
      });
      assert.equal(await admitted(purse.reserve({ tokens: 1 }, { team: 'x' })), false);
      const open2 = await open({ uncovered: 'allow' });
      assert.equal(await admitted(open2.reserve({ usd: 1 })), true);
    },
  ),

  conformanceCase(
    'labels that are missing share one envelope',
    [{ name: 'agent', cap: { usd: 2 }, each: ['agent'] }],
    async ({ purse }) => {
      await purse.charge({ usd: 1 });
      await purse.charge({ usd: 1 }, { agent: '', other: 'x' });
      assert.equal(await admitted(purse.reserve({ usd: 1 }, { task: 't' })), false);
      assert.equal(await admitted(purse.reserve({ usd: 1 }, { agent: 'a' })), true);
    },
  ),

  conformanceCase(
    'no label value reaches into another envelope',
    [{ name: 'pair', cap: { usd: 1 }, each: ['a', 'b'] }],
    async ({ purse }) => {
      const values = [
        'x|y',
        'x',
        'y',
        '|',
        '%7C',
        '%',
        '',
        'x%7Cy',
        "'",
        '"',
        '\\',
        '\u0000',
        '😀',
        'x|',
      ];
      for (const a of values)
        for (const b of values)
          assert.equal(await admitted(purse.reserve({ usd: 1 }, { a, b })), true);
      assert.equal((await all(purse.balances())).length, values.length ** 2);
    },
  ),

  conformanceCase(
    'occupied units come back and are never charged',
    [{ name: 'slots', cap: { slots: 2 } }],
    async ({ purse }) => {
      const hold = await purse.reserve({ slots: 2 });
      assert.equal(await admitted(purse.reserve({ slots: 1 })), false);
      const charge = await hold.settle({ slots: 1 });
      assert.deepEqual(charge.amounts, {});
      assert.deepEqual(await balanceOf(purse, 'slots'), { spent: 0, held: 0, available: 2 });
      assert.deepEqual((await purse.report()).total, {});
    },
  ),

  conformanceCase(
    'the largest amount goes through, one step more does not',
    [{ name: 'all', cap: { tokens: Number.MAX_SAFE_INTEGER } }],
    async ({ purse }) => {
      await assert.rejects(purse.charge({ tokens: 2 ** 50 + 1 }), { code: 'INVALID_AMOUNT' });
      for (let count = 0; count < 9; count += 1) await purse.charge({ tokens: 2 ** 50 });
      assert.equal((await balanceOf(purse, 'all')).spent, Number.MAX_SAFE_INTEGER);
      assert.equal(await admitted(purse.reserve({ tokens: 1 })), false);
    },
  ),

  conformanceCase(
    'each window has its own money',
    [{ name: 'hour', cap: { usd: 1 }, per: 'hour' }],
    async ({ purse, clock }) => {
      await purse.charge({ usd: 1 });
      clock.set('2026-06-15T12:59:59.999Z');
      assert.equal(await admitted(purse.reserve({ usd: 1 })), false);
      clock.advance(1);
      assert.equal(await admitted(purse.reserve({ usd: 1 })), true);
    },
  ),
];
