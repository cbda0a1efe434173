import { describe, expect, test } from 'vitest';
import { exportLedger, importLedger, openPurse, type Purse } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import type { LedgerStore } from '../../src/stores/store.ts';
import {
  CommandRunner,
  manualClock,
  MODEL_LIMITS,
  randomCommand,
  seededDraw,
} from '../../src/testing/index.ts';
import { Line, remoteStore } from '../purse/remote-store.ts';
import { balanceOf, charges, KINDS, type Kind, makePurse, makeStore } from '../stores/fixture.ts';

const LIMITS = [
  { name: 'all', cap: { usd: 10, tokens: Number.MAX_SAFE_INTEGER } },
  { name: 'agent', cap: { usd: 5 }, per: 'day', each: ['agent'], warnAt: [0.1] },
] as const;

const ROUTES = KINDS.flatMap((from) => KINDS.map((to): [Kind, Kind] => [from, to]));

/** What can be seen of a ledger from outside. */
async function seen(store: LedgerStore): Promise<unknown> {
  const purse = await openPurse({ store });
  const until = new Date(Date.UTC(2100, 0));
  const view = {
    limits: await purse.limits(),
    freezes: (await purse.freezes()).filter(({ reason }) => !reason?.startsWith('exported')),
    // Each store lists them in an order of its own.
    balances: (await Array.fromAsync(purse.balances()))
      .map((one) => JSON.stringify(one))
      .toSorted(),
    journal: await Array.fromAsync(purse.journal()),
    report: await purse.report({ by: ['agent', 'task'], until }),
    ok: (await purse.verify()).ok,
  };
  await purse.close();
  return view;
}

async function exported(store: LedgerStore): Promise<string[]> {
  return Array.fromAsync(exportLedger(store));
}

/** The lines of the journal, without the numbers of envelopes, which each export gives anew. */
function journalLines(lines: readonly string[]): string[] {
  return lines
    .filter((line) => line.includes('"kind":"charge"'))
    .map((line) => line.replace(/"envelopes":\[[^\]]*\]/, ''));
}

/** A ledger after hundreds of random commands, with its holds resolved. */
async function busyLedger(kind: Kind, seed: number): Promise<LedgerStore> {
  const clock = manualClock('2026-06-15T12:00:00Z');
  const store = await makeStore(kind, { clock });
  const purse = await openPurse({ store, limits: MODEL_LIMITS });
  const [draw, runner] = [seededDraw(seed), new CommandRunner(purse, clock)];
  for (let count = 0; count < 400; count += 1) await runner.run(randomCommand(draw));
  clock.advance(3_600_000);
  await purse.close();
  return store;
}

describe.each(ROUTES)('from %s to %s', (from, to) => {
  test.each([1, 2, 3])(
    'a busy ledger is the same there, and back again (seed %i)',
    async (seed) => {
      const source = await busyLedger(from, seed);
      const clock = manualClock('2026-06-20T12:00:00Z');
      const target = (await makeStore(to, { clock })).forLedger('copy');
      const before = await seen(source);
      const lines = await exported(source);
      const imported = await importLedger(target, lines);
      expect(imported).toMatchObject({ ledger: 'copy', charges: journalLines(lines).length });
      const after = await seen(target);
      // Windows of the hour and the day are others by the other clock.
      expect(pick(after, 'journal', 'report', 'limits', 'freezes', 'ok')).toEqual(
        pick(before, 'journal', 'report', 'limits', 'freezes', 'ok'),
      );
      const again = await exported(target);
      expect(journalLines(again)).toEqual(journalLines(lines));
      const back = await makeStore(from, { clock });
      await importLedger(back, again);
      expect(await seen(back)).toEqual(after);
    },
  );
});

function pick(view: unknown, ...names: readonly string[]): unknown {
  const fields = view as Readonly<Record<string, unknown>>;
  return Object.fromEntries(names.map((name) => [name, fields[name]]));
}

interface Spent {
  readonly store: LedgerStore;
  readonly purse: Purse;
}

