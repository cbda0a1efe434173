import { describe, expect, it } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { charges, KINDS, makePurse, makeStore, openFile, tempFile } from './fixture.ts';

const UNITS = { steps: { decimals: 0 } };
const MOST = 2 ** 50;
const ODD = [
  '\0',
  'a\0b',
  '🎉',
  '\u{10FFFF}',
  '|',
  '}',
  '"\\',
  "'; DROP TABLE x; --",
  '__proto__',
  '',
];

describe.each(KINDS)('odd values on %s', (kind) => {
  it('keep envelopes apart whatever their labels are, and come back as they were', async () => {
    const store = await makeStore(kind);
    const limits = [{ name: 'agent', cap: { usd: 10 }, each: ['agent', 'task'] }];
    const purse = await makePurse({ store, limits });
    for (const agent of ODD)
      for (const task of ODD) await purse.reserve({ usd: 1 }, { agent, task });
    const balances = await Array.fromAsync(purse.balances());
    expect(balances).toHaveLength(ODD.length ** 2);
    expect(new Set(balances.map(({ held }) => held))).toEqual(new Set([1]));
    const pairs = balances.map(({ labels }) => JSON.stringify([labels['agent'], labels['task']]));
    expect(new Set(pairs).size).toBe(ODD.length ** 2);
    expect((await purse.verify()).ok).toBe(true);
  });

  it('keep ids, descriptions and label names whole', async () => {
    const store = await makeStore(kind);
    const purse = await makePurse({ store, limits: [{ name: 'all', cap: { usd: 1e6 } }] });
    const ids = [...ODD.filter((id) => id !== ''), '🎉'.repeat(128), 'i'.repeat(256)];
    for (const id of ids) {
      const labels = { ['n\0🎉']: id.slice(0, 100), __proto: 'x', ['10']: 'ten', ['9']: 'nine' };
      const hold = await purse.reserve({ usd: 1 }, labels, { id, description: `why ${id}` });
      expect((await purse.hold(id))?.labels).toEqual(labels);
      const charge = await hold.settle();
      expect(charge).toMatchObject({ id, labels, description: `why ${id}` });
      expect(await hold.settle()).toEqual({ ...charge, replayed: true });
    }
    expect((await charges(purse)).map(({ id }) => id)).toEqual(ids);
  });

  it('carry 32 labels of 1,024 characters', async () => {
    const store = await makeStore(kind);
    const purse = await makePurse({ store, limits: [{ name: 'all', cap: { usd: 10 } }] });
    const labels = Object.fromEntries(
      Array.from({ length: 32 }, (_, index) => [`label-${index}`, '🎉'.repeat(512)]),
    );
    await purse.charge({ usd: 1 }, labels);
    expect((await charges(purse))[0]?.labels).toEqual(labels);
    expect((await purse.report({ by: ['label-31'] })).rows[0]?.labels['label-31']).toHaveLength(
      1024,
    );
  });

  it('count the largest amounts to the step, and pin what would pass 2^53 - 1', async () => {
    const store = await makeStore(kind);
    const limits = [{ name: 'all', cap: { steps: Number.MAX_SAFE_INTEGER } }];
    const purse = await makePurse({ store, units: UNITS, limits });
    for (let count = 0; count < 7; count += 1) await purse.charge({ steps: MOST });
    const hold = await purse.reserve({ steps: MOST - 1 });
    expect((await purse.tryReserve({ steps: 1 })).ok).toBe(false);
    await hold.settle();
    const [full] = await Array.fromAsync(purse.balances());
    expect(full).toMatchObject({ spent: Number.MAX_SAFE_INTEGER, held: 0, available: 0 });
    expect((await purse.verify()).ok).toBe(true);

    expect(await purse.charge({ steps: 1 })).toMatchObject({
      overrun: true,
      amounts: { steps: 1 },
    });
    const { items } = await store.readBalances({});
    expect(items[0]).toMatchObject({ spent: Number.MAX_SAFE_INTEGER, saturated: true });
    expect((await purse.tryReserve({ steps: 1 })).ok).toBe(false);
    expect((await purse.verify()).ok).toBe(true);
  });
});

it('odd values are in the file as they were said', async () => {
  const path = await tempFile();
  const limits = [{ name: 'a\0🎉', cap: { steps: Number.MAX_SAFE_INTEGER }, each: ['agent'] }];
  const store = openFile(path);
  const purse = await openPurse({ store, units: UNITS, limits });
  const hold = await purse.reserve({ steps: MOST }, { agent: 'x\0y' }, { id: 'i\0d' });
  await purse.close();
  await store.close();
  const again = await makePurse({ store: openFile(path) });
  const [balance] = await Array.fromAsync(again.balances());
  expect(balance).toMatchObject({ limit: 'a\0🎉', held: MOST, labels: { agent: 'x\0y' } });
  expect((await again.hold(hold.id))?.amounts).toEqual({ steps: MOST });
});
