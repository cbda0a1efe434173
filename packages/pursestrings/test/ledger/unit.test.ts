import { describe, expect, it } from 'vitest';
import { openPurse } from '../../src/index.ts';
import type { Amounts } from '../../src/ledger/amount.ts';
import { InvalidAmountError, InvalidUnitError } from '../../src/ledger/invalid.ts';
import {
  declareUnits,
  MAX_UNITS,
  STANDARD_UNITS,
  toDecimals,
  toStepAmounts,
  type UnitOptions,
  unitsFrom,
} from '../../src/ledger/unit.ts';

const units = unitsFrom(declareUnits({}, { gpu_minutes: { decimals: 3 } }));

describe('declareUnits', () => {
  it('joins the standard units with declared ones', () => {
    const declared = declareUnits(
      {},
      { seats: { decimals: 0, occupied: true }, eur: { decimals: 2 } },
    );
    expect(declared).toEqual({
      ...STANDARD_UNITS,
      seats: { decimals: 0, occupied: true },
      eur: { decimals: 2 },
    });
  });

  it('takes the same declaration again, and `occupied: false` for one left out', () => {
    const known = declareUnits({}, { eur: { decimals: 2 } });
    expect(declareUnits(known, { eur: { decimals: 2, occupied: false } })).toEqual(known);
    expect(declareUnits({}, { usd: { decimals: 8 } })).toEqual(STANDARD_UNITS);
  });

  it('refuses a contradiction, naming both countings', () => {
    const known = declareUnits({}, { eur: { decimals: 2 } });
    expect(() => declareUnits(known, { eur: { decimals: 3 } })).toThrow(/3 decimals.*2 decimals/);
    expect(() => declareUnits(known, { eur: { decimals: 2, occupied: true } })).toThrow(/occupied/);
    expect(() => declareUnits({}, { usd: { decimals: 2 } })).toThrow(InvalidUnitError);
    expect(() => declareUnits({}, { slots: { decimals: 0 } })).toThrow(InvalidUnitError);
  });

  it.each<[string, unknown]>([
    ['', { decimals: 0 }],
    ['9lives', { decimals: 0 }],
    ['a b', { decimals: 0 }],
    ['a|b', { decimals: 0 }],
    ['é', { decimals: 0 }],
    ['a'.repeat(65), { decimals: 0 }],
    ['x', null],
    ['x', undefined],
    ['x', 3],
    ['x', {}],
    ['x', { decimals: -1 }],
    ['x', { decimals: 13 }],
    ['x', { decimals: 1.5 }],
    ['x', { decimals: Number.NaN }],
    ['x', { decimals: '3' }],
    ['x', { decimals: 3n }],
    ['x', { decimals: 3, occupied: 'yes' }],
    ['x', { decimals: 3, ocupied: true }],
  ])('refuses the unit %j declared as %o, by name', (name, options) => {
    const declare = () => declareUnits({}, { [name]: options as UnitOptions });
    expect(declare).toThrow(InvalidUnitError);
    expect(declare).toThrow(JSON.stringify(name));
  });

  it('knows at most so many', () => {
    const many = (count: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, index) => [`u${index}`, { decimals: 0 }]),
      );
    const room = MAX_UNITS - Object.keys(STANDARD_UNITS).length;
    expect(Object.keys(declareUnits({}, many(room)))).toHaveLength(MAX_UNITS);
    expect(() => declareUnits({}, many(room + 1))).toThrow(InvalidUnitError);
  });
});

describe('toStepAmounts', () => {
  it('orders by unit, whatever the order given, and leaves out what is undefined', () => {
    const given = { usd: 0.25, calls: 1, gpu_minutes: '1.5', tokens: undefined };
    expect(toStepAmounts(given as unknown as Amounts, units)).toEqual([
      { unit: 'calls', steps: 1 },
      { unit: 'gpu_minutes', steps: 1500 },
      { unit: 'usd', steps: 25_000_000 },
    ]);
  });

  it.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', 'USD', 'gpu-minutes'])(
    'refuses the undeclared unit %s, naming it and those that are',
    (name) => {
      const amounts = JSON.parse(`{ ${JSON.stringify(name)}: 1 }`) as Amounts;
      const convert = () => toStepAmounts(amounts, units);
      expect(convert).toThrow(InvalidAmountError);
      expect(convert).toThrow(JSON.stringify(name));
      expect(convert).toThrow('usd, sats, tokens, calls, slots, gpu_minutes');
    },
  );

  it('names the unit of a bad amount', () => {
    expect(() => toStepAmounts({ usd: 1, tokens: -1 }, units)).toThrow(/tokens is -1/);
  });

  it.each([null, undefined, 5, 'usd', [1], 1n, Symbol('a')])('refuses %o as amounts', (amounts) => {
    expect(() => toStepAmounts(amounts as unknown as Amounts, units)).toThrow(InvalidAmountError);
  });

  it('comes back as decimals by unit', () => {
    const amounts = { calls: 3, gpu_minutes: 0.001, usd: 11_258_999.068_426_24 };
    expect(toDecimals(toStepAmounts(amounts, units), units)).toEqual(amounts);
  });

  it('counts a unit whose name an object has a meaning for', async () => {
    const purse = await openPurse({
      units: { constructor: { decimals: 0 }, toString: { decimals: 0 } },
      limits: [{ name: 'odd', cap: { constructor: 3, toString: 2 } }],
    });
    const amounts: Amounts = { constructor: 2, toString: 2 };
    await purse.charge(amounts);
    const { allowed, denials } = await purse.check(amounts);
    expect(allowed).toBe(false);
    expect(denials.map(({ unit, available }) => [unit, available])).toEqual([
      ['constructor', 1],
      ['toString', 0],
    ]);
    await purse.close();
  });
});
