import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  BudgetExceededError,
  ConflictError,
  type Limit,
  openPurse,
  type Purse,
  PurseError,
} from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { sqlite } from '../../src/stores/sqlite.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';

const ALL: Limit = { name: 'all', cap: { usd: 10, slots: 2 } };

function temporaryFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'purse-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return join(directory, 'purse.db');
}

async function spentAndHeld(purse: Purse): Promise<readonly [number, number]> {
  for await (const { unit, spent, held } of purse.balances())
    if (unit === 'usd') return [spent, held];
  throw new Error('no balance in usd');
}

test('run settles as held when the work settles nothing', async () => {
  const purse = await openPurse({ limits: [ALL] });
  expect(await purse.run({ usd: 2 }, {}, async () => 'done')).toBe('done');
  expect(await spentAndHeld(purse)).toEqual([2, 0]);
});

test('run leaves alone what the work settled, by its own hold or by another object', async () => {
  const purse = await openPurse({ limits: [ALL] });
  await purse.run({ usd: 2 }, {}, async (hold) => hold.settle({ usd: 0.5 }));
  await purse.run({ usd: 2 }, {}, async ({ id }) => (await purse.hold(id))?.settle({ usd: 0.25 }));
  await purse.run({ usd: 2 }, {}, async ({ id }) => (await purse.hold(id))?.release());
  await purse.run({ usd: 2 }, {}, async (hold) => {
    void hold.settle({ usd: 0.25 });
  });
  expect(await spentAndHeld(purse)).toEqual([1, 0]);
});

test('run records work that took longer than its hold', async () => {
  const clock = manualClock();
  const purse = await openPurse({ clock, limits: [ALL] });
  await purse.run({ usd: 2 }, {}, async () => clock.advance(5000), { ttlMs: 1000 });
  expect(await spentAndHeld(purse)).toEqual([2, 0]);
});

test.each([
  ['release', [0, 0]],
  ['charge', [2, 0]],
] as const)('a throw in run does what ifAbandoned says: %s', async (ifAbandoned, expected) => {
  const purse = await openPurse({ limits: [ALL] });
  const work = async (): Promise<never> => {
    throw new Error('the work failed');
  };
  await expect(purse.run({ usd: 2 }, {}, work, { ifAbandoned })).rejects.toThrow('the work failed');
  expect(await spentAndHeld(purse)).toEqual(expected);
});

test('run does work only once for an id whose hold is resolved', async () => {
  const purse = await openPurse({ limits: [ALL] });
  const work = vi.fn<() => Promise<void>>(async () => undefined);
  await purse.run({ usd: 2 }, {}, work, { id: 'job' });
  await expect(purse.run({ usd: 2 }, {}, work, { id: 'job' })).rejects.toThrow(ConflictError);
  expect(work).toHaveBeenCalledTimes(1);
});

test('a hold that goes out of scope is abandoned, one that is settled is not', async () => {
  const purse = await openPurse({ limits: [ALL] });
  {
    await using hold = await purse.reserve({ usd: 1 });
    expect(hold.resolved).toBe(false);
  }
  {
    await using hold = await purse.reserve({ usd: 2 }, {}, { ifAbandoned: 'charge' });
    expect(hold.replayed).toBe(false);
  }
  {
    await using hold = await purse.reserve({ usd: 4 });
    void hold.settle({ usd: 3 });
  }
  expect(await spentAndHeld(purse)).toEqual([5, 0]);
});

test('abandoning a hold on a store that has gone is announced and hides nothing', async () => {
  const store = memory();
  const purse = await openPurse({ store, limits: [ALL] });
  const errors: unknown[] = [];
  purse.on('error', (error) => errors.push(error));
  const work = async (): Promise<never> => {
    await store.close();
    throw new Error('the work failed');
  };
  await expect(purse.run({ usd: 2 }, {}, work)).rejects.toThrow('the work failed');
  expect(errors).toHaveLength(1);
});

test('a signal aborts when its labels are frozen, here or by another purse', async () => {
  const store = memory();
  const purse = await openPurse({ store, limits: [ALL] });
  const other = await openPurse({ store });
  const [mine, theirs, untouched] = await Promise.all(
    ['a', 'b', 'c'].map((agent) => purse.reserve({ usd: 1 }, { agent })),
  );
  const signals = [mine?.signal, theirs?.signal, untouched?.signal];
  await purse.freeze({ agent: 'a' });
  expect(signals.map((signal) => signal?.aborted)).toEqual([true, false, false]);
  await other.freeze({ agent: 'b' }, 'night');
  await vi.waitFor(() => expect(theirs?.signal.aborted).toBe(true), { timeout: 5000 });
  expect(BudgetExceededError.from(theirs?.signal.reason)?.denial.reason).toBe('frozen');
  expect(untouched?.signal.aborted).toBe(false);
  await theirs?.settle({ usd: 0.5 });
  expect(await spentAndHeld(purse)).toEqual([0.5, 2]);
});

