import { MAX_AMOUNT_STEPS } from '../../ledger/amount.ts';
import type { Decimal } from '../../ledger/amount.ts';
import { InvalidAmountError } from '../../ledger/invalid.ts';

/**
 * USD per one million tokens. A kind left out costs what `input` or `output` costs, except audio:
 * that is unknown. Cache writes for an hour cost twice the input where only `cacheWrite` is given,
 * as with Anthropic: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
 */
export interface TokenRates {
  readonly input: Decimal;
  readonly output: Decimal;
  readonly cachedInput?: Decimal;
  readonly cacheWrite?: Decimal;
  readonly cacheWrite1h?: Decimal;
  readonly inputAudio?: Decimal;
  readonly cachedAudio?: Decimal;
  readonly inputImage?: Decimal;
  readonly cachedImage?: Decimal;
  readonly inputVideo?: Decimal;
  readonly outputAudio?: Decimal;
  readonly outputImage?: Decimal;
  readonly reasoning?: Decimal;
}

/**
 * Rates in attodollars (1e-18 USD) a token, for calls whose input is longer than
 * `aboveInputTokens`. `null` is a rate that nobody knows.
 */
export interface Rates {
  readonly aboveInputTokens: number;
  readonly input: bigint | null;
  readonly output: bigint | null;
  readonly cachedInput: bigint | null;
  readonly cacheWrite: bigint | null;
  readonly cacheWrite1h: bigint | null;
  readonly inputAudio: bigint | null;
  readonly cachedAudio: bigint | null;
  readonly inputImage: bigint | null;
  readonly cachedImage: bigint | null;
  readonly inputVideo: bigint | null;
  readonly outputAudio: bigint | null;
  readonly outputImage: bigint | null;
  readonly reasoning: bigint | null;
}

const ATTOS_PER_STEP = 10n ** 10n;
const STEPS_PER_USD = 1e8;

/** Token rates of which any may be missing: without being left out, or unknown. */
export type LooseRates = { readonly [Kind in keyof TokenRates]?: TokenRates[Kind] | undefined };

/**
 * Turns rates that a person wrote into exact ones; a rate finer than 1e-12 USD a million goes up.
 */
export function exactRates(rates: LooseRates, aboveInputTokens: number = -1): Rates {
  const exact = (rate: Decimal | undefined): bigint | null =>
    rate === undefined ? null : scaled(rate, 12, 'up');
  const input = exact(rates.input);
  const output = exact(rates.output);
  const cachedInput = exact(rates.cachedInput) ?? input;
  const inputAudio = exact(rates.inputAudio);
  const inputImage = exact(rates.inputImage);
  const cacheWrite = exact(rates.cacheWrite);
  const twiceInput = cacheWrite === null || input === null ? input : input * 2n;
  return {
    aboveInputTokens,
    input,
    output,
    cachedInput,
    cacheWrite: cacheWrite ?? input,
    cacheWrite1h: exact(rates.cacheWrite1h) ?? twiceInput,
    inputAudio,
    cachedAudio: exact(rates.cachedAudio) ?? inputAudio,
    inputImage: inputImage ?? input,
    cachedImage: exact(rates.cachedImage) ?? inputImage ?? cachedInput,
    inputVideo: exact(rates.inputVideo) ?? input,
    outputAudio: exact(rates.outputAudio),
    outputImage: exact(rates.outputImage) ?? output,
    reasoning: exact(rates.reasoning) ?? output,
  };
}

/** All rates times a fraction, each rounded up. */
export function scaledRates(rates: Rates, numerator: bigint, denominator: bigint): Rates {
  const scale = (rate: bigint | null): bigint | null =>
    rate === null ? null : (rate * numerator + denominator - 1n) / denominator;
  const { aboveInputTokens, ...kinds } = rates;
  const entries = Object.entries(kinds).map(([kind, rate]) => [kind, scale(rate)]);
  return { aboveInputTokens, ...(Object.fromEntries(entries) as typeof kinds) };
}

/** USD for so many units, as attodollars for one unit. */
export function attosPerUnit(usd: Decimal, units: number): bigint {
  const attos = scaled(usd, 18, 'up');
  const divisor = BigInt(units);
  return (attos + divisor - 1n) / divisor;
}

/**
 * Attodollars as USD, rounded up, once, to the unit's step of 1e-8: the number nearest to that
 * decimal, so exact.
 */
export function usdNumber(attos: bigint): number {
  return Number((attos + ATTOS_PER_STEP - 1n) / ATTOS_PER_STEP) / STEPS_PER_USD;
}

/** True for a cost that a ledger can record. What is more was never used: somebody counts wrong. */
export function recordable(attos: bigint, tokens: number): boolean {
  return tokens <= MAX_AMOUNT_STEPS && attos <= BigInt(MAX_AMOUNT_STEPS) * ATTOS_PER_STEP;
}

/**
 * Reads a decimal number of USD as attodollars, rounded down: what is finer cannot be paid with.
 */
export function attosOf(usd: Decimal): bigint {
  return scaled(usd, 18, 'down');
}

/** A decimal times 10^digits. Numbers mean the shortest decimal that they print as. */
export function scaled(value: Decimal, digits: number, rounding: 'up' | 'down'): bigint {
  const match = /^(\d+)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?$/i.exec(String(value));
  if (match === null) {
    throw new InvalidAmountError(
      `${JSON.stringify(value)} is no price; write a decimal from 0, such as 0.15`,
    );
  }
  const fraction = match[2] ?? '';
  const mantissa = BigInt(`${match[1]}${fraction}`);
  const shift = digits + Number(match[3] ?? 0) - fraction.length;
  if (shift >= 0) return mantissa * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  return rounding === 'up' ? (mantissa + divisor - 1n) / divisor : mantissa / divisor;
}
