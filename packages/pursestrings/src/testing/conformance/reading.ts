import assert from 'node:assert/strict';
import { all, type ConformanceCase, conformanceCase } from './case.ts';

const ALL = { name: 'all', cap: { calls: 1_000_000 } };
const EACH = { name: 'each', cap: { calls: 10 }, per: 'day', each: ['agent'] } as const;

/** What can be read back: journal, balances, reports, holds, the whole ledger. */
export const READING_CASES: readonly ConformanceCase[] = [
  conformanceCase(
    'the journal lists every charge once, in order, by time and labels',
    [ALL],
    async ({ purse, clock }) => {
      for (let i = 0; i < 2500; i += 1) {
        if (i % 500 === 0) clock.advance(60_000);
        await purse.charge({ calls: 1 }, { n: String(i % 2) }, { id: `c${i}` });
      }
      const newest = await all(purse.journal());
      const oldest = await all(purse.journal({ order: 'oldest' }));
      assert.deepEqual(
        oldest.map(({ id }) => id),
        Array.from({ length: 2500 }, (_, i) => `c${i}`),
      );
      assert.deepEqual(
        newest.map(({ id }) => id).reverse(),
        oldest.map(({ id }) => id),
      );
      const [since, until] = [oldest[500]?.at, oldest[1500]?.at] as [Date, Date];
      assert.deepEqual(
        (await all(purse.journal({ since, until, labels: { n: '1' }, order: 'oldest' }))).map(
          ({ id }) => id,
        ),
        Array.from({ length: 500 }, (_, i) => `c${501 + 2 * i}`),
      );
    },
  ),

  conformanceCase('balances are paged through whole', [ALL, EACH], async ({ purse }) => {
    await Promise.all(
      Array.from({ length: 2300 }, (_, i) => purse.charge({ calls: 1 }, { agent: `a${i}` })),
    );
    const agents = (await all(purse.balances({ limit: 'each' }))).map(
      ({ labels }) => labels['agent'],
    );
    assert.equal(new Set(agents).size, 2300);
    assert.equal(agents.length, 2300);
    const one = await all(purse.balances({ labels: { agent: 'a7' } }));
    assert.deepEqual(
      one.map(({ limit, spent }) => [limit, spent]),
      [
        ['all', 2300],
        ['each', 1],
      ],
    );
  }),

  conformanceCase(
    'a limit without `each` has a balance before anything is spent',
    [ALL, EACH],
    async ({ purse }) => {
      const balances = await all(purse.balances());
      assert.deepEqual(
        balances.map(({ limit, spent, status }) => [limit, spent, status]),
        [['all', 0, 'within_budget']],
      );
    },
  ),

  conformanceCase(
    'reports add up by labels and by quarter-hours, corrections and denials too',
    [ALL, EACH],
    async ({ purse, clock }) => {
      for (const [agent, calls] of [
        ['a', 1],
        ['a', 2],
        ['b', 4],
      ] as const)
        await purse.charge({ calls }, { agent, task: 't' });
      await purse.tryReserve({ calls: 11 }, { agent: 'b', task: 't' });
      // A refusal that the caller only asked about is none to those who count.
      await purse.tryReserve({ calls: 11 }, { agent: 'b', task: 't' }, { tentative: true });
      clock.advance(15 * 60_000);
      const hold = await purse.reserve(
        { calls: 5 },
        { agent: 'a' },
        { ttlMs: 1, ifAbandoned: 'charge' },
      );
      clock.advance(1);
      await hold.settle({ calls: 3 });
      const whole = await purse.report({ by: ['agent'] });
      assert.deepEqual(whole.rows, [
        { labels: { agent: 'a' }, amounts: { calls: 6 }, charges: 4, denials: 0 },
        { labels: { agent: 'b' }, amounts: { calls: 4 }, charges: 1, denials: 1 },
      ]);
      const first = await purse.report({
        since: new Date('2026-06-15T12:07:00Z'),
        until: new Date('2026-06-15T12:08:00Z'),
      });
      assert.deepEqual(
        [first.since.toISOString(), first.until.toISOString()],
        ['2026-06-15T12:00:00.000Z', '2026-06-15T12:15:00.000Z'],
      );
      assert.deepEqual(first.total, { calls: 7 });
    },
  ),

  conformanceCase('a report over months equals the journal', [ALL], async ({ purse, clock }) => {
    let expected = 0;
    const since = new Date(clock.now() + 3 * 86_400_000);
    const until = new Date(clock.now() + 40 * 86_400_000);
    for (let i = 0; i < 60; i += 1) {
      const calls = 1 + (i % 7);
      if (clock.now() >= since.getTime() && clock.now() < until.getTime()) expected += calls;
      await purse.charge({ calls }, { n: String(i % 3) });
      clock.advance(17 * 3_600_000 + 11 * 60_000 + 900_000 * (i % 2));
    }
    const report = await purse.report({ since, until, by: ['n'] });
    assert.deepEqual(report.total, { calls: expected });
    assert.equal(report.rows.length, 3);
  }),

  conformanceCase(
    'label sets past the bound of a slot are folded, and the total stays exact',
    [ALL],
    async ({ purse }) => {
      await Promise.all(
        Array.from({ length: 1200 }, (_, i) => purse.charge({ calls: 1 }, { task: `t${i}` })),
      );
      const report = await purse.report({ by: ['task'] });
      assert.deepEqual(report.total, { calls: 1200 });
      assert.equal(report.rows.length, 1001);
      const folded = report.rows.find(({ labels }) => labels['task'] === '(other)');
      assert.equal(folded?.amounts['calls'], 200);
    },
  ),

  conformanceCase(
    'open holds can be taken up again by their id, resolved ones cannot',
    [ALL],
    async ({ purse, open }) => {
      await purse.reserve({ calls: 3 }, { a: 'b' }, { id: 'h', ifAbandoned: 'charge' });
      const other = await open();
      const hold = await other.hold('h');
      assert.deepEqual([hold?.id, hold?.amounts, hold?.labels], ['h', { calls: 3 }, { a: 'b' }]);
      await hold?.settle({ calls: 2 });
      assert.equal(await purse.hold('h'), null);
      assert.equal(await purse.hold('never'), null);
    },
  ),

  conformanceCase('open holds are paged through whole', [ALL], async ({ purse, store }) => {
    await Promise.all(
      Array.from({ length: 1500 }, (_, i) => purse.reserve({ calls: 1 }, {}, { id: `h${i}` })),
    );
    const ids = new Set<string>();
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof store.readHolds>> = await store.readHolds(
        after === null ? {} : { after },
      );
      for (const { id } of page.items) ids.add(id);
      after = page.next;
    } while (after !== null);
    assert.equal(ids.size, 1500);
    const listed = await Array.fromAsync(purse.holds(), ({ id }) => id);
    assert.deepEqual(listed, [...ids].toSorted());
  }),

  conformanceCase(
    'open holds are listed with what they are for, and due ones are resolved first',
    [ALL],
    async ({ purse, open, clock }) => {
      await purse.reserve({ calls: 1 }, { a: 'x', b: 'y' }, { id: 'c', description: 'third' });
      await purse.reserve({ calls: 2 }, { a: 'x' }, { id: 'b' });
      await purse.reserve({ calls: 3 }, { a: 'z' }, { id: 'a' });
      await purse.reserve({ calls: 4 }, { a: 'x' }, { id: 'due', ttlMs: 1000 });
      const settled = await purse.reserve({ calls: 5 }, { a: 'x' }, { id: 'settled' });
      await settled.settle();
      clock.advance(1000);
      const other = await open();
      const [b, c, ...more] = await Array.fromAsync(other.holds({ labels: { a: 'x' } }));
      assert.deepEqual([b?.id, b?.amounts, b?.description], ['b', { calls: 2 }, undefined]);
      assert.deepEqual([c?.id, c?.labels, c?.description], ['c', { a: 'x', b: 'y' }, 'third']);
      assert.deepEqual(more, []);
      await b?.settle({ calls: 1 });
      const left = await Array.fromAsync(purse.holds(), ({ id }) => id);
      assert.deepEqual(left, ['a', 'c']);
    },
  ),

  conformanceCase(
    'operations of one batch are each whole, and one that fails harms no other',
    [{ name: 'all', cap: { usd: 3 } }],
    async ({ purse }) => {
      const outcomes = await Promise.allSettled([
        purse.charge({ usd: 1 }, {}, { id: 'x' }),
        purse.charge({ usd: 2 }, {}, { id: 'x' }),
        purse.reserve({ usd: 9 }),
        purse.reserve({ usd: 2 }),
        purse.reserve({ usd: '0.00000001' }),
      ]);
      assert.deepEqual(
        outcomes.map(({ status }) => status === 'fulfilled'),
        [true, false, false, true, false],
      );
    },
  ),
];