test('a signal aborts when its hold expires, and not once the hold is settled', async () => {
  const clock = manualClock();
  const purse = await openPurse({ clock, limits: [ALL] });
  const [late, settled, extended] = await Promise.all(
    [1000, 1000, 1000].map((ttlMs) => purse.reserve({ usd: 1 }, {}, { ttlMs })),
  );
  const signals = [late, settled, extended].map((hold) => hold?.signal);
  await settled?.settle();
  await extended?.extend(60_000);
  clock.advance(1000);
  await vi.waitFor(() => expect(signals[0]?.aborted).toBe(true), { timeout: 5000 });
  expect(PurseError.isInstance(signals[0]?.reason)).toBe(true);
  expect(signals.map((signal) => signal?.aborted)).toEqual([true, false, false]);
});

test('a reserve whose caller gives up holds nothing', async () => {
  const purse = await openPurse({ store: `sqlite:${temporaryFile()}`, limits: [ALL] });
  const controller = new AbortController();
  // The first of a moment is asked at once; the one that comes with it waits, and is given up.
  const first = purse.charge({ usd: 0 });
  const reserve = purse.reserve({ usd: 1 }, {}, { signal: controller.signal });
  controller.abort(new Error('given up'));
  await first;
  await expect(reserve).rejects.toThrow('given up');
  await expect(purse.reserve({ usd: 1 }, {}, { signal: controller.signal })).rejects.toThrow(
    'given up',
  );
  expect(await spentAndHeld(purse)).toEqual([0, 0]);
});

test('giving up a repeated reserve leaves the hold to its first caller', async () => {
  const purse = await openPurse({ store: `sqlite:${temporaryFile()}`, limits: [ALL] });
  await purse.reserve({ usd: 1 }, {}, { id: 'h' });
  const controller = new AbortController();
  const first = purse.charge({ usd: 0 });
  const again = purse.reserve({ usd: 1 }, {}, { id: 'h', signal: controller.signal });
  controller.abort();
  await first;
  await expect(again).rejects.toThrow(/abort/i);
  expect(await spentAndHeld(purse)).toEqual([0, 1]);
});

test('a settle that cannot be kept harms nothing: the hold stays open', async () => {
  const purse = await openPurse({ limits: [ALL] });
  const labels = Object.fromEntries(Array.from({ length: 32 }, (_, n) => [`l${n}`, 'x']));
  const hold = await purse.reserve({ usd: 2 }, labels);
  await expect(hold.settle({ usd: 1 }, { labels: { more: 'x' } })).rejects.toMatchObject({
    code: 'INVALID_LABEL',
  });
  await expect(hold.settle({ usd: -1 })).rejects.toMatchObject({ code: 'INVALID_AMOUNT' });
  await expect(hold.settle({ bananas: 1 })).rejects.toMatchObject({ code: 'INVALID_AMOUNT' });
  await expect(hold.settle({}, { description: 'x'.repeat(5000) })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
  });
  await hold.settle({ usd: 1, slots: 1 });
  expect(await spentAndHeld(purse)).toEqual([1, 0]);
});

test('the truth about an abandoned hold is recorded long after the hold is forgotten', async () => {
  const clock = manualClock();
  const purse = await openPurse({ clock, limits: [ALL] });
  const hold = await purse.reserve({ usd: 2 }, {}, { id: 'h', ttlMs: 1000, ifAbandoned: 'charge' });
  clock.advance(1000);
  expect(await purse.hold('h')).toBeNull();
  clock.advance(8 * 86_400_000);
  await purse.charge({ usd: 0 });
  const correction = await hold.settle({ usd: 3 });
  expect(correction).toMatchObject({ amounts: { usd: 1 }, late: true, corrects: 'h' });
  expect(await hold.settle({ usd: 3 })).toMatchObject({ replayed: true });
  await expect(hold.settle({ usd: 4 })).rejects.toThrow(ConflictError);
  expect(await spentAndHeld(purse)).toEqual([3, 0]);
  expect(await purse.verify()).toMatchObject({ ok: true });
});

test('the time that a hold has left is told by the clock of the store', async () => {
  // An hour behind this process: by its own clock every hold here would have expired.
  const clock = manualClock(new Date(Date.now() - 3_600_000));
  const purse = await openPurse({ clock, limits: [ALL] });
  const hold = await purse.reserve({ usd: 2 }, {}, { ttlMs: 1000 });
  expect(hold.remainingMs()).toBe(1000);
  clock.advance(400);
  expect(hold.remainingMs()).toBe(600);
  await hold.extend(5000);
  expect(hold.remainingMs()).toBe(5000);
  clock.advance(6000);
  expect(hold.remainingMs()).toBe(0);
});

