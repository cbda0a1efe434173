import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';

import type { Hold, Limit, Purse } from '../../src/index.ts';
import type { Operation } from '../../src/ledger/records.ts';
import { manualClock } from '../../src/testing/index.ts';
import { balanceOf, KINDS, makePurse, makeStore, openFile, tempFile } from './fixture.ts';

const HOUR_MS = 3_600_000;
const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { usd: 10 } },
  { name: 'agent', cap: { usd: 10 }, per: 'day', each: ['agent'] },
];

const rename = (id: string, newId: string): Operation => ({
  kind: 'rename',
  id,
  newId,
  ttlMs: null,
});

async function takeUp(purse: Purse, id: string): Promise<Hold> {
  const hold = await purse.hold(id);
  if (hold === null) throw new Error(`no hold ${id} is open`);
  return hold;
}

describe.each(KINDS)('a rename on %s', (kind) => {
  it('is seen by what comes after it in the same batch', async () => {
    const store = await makeStore(kind);
    const purse = await makePurse({ store, limits: LIMITS });
    await purse.reserve({ usd: 4 }, { agent: 'a' }, { id: 'h' });
    const { answers } = store.applySync([
      rename('h', 'n'),
      rename('h', 'n'),
      { kind: 'release', id: 'h' },
      rename('n', 'm'),
      { kind: 'extend', id: 'n', ttlMs: HOUR_MS },
      { kind: 'extend', id: 'm', ttlMs: HOUR_MS },
      rename('m', 'h'),
    ]);
    expect(answers.map((answer) => [answer.kind, 'replayed' in answer && answer.replayed])).toEqual(
      [
        ['held', false],
        ['held', true],
        ['released', true],
        ['held', false],
        ['conflict', false],
        ['extended', false],
        ['conflict', false],
      ],
    );
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 4, available: 6 });
    expect((await store.readHolds({})).items.map(({ id }) => id)).toEqual(['m']);
    expect((await purse.verify()).ok).toBe(true);
    await (await takeUp(purse, 'm')).settle({ usd: 1 });
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 1, held: 0, available: 9 });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('keeps the window of a day that is long over, until it is settled', async () => {
    const clock = manualClock('2026-02-01T12:00:00Z');
    const store = await makeStore(kind, { clock });
    const purse = await makePurse({ store, limits: LIMITS });
    const hold = await purse.reserve({ usd: 4 }, { agent: 'a' });
    const renamed = await hold.rename('n', { ttlMs: 20 * 24 * HOUR_MS });
    for (let day = 0; day < 10; day += 1) {
      clock.advance(24 * HOUR_MS);
      await purse.charge({ usd: 0 }, { agent: 'b' });
    }
    expect(renamed.remainingMs()).toBe(10 * 24 * HOUR_MS);
    // By now the old id is forgotten, and its money is still held under the new one.
    expect((await store.readHolds({ id: hold.id })).items).toEqual([]);
    const { items } = await store.readBalances({});
    const first = items.find(({ window }) => window.key === '2026-02-01');
    expect(first).toMatchObject({ spent: 0, held: 4e8 });
    expect((await purse.verify()).ok).toBe(true);
    expect(await renamed.settle({ usd: 3 })).toMatchObject({ late: false, id: 'n' });
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 3, held: 0, available: 7 });
    expect((await purse.verify()).ok).toBe(true);
  });
});

describe('a rename in a file', () => {
  it('survives the process: the new id is open, the old one says released', async () => {
    const path = await tempFile();
    const clock = manualClock();
    const before = openFile(path, { clock });
    const first = await makePurse({ store: before, limits: LIMITS });
    const options = { id: 'h', ifAbandoned: 'charge', description: 'd' } as const;
    const hold = await first.reserve({ usd: 4 }, { agent: 'a' }, options);
    const { expiresAt } = await hold.rename('n', { ttlMs: 25 * HOUR_MS });
    await first.close();
    await before.close();

    const store = openFile(path, { clock });
    const purse = await makePurse({ store });
    expect((await store.readHolds({ id: 'h' })).items[0]?.state).toBe('released');
    const again = await takeUp(purse, 'n');
    expect([again.amounts, again.labels, again.expiresAt]).toEqual([
      { usd: 4 },
      { agent: 'a' },
      expiresAt,
    ]);
    expect(await balanceOf(purse, 'agent')).toEqual({ spent: 0, held: 4, available: 6 });
    const { answers } = await store.apply([rename('h', 'n'), rename('h', 'm')]);
    expect(answers).toMatchObject([{ kind: 'held', replayed: true }, { kind: 'conflict' }]);
    clock.advance(25 * HOUR_MS);
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 4, held: 0, available: 6 });
    const late = await purse.hold('n', { expired: true });
    expect(await late?.settle({ usd: 1 })).toMatchObject({ amounts: { usd: -3 }, corrects: 'n' });
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 1, held: 0, available: 9 });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('is seen by another connection that has the hold at hand', async () => {
    const path = await tempFile();
    const one = await makePurse({ store: openFile(path), limits: LIMITS });
    const two = await makePurse({ store: openFile(path) });
    for (let round = 0; round < 20; round += 1) {
      const [here, there] = round % 2 === 0 ? [one, two] : [two, one];
      const [id, newId] = [`h${round}`, `n${round}`];
      const mine = await here.reserve({ usd: 10 }, {}, { id });
      await (await takeUp(there, id)).rename(newId);
      await expect(mine.extend(HOUR_MS)).rejects.toMatchObject({ code: 'CONFLICT' });
      expect((await mine.rename(newId)).replayed).toBe(true);
      await mine.release();
      expect((await here.tryReserve({ usd: 1 })).ok).toBe(false);
      await (await takeUp(here, newId)).extend(HOUR_MS);
      await (await takeUp(there, newId)).release();
      expect(await balanceOf(here, 'all')).toEqual({ spent: 0, held: 0, available: 10 });
      for (const purse of [one, two]) expect((await purse.verify()).ok).toBe(true);
    }
  });

  it('that could not be written has not happened', async () => {
    const path = await tempFile();
    const purse = await makePurse({ store: openFile(path), limits: LIMITS });
    const hold = await purse.reserve({ usd: 4 }, {}, { id: 'h' });
    const other = new DatabaseSync(path);
    other.exec(`CREATE TRIGGER refuse BEFORE INSERT ON purse_holds WHEN NEW.id = 'bad'
      BEGIN SELECT RAISE(ABORT, 'refused'); END`);
    other.close();
    await purse.charge({ usd: 0 });
    await expect(hold.rename('bad')).rejects.toThrow('refused');
    expect([hold.resolved, await purse.hold('bad')]).toEqual([false, null]);
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 4, available: 6 });
    expect((await hold.rename('n')).replayed).toBe(false);
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 4, available: 6 });
    expect((await purse.verify()).ok).toBe(true);
  });
});
