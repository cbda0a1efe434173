import { describe, expect, it } from 'vitest';
import type { Labels } from '../../src/ledger/labels.ts';
import {
  DAY_SLOT_MS,
  MAX_LABEL_SETS_PER_SLOT,
  OTHER,
  OTHER_LABELS,
  reportRows,
  SLOT_MS,
  slotEnd,
  slotOf,
  type Total,
} from '../../src/ledger/report.ts';
import { STANDARD_UNITS, unitsFrom } from '../../src/ledger/unit.ts';
import { LedgerDesk } from './ledger-desk.ts';

const units = unitsFrom(STANDARD_UNITS);

function total(labels: Labels, usdSteps: number, charges = 1, denials = 0): Total {
  return { labels, amounts: [{ unit: 'usd', steps: usdSteps }], charges, denials };
}

describe('reportRows', () => {
  it('adds up by the labels asked for, a missing one as the empty value', () => {
    const totals = [
      total({ agent: 'b', task: '1' }, 100_000_000),
      total({ agent: 'a', task: '1' }, 10_000_000, 2, 1),
      total({ agent: 'b', task: '2' }, 20_000_000),
      total({ task: '1' }, 1),
      total({ agent: '' }, 2),
    ];
    expect(reportRows(totals, ['agent'], units)).toEqual({
      rows: [
        { labels: { agent: '' }, amounts: { usd: 3e-8 }, charges: 2, denials: 0 },
        { labels: { agent: 'a' }, amounts: { usd: 0.1 }, charges: 2, denials: 1 },
        { labels: { agent: 'b' }, amounts: { usd: 1.2 }, charges: 2, denials: 0 },
      ],
      total: { usd: 1.300_000_03 },
    });
    expect(reportRows(totals, [], units).rows).toEqual([
      { labels: {}, amounts: { usd: 1.300_000_03 }, charges: 6, denials: 1 },
    ]);
  });

  it('has no row, and a total of nothing, without spend', () => {
    expect(reportRows([], ['agent'], units)).toEqual({ rows: [], total: {} });
  });

  it('is exact where floats would not be, and past what one number can count', () => {
    const tenths = Array.from({ length: 10 }, (_, index) => total({ a: `${index}` }, 10_000_000));
    expect(reportRows(tenths, [], units).total).toEqual({ usd: 1 });
    const huge = total({}, Number.MAX_SAFE_INTEGER);
    expect(reportRows([huge, huge, total({}, 2)], [], units).total['usd']).toBe(
      180_143_985.094_819_84,
    );
  });

  it('never mixes values that only look alike when joined', () => {
    const totals = [total({ a: 'x","y', b: '' }, 1), total({ a: 'x', b: 'y' }, 1)];
    expect(reportRows(totals, ['a', 'b'], units).rows).toHaveLength(2);
    const proto = JSON.parse('{ "__proto__": "p" }') as Labels;
    const [row] = reportRows([total(proto, 1)], ['__proto__'], units).rows;
    expect(JSON.stringify(row?.labels)).toBe('{"__proto__":"p"}');
  });

  it('shows what was folded as (other), for every label asked', () => {
    const totals = [total(OTHER_LABELS, 5), total({ agent: 'a' }, 1)];
    expect(reportRows(totals, ['agent', 'task'], units).rows.map(({ labels }) => labels)).toEqual([
      { agent: OTHER, task: OTHER },
      { agent: 'a', task: '' },
    ]);
  });

  it('shows the spend of one who carries a label of that name under its own labels', () => {
    const sly = { agent: 'sly', [OTHER]: OTHER };
    const [row] = reportRows([total(sly, 5)], ['agent'], units).rows;
    expect(row?.labels).toEqual({ agent: 'sly' });
  });
});

describe('quarter-hours', () => {
  it.each([
    [0, 0, 0],
    [1, 0, SLOT_MS],
    [SLOT_MS - 1, 0, SLOT_MS],
    [SLOT_MS, SLOT_MS, SLOT_MS],
    [-1, -SLOT_MS, 0],
    [-SLOT_MS, -SLOT_MS, -SLOT_MS],
  ])('widen %i to %i and %i', (time, start, end) => {
    expect(slotOf(time) + 0).toBe(start);
    expect(slotEnd(time) + 0).toBe(end);
  });

  it('make up the days of every zone whose offset is whole quarter-hours', () => {
    expect(DAY_SLOT_MS % SLOT_MS).toBe(0);
    const midnightInKathmandu = Date.parse('2026-03-10T00:00:00+05:45');
    expect(slotOf(midnightInKathmandu)).toBe(midnightInKathmandu);
  });
});

describe('the running totals of a ledger', () => {
  it('keep the sum exact when a slot has no room for more label sets', () => {
    const desk = new LedgerDesk([{ name: 'all', cap: { calls: 1e6 } }]);
    const count = MAX_LABEL_SETS_PER_SLOT + 50;
    for (let index = 0; index < count; index += 1)
      desk.charge({ calls: 1 }, { agent: `a${index}` });
    desk.charge({ calls: 5 }, { agent: 'a3' });
    const startMs = slotOf(desk.clock.now());
    const totals = desk.store.readTotalsSync({ sinceMs: startMs, untilMs: startMs + SLOT_MS });
    expect(totals).toHaveLength(MAX_LABEL_SETS_PER_SLOT + 1);
    const { rows, total: all } = reportRows(totals, ['agent'], units);
    expect(all).toEqual({ calls: count + 5 });
    expect(rows[0]).toEqual({
      labels: { agent: OTHER },
      amounts: { calls: 50 },
      charges: 50,
      denials: 0,
    });
    expect(rows.find(({ labels }) => labels['agent'] === 'a3')?.amounts).toEqual({ calls: 6 });
  });

  it('are the same by quarter-hours and by days', () => {
    const desk = new LedgerDesk([{ name: 'all', cap: { calls: 1e6 } }], '2026-03-09T23:50:00Z');
    for (let index = 0; index < 300; index += 1) {
      desk.charge({ calls: 1 });
      desk.clock.advance(SLOT_MS);
    }
    const callsIn = (since: string, until: string) =>
      desk.store.readTotalsSync({ sinceMs: Date.parse(since), untilMs: Date.parse(until) })[0]
        ?.charges ?? 0;
    expect(callsIn('2026-03-10T00:00:00Z', '2026-03-11T00:00:00Z')).toBe(96);
    expect(callsIn('2026-03-10T00:15:00Z', '2026-03-11T00:15:00Z')).toBe(96);
    expect(callsIn('2026-03-09T23:45:00Z', '2026-03-12T00:15:00Z')).toBe(1 + 96 + 96 + 1);
    expect(callsIn('2026-03-09T00:00:00Z', '2026-03-20T00:00:00Z')).toBe(300);
    expect(callsIn('2026-03-10T06:00:00Z', '2026-03-10T06:00:00Z')).toBe(0);
  });
});
