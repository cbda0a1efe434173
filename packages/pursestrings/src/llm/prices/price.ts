import type { Decimal } from '../../ledger/amount.ts';
import { InvalidAmountError } from '../../ledger/invalid.ts';
import { scaled } from './rates.ts';
import type { Rates, TokenRates } from './rates.ts';
import type { Pieces, Usage } from '../usage.ts';

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
  /** USD for one of what is billed by the piece: `{ web_searches: 0.01 }`. */
  readonly usdPerPiece?: Readonly<Record<string, Decimal>>;
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

/** A price found for a model, ready to calculate with. */
export interface Price {
  readonly provider: string;
  readonly model: string;
  /** Where it comes from: `prices`, `unknownModel`, or `genai-prices:openai/gpt-4o`. */
  readonly source: string;
  /** Ordered by `aboveInputTokens`, the first from -1. */
  readonly rates: readonly Rates[];
  readonly serviceTiers: ReadonlyMap<string, readonly Rates[]>;
  /** Attodollars for one of what is billed by the piece. */
  readonly attosPerPiece: ReadonlyMap<string, bigint>;
  readonly contextWindow: number | null;
  readonly maxOutputTokens: number | null;
}

/** Tokens that a call may use at most, by what they can cost. */
export interface TokenBound {
  readonly inputTokens: number;
  readonly inputAudioTokens: number;
  /** Input may hold images or video, which can be dearer than text. */
  readonly inputMedia: boolean;
  /** How long the input may be kept by a prompt cache that is written to. */
  readonly cacheWrites: CacheWrites;
  readonly outputTokens: number;
  /** Output may be audio, or images. */
  readonly outputAudio: boolean;
  readonly outputImage: boolean;
  readonly pieces: Pieces;
}

/** What a request may write to the provider's prompt cache. */
export type CacheWrites = 'none' | '5m' | '1h';

