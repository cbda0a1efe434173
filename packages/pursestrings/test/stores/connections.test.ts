import { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';

import { type Hold, openPurse, type Purse } from '../../src/index.ts';
import { manualClock } from '../../src/testing/index.ts';
import { balanceOf, charges, KINDS, makePurse, makeStore, openFile, tempFile } from './fixture.ts';

const LIMITS = [{ name: 'all', cap: { usd: 10 } }];

async function takeUp(purse: Purse, id: string): Promise<Hold> {
  const hold = await purse.hold(id);
  if (hold === null) throw new Error(`no hold ${id} is open`);
  return hold;
}

describe.each(KINDS)('ledgers on %s', (kind) => {
  it('share a store and nothing else', async () => {
    const store = await makeStore(kind);
    const one = await makePurse({ store, ledger: 'one', limits: LIMITS });
    const two = await makePurse({
      store,
      ledger: 'two',
      limits: [{ name: 'all', cap: { usd: 3 } }],
    });
    await one.reserve({ usd: 9 }, {}, { id: 'same' });
    await two.charge({ usd: 2 }, {}, { id: 'same' });
    await one.freeze({ agent: 'a' });
    expect(await two.freezes()).toEqual([]);
    expect(await two.hold('same')).toBeNull();
    expect(await balanceOf(one, 'all')).toEqual({ spent: 0, held: 9, available: 1 });
    expect(await balanceOf(two, 'all')).toEqual({ spent: 2, held: 0, available: 1 });
    expect((await one.report()).total).toEqual({});
    expect(await one.verify()).toMatchObject({ ok: true, envelopes: 1, charges: 0 });
    expect(await two.verify()).toMatchObject({ ok: true, envelopes: 1, charges: 1 });
  });

  it('give two purses of one ledger one balance and one policy', async () => {
    const store = await makeStore(kind);
    const one = await makePurse({ store, limits: LIMITS });
    const two = await makePurse({ store });
    const hold = await one.reserve({ usd: 8 });
    expect((await two.tryReserve({ usd: 3 })).ok).toBe(false);
    await two.setLimit({ name: 'all', cap: { usd: 11 } });
    expect((await one.tryReserve({ usd: 3 })).ok).toBe(true);
    await one.setLimit({ name: 'all', cap: { usd: 12 } });
    expect((await one.tryReserve({ usd: 1 })).ok).toBe(true);
    await (await takeUp(two, hold.id)).release();
    expect((await one.tryReserve({ usd: 8 })).ok).toBe(true);
  });
});

describe('two connections to one file', () => {
  it('see each other settle, extend, release and expire what they have at hand', async () => {
    const path = await tempFile();
    const clock = manualClock();
    const one = await makePurse({ store: openFile(path, { clock }), limits: LIMITS });
    const two = await makePurse({ store: openFile(path, { clock }) });
    for (let round = 0; round < 20; round += 1) {
      const [here, there] = round % 2 === 0 ? [one, two] : [two, one];
      const ids = ['settled', 'extended', 'released', 'expired'].map((name) => `${name}-${round}`);
      // Reserved here, and so at hand here; resolved there; then used here again.
      for (const id of ids) {
        await here.reserve({ usd: 1 }, {}, { id, ttlMs: 1000, ifAbandoned: 'charge' });
      }
      const [settled, extended, released] = ids as [string, string, string];
      const mine = await takeUp(here, settled);
      await (await takeUp(there, settled)).settle({ usd: 0.25 });
      await (await takeUp(there, released)).release();
      const twice = await takeUp(here, extended);
      await (await takeUp(there, extended)).extend(5000);
      clock.advance(1000);
      await expect(mine.settle({ usd: 0.5 })).rejects.toMatchObject({ code: 'CONFLICT' });
      expect((await takeUp(here, extended)).expiresAt.getTime()).toBe(clock.now() + 4000);
      // One expired and was charged, one goes on.
      expect(await balanceOf(there, 'all')).toMatchObject({ spent: 1.25, held: 1 });
      await twice.settle({ usd: 0 });
      await expect(here.reserve({ usd: 9 })).rejects.toMatchObject({ remaining: 8.75 });
      const expired = await there.charge({ usd: 8.75 }, {}, { id: `fill-${round}` });
      expect(expired.overrun).toBe(false);
      expect(await balanceOf(here, 'all')).toEqual({ spent: 10, held: 0, available: 0 });
      // Another shape begins a new envelope: the next round starts from nothing.
      await there.setLimit({ name: 'all', cap: { usd: 10 }, each: [`round${round}`] });
      for (const purse of [one, two]) expect((await purse.verify()).ok).toBe(true);
    }
    expect(await charges(one)).toEqual(await charges(two));
  });

  it('follow a policy that either writes, at once', async () => {
    const path = await tempFile();
    const one = await makePurse({ store: openFile(path), limits: LIMITS });
    const two = await makePurse({ store: openFile(path) });
    for (let cap = 1; cap <= 20; cap += 1) {
      const writer = cap % 2 === 0 ? one : two;
      await writer.setLimit({ name: 'all', cap: { usd: cap } });
      for (const purse of [one, two]) {
        const reserved = await purse.tryReserve({ usd: cap });
        expect(reserved.ok).toBe(true);
        if (reserved.ok) await reserved.hold.release();
        expect((await purse.tryReserve({ usd: cap + 0.01 })).ok).toBe(false);
      }
    }
  });

  it('keep nothing of a batch that could not be written', async () => {
    const path = await tempFile();
    const store = openFile(path, { lockTimeoutMs: 10_000 });
    const purse = await makePurse({ store, limits: LIMITS });
    const hold = await purse.reserve({ usd: 4 });
    const other = new DatabaseSync(path);
    // A row that the next batch cannot be written beside: it fails after its balances have moved.
    other.exec(`CREATE TRIGGER refuse BEFORE INSERT ON purse_journal WHEN NEW.id = 'bad'
      BEGIN SELECT RAISE(ABORT, 'refused'); END`);
    other.close();
    await purse.charge({ usd: 0 });
    // From here on no other connection writes: only the failure itself may clear what is at hand.
    // The first of a moment is asked at once, and those that come with it make a batch.
    const work = [
      purse.charge({ usd: 0 }),
      purse.charge({ usd: 1 }, {}, { id: 'good' }),
      purse.charge({ usd: 1 }, {}, { id: 'bad' }),
      hold.settle({ usd: 3 }),
    ];
    const outcomes = await Promise.allSettled(work);
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ]);
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 4, available: 6 });
    expect((await hold.settle({ usd: 3 })).replayed).toBe(false);
    expect((await purse.charge({ usd: 1 }, {}, { id: 'good' })).replayed).toBe(false);
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 4, held: 0, available: 6 });
    expect((await purse.report()).rows[0]).toMatchObject({ charges: 4, amounts: { usd: 4 } });
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 4 });
  });

  it('verify one moment of a ledger that is being written to', async () => {
    const path = await tempFile();
    const writer = await makePurse({ store: openFile(path), limits: LIMITS });
    const reader = await openPurse({ store: openFile(path) });
    const enough = new AbortController();
    const writes = (async (): Promise<void> => {
      while (!enough.signal.aborted) {
        await writer.charge({ usd: 0.01 });
        // Spends one after another need not give the event loop a turn; readers want one.
        await nextTurn();
      }
    })();
    for (let round = 0; round < 30; round += 1) expect((await reader.verify()).ok).toBe(true);
    enough.abort();
    await writes;
  });
});
