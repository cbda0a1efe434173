import { InvalidAmountError } from '../ledger/invalid.ts';
import type { Decimal } from '../ledger/amount.ts';

/**
 * What one model call used, in tokens: whole numbers from 0. The parts lie inside their whole:
 * cached, cache-writing and audio tokens inside `inputTokens`, reasoning and audio tokens inside
 * `outputTokens`. A provider that counts otherwise is translated to this when its answer is read.
 */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Input that the provider read from its prompt cache. */
  readonly cachedInputTokens?: number;
  /** Input that the provider wrote to its prompt cache. */
  readonly cacheWriteTokens?: number;
  readonly inputAudioTokens?: number;
  readonly outputAudioTokens?: number;
  /** Hidden output; priced as output. */
  readonly reasoningTokens?: number;
  /** Searches of the web that are billed by the search. */
  readonly webSearches?: number;
  /** The processing tier that served the call, such as `flex` or `priority`. */
  readonly serviceTier?: string;
}

/**
 * USD per one million tokens. A kind left out costs what `input` or `output` costs, except audio:
 * that is unknown.
 */
export interface TokenRates {
  readonly input: Decimal;
  readonly output: Decimal;
  readonly cachedInput?: Decimal;
  readonly cacheWrite?: Decimal;
  readonly inputAudio?: Decimal;
  readonly outputAudio?: Decimal;
}

/** What a model costs, as a user writes it down. */
export interface ModelPrice {
  readonly usdPerMillion: TokenRates;
  /** Other rates for the whole call once its input is longer than so many tokens. */
  readonly longContext?: {
    readonly aboveInputTokens: number;
    readonly usdPerMillion: TokenRates;
  };
  /**
   * Rates of processing tiers with a price of their own, by the tier's name: `{ priority: { … }
   * }`.
   */
  readonly serviceTiers?: Readonly<Record<string, TokenRates>>;
  readonly usdPerWebSearch?: Decimal;
  /** The most tokens a call can read and write together. */
  readonly contextWindow?: number;
  /** The most tokens a call can write. */
  readonly maxOutputTokens?: number;
}

/**
 * Prices by the exact model name that requests carry. They come before the bundled list, and add
 * to it what it lacks.
 *
 * @example
 * ```ts
 * import type { PriceBook } from 'pursestrings/llm';
 *
 * const prices: PriceBook = {
 *   'my-fine-tune': { usdPerMillion: { input: 3, cachedInput: 0.75, output: '12.5' } },
 *   'gpt-5': {
 *     usdPerMillion: { input: 1.25, cachedInput: 0.125, output: 10 },
 *     serviceTiers: { priority: { input: 2.5, cachedInput: 0.25, output: 20 } },
 *   },
 * };
 * ```
 */
export type PriceBook = Readonly<Record<string, ModelPrice>>;

/**
 * Rates in attodollars (1e-18 USD) a token, for calls whose input is longer than
 * `aboveInputTokens`.
 */
export interface Rates {
  readonly aboveInputTokens: number;
  readonly input: bigint;
  readonly output: bigint;
  readonly cachedInput: bigint;
  readonly cacheWrite: bigint;
  readonly inputAudio: bigint | null;
  readonly outputAudio: bigint | null;
}

/** A price found for a model, ready to calculate with. */
export interface Price {
  readonly provider: string;
  readonly model: string;
  /** Where it comes from: `prices`, `unknownModel`, or `genai-prices:openai/gpt-4o`. */
  readonly source: string;
  /** Ordered by `aboveInputTokens`, the first from -1. */
  readonly rates: readonly Rates[];
  readonly serviceTiers: ReadonlyMap<string, readonly Rates[]>;
  readonly webSearchAttos: bigint | null;
  readonly contextWindow: number | null;
  readonly maxOutputTokens: number | null;
}

/** Tokens that a call may use at most, by what they can cost. */
export interface TokenBound {
  readonly inputTokens: number;
  readonly inputAudioTokens: number;
  readonly outputTokens: number;
  /** Output may be audio. */
  readonly outputAudio: boolean;
  readonly webSearches: number;
}