/** Tiers that cost the standard rate or less when the price names no rate of their own. */
const STANDARD_TIERS: ReadonlySet<string> = new Set([
  'default',
  'auto',
  'standard',
  'standard_only',
  'on_demand',
  'batch',
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
 * call used.
 */
export function costAttos(price: Price, usage: Usage): bigint | null {
  if (usage.reportedUsd !== undefined) return scaled(usage.reportedUsd, 18, 'up');
  const tier = usage.serviceTier;
  const own = tier === undefined ? undefined : price.serviceTiers.get(tier);
  const rates = ratesFor(own ?? price.rates, usage.inputTokens);
  const bill = new Bill();
  addInput(bill, rates, usage);
  addOutput(bill, rates, usage);
  if (own === undefined && tier !== undefined && !STANDARD_TIERS.has(tier)) bill.attos *= PREMIUM;
  if (usage.pieces !== undefined) {
    for (const name in usage.pieces) {
      bill.add(usage.pieces[name] ?? 0, price.attosPerPiece.get(name) ?? null);
    }
  }
  return bill.complete ? bill.attos : null;
}

/** Adds tokens times rates up. */
class Bill {
  attos = 0n;
  /** False once something was added whose rate nobody knows. */
  complete = true;

  add(count: number, rate: bigint | null): void {
    if (count === 0) return;
    if (rate === null) this.complete = false;
    else this.attos += BigInt(count) * rate;
  }
}

/**
 * Splits the input by what is billed. Kinds that overlap are billed at the dearer one: cached
 * tokens are what media and cache writes leave, so an overlap never makes a call too cheap.
 */
function addInput(bill: Bill, rates: Rates, usage: Usage): void {
  const audio = usage.inputAudioTokens ?? 0;
  const image = usage.inputImageTokens ?? 0;
  const video = usage.inputVideoTokens ?? 0;
  const written = usage.cacheWriteTokens ?? 0;
  const cachedTotal = usage.cachedInputTokens ?? 0;
  const cachedAudio = usage.cachedAudioTokens ?? 0;
  const cachedImage = usage.cachedImageTokens ?? 0;
  const text = usage.inputTokens - audio - image - video - written;
  const cached = Math.min(cachedTotal - cachedAudio - cachedImage, text);
  bill.add(text - cached, rates.input);
  bill.add(cached, rates.cachedInput);
  if (written > 0) {
    const written1h = usage.cacheWrite1hTokens ?? 0;
    bill.add(written - written1h, rates.cacheWrite);
    bill.add(written1h, rates.cacheWrite1h);
  }
  bill.add(audio - cachedAudio, rates.inputAudio);
  bill.add(cachedAudio, rates.cachedAudio);
  bill.add(image - cachedImage, rates.inputImage);
  bill.add(cachedImage, rates.cachedImage);
  bill.add(video, rates.inputVideo);
}

function addOutput(bill: Bill, rates: Rates, usage: Usage): void {
  const audio = usage.outputAudioTokens ?? 0;
  const image = usage.outputImageTokens ?? 0;
  const text = usage.outputTokens - audio - image;
  const reasoning = Math.min(usage.reasoningTokens ?? 0, text);
  bill.add(text - reasoning, rates.output);
  bill.add(reasoning, rates.reasoning);
  bill.add(audio, rates.outputAudio);
  bill.add(image, rates.outputImage);
}

/**
 * The most that so many tokens can cost: every token at the dearest rate it may be billed at. A
 * rate that nobody knows counts as nothing here: `missingRate` says so first.
 */
export function boundAttos(price: Price, tier: string | null, bound: TokenBound): bigint {
  const list = (tier === null ? undefined : price.serviceTiers.get(tier)) ?? price.rates;
  let dearest = 0n;
  for (const rates of list) {
    if (rates.aboveInputTokens >= bound.inputTokens) break;
    const input = dearestInput(rates, bound);
    const audio = largest(input, rates.inputAudio ?? 0n);
    const attos =
      BigInt(bound.inputTokens - bound.inputAudioTokens) * input +
      BigInt(bound.inputAudioTokens) * audio +
      BigInt(bound.outputTokens) * dearestOutput(rates, bound);
    dearest = largest(dearest, attos);
  }
  for (const [name, count] of Object.entries(bound.pieces)) {
    dearest += BigInt(count) * (price.attosPerPiece.get(name) ?? 0n);
  }
  return dearest;
}

function dearestInput(rates: Rates, { cacheWrites, inputMedia }: TokenBound): bigint {
  let most = largest(rates.input ?? 0n, rates.cachedInput ?? 0n);
  if (cacheWrites !== 'none') most = largest(most, rates.cacheWrite ?? 0n);
  if (cacheWrites === '1h') most = largest(most, rates.cacheWrite1h ?? 0n);
  return inputMedia ? largest(most, rates.inputImage ?? 0n, rates.inputVideo ?? 0n) : most;
}

function dearestOutput(rates: Rates, { outputAudio, outputImage }: TokenBound): bigint {
  return largest(
    rates.output ?? 0n,
    rates.reasoning ?? 0n,
    outputAudio ? (rates.outputAudio ?? 0n) : 0n,
    outputImage ? (rates.outputImage ?? 0n) : 0n,
  );
}

/** Names something that a call within the bound may be billed for and that has no known rate. */
export function missingRate(price: Price, tier: string | null, bound: TokenBound): string | null {
  const [standard] = price.rates;
  if (lacksTier(price, tier)) return `the service tier \`${tier}\``;
  if (bound.inputTokens > bound.inputAudioTokens && standard?.input === null) return 'text input';
  if (bound.inputAudioTokens > 0 && standard?.inputAudio === null) return 'audio input';
  if (bound.outputAudio && standard?.outputAudio === null) return 'audio output';
  if (bound.outputTokens > 0 && standard?.output === null) return 'output';
  const piece = Object.entries(bound.pieces).find(
    ([name, count]) => count > 0 && !price.attosPerPiece.has(name),
  );
  return piece === undefined ? null : `\`${piece[0]}\``;
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

function ratesFor(list: readonly Rates[], inputTokens: number): Rates {
  let chosen = list[0];
  for (const rates of list) {
    if (inputTokens > rates.aboveInputTokens) chosen = rates;
  }
  if (chosen === undefined)
    throw new InvalidAmountError('A price without rates cannot be calculated with');
  return chosen;
}

function largest(first: bigint, ...others: readonly bigint[]): bigint {
  return others.reduce((most, value) => (value > most ? value : most), first);
}
