import { describe, expect, it } from 'vitest';
import { InvalidLimitError } from '../../src/ledger/invalid.ts';
import { compileLimit, type Limit } from '../../src/ledger/limit.ts';
import { planner } from '../../src/ledger/plan.ts';
import { compilePolicy, EMPTY_POLICY, withLimits, withUnits } from '../../src/ledger/policy.ts';
import { STANDARD_UNITS, unitsFrom } from '../../src/ledger/unit.ts';

const NOW_MS = Date.UTC(2026, 4, 6, 12);

function refusalOf(limit: unknown): InvalidLimitError {
  try {
    compilePolicy(withLimits(EMPTY_POLICY, [limit as Limit], 'UTC'));
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidLimitError);
    return error as InvalidLimitError;
  }
  throw new Error('it was taken');
}

/** The keys of the envelopes that a spend falls in under one limit. */
function keysOf(limit: Limit, zone = 'UTC'): string[] {
  const policy = withLimits(withUnits(EMPTY_POLICY, { points: { decimals: 2 } }), [limit], zone);
  const plan = planner(compilePolicy(policy));
  const amounts = ['calls', 'points', 'tokens', 'usd'].map((unit) => ({ unit, steps: 1 }));
  const labels = { team: 'search', agent: 'a1', tier: 'gold' };
  return plan(amounts, labels, NOW_MS).lines.map(({ key }) => key);
}

