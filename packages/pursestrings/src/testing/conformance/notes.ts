import assert from 'node:assert/strict';
import type { LedgerStore } from '../../stores/store.ts';
import { all, type Bench, type ConformanceCase, conformanceCase } from './case.ts';

const ALL = { name: 'all', cap: { usd: 10 } };
const DAY_MS = 86_400_000;

/** Keys that a store which builds something of them could take for others, or for its own. */
const KEYS: readonly string[] = [
  'a',
  'A',
  'ab',
  'a:b',
  'a%3Ab',
  'a/b',
  'a b',
  'a\nb',
  'a{b}',
  '}:meta',
  '__proto__',
  'meta',
  '*',
  '%',
  "o'neil \\' --",
  '"quoted"',
  'nul\u0000',
  '\u0001\u0002\u001F',
  'é',
  'e\u0301',
  '\u{1F4B0}',
  '€'.repeat(256),
  'x'.repeat(256),
];

const TEXTS: readonly string[] = [
  '',
  '0',
  'null',
  '17\n18\n',
  ' spaces ',
  "o'neil \\' $1 %s \\u0041",
  '{"json":[1,2,"\\n"]}',
  'nul \u0000 and \u0001 \u0002 \u001F \u007F',
  '\uFEFFé€\u{1F4B0}\uFFFD\u2028',
  '\u{1F4B0}'.repeat(32_768),
  'x'.repeat(65_536),
];

/** Notes that are kept beside a ledger until a time. */
export const NOTE_CASES: readonly ConformanceCase[] = [
  conformanceCase(
    'a note is read by all until its time, and then by none',
    [ALL],
    async ({ purse, open, store, clock }) => {
      const other = await open();
      assert.equal(await purse.readNote('k'), null);
      await store.writeNote('k', 'one', clock.now() + 1000);
      assert.equal(await other.readNote('k'), 'one');
      clock.advance(999);
      assert.equal(await other.readNote('k'), 'one');
      clock.advance(1);
      assert.equal(await other.readNote('k'), null);
      await other.writeNote('k', 'two', { ttlMs: 400 * DAY_MS });
      assert.equal(await purse.readNote('k'), 'two');
      clock.advance(399 * DAY_MS);
      assert.equal(await purse.readNote('k'), 'two');
      await purse.writeNote('k', null);
      assert.equal(await other.readNote('k'), null);
    },
  ),

  conformanceCase(
    'a note takes the place of the one before it, with its time',
    [ALL],
    async ({ store, clock }) => {
      const now = clock.now();
      await store.writeNote('k', 'long', now + 5000);
      await store.writeNote('k', 'short', now + 1000);
      await store.writeNote('k', 'short', now + 1000);
      clock.advance(1000);
      assert.equal(await store.readNote('k'), null);
      await store.writeNote('k', 'short', clock.now() + 1000);
      await store.writeNote('k', 'long', clock.now() + 5000);
      clock.advance(4000);
      assert.equal(await store.readNote('k'), 'long');
      await store.writeNote('k', 'late', clock.now());
      assert.equal(await store.readNote('k'), null);
      await store.writeNote('k', null, clock.now() + 5000);
      await store.writeNote('none', null, 0);
      assert.deepEqual([await store.readNote('k'), await store.readNote('none')], [null, null]);
    },
  ),

  conformanceCase('no key of a note reaches another one', [ALL], async ({ store, clock }) => {
    const expiresAtMs = clock.now() + 1000;
    for (const key of KEYS) await store.writeNote(key, `of ${key}`, expiresAtMs);
    const read = await Promise.all(KEYS.map((key) => store.readNote(key)));
    assert.deepEqual(
      read,
      KEYS.map((key) => `of ${key}`),
    );
    await store.writeNote('a', null, expiresAtMs);
    assert.deepEqual([await store.readNote('a'), await store.readNote('A')], [null, 'of A']);
    assert.deepEqual(await store.forLedger('other').readNote('A'), null);
    await store.forLedger('other').writeNote('A', 'another', expiresAtMs);
    assert.equal(await store.readNote('A'), 'of A');
  }),

  conformanceCase('every text of a note comes back as it was', [ALL], async ({ store, clock }) => {
    const expiresAtMs = clock.now() + 1000;
    await Promise.all(TEXTS.map((text, index) => store.writeNote(`${index}`, text, expiresAtMs)));
    const read = await Promise.all(TEXTS.map((_, index) => store.readNote(`${index}`)));
    assert.deepEqual(read, TEXTS);
  }),

  conformanceCase(
    'notes that are written at once are each kept whole',
    [ALL],
    async ({ purse, store, clock }) => {
      const expiresAtMs = clock.now() + 1000;
      const texts = Array.from({ length: 40 }, (_, index) => String(index).repeat(100));
      const spends = texts.map(() => purse.charge({ usd: 0.125 }));
      await Promise.all([
        ...texts.map((text, index) => store.writeNote(`k${index}`, text, expiresAtMs)),
        ...texts.map((text) => store.writeNote('shared', text, expiresAtMs)),
      ]);
      const read = await Promise.all(texts.map((_, index) => store.readNote(`k${index}`)));
      assert.deepEqual(read, texts);
      assert.ok(texts.includes((await store.readNote('shared')) ?? ''));
      await Promise.all(spends);
      assert.deepEqual((await purse.report()).total, { usd: 5 });
    },
  ),

  conformanceCase('notes are no part of the ledger', [ALL], async (bench) => {
    const { purse, store, clock } = bench;
    await purse.charge({ usd: 1 }, { agent: 'a' }, { id: 'c' });
    const hold = await purse.reserve({ usd: 2 }, {}, { id: 'h' });
    const before = await seen(bench, store);
    await store.writeNote('h', 'a note', clock.now() + 60_000);
    await store.writeNote('c', 'another', clock.now() + 60_000);
    assert.deepEqual(await seen(bench, store), before);
    await hold.settle();
    await purse.reserve({ usd: 1 }, {}, { id: 'k' });
    assert.equal(await store.readNote('h'), 'a note');
  }),
];

/** All that a ledger says of itself. */
async function seen({ purse }: Bench, store: LedgerStore): Promise<unknown> {
  return {
    records: await all(store.readLedger('whole')),
    policy: await store.readPolicy(),
    balances: await all(purse.balances()),
    total: (await purse.report()).total,
    verified: await purse.verify(),
  };
}