const ATTOS_PER_STEP = 10n ** 10n;
const STEPS_PER_USD = 1e8;

const COUNTS = [
  'inputTokens',
  'outputTokens',
  'cachedInputTokens',
  'cacheWriteTokens',
  'inputAudioTokens',
  'outputAudioTokens',
  'reasoningTokens',
  'webSearches',
] as const satisfies readonly (keyof Usage)[];

/** Tiers that cost the standard rate or less when the price names no rate of their own. */
const STANDARD_TIERS: ReadonlySet<string> = new Set([
  'default',
  'auto',
  'standard',
  'flex',
  'scale',
]);

/**
 * Twice the standard rate is the dearest premium on OpenAI's list:
 * https://openai.com/api-priority-processing/
 */
const PREMIUM = 2n;

/**
 * What a call cost, in attodollars, exactly. `null` when the price lacks the rate of something the
 * call used: audio or web searches.
 */
export function costAttos(price: Price, usage: Usage): bigint | null {
  const tier = usage.serviceTier;
  const own = tier === undefined ? undefined : price.serviceTiers.get(tier);
  const rates = ratesFor(own ?? price.rates, usage.inputTokens);
  const parts = inputParts(usage);
  const outputAudio = usage.outputAudioTokens ?? 0;
  if (parts.audio > 0 && rates.inputAudio === null) return null;
  if (outputAudio > 0 && rates.outputAudio === null) return null;
  if (usage.webSearches !== undefined && usage.webSearches > 0 && price.webSearchAttos === null)
    return null;
  let attos =
    BigInt(parts.text) * rates.input + BigInt(usage.outputTokens - outputAudio) * rates.output;
  if (parts.cached > 0) attos += BigInt(parts.cached) * rates.cachedInput;
  if (parts.written > 0) attos += BigInt(parts.written) * rates.cacheWrite;
  if (parts.audio > 0) attos += BigInt(parts.audio) * (rates.inputAudio ?? 0n);
  if (outputAudio > 0) attos += BigInt(outputAudio) * (rates.outputAudio ?? 0n);
  if (own === undefined && tier !== undefined && !STANDARD_TIERS.has(tier)) attos *= PREMIUM;
  return attos + BigInt(usage.webSearches ?? 0) * (price.webSearchAttos ?? 0n);
}

/** The most that so many tokens can cost: every token at the dearest rate it may be billed at. */
export function boundAttos(price: Price, tier: string | null, bound: TokenBound): bigint {
  const list = (tier === null ? undefined : price.serviceTiers.get(tier)) ?? price.rates;
  let dearest = 0n;
  for (const rates of list) {
    if (rates.aboveInputTokens >= bound.inputTokens) break;
    const input = largest(rates.input, rates.cachedInput, rates.cacheWrite);
    const audio = largest(input, rates.inputAudio ?? 0n);
    const output = bound.outputAudio
      ? largest(rates.output, rates.outputAudio ?? 0n)
      : rates.output;
    const attos =
      BigInt(bound.inputTokens - bound.inputAudioTokens) * input +
      BigInt(bound.inputAudioTokens) * audio +
      BigInt(bound.outputTokens) * output;
    dearest = largest(dearest, attos);
  }
  return dearest + BigInt(bound.webSearches) * (price.webSearchAttos ?? 0n);
}

/** The dearest rate of one output token under a price, in attodollars. */
export function outputRateAttos(price: Price, tier: string | null, bound: TokenBound): bigint {
  return (
    boundAttos(price, tier, { ...bound, outputTokens: 1 }) -
    boundAttos(price, tier, { ...bound, outputTokens: 0 })
  );
}

/** True when a tier is billed at rates that neither the price nor the standard list covers. */
export function lacksTier(price: Price, tier: string | null): boolean {
  return tier !== null && !STANDARD_TIERS.has(tier) && !price.serviceTiers.has(tier);
}

/**
 * Attodollars as USD, rounded up, once, to the unit's step of 1e-8: the number nearest to that
 * decimal, so exact.
 */
export function usdNumber(attos: bigint): number {
  return Number((attos + ATTOS_PER_STEP - 1n) / ATTOS_PER_STEP) / STEPS_PER_USD;
}

