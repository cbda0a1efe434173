import { expect, test } from 'vitest';
import type { Answer, Operation } from '../../src/ledger/records.ts';
import { OperationQueue } from '../../src/operation-queue.ts';
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
