import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { EmbeddedSpending } from '../../src/embedded-spending.ts';
import { ConflictError, openPurse, type Purse, StoreError } from '../../src/index.ts';
import { newEnvelope } from '../../src/ledger/envelope.ts';
import { labelSet } from '../../src/ledger/labels.ts';
import { openEmbedded } from '../../src/open-embedded.ts';
import { sqlite } from '../../src/stores/sqlite.ts';
import { manualClock } from '../../src/testing/index.ts';
import { balanceOf, KINDS, makePurse, makeStore, tempFile } from '../stores/fixture.ts';
import { Line, remoteStore } from './remote-store.ts';

const LIMITS = [{ name: 'all', cap: { usd: 10 } }];
const NOBODY = labelSet({});

function synchronous(purse: Purse): EmbeddedSpending {
  if (purse.backstage.synchronous === null) throw new Error('the store is not inside the process');
  return purse.backstage.synchronous;
}

describe.each(KINDS)('synchronous spending on %s', (kind) => {
  it('holds, settles, releases and charges as the purse beside it sees', async () => {
    const purse = await makePurse({ store: await makeStore(kind), limits: LIMITS });
    const spending = synchronous(purse);
    const taken = spending.reserve({ usd: 4 }, labelSet({ agent: 'a' }));
    if (!taken.ok) throw new Error('denied');
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 4, available: 6 });
    expect(spending.settle(taken.hold, { usd: 3 })).toMatchObject({
      amounts: { usd: 3 },
      held: { usd: 4 },
      labels: { agent: 'a' },
    });
    expect(spending.settle(taken.hold, { usd: 3 }).replayed).toBe(true);
    expect(() => spending.settle(taken.hold, { usd: 2 })).toThrow(ConflictError);
    const hold = await purse.reserve({ usd: 5 }, {}, { id: 'h' });
    expect(spending.release('h')).toBeNull();
    await expect(hold.settle({ usd: 1 })).resolves.toMatchObject({ late: true });
    expect(spending.charge({ usd: 8 }, NOBODY)).toMatchObject({ overrun: true });
    expect([...spending.balances()]).toMatchObject([{ limit: 'all', spent: 12, held: 0 }]);
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 3 });
  });

  it('denies in full, and tells what a spend would draw on', async () => {
    const purse = await makePurse({ store: await makeStore(kind), limits: LIMITS });
    const denied: string[] = [];
    purse.on('denied', ({ reason }) => denied.push(reason));
    const spending = synchronous(purse);
    spending.charge({ usd: 7 }, NOBODY);
    expect(spending.reserve({ usd: 4 }, NOBODY)).toMatchObject({
      ok: false,
      denials: [{ reason: 'exceeds', limit: 'all', available: 3, requested: 4 }],
    });
    const { standings, denials } = spending.look({ usd: 3 }, NOBODY);
    expect(standings).toMatchObject([{ spent: 700_000_000, held: 0 }]);
    expect(denials).toEqual([]);
    spending.freeze({ agent: 'a' }, 'looping');
    expect(spending.check({ usd: 1 }, labelSet({ agent: 'a' }))).toMatchObject([
      { reason: 'frozen' },
    ]);
    await expect(purse.reserve({ usd: 1 }, { agent: 'a' })).rejects.toThrow('looping');
    spending.unfreeze({ agent: 'a' });
    expect(spending.reserve({ tokens: 1 }, NOBODY)).toMatchObject({
      denials: [{ reason: 'uncovered' }],
    });
    expect(denied).toEqual(['exceeds', 'frozen', 'uncovered']);
  });

  it('plans anew when the policy is changed by somebody else', async () => {
    const store = await makeStore(kind);
    const purse = await makePurse({ store, limits: LIMITS });
    const other = await makePurse({ store });
    const spending = synchronous(purse);
    await other.setLimit({ name: 'all', cap: { usd: 1 } });
    expect(spending.check({ usd: 2 }, NOBODY)).toHaveLength(1);
    expect(spending.reserve({ usd: 2 }, NOBODY).ok).toBe(false);
    spending.setLimit({ name: 'agent', cap: { usd: 0.5 }, each: ['agent'] });
    expect((await other.tryReserve({ usd: 0.6 })).ok).toBe(false);
    spending.removeLimit('agent');
    expect((await other.tryReserve({ usd: 0.6 })).ok).toBe(true);
    expect(() => spending.removeLimit('agent')).toThrow(/"agent"/);
  });

  it('denies nobody by holds that are past their time, however many they are', async () => {
    const clock = manualClock();
    const store = await makeStore(kind, { clock });
    const purse = await makePurse({ store, limits: LIMITS, holdTtlMs: 1000 });
    const expired: string[] = [];
    purse.on('expired', ({ id }) => expired.push(id));
    const spending = synchronous(purse);
    for (let count = 0; count < 300; count += 1) spending.reserve({ usd: 0.03 }, NOBODY);
    clock.advance(1000);
    expect(spending.reserve({ usd: 10 }, NOBODY).ok).toBe(true);
    expect(new Set(expired).size).toBe(300);
  });

  it('extends and takes up a hold by its id', async () => {
    const clock = manualClock();
    const store = await makeStore(kind, { clock });
    const spending = synchronous(await makePurse({ store, limits: LIMITS, holdTtlMs: 1000 }));
    spending.reserve({ usd: 1 }, NOBODY, { id: 'h' });
    expect(spending.extend('h', 5000)).toBe(clock.now() + 5000);
    clock.advance(4999);
    expect(spending.find('h')).toMatchObject({ state: 'open' });
    expect([...spending.openHolds()]).toHaveLength(1);
    clock.advance(1);
    expect(spending.find('h')).toMatchObject({ state: 'expired' });
    expect([...spending.openHolds()]).toEqual([]);
    expect(spending.find('other')).toBeNull();
  });

  it('is exact in any mixture with the purse, whatever is under way', async () => {
    const step = fc.record({
      at: fc.constantFrom('purse', 'synchronous'),
      does: fc.constantFrom('reserve', 'settle', 'release', 'charge'),
      cents: fc.integer({ min: 0, max: 400 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const purse = await openPurse({ store: await makeStore(kind), limits: LIMITS });
        const spending = synchronous(purse);
        const underWay: Promise<unknown>[] = [];
        const open: string[] = [];
        let admitted = 0;
        for (const [index, { at, does, cents }] of steps.entries()) {
          const amounts = { usd: cents / 100 };
          const id = `h${index}`;
          const older = open[cents % Math.max(open.length, 1)];
          if (does === 'reserve') {
            open.push(id);
            if (at === 'purse') underWay.push(purse.tryReserve(amounts, {}, { id }));
            else if (spending.reserve(amounts, NOBODY, { id }).ok) admitted += 1;
          } else if (does === 'charge') {
            if (at === 'purse') underWay.push(purse.charge({ usd: 0.01 }));
            else spending.charge({ usd: 0.01 }, NOBODY);
          } else if (older !== undefined && at === 'synchronous') {
            const record = spending.find(older);
            if (record?.state !== 'open') continue;
            if (does === 'settle') spending.settle(record, { usd: 0 });
            else spending.release(older);
          } else if (older !== undefined) {
            const taken = purse.hold(older);
            underWay.push(taken.then((hold) => hold?.release()).catch(() => undefined));
          }
        }
        await Promise.all(underWay);
        expect(await purse.verify()).toMatchObject({ ok: true });
        const { spent, held } = await balanceOf(purse, 'all');
        expect(spent + held).toBeLessThanOrEqual(10 + steps.length * 0.01);
        expect(admitted).toBeLessThanOrEqual(steps.length);
        await purse.close();
      }),
      { numRuns: kind === 'memory' ? 60 : 15 },
    );
  });

  it('forgets an envelope that is closed, unless something is held in it', async () => {
    const purse = await makePurse({ store: await makeStore(kind), limits: LIMITS });
    const spending = synchronous(purse);
    spending.charge({ usd: 4 }, NOBODY);
    spending.reserve({ usd: 1 }, NOBODY, { id: 'h' });
    const [standing] = spending.look({ usd: 0 }, NOBODY).standings;
    if (standing === undefined) throw new Error('no envelope');
    const closed = { ...newEnvelope(standing.line), closed: true };
    spending.write([{ kind: 'envelope', envelope: closed }]);
    expect(spending.isHeldIn(standing.line)).toBe(true);
    spending.release('h');
    spending.write([{ kind: 'envelope', envelope: closed }]);
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 0, available: 10 });
    expect(await purse.verify()).toMatchObject({ ok: true, envelopes: 0, charges: 1 });
    spending.charge({ usd: 1 }, NOBODY);
    expect(await purse.verify()).toMatchObject({ ok: true, envelopes: 1, charges: 2 });
  });

  it('refuses work once the purse is closed', async () => {
    const purse = await openPurse({ store: await makeStore(kind), limits: LIMITS });
    const spending = synchronous(purse);
    await purse.close();
    expect(() => spending.charge({ usd: 1 }, NOBODY)).toThrow(StoreError);
    expect(() => purse.backstage.synchronous).toThrow(StoreError);
  });
});

