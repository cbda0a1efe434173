import type { Balance, Charge } from 'pursestrings';
import { describe, expect, test } from 'vitest';
import { drawBar, formatPercent } from '../src/bars.ts';
import { judge } from '../src/demo/judge.ts';
import type { DemoFacts } from '../src/demo/run.ts';
import { formatAmount, formatWindow } from '../src/format.ts';
import type { Terminal } from '../src/terminal.ts';

const BALANCE: Balance = {
  limit: 'everything',
  unit: 'usd',
  labels: {},
  cap: 1,
  spent: 0.9,
  held: 0.1,
  available: 0,
  fraction: 0.9,
  status: 'approaching_limit',
  window: { start: new Date(0), end: null },
};

const DEATH: Charge = {
  id: 'c1',
  at: new Date(0),
  amounts: { usd: 0.02 },
  held: { usd: 0.02 },
  labels: {},
  overrun: false,
  late: false,
  abandoned: false,
  replayed: false,
  crossed: [],
};

/** A run in which the ledger has 90 cents and the provider billed `billed`. */
function factsOf(billed: string, changes: Partial<DemoFacts> = {}): DemoFacts {
  return {
    outcomes: [],
    death: { pid: 1, pieces: 12 },
    deathCharge: DEATH,
    report: {
      since: new Date(0),
      until: new Date(0),
      rows: [{ labels: {}, amounts: { usd: 0.9 }, charges: 1, denials: 0 }],
      total: { usd: 0.9 },
    },
    balances: [BALANCE],
    overruns: 0,
    bill: { requests: 1, promptTokens: 1, completionTokens: 1, usd: billed },
    weather: null,
    verify: { ok: true, envelopes: 1, charges: 1, mismatches: [] },
    ...changes,
  };
}

describe('the verdict of the demo', () => {
  test.each([
    ['the bill and the ledger are equal', '0.9', true],
    ['the ledger has the hold of the killed call more', '0.88', true],
    ['the ledger has more than that hold, and the rounding of a charge', '0.8799999899', false],
    ['the ledger has less than the bill by a millionth of a millionth', '0.900000000001', false],
  ])('when %s', (_, billed, ok) => {
    expect(judge(factsOf(billed))).toMatchObject({ ok, billCovered: ok });
  });

  test('is no when a cap was passed, by a step or by an overrun', () => {
    const over = { ...BALANCE, held: 0.10000001 };
    expect(judge(factsOf('0.9', { balances: [over] }))).toMatchObject({
      ok: false,
      noCapPassed: false,
    });
    expect(judge(factsOf('0.9', { overruns: 1 }))).toMatchObject({ ok: false, noCapPassed: false });
  });

  test.each([
    ['the ledger has every millisatoshi', 2, 24_824, true],
    ['the ledger has a millisatoshi less', 2, 24_823, false],
    ['the ledger has a millisatoshi more', 2, 24_825, false],
    ['the ledger has a payment less', 1, 24_824, false],
  ])('of the weather, when %s', (_, charges, msat, ok) => {
    const weather = { charges, msat, bill: { payments: 2, amountMsat: 24_690, feeMsat: 134 } };
    const { total, rows, ...period } = factsOf('0.9').report;
    const report = {
      ...period,
      total,
      rows: rows.map((row) => ({ ...row, charges: 1 + charges })),
    };
    expect(judge(factsOf('0.9', { weather, report }))).toMatchObject({ ok, weatherCovered: ok });
  });

  test('is no when the ledger does not add up, or lost the killed call', () => {
    const verify = { ok: false, envelopes: 1, charges: 1, mismatches: [] };
    expect(judge(factsOf('0.9', { verify }))).toMatchObject({ ok: false, addsUp: false });
    expect(judge(factsOf('0.9', { deathCharge: null })).ok).toBe(false);
  });
});

const PLAIN: Terminal = {
  print: () => {},
  write: () => {},
  note: () => {},
  paint: (_, text) => text,
  progress: () => {},
  answerNo: () => {},
  columns: 100,
};

describe('a bar', () => {
  test.each([
    [0, '░░░░', '0 %'],
    [0.0001, '▏░░░', '<1 %'],
    [0.5, '██░░', '50 %'],
    [0.9999, '███▉', '99 %'],
    [1, '████', '100 %'],
    [1.5, '████', '150 %'],
  ])('of %d', (fraction, bar, percent) => {
    expect(drawBar(PLAIN, fraction, 4)).toBe(bar);
    expect(formatPercent(fraction)).toBe(percent);
  });
});

test('amounts and windows are written whole', () => {
  expect(formatAmount('usd', 1234.5)).toBe('$1,234.50');
  expect(formatAmount('usd', 0.00000001)).toBe('$0.00000001');
  expect(formatAmount('tokens', 12_000)).toBe('12,000 tokens');
  const time = (text: string): Date => new Date(`${text}Z`);
  expect(formatWindow(time('2026-03-01T09:00'), time('2026-03-01T10:00'))).toBe(
    '2026-03-01 09:00 to 10:00',
  );
  expect(formatWindow(time('2026-03-01T00:00'), time('2026-03-02T00:00'))).toBe(
    '2026-03-01 to 2026-03-02',
  );
  expect(formatWindow(time('2026-03-01T00:00'), null)).toBe('always');
});
