import { describe, expect, it } from 'vitest';

import { manualClock } from '../../src/testing/index.ts';
import { KINDS, makePurse, makeStore, openFile, tempFile } from './fixture.ts';

const LIMITS = [{ name: 'all', cap: { usd: 10 } }];

describe.each(KINDS)('the count of changes on %s', (kind) => {
  it('is another one after all that changes something, and the same after what does not', async () => {
    const clock = manualClock();
    const store = await makeStore(kind, { clock });
    const purse = await makePurse({ store, limits: LIMITS });
    let before = store.changeCount();
    const changes = async (work: () => Promise<unknown>): Promise<boolean> => {
      await work();
      const after = store.changeCount();
      const changed = after !== before;
      before = after;
      return changed;
    };
    expect(await changes(() => Array.fromAsync(purse.balances()))).toBe(false);
    expect(await changes(() => purse.check({ usd: 1 }))).toBe(false);
    expect(await changes(() => purse.verify())).toBe(false);
    expect(await changes(() => purse.charge({ usd: 1 }))).toBe(true);
    expect(await changes(() => purse.reserve({ usd: 1 }, {}, { ttlMs: 10 }))).toBe(true);
    clock.advance(20);
    expect(await changes(() => Array.fromAsync(purse.balances()))).toBe(true);
    expect(await changes(() => purse.freeze({ agent: 'a' }))).toBe(true);
    expect(await changes(() => Array.fromAsync(purse.journal()))).toBe(false);
  });
});

it('is another one after what another connection to the file has written', async () => {
  const path = await tempFile();
  const [mine, theirs] = [openFile(path), openFile(path)];
  await makePurse({ store: mine, limits: LIMITS });
  const purse = await makePurse({ store: theirs });
  const before = mine.changeCount();
  await purse.charge({ usd: 1 });
  const after = mine.changeCount();
  expect(after).not.toBe(before);
  expect(mine.changeCount()).toBe(after);
});