test('a failure that no caller can be told of is announced by the hold it is about', async () => {
  const purse = await openPurse({ limits: [ALL] });
  const errors: unknown[] = [];
  purse.on('error', (error) => errors.push(error));
  const hold = await purse.reserve({ usd: 2 });
  const failure = new Error('the answer could not be read');
  hold.failed(failure);
  expect(errors).toEqual([failure]);
  expect(hold.resolved).toBe(false);
});

test('a hold that was renamed is resolved, and its signal aborts no more', async () => {
  const clock = manualClock();
  const purse = await openPurse({ clock, limits: [ALL] });
  const hold = await purse.reserve({ usd: 2 }, { agent: 'a' }, { ttlMs: 1000 });
  const { signal } = hold;
  const renamed = await hold.rename('batch', { ttlMs: 60_000 });
  expect([hold.resolved, renamed.resolved, renamed.id]).toEqual([true, false, 'batch']);
  await hold.finish();
  await hold.abandon();
  expect(await spentAndHeld(purse)).toEqual([0, 2]);
  await purse.freeze({ agent: 'a' });
  expect([signal.aborted, renamed.signal.aborted]).toEqual([false, true]);
});

test('a rename that is refused leaves the hold to its caller', async () => {
  const purse = await openPurse({ limits: [ALL] });
  await purse.charge({ usd: 1 }, {}, { id: 'taken' });
  const work = purse.run({ usd: 2 }, {}, (hold) => hold.rename('taken'), { ifAbandoned: 'charge' });
  await expect(work).rejects.toMatchObject({ id: 'taken', recorded: { hold: null } });
  expect(await spentAndHeld(purse)).toEqual([3, 0]);
});

test.each([
  ['memory', () => memory()],
  ['SQLite', () => sqlite(temporaryFile(), { durability: 'normal' })],
] as const)('open holds are listed whole while they are settled: %s', async (_, makeStore) => {
  const store = makeStore();
  onTestFinished(() => store.close());
  const purse = await openPurse({ store, limits: [{ name: 'all', cap: { usd: 10_000 } }] });
  const ids = Array.from({ length: 1500 }, (_, number) => `h${String(number).padStart(4, '0')}`);
  await Promise.all(ids.map((id) => purse.reserve({ usd: 1 }, { parity: evenOrOdd(id) }, { id })));
  const listed: string[] = [];
  for await (const hold of purse.holds({ labels: { parity: 'odd' } })) {
    listed.push(hold.id);
    await hold.settle({ usd: 0.5 });
  }
  expect(listed).toEqual(ids.filter((id) => evenOrOdd(id) === 'odd'));
  expect(await Array.fromAsync(purse.holds({ labels: { parity: 'odd' } }))).toEqual([]);
  expect(await spentAndHeld(purse)).toEqual([375, 750]);
});

function evenOrOdd(id: string): string {
  return Number(id.at(-1)) % 2 === 0 ? 'even' : 'odd';
}

test('a listing of holds refuses labels that cannot be, and a purse that is closed', async () => {
  const purse = await openPurse({ limits: [ALL] });
  const badLabels = { agent: 1 } as unknown as Record<string, string>;
  await expect(Array.fromAsync(purse.holds({ labels: badLabels }))).rejects.toMatchObject({
    code: 'INVALID_LABEL',
  });
  await purse.close();
  await expect(Array.fromAsync(purse.holds())).rejects.toMatchObject({ failure: 'closed' });
});

test('a hold keeps its description, also under another id', async () => {
  const purse = await openPurse({ limits: [ALL] });
  const hold = await purse.reserve({ usd: 1 }, {}, { description: 'the nightly batch' });
  expect(hold.description).toBe('the nightly batch');
  expect((await hold.rename('batch')).description).toBe('the nightly batch');
  expect((await purse.hold('batch'))?.description).toBe('the nightly batch');
  expect((await purse.reserve({ usd: 1 })).description).toBeUndefined();
});

test.each([
  ['memory', () => memory()],
  ['sqlite', () => sqlite(temporaryFile(), { durability: 'normal' })],
] as const)('open holds are listed by how their ids begin: %s', async (_, makeStore) => {
  const store = makeStore();
  onTestFinished(() => store.close());
  const purse = await openPurse({ store, limits: [{ name: 'all', cap: { usd: 9 } }] });
  for (const id of ['a', 'pay', 'pay:1', 'pay:2', 'paz', 'p', 'PAY:1']) {
    await purse.reserve({ usd: 1 }, { odd: id.endsWith('1') ? 'yes' : 'no' }, { id });
  }
  const ids = (query: { idPrefix: string; labels?: Record<string, string> }) =>
    Array.fromAsync(purse.holds(query), ({ id }) => id);
  expect(await ids({ idPrefix: 'pay' })).toEqual(['pay', 'pay:1', 'pay:2']);
  expect(await ids({ idPrefix: 'pay:', labels: { odd: 'yes' } })).toEqual(['pay:1']);
  expect(await ids({ idPrefix: 'pb' })).toEqual([]);
  await expect(ids({ idPrefix: '' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});