describe('a limit that cannot hold', () => {
  const self: Record<string, unknown> = {};
  self['self'] = self;

  it.each<[string, Record<string, unknown>]>([
    ['cap', { cap: undefined }],
    ['cap', { cap: null }],
    ['cap', { cap: 5 }],
    ['cap', { cap: '5 usd' }],
    ['cap', { cap: [5] }],
    ['cap', { cap: {} }],
    ['cap.usd', { cap: { usd: Number.NaN } }],
    ['cap.usd', { cap: { usd: Number.POSITIVE_INFINITY } }],
    ['cap.usd', { cap: { usd: -1 } }],
    ['cap.usd', { cap: { usd: '' } }],
    ['cap.usd', { cap: { usd: 'ten' } }],
    ['cap.usd', { cap: { usd: null } }],
    ['cap.usd', { cap: { usd: undefined } }],
    ['cap.usd', { cap: { usd: 1n } }],
    ['cap.usd', { cap: { usd: '90071992.54740992' } }],
    ['cap.tokens', { cap: { usd: 1, tokens: 2 ** 53 } }],
    ['cap.euro', { cap: { euro: 1 } }],
    ['cap.constructor', { cap: { constructor: 1 } }],
    ['cap.__proto__', { cap: JSON.parse('{ "__proto__": 1 }') as unknown }],
    ['per', { cap: { slots: 2 }, per: 'day' }],
    ['per', { cap: { usd: 1, slots: 2 }, per: { every: '5h' } }],
    ['per', { per: 'fortnight' }],
    ['per', { per: null }],
    ['per', { per: 5 }],
    ['per', { per: 5n }],
    ['per', { per: self }],
    ['per', { per: {} }],
    ['per', { per: ['day'] }],
    ['per', { per: { every: '0m' } }],
    ['per', { per: { every: '1.5h' } }],
    ['per', { per: { every: '1y' } }],
    ['per', { per: { every: '1s' } }],
    ['per', { per: { every: 5 } }],
    ['per', { per: { every: ['5h'] } }],
    ['per', { per: { every: null } }],
    ['per', { per: { every: '1mo', from: 'soon' } }],
    ['per', { per: { every: '1mo', from: 0 } }],
    ['per', { per: { every: '5h', from: '2026-02-30T00:00:00Z' } }],
    ['per', { per: { every: '5h', unit: 'h' } }],
    ['where', { where: 'team=search' }],
    ['where', { where: null }],
    ['where', { where: ['team'] }],
    ['where.', { where: { '': 'x' } }],
    ['where.team', { where: { team: undefined } }],
    ['where.team', { where: { team: null } }],
    ['where.team', { where: { team: 5 } }],
    ['where.team', { where: { team: [] } }],
    ['where.team', { where: { team: ['a', 1n] } }],
    ['where.team', { where: { team: 'a\uD800' } }],
    ['where.team', { where: { team: 'v'.repeat(1025) } }],
    ['where.team', { where: { team: Array.from({ length: 1001 }, String) } }],
    ['each', { each: 'agent' }],
    ['each', { each: null }],
    ['each', { each: {} }],
    ['each', { each: [''] }],
    ['each', { each: [undefined] }],
    ['each', { each: [1n] }],
    ['each', { each: ['n'.repeat(65)] }],
    ['each', { each: ['agent', 'task', 'agent'] }],
    ['each', { each: ['1', '2', '3', '4', '5', '6', '7', '8', '9'] }],
    ['mode', { mode: 'firm' }],
    ['mode', { mode: null }],
    ['mode', { mode: 1n }],
    ['warnAt', { warnAt: 0.8 }],
    ['warnAt', { warnAt: null }],
    ['warnAt', { warnAt: [0] }],
    ['warnAt', { warnAt: [-0.5] }],
    ['warnAt', { warnAt: [100.5] }],
    ['warnAt', { warnAt: [Number.NaN] }],
    ['warnAt', { warnAt: ['0.8'] }],
    ['warnAt', { warnAt: [1n] }],
    ['warnAt', { warnAt: Array.from({ length: 17 }, (_, index) => (index + 1) / 20) }],
    ['timeZone', { per: 'day', timeZone: 'Mars/Olympus' }],
    ['timeZone', { timeZone: 'Mars/Olympus' }],
    ['timeZone', { per: 'day', timeZone: '' }],
    ['timeZone', { per: 'day', timeZone: null }],
    ['timeZone', { per: 'day', timeZone: 5n }],
    ['limit', { limit: 5 }],
    ['period', { period: 'day' }],
    ['warn_at', { warn_at: [0.5] }],
  ])('names itself and `%s`: %o', (field, change) => {
    const error = refusalOf({ name: 'bad one', cap: { usd: 1 }, ...change });
    expect([error.limit, error.field]).toEqual(['bad one', field]);
    expect(error.message).toContain('"bad one"');
    expect(error.message).toContain(`\`${field}\``);
    expect(error.message.length).toBeLessThan(500);
  });

  it.each<unknown>([
    undefined,
    null,
    'all',
    [],
    {},
    { name: '' },
    { name: 5 },
    { name: 5n },
    { name: Object.create(null) },
    { name: 'n'.repeat(129) },
    { name: 'a\uD800' },
  ])('has a name: %o has none', (limit) => {
    expect(refusalOf(limit).field).toBe('name');
  });

  it('is not one that only looks odd', () => {
    for (const odd of [
      { cap: { usd: 0 } },
      { cap: { usd: '90071992.54740991' } },
      { cap: { usd: '1e-9' } },
      { where: { team: '' } },
      { where: { team: ['a', 'a'] } },
      { each: [] },
      { each: ['__proto__', 'constructor'] },
      { warnAt: [] },
      { warnAt: [100, 0.000_1, 0.5, 0.5] },
      { per: 'day', timeZone: 'europe/berlin' },
      { per: { every: '100mo', from: '1900-01-31' } },
      { per: undefined, where: undefined, each: undefined, mode: undefined, timeZone: undefined },
      { name: 'a|b%7C;=,"\\' },
    ]) {
      expect(keysOf({ name: 'odd', cap: { usd: 1 }, ...odd } as Limit).length).toBeLessThan(2);
    }
  });
});

