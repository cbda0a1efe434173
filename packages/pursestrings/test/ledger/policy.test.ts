import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  InvalidLabelError,
  InvalidLimitError,
  InvalidOptionError,
} from '../../src/ledger/invalid.ts';
import { carries, type Labels, labelValue } from '../../src/ledger/labels.ts';
import { type Limit, MAX_LIMITS } from '../../src/ledger/limit.ts';
import {
  compilePolicy,
  EMPTY_POLICY,
  MAX_FREEZES,
  type Policy,
  samePolicy,
  withFreeze,
  withLimits,
  withoutFreeze,
  withoutLimit,
  withUnits,
} from '../../src/ledger/policy.ts';

const label = fc.constantFrom('a', 'b', '__proto__', 'constructor');
const value = fc.constantFrom('', 'x', 'y', 'toString');
const labels: fc.Arbitrary<Labels> = fc
  .array(fc.tuple(label, value), { maxLength: 4 })
  .map((entries) => Object.fromEntries(entries));
const where = fc
  .array(fc.tuple(label, fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 }))), {
    maxLength: 3,
  })
  .map((entries): NonNullable<Limit['where']> => Object.fromEntries(entries));

function policyOf(...limits: readonly Limit[]): Policy {
  return withLimits(EMPTY_POLICY, limits, 'UTC');
}

describe('the rules that match a spend', () => {
  it('are those that a search through all of them finds, in the order of the policy', () => {
    fc.assert(
      fc.property(fc.array(where, { maxLength: 12 }), labels, (wheres, carried) => {
        const limits = wheres.map((asked, index) => ({
          name: `l${index}`,
          cap: { usd: 1 },
          where: asked,
        }));
        const found = compilePolicy(policyOf(...limits)).rulesFor(carried);
        const expected = limits.filter((limit) =>
          Object.keys(limit.where).every((name) =>
            [limit.where[name] ?? []].flat().includes(labelValue(carried, name)),
          ),
        );
        expect(found.map(({ limit }) => limit.name)).toEqual(expected.map(({ name }) => name));
      }),
      { numRuns: 2000 },
    );
  });

  it('are found again and again by one rulebook', () => {
    const rulebook = compilePolicy(
      policyOf(
        { name: 'all', cap: { usd: 1 } },
        { name: 'x', cap: { usd: 1 }, where: { a: ['x', 'x', 'y'] } },
      ),
    );
    for (let count = 0; count < 3; count += 1) {
      expect(rulebook.rulesFor({ a: 'x' }).map(({ limit }) => limit.name)).toEqual(['all', 'x']);
      expect(rulebook.rulesFor({}).map(({ limit }) => limit.name)).toEqual(['all']);
    }
  });
});

describe('freezes', () => {
  it('are on the spends that carry all their labels', () => {
    fc.assert(
      fc.property(fc.array(labels, { maxLength: 6 }), labels, (wheres, carried) => {
        const policy = wheres.reduce(
          (before, asked) => withFreeze(before, asked, undefined),
          EMPTY_POLICY,
        );
        const frozen = wheres.some((asked) => carries(carried, asked));
        expect(compilePolicy(policy).freezeOn(carried) !== undefined).toBe(frozen);
      }),
      { numRuns: 1000 },
    );
  });

  it('stand once for the same labels, with the last reason, until exactly those are lifted', () => {
    let policy = withFreeze(EMPTY_POLICY, { a: '1', b: '2' }, 'first');
    policy = withFreeze(policy, { b: '2', a: '1' }, 'second');
    expect(policy.freezes).toEqual([{ where: { a: '1', b: '2' }, reason: 'second' }]);
    expect(withoutFreeze(policy, { a: '1' }).freezes).toHaveLength(1);
    expect(withoutFreeze(policy, {}).freezes).toHaveLength(1);
    expect(withoutFreeze(policy, { b: '2', a: '1' }).freezes).toEqual([]);
  });

  it('are never on more than was meant: a label without a value is refused', () => {
    const slip = { agent: undefined } as unknown as Labels;
    expect(() => withFreeze(EMPTY_POLICY, slip, undefined)).toThrow(InvalidLabelError);
    const frozen = withFreeze(EMPTY_POLICY, {}, undefined);
    expect(() => withoutFreeze(frozen, slip)).toThrow(/agent/);
    expect(() => withFreeze(EMPTY_POLICY, null as unknown as Labels, '')).toThrow(
      InvalidLabelError,
    );
  });

  it('are so many at most; one more than that is refused, but not one again', () => {
    const freezes = Array.from({ length: MAX_FREEZES }, (_, index) => ({
      where: { agent: `a${index}` },
    }));
    const full: Policy = { ...EMPTY_POLICY, freezes };
    expect(() => withFreeze(full, { agent: 'new' }, undefined)).toThrow(InvalidOptionError);
    expect(withFreeze(full, { agent: 'a7' }, 'why').freezes).toHaveLength(MAX_FREEZES);
    expect(compilePolicy(full).freezeOn({ agent: 'a9999' })?.where).toEqual({ agent: 'a9999' });
  });
});

