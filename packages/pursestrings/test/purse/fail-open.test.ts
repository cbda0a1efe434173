import { expect, onTestFinished, test, vi } from 'vitest';
import { openPurse, type Purse, type PurseOptions, StoreError } from '../../src/index.ts';
import { FailOpen } from '../../src/fail-open.ts';
import { QueueFullError } from '../../src/operation-queue.ts';
import { memory } from '../../src/stores/memory.ts';
import type { EmbeddedStore } from '../../src/stores/store.ts';
import { balanceOf, charges, makePurse } from '../stores/fixture.ts';
import { Line, remoteStore } from './remote-store.ts';

const LIMITS = [{ name: 'all', cap: { usd: 10, slots: 2 } }];

interface Open {
  readonly line: Line;
  readonly server: EmbeddedStore;
  readonly purse: Purse;
  readonly truth: Purse;
  readonly errors: unknown[];
  readonly warnings: string[];
}

async function open(options: PurseOptions = {}): Promise<Open> {
  const line = new Line();
  const server = memory();
  const store = remoteStore(server, line);
  const patience = { operationTimeoutMs: 50, retryForMs: 100 };
  const purse = await openPurse({
    store,
    limits: LIMITS,
    onStoreFailure: 'allow',
    ...patience,
    ...options,
  });
  const truth = await makePurse({ store: server });
  const errors: unknown[] = [];
  purse.on('error', (error) => errors.push(error));
  const warnings: string[] = [];
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation((_, options) => {
    warnings.push(typeof options === 'object' ? (options.code ?? '') : '');
  });
  onTestFinished(async () => {
    line.fate = () => 'arrives';
    line.letArrive();
    await purse.close();
    warned.mockRestore();
  });
  return { line, server, purse, truth, errors, warnings };
}

