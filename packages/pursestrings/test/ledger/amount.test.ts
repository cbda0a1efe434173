import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Decimal,
  MAX_AMOUNT_STEPS,
  MAX_ENVELOPE_STEPS,
  type Rounding,
  toDecimal,
  toDecimalText,
  toSteps,
} from '../../src/ledger/amount.ts';
import { InvalidAmountError } from '../../src/ledger/invalid.ts';

const decimals = fc.integer({ min: 0, max: 12 });
const steps = fc.oneof(
  fc.integer({ min: 0, max: MAX_AMOUNT_STEPS }),
  fc.integer({ min: MAX_AMOUNT_STEPS - 10_000, max: MAX_AMOUNT_STEPS }),
  fc.integer({ min: 0, max: 100_000 }),
);

describe('whole steps and decimals', () => {
  it('are exact both ways for every step up to 2^50', () => {
    fc.assert(
      fc.property(steps, decimals, (whole, places) => {
        const decimal = toDecimal(whole, places);
        for (const rounding of ['up', 'down'] as const) {
          expect(toSteps(decimal, places, rounding)).toBe(whole);
          expect(toSteps(String(decimal), places, rounding)).toBe(whole);
          expect(toSteps(toDecimalText(whole, places), places, rounding)).toBe(whole);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps the order of decimals: a larger one is never fewer steps', () => {
    const amount = fc.double({ min: 0, max: 1e7, noNaN: true });
    fc.assert(
      fc.property(amount, amount, decimals, (a, b, places) => {
        fc.pre(a * 10 ** places < MAX_AMOUNT_STEPS && b * 10 ** places < MAX_AMOUNT_STEPS);
        const [less, more] = a <= b ? [a, b] : [b, a];
        expect(toSteps(less, places, 'up')).toBeLessThanOrEqual(toSteps(more, places, 'up'));
      }),
      { numRuns: 2000 },
    );
  });

  it('rounds text once, up for charges and down for caps', () => {
    const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 25 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999 }), digits, decimals, (whole, parts, places) => {
        const text = `${whole}.${parts.join('')}`;
        const all = BigInt(`${whole}${parts.join('')}`) * 10n ** 12n;
        const step = 10n ** BigInt(parts.length + 12 - places);
        expect(toSteps(text, places, 'down')).toBe(Number(all / step));
        expect(toSteps(text, places, 'up')).toBe(Number((all + step - 1n) / step));
      }),
    );
  });

  it.each<[Decimal, number, Rounding, number]>([
    [0.1 + 0.2, 8, 'up', 30_000_000],
    [0.1 + 0.2, 12, 'up', 300_000_000_000],
    [0.1 + 0.7, 1, 'up', 8],
    [1.1 * 3, 8, 'down', 330_000_000],
    [0.1, 0, 'up', 1],
    [0.1, 0, 'down', 0],
    [1e-9, 8, 'up', 1],
    [1e-9, 8, 'down', 0],
    [5e-324, 8, 'up', 1],
    [1e-7, 8, 'up', 10],
    [1e15, 0, 'up', 1e15],
    [0, 8, 'up', 0],
    [-0, 8, 'up', 0],
    ['0.30000000000000004', 8, 'up', 30_000_001],
    ['0.30000000000000004', 8, 'down', 30_000_000],
    ['1e-8', 8, 'up', 1],
    ['1E+2', 2, 'up', 10_000],
    ['2.5e3', 0, 'up', 2500],
    ['1e-9999', 8, 'up', 1],
    ['1e-9999', 8, 'down', 0],
    ['0e9999', 8, 'up', 0],
    ['.5', 1, 'up', 5],
    ['5.', 1, 'up', 50],
    ['007', 0, 'up', 7],
    [`0.${'0'.repeat(97)}1`, 8, 'up', 1],
  ])('takes %s with %i decimals, rounding %s, as %i steps', (value, places, rounding, expected) => {
    expect(Object.is(toSteps(value, places, rounding), expected)).toBe(true);
  });

  it('never loses whole steps of a charge whose number has more than 15 digits', () => {
    expect(toSteps(1_125_899_906_842_621.5, 0, 'up')).toBe(1_125_899_906_842_622);
    expect(toSteps(999_999_999_999_999.5, 0, 'up')).toBe(1_000_000_000_000_000);
  });
});

describe('an amount that cannot be meant', () => {
  const wrong: readonly unknown[] = [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    -1,
    -1e-300,
    Number.MAX_VALUE,
    '',
    ' ',
    '.',
    'e5',
    'abc',
    '-0',
    '-1',
    '+1',
    ' 1',
    '1 ',
    '1,000',
    '1_000',
    '0x10',
    '1e99999',
    '1e41',
    '１',
    'NaN',
    'Infinity',
    '9'.repeat(101),
    '9'.repeat(1_000_000),
    null,
    undefined,
    true,
    1n,
    Symbol('1'),
    [1],
    { valueOf: () => 1 },
    Object.create(null),
    new Date(0),
    () => 1,
  ];

  it.each(wrong.map((value) => [typeof value, value]))('is refused: %s %o', (_, value) => {
    for (const rounding of ['up', 'down'] as const) {
      expect(() => toSteps(value as Decimal, 8, rounding)).toThrow(InvalidAmountError);
    }
  });

  it('is said in a message that is short, however long the amount', () => {
    try {
      toSteps('9'.repeat(1_000_000), 8, 'up');
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(300);
    }
  });

  it('is one past 2^50 steps, or past the bound given', () => {
    expect(toSteps(MAX_AMOUNT_STEPS, 0, 'up')).toBe(MAX_AMOUNT_STEPS);
    expect(toSteps('11258999.06842624', 8, 'up')).toBe(MAX_AMOUNT_STEPS);
    expect(() => toSteps(MAX_AMOUNT_STEPS + 1, 0, 'up')).toThrow(/11258999|1125899906842624/);
    expect(() => toSteps('11258999.068426240001', 8, 'up')).toThrow(InvalidAmountError);
    expect(toSteps(String(MAX_ENVELOPE_STEPS), 0, 'down', MAX_ENVELOPE_STEPS)).toBe(
      MAX_ENVELOPE_STEPS,
    );
    expect(() => toSteps('9007199254740992', 0, 'down', MAX_ENVELOPE_STEPS)).toThrow(
      InvalidAmountError,
    );
  });
});

describe('toDecimalText', () => {
  it.each<[number | bigint, number, string]>([
    [0, 0, '0'],
    [0, 8, '0'],
    [-0, 8, '0'],
    [1, 8, '0.00000001'],
    [-1, 8, '-0.00000001'],
    [-123_400, 3, '-123.4'],
    [1_200_000_000, 8, '12'],
    [120, 0, '120'],
    [Number.MAX_SAFE_INTEGER, 12, '9007.199254740991'],
    [2n ** 70n, 3, '1180591620717411303.424'],
    [-(2n ** 70n), 0, '-1180591620717411303424'],
  ])('writes %s steps of %i decimals as %s', (whole, places, text) => {
    expect(toDecimalText(whole, places)).toBe(text);
  });
});
