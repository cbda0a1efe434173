import assert from 'node:assert/strict';
import { all, admitted, balanceOf, type ConformanceCase, conformanceCase } from './case.ts';

const ALL = { name: 'all', cap: { usd: 10 } };
const CONFLICT = { code: 'CONFLICT' };
const HOUR_MS = 3_600_000;

/** What becomes of a hold that gets another id, and of one that is taken up after its time. */
export const RENAMING_CASES: readonly ConformanceCase[] = [
  conformanceCase(
    'the money of a hold that is renamed is free at no moment',
    [ALL, { name: 'agent', cap: { usd: 1 }, each: ['agent'] }],
    async ({ purse, open }) => {
      const other = await open();
      const holds = await Promise.all(
        Array.from({ length: 10 }, (_, i) => purse.reserve({ usd: 1 }, { agent: `a${i}` })),
      );
      const spends: Promise<boolean>[] = [];
      const renames = holds.map((hold, i) => {
        spends.push(admitted(other.reserve({ usd: '0.00000001' }, { agent: `a${i}` })));
        const renaming = hold.rename(`batch-${i}`, { ttlMs: 25 * HOUR_MS });
        spends.push(admitted(purse.reserve({ usd: '0.00000001' }, { agent: 'new' })));
        return renaming;
      });
      const renamed = await Promise.all(renames);
      assert.deepEqual(
        (await Promise.all(spends)).filter((was) => was),
        [],
      );
      assert.deepEqual(
        renamed.map(({ id, replayed, resolved }) => [id, replayed, resolved]),
        holds.map((_, i) => [`batch-${i}`, false, false]),
      );
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 10, available: 0 });
      await renamed[3]?.release();
      assert.equal(await admitted(other.reserve({ usd: 1 }, { agent: 'a3' })), true);
    },
  ),

  conformanceCase(
    'a renamed hold is the same but for its id, and the old id says released',
    [{ ...ALL, cap: { usd: 10, slots: 2 } }],
    async ({ purse, store, open }) => {
      const options = { id: 'h', ifAbandoned: 'charge', description: 'd' } as const;
      const hold = await purse.reserve({ usd: 6, slots: 1 }, { a: 'b' }, options);
      const renamed = await hold.rename('n');
      assert.deepEqual(
        [renamed.amounts, renamed.labels, renamed.expiresAt],
        [hold.amounts, hold.labels, hold.expiresAt],
      );
      const [old] = (await store.readHolds({ id: 'h' })).items;
      assert.equal(old?.state, 'released');
      assert.equal(await (await open()).hold('h'), null);
      assert.equal((await purse.reserve({ usd: 6, slots: 1 }, { a: 'b' }, options)).resolved, true);
      const there = await (await open()).hold('n');
      const charge = await there?.settle({ usd: 2 });
      assert.deepEqual(
        [charge?.id, charge?.amounts, charge?.labels, charge?.description, charge?.late],
        ['n', { usd: 2 }, { a: 'b' }, 'd', false],
      );
      assert.deepEqual(charge?.held, { usd: 6 });
      assert.equal((await renamed.settle({ usd: 2 })).replayed, true);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 2, held: 0, available: 8 });
    },
  ),

  conformanceCase(
    'a rename repeated is the same hold, whatever became of it since',
    [ALL],
    async ({ purse }) => {
      const hold = await purse.reserve({ usd: 6 }, {}, { id: 'h', ttlMs: 1000 });
      const twin = await purse.reserve({ usd: 6 }, {}, { id: 'h', ttlMs: 1000 });
      const first = await hold.rename('n');
      const again = await Promise.all([hold.rename('n'), twin.rename('n', { ttlMs: 9000 })]);
      assert.deepEqual(
        again.map(({ id, replayed, expiresAt }) => [id, replayed, expiresAt]),
        [
          ['n', true, first.expiresAt],
          ['n', true, first.expiresAt],
        ],
      );
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 6, available: 4 });
      await assert.rejects(hold.rename('m'), CONFLICT);
      const onward = await first.rename('m');
      await onward.settle({ usd: 1 });
      assert.equal((await first.rename('m')).resolved, true);
      assert.equal((await twin.rename('n')).resolved, true);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 1, held: 0, available: 9 });
    },
  ),

  conformanceCase(
    'parallel renames to other ids take the hold to exactly one',
    [ALL],
    async ({ purse, open }) => {
      const options = { id: 'h' };
      const hold = await purse.reserve({ usd: 4 }, {}, options);
      const twin = await (await open()).reserve({ usd: 4 }, {}, options);
      const renames = await Promise.allSettled(
        ['a', 'b', 'c', 'd'].map((id, i) => (i % 2 ? hold : twin).rename(id)),
      );
      assert.equal(renames.filter(({ status }) => status === 'fulfilled').length, 1);
      const open4 = await Promise.all(['a', 'b', 'c', 'd', 'h'].map((id) => purse.hold(id)));
      assert.equal(open4.filter((found) => found !== null).length, 1);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 4, available: 6 });
    },
  ),

  conformanceCase(
    'an id that stands for something else is not taken, and nothing changes',
    [ALL],
    async ({ purse }) => {
      const same = await purse.reserve({ usd: 3 }, {}, { id: 'other' });
      await purse.charge({ usd: 1 }, {}, { id: 'charge' });
      const hold = await purse.reserve({ usd: 3 }, {}, { id: 'h', ttlMs: 1000 });
      await assert.rejects(hold.rename('other', { ttlMs: 5000 }), { ...CONFLICT, id: 'other' });
      await assert.rejects(hold.rename('charge'), { ...CONFLICT, id: 'charge' });
      await same.settle({ usd: 2 });
      await assert.rejects(hold.rename('other'), { ...CONFLICT, id: 'other' });
      for (const id of ['h', '', 'correction:h', 'x'.repeat(257)]) {
        await assert.rejects(hold.rename(id), { code: 'INVALID_OPTION' });
      }
      await assert.rejects(hold.rename('n', { ttlMs: 0 }), { code: 'INVALID_OPTION' });
      assert.equal(await purse.hold('n'), null);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 3, held: 3, available: 4 });
      const found = await purse.hold('h');
      assert.deepEqual([found?.expiresAt, hold.resolved], [hold.expiresAt, false]);
      await hold.release();
    },
  ),

  conformanceCase(
    'the id of a renamed hold is known to reserves, charges and renames',
    [ALL],
    async ({ purse }) => {
      const hold = await purse.reserve({ usd: 2 }, {}, { id: 'h' });
      const other = await purse.reserve({ usd: 2 }, {}, { id: 'other' });
      await hold.rename('n');
      await assert.rejects(purse.reserve({ usd: 2 }, {}, { id: 'n' }), CONFLICT);
      await assert.rejects(purse.charge({ usd: 2 }, {}, { id: 'n' }), CONFLICT);
      await assert.rejects(other.rename('n'), CONFLICT);
      await assert.rejects(other.rename('h'), CONFLICT);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 4, available: 6 });
    },
  ),

  conformanceCase(
    'a hold that is resolved or past its time is renamed no more',
    [ALL],
    async ({ purse, clock }) => {
      const settled = await purse.reserve({ usd: 1 });
      const released = await purse.reserve({ usd: 1 });
      const expired = await purse.reserve({ usd: 1 }, {}, { ttlMs: 1000 });
      const charged = await purse.reserve({ usd: 1 }, {}, { ttlMs: 1000, ifAbandoned: 'charge' });
      await settled.settle();
      await released.release();
      clock.advance(1000);
      for (const [hold, state] of [
        [settled, 'settled'],
        [released, 'released'],
        [expired, 'expired'],
        [charged, 'expired_charged'],
      ] as const) {
        await assert.rejects(hold.rename('n', { ttlMs: HOUR_MS }), (error: unknown) => {
          assert.ok(error instanceof Object && 'recorded' in error && 'id' in error);
          assert.deepEqual(
            [error.id, (error.recorded as { hold: unknown }).hold],
            [hold.id, state],
          );
          return true;
        });
      }
      assert.equal(await purse.hold('n', { expired: true }), null);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 2, held: 0, available: 8 });
    },
  ),

  conformanceCase(
    'a rename asks no cap, no freeze and no limit of today',
    [ALL, { name: 'agent', cap: { usd: 10 }, each: ['agent'] }],
    async ({ purse, open }) => {
      const hold = await purse.reserve({ usd: 6 }, { agent: 'a' });
      const other = await open();
      await other.setLimit({ ...ALL, cap: { usd: 1 } });
      await other.removeLimit('agent');
      await other.setLimit({ name: 'late', cap: { usd: 1 }, each: ['task'] });
      await other.freeze({});
      const renamed = await hold.rename('n');
      assert.deepEqual(await balanceOf(other, 'all'), { spent: 0, held: 6, available: 0 });
      assert.deepEqual(await all(other.balances({ limit: 'late' })), []);
      await other.setLimit({ name: 'agent', cap: { usd: 10 }, each: ['agent'] });
      assert.equal((await balanceOf(other, 'agent', { agent: 'a' })).held, 6);
      const charge = await renamed.settle({ usd: 7 });
      assert.deepEqual([charge.amounts, charge.overrun], [{ usd: 7 }, false]);
      assert.equal((await balanceOf(other, 'agent', { agent: 'a' })).spent, 7);
    },
  ),

  conformanceCase(
    'a renamed hold keeps its time or lives longer, and expires under its new id',
    [ALL],
    async ({ purse, clock }) => {
      const options = { ttlMs: 1000, ifAbandoned: 'charge' } as const;
      const [kept, shorter, longer] = await Promise.all(
        ['kept', 'shorter', 'longer'].map((id) =>
          purse.reserve({ usd: 2 }, {}, { ...options, id }),
        ),
      );
      const start = clock.now();
      const lives = await Promise.all([
        kept?.rename('k'),
        shorter?.rename('s', { ttlMs: 10 }),
        longer?.rename('l', { ttlMs: 5000 }),
      ]);
      assert.deepEqual(
        lives.map((hold) => (hold?.expiresAt.getTime() ?? 0) - start),
        [1000, 1000, 5000],
      );
      clock.advance(999);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 6, available: 4 });
      clock.advance(1);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 4, held: 2, available: 4 });
      await lives[2]?.extend(10_000);
      clock.advance(9999);
      assert.equal((await balanceOf(purse, 'all')).held, 2);
      clock.advance(1);
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 6, held: 0, available: 4 });
      const ids = (await all(purse.journal())).map(({ id }) => id);
      assert.deepEqual(ids.toSorted(), ['k', 'l', 's']);
      const correction = await lives[2]?.settle({ usd: 1 });
      assert.deepEqual([correction?.amounts, correction?.corrects], [{ usd: -1 }, 'l']);
    },
  ),

  conformanceCase(
    'a renamed hold belongs to the window that it was taken in',
    [{ name: 'day', cap: { usd: 10 }, per: 'day' }],
    async ({ purse, clock }) => {
      clock.set('2026-06-15T23:59:59Z');
      const hold = await purse.reserve({ usd: 4 }, {}, { ttlMs: 60_000 });
      clock.advance(10_000);
      const renamed = await hold.rename('n', { ttlMs: 25 * HOUR_MS });
      assert.deepEqual(await balanceOf(purse, 'day'), { spent: 0, held: 0, available: 10 });
      clock.advance(20 * HOUR_MS);
      await renamed.settle({ usd: 3 });
      clock.set('2026-06-15T23:59:59Z');
      assert.deepEqual(await balanceOf(purse, 'day'), { spent: 3, held: 0, available: 7 });
    },
  ),

  conformanceCase(
    'run and scopes leave the money of a hold that was renamed alone',
    [ALL],
    async ({ purse }) => {
      await purse.run({ usd: 2 }, {}, (hold) => hold.rename('a'));
      const failing = purse.run({ usd: 2 }, {}, async (hold) => {
        await hold.rename('b');
        throw new Error('the work failed');
      });
      await assert.rejects(failing, /the work failed/);
      {
        await using hold = await purse.reserve({ usd: 2 }, {}, { ifAbandoned: 'charge' });
        void hold.rename('c');
      }
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 0, held: 6, available: 4 });
      for (const id of ['a', 'b', 'c']) await (await purse.hold(id))?.settle({ usd: 1 });
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 3, held: 0, available: 7 });
    },
  ),

  conformanceCase(
    'an expired hold can be taken up until somebody says what became of it',
    [ALL],
    async ({ purse, open, clock }) => {
      const options = { ttlMs: 1000, ifAbandoned: 'charge' } as const;
      await purse.reserve({ usd: 3 }, { a: 'b' }, { ...options, id: 'charged' });
      await purse.reserve({ usd: 3 }, {}, { ttlMs: 1000, id: 'given back' });
      await purse.reserve({ usd: 1 }, {}, { id: 'open' });
      clock.advance(1000);
      const other = await open();
      const ids = ['charged', 'given back', 'open'];
      const plain = await Promise.all(ids.map((id) => other.hold(id)));
      assert.deepEqual(
        plain.map((hold) => hold?.id),
        [undefined, undefined, 'open'],
      );
      const found = await Promise.all(ids.map((id) => other.hold(id, { expired: true })));
      assert.deepEqual(
        found.map((hold) => [hold?.id, hold?.resolved, hold?.remainingMs() === 0]),
        [
          ['charged', false, true],
          ['given back', false, true],
          ['open', false, false],
        ],
      );
      const late = await Promise.all(found.map(async (hold) => hold?.settle({ usd: 1 })));
      assert.deepEqual(
        late.map((charge) => [charge?.amounts, charge?.late, charge?.corrects]),
        [
          [{ usd: -2 }, true, 'charged'],
          [{ usd: 1 }, true, undefined],
          [{ usd: 1 }, false, undefined],
        ],
      );
      for (const id of [...ids, 'never']) {
        assert.equal(await purse.hold(id, { expired: true }), null);
      }
      assert.deepEqual(await balanceOf(purse, 'all'), { spent: 3, held: 0, available: 7 });
    },
  ),
];
