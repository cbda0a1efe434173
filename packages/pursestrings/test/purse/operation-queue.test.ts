import { expect, test, vi } from 'vitest';
import { StoreError } from '../../src/index.ts';
import type { Answer, Operation } from '../../src/ledger/records.ts';
import { MAX_PENDING, OperationQueue } from '../../src/operation-queue.ts';
import type { LedgerStore } from '../../src/stores/store.ts';

const release = (id: string): Operation => ({ kind: 'release', id });
const rename = (id: string, newId: string): Operation => ({
  kind: 'rename',
  id,
  newId,
  ttlMs: null,
});

/** Hands operations over in one turn, and tells which of them the store was given together. */
async function batchesOf(operations: readonly Operation[]): Promise<string[][]> {
  const batches: string[][] = [];
  const apply: LedgerStore['apply'] = async (batch) => {
    batches.push(batch.map((one) => (one.kind === 'rename' ? `${one.id}>${one.newId}` : one.id)));
    const answers = batch.map((): Answer => ({ kind: 'unknown_hold' }));
    return { answers, expiries: [], nowMs: 0 };
  };
  // Nothing but `apply` is asked of a store that is not inside the process.
  const queue = new OperationQueue({ apply } as LedgerStore, () => undefined);
  await Promise.all(operations.map(async (operation) => queue.submit(operation)));
  return batches;
}

test('operations of one turn are one batch', async () => {
  expect(await batchesOf(['a', 'b', 'c'].map(release))).toEqual([['a', 'b', 'c']]);
});

test('operations on one id never share a batch, and keep their order', async () => {
  const ids = ['a', 'b', 'a', 'c', 'a'];
  expect(await batchesOf(ids.map(release))).toEqual([['a', 'b', 'c'], ['a'], ['a']]);
});

test('a rename shares a batch with no operation on either of its ids', async () => {
  expect(await batchesOf([release('a'), rename('a', 'n'), release('n')])).toEqual([
    ['a'],
    ['a>n'],
    ['n'],
  ]);
  expect(await batchesOf([release('n'), release('b'), rename('a', 'n'), release('a')])).toEqual([
    ['n', 'b'],
    ['a>n'],
    ['a'],
  ]);
  expect(await batchesOf([rename('a', 'n'), rename('b', 'n'), rename('n', 'm')])).toEqual([
    ['a>n'],
    ['b>n'],
    ['n>m'],
  ]);
  expect(await batchesOf([rename('a', 'n'), rename('b', 'm')])).toEqual([['a>n', 'b>m']]);
});

/** A store that keeps every batch until it is told to answer, or to fail. */
class Waiting {
  readonly batches: { readonly ids: string[]; answer: () => void; fail: () => void }[] = [];
  readonly queue: OperationQueue;

  constructor(batches: NonNullable<LedgerStore['batches']>) {
    const apply: LedgerStore['apply'] = (operations) =>
      new Promise((resolve, reject) => {
        const answers = operations.map((): Answer => ({ kind: 'unknown_hold' }));
        this.batches.push({
          ids: operations.map(({ id }) => id),
          answer: () => resolve({ answers, expiries: [], nowMs: 0 }),
          fail: () => reject(new StoreError('OUTCOME_UNKNOWN', 'unreachable', 'lost')),
        });
      });
    this.queue = new OperationQueue({ apply, batches } as LedgerStore, () => undefined);
  }

  async ids(count: number): Promise<readonly string[][]> {
    await vi.waitUntil(() => this.batches.length === count);
    return this.batches.map(({ ids }) => ids);
  }
}

test('a store says how large its batches are, and how many wait at a time', async () => {
  const store = new Waiting({ size: 2, inFlight: 2 });
  const work = ['a', 'b', 'c', 'd', 'e'].map(async (id) => store.queue.submit(release(id)));
  expect(await store.ids(2)).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ]);
  expect(store.queue.pending).toBe(5);
  store.batches[1]?.answer();
  expect((await store.ids(3))[2]).toEqual(['e']);
  store.batches[0]?.answer();
  store.batches[2]?.answer();
  expect(await Promise.all(work)).toHaveLength(5);
  expect(store.queue.pending).toBe(0);
});

test('operations on one id keep their order across batches in flight, and when one is lost', async () => {
  const store = new Waiting({ size: 2, inFlight: 4 });
  const done: string[] = [];
  const submit = async (operation: Operation, name: string): Promise<void> => {
    await store.queue.submit(operation);
    done.push(name);
  };
  const work = [
    submit(release('a'), 'a1'),
    submit(release('b'), 'b1'),
    submit(release('a'), 'a2'),
    submit(rename('b', 'a'), 'b2'),
    submit(release('c'), 'c1'),
  ];
  expect(await store.ids(2)).toEqual([['a', 'b'], ['c']]);
  store.batches[0]?.fail();
  store.batches[1]?.answer();
  expect((await store.ids(3))[2]).toEqual(['a', 'b']);
  store.batches[2]?.answer();
  expect((await store.ids(4))[3]).toEqual(['a']);
  store.batches[3]?.answer();
  expect((await store.ids(5))[4]).toEqual(['b']);
  store.batches[4]?.answer();
  await Promise.all(work);
  expect(done).toEqual(['c1', 'a1', 'b1', 'a2', 'b2']);
});

test('an id that was fresh is looked up when its operation is asked again', async () => {
  const asked: boolean[] = [];
  const apply: LedgerStore['apply'] = async ([operation]) => {
    asked.push(operation?.kind === 'charge' && operation.fresh);
    if (asked.length === 1) throw new StoreError('OUTCOME_UNKNOWN', 'unreachable', 'lost');
    return { answers: [{ kind: 'unknown_hold' }], expiries: [], nowMs: 0 };
  };
  const queue = new OperationQueue({ apply } as LedgerStore, () => undefined);
  const labels = { labels: {}, key: '{}' };
  const charge = {
    kind: 'charge',
    id: 'a',
    fresh: true,
    amounts: [],
    labels,
    late: false,
  } as const;
  await queue.submit({ ...charge, description: undefined, lines: [], revision: 0 });
  expect(asked).toEqual([true, false]);
});

test('more operations than can wait are refused, and the others are answered', async () => {
  const store = new Waiting({ size: MAX_PENDING, inFlight: 1 });
  const work = Array.from({ length: MAX_PENDING }, async (_, n) =>
    store.queue.submit(release(`${n}`)),
  );
  expect(() => store.queue.submit(release('one more'))).toThrow(
    expect.objectContaining({ code: 'STORE_UNAVAILABLE', failure: 'overloaded', retryable: true }),
  );
  await store.ids(1);
  store.batches[0]?.answer();
  expect(await Promise.all(work)).toHaveLength(MAX_PENDING);
  await store.queue.drain();
});