/**
 * Reads a decimal number of USD as attodollars, rounded down: what is finer cannot be paid with.
 */
export function attosOf(usd: Decimal): bigint {
  return scaled(usd, 18, 'down');
}

/**
 * Checks a usage before it is priced.
 *
 * @throws InvalidAmountError when a count is no whole number, or a part exceeds its whole.
 */
export function checkUsage(usage: Usage): void {
  for (const name of COUNTS) {
    const count = usage[name];
    if (count !== undefined && !(Number.isSafeInteger(count) && count >= 0)) {
      throw new InvalidAmountError(
        `\`${name}\` is ${String(count)}; it must be a whole number from 0`,
      );
    }
  }
  if (!isConsistent(usage)) {
    throw new InvalidAmountError(
      'The usage is inconsistent: cached, cache-writing and audio tokens are counted inside ' +
        '`inputTokens`, reasoning and audio tokens inside `outputTokens`',
    );
  }
}

/** True when both wholes are there and no part exceeds its whole. */
export function isConsistent(usage: Usage): boolean {
  const { inputTokens, outputTokens } = usage;
  return (
    Number.isSafeInteger(inputTokens) &&
    Number.isSafeInteger(outputTokens) &&
    (usage.cachedInputTokens ?? 0) <= inputTokens &&
    (usage.inputAudioTokens ?? 0) + (usage.cacheWriteTokens ?? 0) <= inputTokens &&
    Math.max(usage.outputAudioTokens ?? 0, usage.reasoningTokens ?? 0) <= outputTokens
  );
}

/** Token rates of which any may be missing without being left out. */
type LooseRates = { readonly [Kind in keyof TokenRates]: TokenRates[Kind] | undefined } & {
  readonly input: Decimal;
  readonly output: Decimal;
};

/**
 * Turns rates that a person wrote into exact ones; a rate finer than 1e-12 USD a million goes up.
 */
export function exactRates(rates: LooseRates, aboveInputTokens: number = -1): Rates {
  const input = perToken(rates.input);
  return {
    aboveInputTokens,
    input,
    output: perToken(rates.output),
    cachedInput: rates.cachedInput === undefined ? input : perToken(rates.cachedInput),
    cacheWrite: rates.cacheWrite === undefined ? input : perToken(rates.cacheWrite),
    inputAudio: rates.inputAudio === undefined ? null : perToken(rates.inputAudio),
    outputAudio: rates.outputAudio === undefined ? null : perToken(rates.outputAudio),
  };
}

/** USD for so many units, as attodollars for one unit. */
export function attosPerUnit(usd: Decimal, units: number): bigint {
  const attos = scaled(usd, 18, 'up');
  const divisor = BigInt(units);
  return (attos + divisor - 1n) / divisor;
}

function perToken(usdPerMillion: Decimal): bigint {
  return scaled(usdPerMillion, 12, 'up');
}

function ratesFor(list: readonly Rates[], inputTokens: number): Rates {
  let chosen = list[0];
  for (const rates of list) {
    if (inputTokens > rates.aboveInputTokens) chosen = rates;
  }
  if (chosen === undefined)
    throw new InvalidAmountError('A price without rates cannot be calculated with');
  return chosen;
}

/**
 * Splits the input by what is billed. Kinds that overlap are billed at the dearer one: cached
 * tokens are what audio and cache writes leave, so an overlap never makes a call too cheap.
 */
function inputParts(
  usage: Usage,
): Readonly<Record<'text' | 'cached' | 'written' | 'audio', number>> {
  const audio = usage.inputAudioTokens ?? 0;
  const written = usage.cacheWriteTokens ?? 0;
  const left = usage.inputTokens - audio - written;
  const cached = Math.min(usage.cachedInputTokens ?? 0, left);
  return { text: left - cached, cached, written, audio };
}

function largest(first: bigint, ...others: readonly bigint[]): bigint {
  return others.reduce((most, value) => (value > most ? value : most), first);
}

/** A decimal times 10^digits. Numbers mean the shortest decimal that they print as. */
function scaled(value: Decimal, digits: number, rounding: 'up' | 'down'): bigint {
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
