import assert from 'node:assert/strict';
import type { LedgerRecord } from '../../ledger/audit.ts';
import type { Envelope, HoldRecord } from '../../ledger/records.ts';
import { openPurse, type Purse } from '../../purse.ts';
import type { LedgerScope, LedgerStore } from '../../stores/store.ts';
import type { ManualClock } from '../manual-clock.ts';
import { all, type ConformanceCase, conformanceCase } from './case.ts';

const LIMITS = [
  { name: 'all', cap: { usd: 10, tokens: 1_000_000 } },
  { name: 'agent', cap: { usd: 5 }, per: 'day', each: ['agent'], warnAt: [0.1, 0.5] },
  { name: 'hour', cap: { calls: 100 }, per: 'hour' },
] as const;

/** Few enough that every kind of record is spread over several calls. */
const WRITTEN_AT_ONCE = 7;

/** The records of a ledger can be read whole, and written as they are into another. */
export const MOVING_CASES: readonly ConformanceCase[] = [
  conformanceCase(
    'a ledger that is read whole and written elsewhere is the same ledger',
    LIMITS,
    async ({ purse, store, clock }) => {
      await spendInEveryWay(purse, clock);
      const copy = store.forLedger('copy');
      const { revision } = await copy.writePolicy(await store.readPolicy(), 0);
      const records = await readAll(store, 'whole');
      // Twice: an import that broke off is begun again.
      for (let time = 0; time < 2; time += 1) await writeAll(copy, records, revision);
      assert.deepEqual(written(await readAll(copy, 'whole')), written(records));
      const other = await openPurse({ store: copy });
      assert.deepEqual(await all(other.balances()), await all(purse.balances()));
      assert.deepEqual(await all(other.journal()), await all(purse.journal()));
      const by = ['agent', 'task'];
      const until = new Date(clock.now());
      assert.deepEqual(await other.report({ by, until }), await purse.report({ by, until }));
      assert.deepEqual((await other.verify()).mismatches, []);
    },
  ),

  conformanceCase(
    'what was written elsewhere is remembered there: ids, holds, warnings, windows',
    LIMITS,
    async ({ purse, store, clock }) => {
      await spendInEveryWay(purse, clock);
      const copy = store.forLedger('copy');
      const { revision } = await copy.writePolicy(await store.readPolicy(), 0);
      await writeAll(copy, await readAll(store, 'whole'), revision);
      const other = await openPurse({ store: copy });
      const again = await other.reserve({ usd: 1 }, { agent: 'a' }, { id: 'settled' });
      assert.deepEqual([again.replayed, again.resolved], [true, true]);
      const same = await again.settle({ usd: 0.75 }, { labels: { model: 'm"1\\' } });
      assert.equal(same.replayed, true);
      await assert.rejects(other.reserve({ usd: 1 }, {}, { id: 'charge-1' }), { code: 'CONFLICT' });
      const charge = await other.charge(
        { usd: 0.25, calls: 1 },
        { agent: 'b' },
        { id: 'charge-1' },
      );
      assert.equal(charge.replayed, true);
      const late = await (await other.hold('expired', { expired: true }))?.settle({ usd: 0.5 });
      assert.deepEqual([late?.late, late?.corrects], [true, undefined]);
      const correction = await (await other.hold('taken', { expired: true }))?.settle({ usd: 2 });
      assert.deepEqual([correction?.corrects, correction?.amounts], ['taken', { usd: 1 }]);
      // 0.1 was crossed before the move: only 0.5 is new.
      const crossing = await other.charge({ usd: 2.5 }, { agent: 'b' });
      assert.deepEqual(
        crossing.crossed.filter(({ limit }) => limit === 'agent').map(({ fraction }) => fraction),
        [0.5],
      );
      assert.deepEqual((await other.verify()).mismatches, []);
    },
  ),

  conformanceCase(
    'records are written only under the revision they were meant for',
    LIMITS,
    async ({ purse, store, clock }) => {
      await spendInEveryWay(purse, clock);
      const copy = store.forLedger('copy');
      const { revision } = await copy.writePolicy(await store.readPolicy(), 0);
      const records = await readAll(store, 'whole');
      const some = records.slice(0, WRITTEN_AT_ONCE);
      assert.equal(await copy.writeLedger(some, revision + 1), false);
      assert.deepEqual(await readAll(copy, 'whole'), []);
      assert.equal(await copy.writeLedger(some, revision), true);
      assert.equal(await copy.writeLedger([], revision), true);
      assert.equal((await readAll(copy, 'whole')).length, WRITTEN_AT_ONCE);
    },
  ),

  conformanceCase(
    'resolved holds and totals are read only with the whole',
    LIMITS,
    async ({ purse, store, clock }) => {
      await spendInEveryWay(purse, clock);
      await purse.reserve({ usd: 0.01 }, {}, { id: 'open' });
      const kinds = (records: readonly LedgerRecord[]): string[] =>
        records.map((record) => (record.kind === 'hold' ? record.hold.id : record.kind));
      const balances = kinds(await readAll(store, 'balances'));
      const whole = kinds(await readAll(store, 'whole'));
      assert.deepEqual(
        balances.filter((kind) => !['envelope', 'charge'].includes(kind)),
        ['open'],
      );
      assert.deepEqual(balances, kinds(await Array.fromAsync(store.readLedger())));
      for (const kind of ['open', 'settled', 'released', 'expired', 'taken', 'total']) {
        assert.ok(whole.includes(kind), `${kind} is not among the records`);
      }
    },
  ),
];

