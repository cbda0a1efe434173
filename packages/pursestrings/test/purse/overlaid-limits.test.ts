import { createClient } from 'redis';
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Limit, openPurse, type Purse } from '../../src/index.ts';
import { overlayLimits } from '../../src/overlaid-limits.ts';
import { memory } from '../../src/stores/memory.ts';
import { redis } from '../../src/stores/redis.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from '../../src/stores/store.ts';
import { storeConformance } from '../../src/testing/index.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { balanceOf, makePurse, openFile, tempFile } from '../stores/fixture.ts';
import { freshPrefixes, removeAll } from '../stores/redis-fixture.ts';
import { Line, remoteStore } from './remote-store.ts';

const server = await sharedRedis();
const client = createClient({ url: server.url });
await client.connect();
const prefixes = freshPrefixes();

afterAll(async () => {
  await removeAll((...command) => client.sendCommand(command), prefixes);
  client.destroy();
  await server.stop();
});

const ALL: Limit = { name: 'all', cap: { usd: 100 } };
const MINE: Limit = { name: 'mine', cap: { usd: 5 }, each: ['agent'] };

async function makeStore(kind: string): Promise<LedgerStore> {
  if (kind === 'memory') return memory();
  if (kind === 'SQLite') return openFile(await tempFile());
  return redis(client, { prefix: prefixes.next() });
}

/** Two purses on one ledger: one with limits laid over it, and one that knows nothing of them. */
async function twoPurses(
  kind: string,
): Promise<{ readonly store: LedgerStore; readonly plain: Purse; readonly over: Purse }> {
  const store = await makeStore(kind);
  const plain = await makePurse({ store, limits: [ALL] });
  const over = await makePurse({ store: overlayLimits(store, [MINE]) });
  return { store, plain, over };
}

async function names(purse: Purse): Promise<string[]> {
  return (await purse.limits()).map(({ name }) => name);
}