test('without a word from the user, a store that is away stops every spend', async () => {
  const { line, purse, truth } = await open({ onStoreFailure: 'deny' });
  line.fate = () => 'refused';
  await expect(purse.reserve({ usd: 1 })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  line.fate = () => 'arrives';
  expect(await balanceOf(truth, 'all')).toEqual({ spent: 0, held: 0, available: 10 });
});

test('with `allow`, spends go through loudly and are charged when the store is back', async () => {
  const { line, purse, truth, errors, warnings } = await open();
  line.fate = () => 'refused';
  const hold = await purse.reserve({ usd: 4 }, { agent: 'a' }, { id: 'h', description: 'd' });
  expect([hold.untracked, hold.id, hold.amounts]).toEqual([true, 'h', { usd: 4 }]);
  expect(hold.remainingMs()).toBeGreaterThan(500_000);
  const charge = await hold.settle({ usd: 3 }, { labels: { model: 'm' } });
  expect(charge).toMatchObject({ id: 'h', amounts: { usd: 3 }, late: true, replayed: false });
  await purse.run({ usd: 2 }, { agent: 'b' }, async () => undefined);
  // Past every cap: nobody can know.
  await purse.run({ usd: 100 }, { agent: 'b' }, (big) => big.settle({ usd: 1 }));
  expect(errors).toHaveLength(3);
  expect(errors.every((error) => StoreError.isInstance(error))).toBe(true);
  expect(warnings).toEqual(['PURSE_STORE_UNREACHABLE']);
  expect((await purse.health()).pending).toBe(3);
  expect(await charges(truth)).toEqual([]);

  line.fate = () => 'arrives';
  await vi.waitFor(async () => expect(await charges(truth)).toHaveLength(3), { timeout: 10_000 });
  const [first] = await charges(truth);
  expect(first).toMatchObject({ id: 'h', amounts: { usd: 3 }, late: true, description: 'd' });
  expect(first?.labels).toEqual({ agent: 'a', model: 'm' });
  expect(await balanceOf(truth, 'all')).toEqual({ spent: 6, held: 0, available: 4 });
  await vi.waitFor(async () => expect((await purse.health()).pending).toBe(0));
  const next = await purse.reserve({ usd: 1 });
  expect(next.untracked).toBe(false);
  expect((await purse.tryReserve({ usd: 9 })).ok).toBe(false);
  expect((await truth.verify()).ok).toBe(true);
});

test('what was released, abandoned or renamed while the store was away costs what it should', async () => {
  const { line, purse, truth } = await open();
  line.fate = () => 'refused';
  await (await purse.reserve({ usd: 1 })).release();
  {
    await using left = await purse.reserve({ usd: 2 });
    expect(left.untracked).toBe(true);
  }
  {
    await using kept = await purse.reserve({ usd: 3 }, {}, { ifAbandoned: 'charge' });
    await kept.extend(60_000);
  }
  const renamed = await (await purse.reserve({ usd: 4, slots: 1 })).rename('batch');
  expect([renamed.untracked, renamed.id]).toEqual([true, 'batch']);
  await renamed.settle();
  line.fate = () => 'arrives';
  await vi.waitFor(async () => expect(await charges(truth)).toHaveLength(2), { timeout: 10_000 });
  expect((await charges(truth)).map(({ amounts }) => amounts)).toEqual([{ usd: 3 }, { usd: 4 }]);
  expect(await balanceOf(truth, 'all')).toEqual({ spent: 7, held: 0, available: 3 });
});

test('a hold that the store took, and never answered for, is settled as that hold', async () => {
  const { line, purse, truth } = await open();
  line.fate = () => 'lost';
  const hold = await purse.reserve({ usd: 4 });
  const other = await purse.reserve({ usd: 5 });
  expect([hold.untracked, other.untracked]).toEqual([true, true]);
  await hold.settle({ usd: 1 });
  await other.release();
  line.fate = () => 'arrives';
  await vi.waitFor(async () => {
    expect(await balanceOf(truth, 'all')).toEqual({ spent: 1, held: 0, available: 9 });
  });
  expect(await charges(truth)).toMatchObject([{ id: hold.id, held: { usd: 4 }, late: false }]);
});

test('holds that the store knows are settled later too', async () => {
  const { line, purse, truth } = await open();
  const [settled, released] = [await purse.reserve({ usd: 4 }), await purse.reserve({ usd: 5 })];
  line.fate = () => 'refused';
  expect(await settled.settle({ usd: 2 })).toMatchObject({ amounts: { usd: 2 } });
  await released.release();
  expect(await balanceOf(truth, 'all')).toMatchObject({ spent: 0, held: 9 });
  line.fate = () => 'arrives';
  await vi.waitFor(async () => {
    expect(await balanceOf(truth, 'all')).toEqual({ spent: 2, held: 0, available: 8 });
  });
});

test('what the policy refuses it refuses without the store', async () => {
  const { line, purse } = await open();
  await purse.freeze({ agent: 'a' }, 'night');
  line.fate = () => 'refused';
  expect(await purse.tryReserve({ usd: 1 }, { agent: 'a' })).toMatchObject({
    ok: false,
    denial: { reason: 'frozen' },
  });
  expect(await purse.tryReserve({ tokens: 1 })).toMatchObject({
    ok: false,
    denial: { reason: 'uncovered' },
  });
  await expect(purse.reserve({ usd: -1 })).rejects.toMatchObject({ code: 'INVALID_AMOUNT' });
  const given = AbortSignal.abort(new Error('given up'));
  await expect(purse.reserve({ usd: 1 }, {}, { signal: given })).rejects.toThrow('given up');
});

test('a purse that is closed while its store is away says what is not recorded', async () => {
  const { line, purse, errors, warnings } = await open();
  line.fate = () => 'refused';
  await (await purse.reserve({ usd: 4 }, {}, { id: 'h' })).settle();
  await purse.close();
  expect(warnings).toEqual(['PURSE_STORE_UNREACHABLE', 'PURSE_SPEND_NOT_RECORDED']);
  expect(errors.at(-1)).toMatchObject({ message: expect.stringContaining('"h"') });
});

test('once a purse is closed, what it told of is never recorded after all', async () => {
  const { line, purse, truth } = await open({ operationTimeoutMs: 300, retryForMs: 50 });
  line.fate = () => 'refused';
  await (await purse.reserve({ usd: 4 }, {}, { id: 'h' })).settle();
  // A probe is on its way while the purse is closed, and ends afterwards.
  let hanging = 0;
  line.fate = () => (hanging++ === 0 ? 'hangs' : 'refused');
  await vi.waitFor(() => expect(hanging).toBe(1));
  await purse.close();
  line.fate = () => 'arrives';
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await charges(truth)).toEqual([]);
});

test('more than may wait is no outage: no limit is lifted for it', async () => {
  const { line, server, truth, warnings } = await open();
  const failOpen = new FailOpen(
    remoteStore(server, line),
    { operationTimeoutMs: 50, retryForMs: 100 },
    () => undefined,
  );
  const full = failOpen.recordOrOwe(
    'h',
    () => Promise.reject(new QueueFullError()),
    () => 'owed',
  );
  await expect(full).rejects.toMatchObject({ failure: 'overloaded', retryable: true });
  expect([failOpen.isDown, failOpen.owed, warnings]).toEqual([false, 0, []]);
  expect(await charges(truth)).toEqual([]);
});

test('a purse that is closed when its store is back records first', async () => {
  const { line, purse, truth } = await open();
  line.fate = () => 'refused';
  await (await purse.reserve({ usd: 4 }, {}, { id: 'h' })).settle();
  line.fate = () => 'arrives';
  await purse.close();
  expect(await charges(truth)).toMatchObject([{ id: 'h', amounts: { usd: 4 } }]);
});

test('a closed store, and a defect, are no outage', async () => {
  const { purse, line, server } = await open();
  line.fate = () => {
    throw new TypeError('a defect');
  };
  await expect(purse.reserve({ usd: 1 })).rejects.toThrow('a defect');
  line.fate = () => 'arrives';
  await server.close();
  await expect(purse.reserve({ usd: 1 })).rejects.toMatchObject({ failure: 'closed' });
});