/** Leaves every kind of record in a ledger, and no open hold. */
async function spendInEveryWay(purse: Purse, clock: ManualClock): Promise<void> {
  for (let count = 0; count < 12; count += 1) {
    const agent = count % 3 === 0 ? 'a' : 'b';
    const labels = { agent, task: `t${count % 4}` };
    await purse.charge({ usd: 0.125, calls: 1 }, labels, { description: `no. ${count}` });
  }
  await purse.charge({ usd: 0.25, calls: 1 }, { agent: 'b' }, { id: 'charge-1' });
  const settled = await purse.reserve({ usd: 1 }, { agent: 'a' }, { id: 'settled' });
  await settled.settle({ usd: 0.75 }, { labels: { model: 'm"1\\' } });
  await (await purse.reserve({ usd: 1 }, {}, { id: 'released' })).release();
  await (await purse.reserve({ tokens: 5 }, {}, { id: 'old' })).rename('new');
  await (await purse.hold('new'))?.settle({ tokens: 7 });
  await purse.reserve({ usd: 1 }, { agent: 'b' }, { id: 'expired', ttlMs: 1000 });
  const charged = { ttlMs: 1000, ifAbandoned: 'charge' } as const;
  await purse.reserve({ usd: 1 }, { agent: 'c' }, { id: 'taken', ...charged });
  const corrected = await purse.reserve(
    { usd: 1 },
    { agent: 'c' },
    { id: 'put-right', ...charged },
  );
  assert.equal((await purse.tryReserve({ usd: 100 }, { agent: 'a' })).ok, false);
  clock.advance(16 * 60_000);
  await corrected.settle({ usd: 0.5 });
  await purse.charge({ calls: 3 }, { agent: 'late' });
}

async function readAll(store: LedgerStore, scope: LedgerScope): Promise<LedgerRecord[]> {
  return all(store.readLedger(scope));
}

async function writeAll(
  store: LedgerStore,
  records: readonly LedgerRecord[],
  revision: number,
): Promise<void> {
  for (let at = 0; at < records.length; at += WRITTEN_AT_ONCE) {
    const written = await store.writeLedger(records.slice(at, at + WRITTEN_AT_ONCE), revision);
    assert.equal(written, true);
  }
}

/** What records say, whichever store they come from; the journal in its order, the others in one. */
function written(records: readonly LedgerRecord[]): unknown {
  const texts = records.map((record) => [record.kind, JSON.stringify(contentOf(record))] as const);
  const inOrder = texts.filter(([kind]) => kind === 'charge').map(([, text]) => text);
  const others = texts.filter(([kind]) => kind !== 'charge').map(([, text]) => text);
  return { charges: inOrder, others: others.sort() };
}

function contentOf(record: LedgerRecord): unknown {
  switch (record.kind) {
    case 'envelope':
      return envelopeContent(record.envelope);
    case 'hold':
      return holdContent(record.hold);
    case 'charge': {
      const { lines, labels, ...charge } = record.charge;
      const keys = lines.map(({ envelope }) => envelope.key).sort();
      return fields({ ...charge, labels: labels.key, keys });
    }
    case 'total':
      return fields({ ...record, labels: record.labels.key });
  }
}

function envelopeContent(envelope: Envelope): unknown {
  const { key, limit, unit, each, values, window, spent, held, pruned } = envelope;
  const { crossed, saturated, closed } = envelope;
  const place = { key, limit, unit, each, values, window: fields({ ...window }) };
  return fields({ ...place, spent, held, pruned, crossed, saturated, closed });
}

function holdContent(record: HoldRecord): unknown {
  // A store that has the charge at hand shows it here; others do not.
  const { lines, labels, charge: _, ...hold } = record;
  const terms = lines.map(({ envelope, terms }) => [envelope.key, fields({ ...terms })]);
  return fields({ ...hold, labels: labels.key, lines: terms });
}

function fields(content: Readonly<Record<string, unknown>>): unknown {
  return Object.entries(content)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