test('a file that another process locks stops a call for the lock time-out, and says so', async () => {
  const path = await tempFile();
  const store = sqlite(path, { lockTimeoutMs: 60 });
  const purse = await makePurse({ store, limits: LIMITS });
  const spending = synchronous(purse);
  spending.charge({ usd: 1 }, NOBODY);
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  expect(() => spending.reserve({ usd: 1 }, NOBODY)).toThrow(/locked by another process/);
  try {
    spending.charge({ usd: 1 }, NOBODY);
  } catch (error) {
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', failure: 'locked', retryable: true });
  }
  other.exec('ROLLBACK');
  other.close();
  expect(spending.reserve({ usd: 9 }, NOBODY).ok).toBe(true);
  expect(await balanceOf(purse, 'all')).toEqual({ spent: 1, held: 9, available: 0 });
  await store.close();
});

test('there is none on a store that is reached over a network', async () => {
  const store = remoteStore(await makeStore('memory'), new Line());
  expect((await makePurse({ store, limits: LIMITS })).backstage.synchronous).toBeNull();
});

describe('a ledger that is opened without waiting', () => {
  it('is in memory, and each by itself, unless a file is named', () => {
    const one = openEmbedded({ limits: LIMITS });
    const two = openEmbedded({ limits: LIMITS });
    one.spending.charge({ usd: 4 }, NOBODY);
    expect([...two.spending.balances()]).toMatchObject([{ spent: 0 }]);
    one.close();
    two.close();
    expect(() => one.spending.charge({ usd: 1 }, NOBODY)).toThrow(StoreError);
  });

  it('shares a file with others that name it, also with a purse, until the last is closed', async () => {
    const path = await tempFile();
    const one = openEmbedded({ store: `sqlite:${path}`, limits: LIMITS });
    const two = openEmbedded({ store: `sqlite:${path}` });
    expect(two.spending.store).toBe(one.spending.store);
    one.spending.charge({ usd: 4 }, NOBODY);
    expect([...two.spending.balances()]).toMatchObject([{ spent: 4 }]);
    one.close();
    one.close();
    two.spending.charge({ usd: 1 }, NOBODY);
    const purse = await makePurse({ store: `sqlite:${path}` });
    expect(await balanceOf(purse, 'all')).toMatchObject({ spent: 5 });
    two.close();
  });

  it('refuses what is not inside the process, and half-opens nothing', async () => {
    expect(() => openEmbedded({ store: 'redis://user:secret@host' })).toThrow(/redis URL/);
    expect(() => openEmbedded({ store: 'nothing' })).toThrow(/memory:/);
    const store = `sqlite:${await tempFile()}`;
    expect(() => openEmbedded({ store, limits: [{ name: 'x', cap: { usd: -1 } }] })).toThrow(/"x"/);
    const opened = openEmbedded({ store });
    expect(opened.spending.rulebook.policy.limits).toEqual([]);
    opened.close();
  });
});
