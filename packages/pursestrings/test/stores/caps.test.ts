import { describe, expect, it } from 'vitest';

import {
  balanceOf,
  balancesText,
  KINDS,
  makePurse,
  makeStore,
  openFile,
  tempFile,
} from './fixture.ts';

describe.each(KINDS)('caps on %s', (kind) => {
  it('admits exactly 10 of 500 parallel reserves of $1 on a cap of $10', async () => {
    const store = await makeStore(kind);
    const purse = await makePurse({ store, limits: [{ name: 'all', cap: { usd: 10 } }] });
    const asked = Array.from({ length: 500 }, () => purse.tryReserve({ usd: 1 }));
    const admitted = (await Promise.all(asked)).filter(({ ok }) => ok);
    expect(admitted).toHaveLength(10);
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 0, held: 10, available: 0 });
    expect((await purse.verify()).ok).toBe(true);
  });

  it.each([
    ['all', { project: 'p2', agent: 'a9' }],
    ['project', { project: 'p1', agent: 'a9' }],
    ['agent', { project: 'p3', agent: 'a1' }],
  ])('moves no line of three when %s is short', async (short, labels) => {
    const store = await makeStore(kind);
    const purse = await makePurse({
      store,
      limits: [
        { name: 'all', cap: { usd: short === 'all' ? 2 : 100, tokens: 1000 } },
        { name: 'project', cap: { usd: short === 'project' ? 2 : 100 }, each: ['project'] },
        { name: 'agent', cap: { usd: short === 'agent' ? 2 : 100 }, each: ['agent'] },
      ],
    });
    await purse.charge({ usd: 1.5 }, { project: 'p1', agent: 'a1' });
    const before = await balancesText(purse);
    const refused = await purse.tryReserve({ usd: 1, tokens: 5 }, labels);
    if (refused.ok) throw new Error('it was admitted');
    expect(refused.denials.map(({ limit }) => limit)).toEqual([short]);
    expect(refused.denial).toMatchObject({ unit: 'usd', spent: 1.5, requested: 1, available: 0.5 });
    expect(await balancesText(purse)).toBe(before);
    expect((await purse.tryReserve({ usd: 0.5, tokens: 5 }, labels)).ok).toBe(true);
    expect((await purse.verify()).ok).toBe(true);
  });

  it('shares one cap between ten labels and their total, in parallel', async () => {
    const store = await makeStore(kind);
    const purse = await makePurse({
      store,
      limits: [
        { name: 'all', cap: { usd: 25 } },
        { name: 'agent', cap: { usd: 4 }, each: ['agent'] },
      ],
    });
    const asked = Array.from({ length: 300 }, (_, index) =>
      purse.tryReserve({ usd: 1 }, { agent: `a${index % 10}` }),
    );
    expect((await Promise.all(asked)).filter(({ ok }) => ok)).toHaveLength(25);
    for await (const { held } of purse.balances({ limit: 'agent' })) {
      expect(held).toBeLessThanOrEqual(4);
    }
  });
});

it('admits exactly 10 of 500 between two connections to one file', async () => {
  const path = await tempFile();
  const limits = [{ name: 'all', cap: { usd: 10 } }];
  const purses = [
    await makePurse({ store: openFile(path), limits }),
    await makePurse({ store: openFile(path) }),
  ];
  const asked = Array.from({ length: 250 }, () =>
    purses.map((purse) => purse.tryReserve({ usd: 1 })),
  );
  expect((await Promise.all(asked.flat())).filter(({ ok }) => ok)).toHaveLength(10);
});
