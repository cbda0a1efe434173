import { describe, expect, it } from 'vitest';
import type { LedgerRecord } from '../../src/ledger/audit.ts';
import type { Envelope } from '../../src/ledger/records.ts';
import type { Retention } from '../../src/stores/store.ts';
import { auditOf, LedgerDesk } from './ledger-desk.ts';

/** A ledger that has seen holds settled, released, expired and left open, charges, a correction. */
function busyDesk(retention: Retention = {}): LedgerDesk {
  const desk = new LedgerDesk(
    [
      { name: 'all', cap: { calls: 1000, slots: 9 } },
      { name: 'agent', cap: { calls: 200 }, per: 'day', each: ['agent'] },
    ],
    undefined,
    retention,
  );
  for (const agent of ['a', 'b']) {
    const id = (name: string) => `${agent}-${name}`;
    desk.charge({ calls: 3 }, { agent });
    desk.reserve({ calls: 5, slots: 1 }, { agent }, { id: id('settled') });
    desk.settle(id('settled'), { calls: 9 });
    desk.reserve({ calls: 5 }, { agent }, { id: id('released') });
    desk.release(id('released'));
    desk.reserve({ calls: 7 }, { agent }, { id: id('late'), ttlMs: 10, ifAbandoned: 'charge' });
    desk.clock.advance(10);
    desk.settle(id('late'), { calls: 2 });
    desk.reserve({ calls: 4, slots: 2 }, { agent }, { id: id('open') });
  }
  return desk;
}

/** The same records with one envelope's balance altered. */
function tampered(
  records: readonly LedgerRecord[],
  which: (envelope: Envelope) => boolean,
  change: Partial<Envelope>,
): LedgerRecord[] {
  return records.map((record) =>
    record.kind === 'envelope' && which(record.envelope)
      ? { kind: 'envelope', envelope: { ...record.envelope, ...change } }
      : record,
  );
}

const isAgentA = (envelope: Envelope): boolean => envelope.values[0] === 'a';

describe('an audit', () => {
  it('is clean for a ledger that was left alone', async () => {
    const desk = busyDesk();
    expect(await desk.audit()).toEqual({ envelopes: 4, charges: 8, mismatches: [] });
    expect(desk.balances('agent')).toEqual({ a: '14/4', b: '14/4' });
  });

  it.each(['spent', 'held'] as const)('finds a step too much or too few in `%s`', async (field) => {
    const records = await busyDesk().records();
    for (const by of [-1, 1]) {
      const right = field === 'spent' ? 14 : 4;
      const { mismatches } = auditOf(tampered(records, isAgentA, { [field]: right + by }));
      expect(mismatches).toMatchObject([
        {
          envelope: { limit: 'agent', values: ['a'] },
          field,
          recorded: BigInt(right + by),
          expected: BigInt(right),
        },
      ]);
    }
  });

  it('finds both when both are wrong, and an occupied unit that did not come back', async () => {
    const records = await busyDesk().records();
    expect(auditOf(tampered(records, isAgentA, { spent: 0, held: 0 })).mismatches).toHaveLength(2);
    const slots = tampered(records, ({ unit }) => unit === 'slots', { held: 5 });
    expect(auditOf(slots).mismatches).toMatchObject([{ field: 'held', expected: 4n }]);
  });

  it('finds a charge or a hold that is gone, and one that is there twice', async () => {
    const records = await busyDesk().records();
    for (const kind of ['charge', 'hold'] as const) {
      const index = records.findIndex((record) => record.kind === kind);
      const one = records.slice(index, index + 1);
      const lost = auditOf(records.toSpliced(index, 1));
      const doubled = auditOf([...records, ...one]);
      for (const { mismatches } of [lost, doubled]) {
        const field = kind === 'charge' ? 'spent' : 'held';
        expect(mismatches.length).toBeGreaterThan(0);
        expect(new Set(mismatches.map((mismatch) => mismatch.field))).toEqual(new Set([field]));
      }
    }
  });

  it('counts what pruning folded away, and finds when that was altered', async () => {
    const desk = busyDesk({ maxCharges: 3 });
    const records = await desk.records();
    expect(auditOf(records)).toMatchObject({ charges: 3, mismatches: [] });
    const total = desk.envelopes().find(({ limit, unit }) => limit === 'all' && unit === 'calls');
    expect(total?.pruned).toBeGreaterThan(0);
    const altered = tampered(records, ({ key }) => key === total?.key, { pruned: 0 });
    expect(auditOf(altered).mismatches).toMatchObject([{ field: 'spent', recorded: 28n }]);
  });

  it('stays clean when windows close and are forgotten', async () => {
    const desk = busyDesk();
    desk.clock.advance(3 * 86_400_000);
    for (let count = 0; count < 3; count += 1) desk.charge({ calls: 1 }, { agent: 'c' });
    const { mismatches, envelopes } = await desk.audit();
    expect(mismatches).toEqual([]);
    expect(envelopes).toBe(3);
  });

  it('passes over an envelope that is saturated', async () => {
    const records = await busyDesk().records();
    const pinned = { spent: Number.MAX_SAFE_INTEGER, saturated: true };
    expect(auditOf(tampered(records, isAgentA, pinned)).mismatches).toEqual([]);
  });
});
