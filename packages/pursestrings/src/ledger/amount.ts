import { InvalidAmountError, shown } from './invalid.ts';

/** A number of whole units and a fraction, as people write it: `0.25` or `'0.25'`. Never negative. */
export type Decimal = number | string;

/** One spend's amounts by unit, in decimals: `{ usd: 0.40, tokens: 12_000 }`. */
export type Amounts = Readonly<Record<string, Decimal>>;

/** The most that one amount may be, in steps: 2^50 (11.2 million USD). */
export const MAX_AMOUNT_STEPS: number = 2 ** 50;

/** The most that one envelope or cap may be, in steps. Beyond it an envelope is saturated. */
export const MAX_ENVELOPE_STEPS: number = Number.MAX_SAFE_INTEGER;

/** How a decimal finer than a step becomes whole steps: charges go up, caps go down. */
export type Rounding = 'up' | 'down';

/**
 * Turns a decimal into whole steps of 10^-decimals, exactly.
 *
 * A number means the shortest decimal that it prints as; digits past the fifteenth that are finer
 * than a step are the noise of binary arithmetic, so `0.1 + 0.2` is three tenths. A string is taken
 * digit by digit. What is finer than a step is rounded once, in the direction given.
 *
 * @throws InvalidAmountError when the value is negative, not a decimal, or over `maxSteps`.
 */
export function toSteps(
  value: Decimal,
  decimals: number,
  rounding: Rounding,
  maxSteps: number = MAX_AMOUNT_STEPS,
): number {
  const steps =
    typeof value === 'number'
      ? numberToSteps(value, decimals, rounding)
      : textToSteps(value, decimals, rounding);
  if (steps > maxSteps) {
    throw new InvalidAmountError(
      `is ${value}, which is over the most that can be recorded, ${toDecimal(maxSteps, decimals)}`,
    );
  }
  return steps;
}

/** Turns whole steps back into a decimal number: the one nearest to it, so both ways are exact. */
export function toDecimal(steps: number, decimals: number): number {
  return steps / 10 ** decimals;
}

/** Writes whole steps as decimal text, exactly at every size: `-0.00000001`, `12`. */
export function toDecimalText(steps: number | bigint, decimals: number): string {
  const digits = (steps < 0 ? -BigInt(steps) : BigInt(steps))
    .toString()
    .padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return `${steps < 0 ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

function numberToSteps(value: number, decimals: number, rounding: Rounding): number {
  const scale = 10 ** decimals;
  const nearest = Math.round(value * scale);
  // The division of two exact integers rounds correctly: equality means `value` is that decimal.
  if (nearest >= 0 && nearest <= MAX_ENVELOPE_STEPS && nearest / scale === value)
    return nearest + 0;
  if (!Number.isFinite(value) || value < 0) {
    throw new InvalidAmountError(`is ${value}; it must be a finite number that is not negative`);
  }
  // From 10^15 steps on, the fifteenth digit is worth more than a step.
  const text = nearest < 1e15 ? value.toPrecision(15) : String(value);
  return textToSteps(text, decimals, rounding);
}

const DECIMAL_TEXT = /^(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,4}))?$/i;

function textToSteps(text: string, decimals: number, rounding: Rounding): number {
  const match = typeof text === 'string' && text.length <= 100 ? DECIMAL_TEXT.exec(text) : null;
  const digits = `${match?.[1] ?? ''}${match?.[2] ?? ''}`;
  if (match === null || digits === '') {
    throw new InvalidAmountError(`is ${shown(text)}; write a decimal such as '0.25'`);
  }
  const shift = decimals + Number(match[3] ?? 0) - (match[2] ?? '').length;
  if (/^0*$/.test(digits)) return 0;
  if (shift >= 0)
    return shift > 40 ? Number.POSITIVE_INFINITY : Number(BigInt(digits) * 10n ** BigInt(shift));
  const divisor = 10n ** BigInt(Math.min(-shift, 200));
  const whole = BigInt(digits) / divisor;
  const exact = whole * divisor === BigInt(digits);
  return Number(exact || rounding === 'down' ? whole : whole + 1n);
}