/** A ledger in memory with a few charges, among them what is hard to write. */
async function spent(): Promise<Spent> {
  const store = memory();
  const purse = await makePurse({ store, limits: LIMITS });
  const odd = { agent: 'a\u2028b', 'x"\\y': '\u2029', __proto__x: '😀' };
  await purse.charge({ usd: '0.00000001', tokens: 2 ** 50 }, odd, { description: 'line\nend' });
  for (let count = 0; count < 9; count += 1) await purse.charge({ tokens: 2 ** 50 });
  const hold = await purse.reserve({ usd: 3 }, { agent: 'a' }, { id: 'h' });
  await hold.settle({ usd: 2.5 });
  return { store, purse };
}

test('amounts, labels and saturation are carried exactly', async () => {
  const { store } = await spent();
  const lines = await exported(store);
  expect(lines.every((line) => !/[\n\r\u2028\u2029]/.test(line))).toBe(true);
  const target = memory();
  await importLedger(target, lines);
  expect(await seen(target)).toEqual(await seen(store));
  const copy = await makePurse({ store: target });
  const [first] = await charges(copy);
  expect(first?.labels).toEqual({ agent: 'a\u2028b', 'x"\\y': '\u2029', __proto__x: '😀' });
  expect(await copy.reserve({ usd: 3 }, { agent: 'a' }, { id: 'h' })).toMatchObject({
    replayed: true,
    resolved: true,
  });
  expect((await copy.tryReserve({ tokens: 1 })).ok).toBe(false);
});

describe('an export', () => {
  test('freezes the ledger it has read, and that freeze does not go with it', async () => {
    const { store, purse } = await spent();
    await purse.freeze({ agent: 'z' }, 'theirs');
    const lines = await exported(store);
    expect(await purse.tryReserve({ usd: 1 })).toMatchObject({ denial: { reason: 'frozen' } });
    expect((await purse.freezes()).map(({ where }) => where)).toEqual([{ agent: 'z' }, {}]);
    const target = memory();
    await importLedger(target, lines);
    const copy = await makePurse({ store: target });
    expect(await copy.freezes()).toEqual([{ where: { agent: 'z' }, reason: 'theirs' }]);
    expect((await copy.tryReserve({ usd: 1 })).ok).toBe(true);
    // A second export of what has moved says the same.
    expect(journalLines(await exported(store))).toEqual(journalLines(lines));
    expect(await purse.freezes()).toHaveLength(2);
  });

  test('leaves a freeze of everything as it is, and takes it along', async () => {
    const { store, purse } = await spent();
    await purse.freeze({}, 'night');
    const target = memory();
    await importLedger(target, exportLedger(store));
    const copy = await makePurse({ store: target });
    expect(await copy.freezes()).toEqual([{ where: {}, reason: 'night' }]);
    expect(await purse.freezes()).toEqual([{ where: {}, reason: 'night' }]);
  });

  test('refuses while holds are open, and changes nothing then', async () => {
    const { store, purse } = await spent();
    const hold = await purse.reserve({ usd: 1 }, {}, { id: 'open' });
    await expect(exported(store)).rejects.toMatchObject({ code: 'OPEN_HOLDS' });
    await expect(exported(store)).rejects.toThrow('"open"');
    expect(await purse.freezes()).toEqual([]);
    await hold.release();
    expect(await exported(store)).not.toEqual([]);
  });

  test('that is broken off lifts its freeze', async () => {
    const { store, purse } = await spent();
    for await (const _ of exportLedger(store)) break;
    expect(await purse.freezes()).toEqual([]);
    expect((await purse.tryReserve({ usd: 1 })).ok).toBe(true);
  });

  test('during which something was charged fails, and lifts its freeze', async () => {
    const { store, purse } = await spent();
    const lines = exportLedger(store);
    await lines.next();
    await lines.next();
    await purse.charge({ usd: 1 }, {}, { id: 'meanwhile' });
    await expect(Array.fromAsync(lines)).rejects.toMatchObject({
      code: 'LEDGER_CHANGED',
      message: expect.stringContaining('"meanwhile"'),
    });
    expect(await purse.freezes()).toEqual([]);
  });
});