describe('the shape of a limit', () => {
  const base: Limit = {
    name: 'base',
    cap: { usd: 10, tokens: 100 },
    per: 'day',
    where: { team: ['search', 'ads'], tier: 'gold' },
    each: ['agent', 'team'],
    timeZone: 'Europe/Berlin',
  };

  it.each<[string, Partial<Limit>]>([
    ['cap', { cap: { usd: 99, tokens: 1 } }],
    ['order of units', { cap: { tokens: 100, usd: 10 } }],
    ['mode', { mode: 'soft' }],
    ['warnAt', { warnAt: [0.1] }],
    ['order of each', { each: ['team', 'agent'] }],
    ['order of a where list', { where: { team: ['ads', 'search'], tier: 'gold' } }],
    ['order of where', { where: { tier: 'gold', team: ['search', 'ads'] } }],
    ['one value as a list', { where: { team: ['search', 'ads'], tier: ['gold'] } }],
    ['spelling of the zone', { timeZone: 'europe/BERLIN' }],
  ])('keeps its envelopes under another %s', (_, change) => {
    expect(keysOf({ ...base, ...change }).sort()).toEqual(keysOf(base).sort());
  });

  it.each<[string, Partial<Limit>]>([
    ['name', { name: 'other' }],
    ['per', { per: 'month' }],
    ['per of the same length', { per: { every: '1d', from: '2026-01-01' } }],
    ['zone', { timeZone: 'Europe/Paris' }],
    ['where value', { where: { team: ['search', 'sales'], tier: 'gold' } }],
    ['where', { where: { team: ['search', 'ads'] } }],
    ['each', { each: ['agent'] }],
    ['each of other labels', { each: ['agent', 'tier'] }],
    ['unit', { cap: { calls: 10, points: 100 } }],
  ])('begins new envelopes under another %s', (_, change) => {
    const keys = keysOf({ ...base, ...change });
    expect(keys).toHaveLength(2);
    for (const key of keysOf(base)) expect(keys).not.toContain(key);
  });

  it('does not hang on the zone where the windows do not', () => {
    for (const per of ['total', { every: '5h' }] as const) {
      const limit: Limit = { name: 'l', cap: { usd: 1 }, per };
      expect(keysOf({ ...limit, timeZone: 'Asia/Tokyo' })).toEqual(keysOf(limit, 'Europe/Paris'));
    }
    const daily: Limit = { name: 'l', cap: { usd: 1 }, per: 'day' };
    expect(keysOf(daily, 'Asia/Tokyo')).toEqual(keysOf({ ...daily, timeZone: 'Asia/Tokyo' }));
    expect(keysOf(daily, 'Asia/Tokyo')).not.toEqual(keysOf(daily, 'Europe/Paris'));
  });

  it('cannot be forged by names and values with separators in them', () => {
    const odd = (change: Partial<Limit>): string[] =>
      keysOf({ name: 'l', cap: { usd: 1 }, ...change });
    const pairs: readonly (readonly [Partial<Limit>, Partial<Limit>])[] = [
      [{ name: 'l|total' }, { name: 'l' }],
      [{ where: { team: ['search', 'b,c'] } }, { where: { team: ['search', 'b', 'c'] } }],
      [{ where: { team: ['search', 'x;tier=gold'] } }, { where: { team: 'search', tier: 'gold' } }],
      [{ each: ['agent,team'] }, { each: ['agent', 'team'] }],
      [{ each: ['agent'], where: {} }, { where: { agent: 'a1' } }],
    ];
    for (const [a, b] of pairs) {
      const [left, right] = [odd(a), odd(b)];
      expect([left.length, right.length]).toEqual([1, 1]);
      expect(left).not.toEqual(right);
    }
  });
});

describe('the terms of a limit', () => {
  const units = unitsFrom(STANDARD_UNITS);
  const warningsOf = (usd: string, warnAt: readonly number[]) =>
    compileLimit({ name: 'l', cap: { usd }, warnAt }, units, 0).caps[0]?.terms.warn;

  it('round a cap down and its warnings up to a step, exactly', () => {
    const [cap] = compileLimit({ name: 'l', cap: { usd: '0.000000019' } }, units, 0).caps;
    expect(cap?.terms.capSteps).toBe(1);
    expect(warningsOf('0.00000003', [0.5, 1])).toEqual([
      { fraction: 0.5, steps: 2 },
      { fraction: 1, steps: 3 },
    ]);
    expect(warningsOf('0.00000010', [0.7, 0.3, 0.1 + 0.2])).toEqual([
      { fraction: 0.3, steps: 3 },
      { fraction: 0.1 + 0.2, steps: 3 },
      { fraction: 0.7, steps: 7 },
    ]);
  });

  it('warn exactly where a float would not, and never past what can be counted', () => {
    expect(warningsOf('90071992.54740991', [0.1, 1, 100])).toEqual([
      { fraction: 0.1, steps: 900_719_925_474_100 },
      { fraction: 1, steps: Number.MAX_SAFE_INTEGER },
      { fraction: 100, steps: Number.MAX_SAFE_INTEGER },
    ]);
  });

  it('warn by default at 80, 95 and 100 percent, and never of an occupied unit', () => {
    const rule = compileLimit({ name: 'l', cap: { calls: 100, slots: 5 } }, units, 0);
    const warnings = rule.caps.map(({ terms }) => terms.warn.map(({ steps }) => steps));
    expect(warnings).toEqual([[80, 95, 100], []]);
  });
});