describe('limits by name', () => {
  it('replace in place, add at the end, and leave the others', () => {
    const before = policyOf({ name: 'a', cap: { usd: 1 } }, { name: 'b', cap: { usd: 2 } });
    const after = withLimits(
      before,
      [
        { name: 'c', cap: { usd: 3 } },
        { name: 'a', cap: { usd: 9 } },
      ],
      'UTC',
    );
    expect(after.limits.map(({ name, cap }) => [name, cap['usd']])).toEqual([
      ['a', 9],
      ['b', 2],
      ['c', 3],
    ]);
    expect(withoutLimit(after, 'b').limits.map(({ name }) => name)).toEqual(['a', 'c']);
    expect(before.limits).toHaveLength(2);
  });

  it('are each their own: a name given twice is refused', () => {
    const twice = () => policyOf({ name: 'a', cap: { usd: 1 } }, { name: 'a', cap: { usd: 2 } });
    expect(twice).toThrow(InvalidLimitError);
    expect(twice).toThrow(/"a": `name`/);
  });

  it('are so many at most', () => {
    const limits = Array.from({ length: MAX_LIMITS }, (_, index) => ({
      name: `l${index}`,
      cap: { usd: 1 },
    }));
    const full: Policy = { ...EMPTY_POLICY, limits };
    expect(() => withLimits(full, [{ name: 'new', cap: { usd: 1 } }], 'UTC')).toThrow(/10000/);
    expect(withLimits(full, [{ name: 'l3', cap: { usd: 2 } }], 'UTC').limits).toHaveLength(
      MAX_LIMITS,
    );
  });

  it('keep the zone that they were resolved with', () => {
    const policy = withLimits(
      EMPTY_POLICY,
      [
        { name: 'day', cap: { usd: 1 }, per: 'day' },
        { name: 'own', cap: { usd: 1 }, per: 'day', timeZone: 'asia/tokyo' },
        { name: 'total', cap: { usd: 1 }, timeZone: 'Asia/Tokyo' },
      ],
      'europe/berlin',
    );
    expect(policy.limits.map(({ timeZone }) => timeZone)).toEqual([
      'Europe/Berlin',
      'Asia/Tokyo',
      undefined,
    ]);
  });
});

describe('a policy', () => {
  it('says the same after a round trip through JSON', () => {
    let policy = withUnits(EMPTY_POLICY, { points: { decimals: 2 } });
    policy = withLimits(policy, [{ name: 'a', cap: { points: '1.50' }, per: 'week' }], 'UTC');
    policy = withFreeze(policy, JSON.parse('{ "__proto__": "x", "a": "1" }') as Labels, 'why');
    const read = JSON.parse(JSON.stringify(policy)) as Policy;
    expect(samePolicy(policy, { ...read, revision: 7 })).toBe(true);
    expect(compilePolicy(read).freezeOn({ a: '1' })).toBeUndefined();
    expect(samePolicy(policy, withoutLimit(policy, 'a'))).toBe(false);
  });

  it('does not compile with a bad limit or a bad unit in it', () => {
    const bad = { name: 'a', cap: { points: 1 } };
    expect(() => compilePolicy({ ...EMPTY_POLICY, limits: [bad] })).toThrow(/"a": `cap.points`/);
    const units = { ...EMPTY_POLICY.units, x: { decimals: 99 } };
    expect(() => compilePolicy({ ...EMPTY_POLICY, units })).toThrow(/"x"/);
  });
});