describe('an export', () => {
  test.each([
    ['a limit', (purse: Purse) => purse.setLimit({ name: 'late', cap: { usd: 1 } })],
    ['a thaw', (purse: Purse) => purse.unfreeze({})],
  ])('during which the policy was changed fails: %s', async (_, change) => {
    const { store, purse } = await spent();
    const lines = exportLedger(store);
    await lines.next();
    await change(purse);
    await expect(Array.fromAsync(lines)).rejects.toMatchObject({ code: 'LEDGER_CHANGED' });
    expect(await purse.freezes()).toEqual([]);
  });
});

describe('an import', () => {
  test('of lines that can be read twice writes nothing unless they are sound', async () => {
    const { store } = await spent();
    const lines = await exported(store);
    const target = memory();
    const at = lines.findIndex((line) => line.includes('"kind":"charge"'));
    for (const damaged of [[], lines.slice(0, -1), lines.toSpliced(at, 1), lines.with(at, '{')]) {
      await expect(importLedger(target, () => damaged)).rejects.toMatchObject({
        code: 'INVALID_EXPORT',
      });
      expect((await target.readPolicy()).revision).toBe(0);
      expect(await Array.fromAsync(target.readLedger('whole'))).toEqual([]);
    }
    await importLedger(target, () => lines);
    expect(await seen(target)).toEqual(await seen(store));
  });

  test('refuses a ledger of which only a resolved hold is left', async () => {
    const lines = await exported((await spent()).store);
    const target = memory();
    const purse = await openPurse({ store: target, uncovered: 'allow' });
    await (await purse.reserve({ usd: 1 })).release();
    await expect(importLedger(target, lines)).rejects.toMatchObject({ code: 'LEDGER_NOT_EMPTY' });
  });

  test('refuses a ledger that was used before', async () => {
    const lines = await exported((await spent()).store);
    const inUse = { code: 'LEDGER_NOT_EMPTY' };
    const limited = memory();
    await openPurse({ store: limited, limits: LIMITS });
    await expect(importLedger(limited, lines)).rejects.toMatchObject(inUse);
    const charged = memory();
    await (await openPurse({ store: charged })).charge({ usd: 1 });
    await expect(importLedger(charged, lines)).rejects.toMatchObject(inUse);
    const twice = memory();
    await importLedger(twice, lines);
    await expect(importLedger(twice, lines)).rejects.toMatchObject(inUse);
  });

  test('that breaks off is gone on with by the same export, and by no other', async () => {
    const { store } = await spent();
    const [lines, others] = [await exported(store), await exported((await spent()).store)];
    const target = memory();
    for (let length = 1; length < lines.length; length += 3) {
      await expect(importLedger(target, lines.slice(0, length))).rejects.toMatchObject({
        code: 'INVALID_EXPORT',
      });
      const early = await openPurse({ store: target });
      expect(await early.tryReserve({ usd: 1 })).toMatchObject({ denial: { reason: 'frozen' } });
    }
    await expect(importLedger(target, others)).rejects.toMatchObject({ code: 'LEDGER_NOT_EMPTY' });
    await importLedger(target, lines);
    expect(await seen(target)).toEqual(await seen(store));
  });

  test('finds every line that is missing, changed, or out of place', async () => {
    const { store } = await spent();
    const lines = await exported(store);
    const at = lines.findIndex((line) => line.includes('"kind":"charge"'));
    const without = (index: number): string[] => lines.toSpliced(index, 1);
    const changed = (index: number, from: RegExp, to: string): string[] =>
      lines.with(index, (lines[index] ?? '').replace(from, to));
    const damaged: readonly (readonly string[])[] = [
      [],
      ...lines.map((_, index) => without(index)),
      changed(0, /"version":1/, '"version":2'),
      changed(0, /"cap":\{"usd":10/, '"cap":{"usd":-10'),
      changed(at, /"usd":1/, '"usd":2'),
      changed(at, /"tokens":\d+/, '"tokens":1e300'),
      changed(at, /"envelopes":\[/, '"envelopes":[99,'),
      changed(at, /"agent"/, '"Agent"'),
      changed(1, /"spent":\d+/, '"spent":0'),
      changed(lines.length - 1, /"charges":\d+/, '"charges":0'),
      lines.with(at, '{'),
      lines.with(at, '[]'),
      lines.with(at, '{"kind":"odd"}'),
      [...lines, lines[at] ?? ''],
      lines.with(at, lines[at + 1] ?? '').with(at + 1, lines[at] ?? ''),
    ];
    for (const [index, some] of damaged.entries()) {
      const code = /INVALID_(EXPORT|LIMIT)/;
      const target = memory();
      const work = importLedger(target, some);
      await expect(work, `no. ${index}`).rejects.toMatchObject({
        code: expect.stringMatching(code),
      });
      const after = await openPurse({ store: target, uncovered: 'allow' });
      const frozen = (await after.freezes()).length > 0;
      expect(frozen || (await target.readPolicy()).revision === 0, `no. ${index}`).toBe(true);
    }
  });

  test('finds what was charged into it meanwhile', async () => {
    const lines = await exported((await spent()).store);
    const target = memory();
    const meddled = (async function* meddle() {
      for (const [index, line] of lines.entries()) {
        if (index === 3) await (await openPurse({ store: target })).charge({ usd: 1 });
        yield line;
      }
    })();
    await expect(importLedger(target, meddled)).rejects.toMatchObject({ code: 'IMPORT_FAILED' });
  });

  test('of a ledger that does not add up says so', async () => {
    const { store } = await spent();
    const { revision } = await store.readPolicy();
    for await (const record of store.readLedger()) {
      if (record.kind !== 'envelope' || record.envelope.unit !== 'usd') continue;
      const wrong = { ...record.envelope, spent: record.envelope.spent + 1 };
      await store.writeLedger([{ kind: 'envelope', envelope: wrong }], revision);
    }
    const work = importLedger(memory(), exportLedger(store));
    await expect(work).rejects.toMatchObject({ code: 'IMPORT_FAILED' });
    await expect(work).rejects.toThrow('purse verify');
  });

  test('tells how far it has come', async () => {
    const { store, purse } = await spent();
    await Promise.all(Array.from({ length: 1200 }, () => purse.charge({ usd: '0.00000001' })));
    const written: number[] = [];
    const onProgress = (count: number): unknown => written.push(count);
    const { charges: count } = await importLedger(memory(), exportLedger(store), { onProgress });
    expect(count).toBe(1211);
    expect(written.length).toBeGreaterThan(2);
    expect(written).toEqual(written.toSorted((a, b) => a - b));
  });
});

test('a ledger is moved over a line that loses askings and answers', async () => {
  const { store, purse } = await spent();
  await Promise.all(Array.from({ length: 2500 }, () => purse.charge({ usd: '0.00000001' })));
  const line = new Line();
  const server = memory();
  const draw = seededDraw(1);
  const fates = ['refused', 'lost', 'cut'] as const;
  line.fate = () => (draw(100) < 40 ? (fates[draw(3)] ?? 'lost') : 'arrives');
  const far = remoteStore(server, line);
  const lines = await exported(store);
  await importLedger(far, lines);
  line.fate = () => 'arrives';
  expect(await seen(server)).toEqual(await seen(store));
});

test('what was to be written arrives late, and harms nothing', async () => {
  const { store } = await spent();
  const line = new Line();
  const server = memory();
  const writing = remoteStore(server, line);
  const late: (() => Promise<boolean>)[] = [];
  const far: LedgerStore = {
    ...writing,
    writeLedger: (records, revision) => {
      late.push(() => server.writeLedger(records, revision));
      return writing.writeLedger(records, revision);
    },
  };
  await importLedger(far, exportLedger(store));
  const copy = await makePurse({ store: server });
  await copy.charge({ usd: 1 });
  expect(await Promise.all(late.map((write) => write()))).toEqual(late.map(() => false));
  expect((await balanceOf(copy, 'all')).spent).toBe(3.50000001);
  expect((await copy.verify()).ok).toBe(true);
});