describe.each(['memory', 'SQLite', 'Redis'])('limits laid over a ledger in %s', (kind) => {
  test('bind the purse that laid them, and no other', async () => {
    const { store, plain, over } = await twoPurses(kind);
    const before = await store.readPolicy();
    await over.charge({ usd: 3 }, { agent: 'a' });
    expect((await over.tryReserve({ usd: 3 }, { agent: 'a' })).ok).toBe(false);
    expect((await over.tryReserve({ usd: 3 }, { agent: 'b' })).ok).toBe(true);
    expect((await plain.tryReserve({ usd: 30 }, { agent: 'a' })).ok).toBe(true);
    expect(await names(over)).toEqual(['mine', 'all']);
    expect(await names(plain)).toEqual(['all']);
    expect(await store.readPolicy()).toEqual(before);
    const again = await makePurse({ store: overlayLimits(store, [MINE]) });
    expect((await again.tryReserve({ usd: 3 }, { agent: 'a' })).ok).toBe(false);
    expect(await again.verify()).toMatchObject({ ok: true });
  });

  test('let through what others change: limits and freezes bind at once', async () => {
    const { plain, over } = await twoPurses(kind);
    await over.charge({ usd: 1 }, { agent: 'a' });
    await plain.setLimit({ ...ALL, cap: { usd: 2 } });
    expect((await over.tryReserve({ usd: 2 }, { agent: 'a' })).ok).toBe(false);
    await plain.setLimit({ ...ALL, cap: { usd: 200 } });
    const hold = await over.reserve({ usd: 2 }, { agent: 'a' });
    const { signal } = hold;
    await plain.freeze({ agent: 'a' }, 'night');
    const denied = await over.tryReserve({ usd: 1 }, { agent: 'a' });
    expect(denied).toMatchObject({ ok: false, denial: { reason: 'frozen' } });
    await vi.waitFor(() => expect(signal.aborted).toBe(true), { timeout: 5000 });
    await plain.unfreeze({ agent: 'a' });
    expect((await over.tryReserve({ usd: 1 }, { agent: 'a' })).ok).toBe(true);
    expect((await over.tryReserve({ usd: 3 }, { agent: 'a' })).ok).toBe(false);
  });

  test('are never written when the policy is changed through them', async () => {
    const { store, plain, over } = await twoPurses(kind);
    const { revision } = await store.readPolicy();
    await over.setLimit({ name: 'more', cap: { usd: 50 } });
    await over.freeze({ agent: 'x' }, 'why');
    await over.removeLimit('all');
    await makePurse({ store: overlayLimits(store, [MINE]), units: { gpu: { decimals: 3 } } });
    const policy = await store.readPolicy();
    expect(policy.revision).toBe(revision + 4);
    expect(policy.limits).toEqual([{ name: 'more', cap: { usd: 50 } }]);
    expect(policy.freezes).toEqual([{ where: { agent: 'x' }, reason: 'why' }]);
    expect(policy.units).toHaveProperty('gpu');
    expect(await names(plain)).toEqual(['more']);
    expect(await names(over)).toEqual(['mine', 'more']);
    expect((await over.tryReserve({ usd: 6 }, { agent: 'a' })).ok).toBe(false);
    expect((await plain.tryReserve({ usd: 6 }, { agent: 'a' })).ok).toBe(true);
  });

  test('hide a limit of their name, which stands as it was', async () => {
    const store = await makeStore(kind);
    const theirs: Limit = { name: 'mine', cap: { usd: 50 }, warnAt: [0.5] };
    const plain = await makePurse({ store, limits: [theirs, ALL] });
    const over = await makePurse({
      store: overlayLimits(store, [{ name: 'mine', cap: { usd: 5 } }]),
    });
    await over.setLimit({ ...ALL, cap: { usd: 90 } });
    expect((await over.tryReserve({ usd: 6 })).ok).toBe(false);
    expect((await plain.tryReserve({ usd: 6 })).ok).toBe(true);
    expect(await plain.limits()).toEqual([theirs, { ...ALL, cap: { usd: 90 } }]);
    expect(await names(over)).toEqual(['mine', 'all']);
    await plain.setLimit({ ...theirs, cap: { usd: 60 } });
    await plain.removeLimit('mine');
    await over.freeze({ agent: 'x' });
    expect(await names(plain)).toEqual(['all']);
  });

  test('can be neither changed nor removed through the store', async () => {
    const { store, over } = await twoPurses(kind);
    const before = await store.readPolicy();
    const refused = { code: 'INVALID_LIMIT', limit: 'mine' };
    await expect(over.setLimit({ ...MINE, cap: { usd: 9 } })).rejects.toMatchObject(refused);
    await expect(over.removeLimit('mine')).rejects.toMatchObject(refused);
    const opened = openPurse({
      store: overlayLimits(store, [MINE]),
      limits: [{ name: 'mine', cap: { usd: 9 } }],
    });
    await expect(opened).rejects.toMatchObject(refused);
    expect(await store.readPolicy()).toEqual(before);
    await over.setLimit(MINE);
    expect(await store.readPolicy()).toEqual(before);
  });

  test('are laid over every ledger of the store', async () => {
    const store = await makeStore(kind);
    const over = await makePurse({ store: overlayLimits(store, [MINE]), ledger: 'other' });
    await over.setLimit(ALL);
    expect((await over.tryReserve({ usd: 6 }, { agent: 'a' })).ok).toBe(false);
    expect((await over.tryReserve({ usd: 5 }, { agent: 'a' })).ok).toBe(true);
    expect((await store.forLedger('other').readPolicy()).limits).toEqual([ALL]);
  });

  test('change nothing when another was quicker to write', async () => {
    const { store } = await twoPurses(kind);
    const over = overlayLimits(store, [MINE]);
    const standing = await over.readPolicy();
    await store.writePolicy({ ...standing, limits: [], freezes: [] }, standing.revision);
    const answer = await over.writePolicy(
      { ...standing, freezes: [{ where: {} }] },
      standing.revision,
    );
    expect(answer).toMatchObject({ revision: standing.revision + 1, limits: [MINE], freezes: [] });
    expect((await store.readPolicy()).limits).toEqual([]);
  });

  test('one of many processes that change the policy loses nothing of the others', async () => {
    const { store, over } = await twoPurses(kind);
    const others = await Promise.all(
      [1, 2, 3].map((cap) =>
        makePurse({ store: overlayLimits(store, [{ name: `own-${cap}`, cap: { usd: cap } }]) }),
      ),
    );
    const changes = [over, ...others].flatMap((purse, one) =>
      [1, 2, 3].map((n) => purse.setLimit({ name: `limit-${one}-${n}`, cap: { usd: n } })),
    );
    await Promise.all(changes);
    const stored = (await store.readPolicy()).limits.map(({ name }) => name);
    expect(stored.toSorted()).toEqual(
      [
        'all',
        ...[0, 1, 2, 3].flatMap((one) => [1, 2, 3].map((n) => `limit-${one}-${n}`)),
      ].toSorted(),
    );
  });
});

