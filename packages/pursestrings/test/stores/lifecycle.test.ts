import { describe, expect, it } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { balanceOf, KINDS, makePurse, makeStore } from './fixture.ts';

const LIMITS = [{ name: 'all', cap: { usd: 1e6 } }];

describe.each(KINDS)('the life of a purse on %s', (kind) => {
  it('is told by its health', async () => {
    const purse = await makePurse({ store: await makeStore(kind), limits: LIMITS });
    const health = await purse.health();
    expect(health).toMatchObject({ ok: true, store: kind, pending: 0 });
    expect(Math.abs(health.clockOffsetMs)).toBeLessThan(1000);
  });

  it('ends when everything under way has its answer', async () => {
    const store = await makeStore(kind);
    const purse = await openPurse({ store, limits: LIMITS });
    const work = Array.from({ length: 3000 }, () => purse.charge({ usd: 1 }));
    await purse.close();
    // Each has been recorded by now: nothing more is written after a purse is closed.
    const after = await makePurse({ store });
    expect((await balanceOf(after, 'all')).spent).toBe(3000);
    expect((await Promise.allSettled(work)).filter(({ status }) => status === 'rejected')).toEqual(
      [],
    );
    const closed = { failure: 'closed' };
    await expect(purse.charge({ usd: 1 })).rejects.toMatchObject(closed);
    await expect(purse.reserve({ usd: 1 })).rejects.toMatchObject(closed);
    await expect(purse.verify()).rejects.toMatchObject(closed);
    await expect(purse.setLimit({ name: 'x', cap: { usd: 1 } })).rejects.toMatchObject(closed);
    expect((await purse.health()).ok).toBe(false);
    await purse.close();
  });
});