test('the synchronous methods of a store inside the process know the limits too', async () => {
  const store = memory();
  await makePurse({ store, limits: [ALL] });
  const over = overlayLimits(store, [MINE]) as EmbeddedStore;
  expect(isEmbedded(over)).toBe(true);
  expect(isEmbedded(overlayLimits(remoteStore(store, new Line()), [MINE]))).toBe(false);
  const standing = over.readPolicySync();
  expect(standing.limits).toEqual([MINE, ALL]);
  const written = over.writePolicySync(
    { ...standing, freezes: [{ where: {} }] },
    standing.revision,
  );
  expect(written).toMatchObject({ revision: standing.revision + 1, limits: [MINE, ALL] });
  expect(store.readPolicySync()).toMatchObject({ limits: [ALL], freezes: [{ where: {} }] });
});

test('over a line that loses answers they are never written either', async () => {
  const server = memory();
  const line = new Line();
  const plain = await makePurse({ store: server, limits: [ALL] });
  const store = overlayLimits(remoteStore(server, line), [MINE]);
  const purse = await makePurse({ store, operationTimeoutMs: 200, retryForMs: 5000 });
  let asked = 0;
  line.fate = () => {
    asked += 1;
    return asked % 3 === 0 ? 'lost' : 'arrives';
  };
  for (const n of [1, 2, 3, 4]) await purse.setLimit({ name: `n${n}`, cap: { usd: n * 10 } });
  await purse.charge({ usd: 4 }, { agent: 'a' });
  line.fate = () => 'arrives';
  expect((await purse.tryReserve({ usd: 2 }, { agent: 'a' })).ok).toBe(false);
  expect(await names(plain)).toEqual(['all', 'n1', 'n2', 'n3', 'n4']);
  expect((await balanceOf(plain, 'all')).spent).toBe(4);
});

test('calendar windows follow the zone that the limits are laid in', async () => {
  const day: Limit = { name: 'day', cap: { usd: 5 }, per: 'day' };
  const purse = await makePurse({ store: overlayLimits(memory(), [day], 'Asia/Kolkata') });
  expect(await purse.limits()).toEqual([{ ...day, timeZone: 'Asia/Kolkata' }]);
});

test('limits that cannot be meant are refused where they are laid', async () => {
  const store = memory();
  onTestFinished(() => store.close());
  expect(() => overlayLimits(store, [MINE, MINE])).toThrow(/given to two limits/);
  expect(() => overlayLimits(store, [{ ...MINE, per: 'day' }], 'Mars/Olympus')).toThrow(
    /time zone/,
  );
  const opened = openPurse({ store: overlayLimits(store, [{ name: 'mine', cap: { usd: -1 } }]) });
  await expect(opened).rejects.toMatchObject({ code: 'INVALID_LIMIT', limit: 'mine' });
});

/** A store with nothing laid over it is the same store. */
describe('with no limits', () => {
  storeConformance({ test, makeStore: ({ clock }) => overlayLimits(memory({ clock }), []) });
});
