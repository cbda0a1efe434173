import { findProvider } from '@pydantic/genai-prices';

import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import type { CostOptions } from '../cost.ts';
import type { Price } from './price.ts';
import { priceFinder } from './price-list.ts';
import { exactRates } from './rates.ts';
import type { LooseRates, Rates, TokenRates } from './rates.ts';

/**
 * USD per one million tokens, by kind, as exact decimals. A kind left out costs what `input` or
 * `output` costs (a cached image what cached input costs), except audio: that is unknown.
 */
export type DescribedRates = { readonly [Kind in keyof TokenRates]?: string };

/** Rates of calls whose input is longer than so many tokens. */
export interface PriceStep {
  /** 0 for the rates that every call begins at. */
  readonly aboveInputTokens: number;
  readonly usdPerMillion: DescribedRates;
}

/** What a model costs, and where that comes from. */
export interface PriceDescription {
  /** The model as the price names it, which may be shorter than the name asked for. */
  readonly model: string;
  readonly provider: string;
  /** `prices`, `unknownModel`, or `genai-prices:openai/gpt-4o`. */
  readonly source: string;
  readonly usdPerMillion: DescribedRates;
  /** Other rates for the whole call once its input is longer: in the order of their lengths. */
  readonly longContext: readonly PriceStep[];
  /** Processing tiers with rates of their own, such as `batch`, by name; each begins at 0. */
  readonly serviceTiers: Readonly<Record<string, readonly PriceStep[]>>;
  /** USD for one of what is billed by the piece, as exact decimals: `{ web_searches: '0.01' }`. */
  readonly usdPerPiece: Readonly<Record<string, string>>;
  /** The most tokens a call can read and write together; `null` when nobody knows. */
  readonly contextWindow: number | null;
  /** The most tokens a call can write; `null` when nobody knows. */
  readonly maxOutputTokens: number | null;
}

/** A model that has a price where it is called by its provider's URL. */
export interface ListedModel {
  readonly provider: string;
  readonly model: string;
  readonly url: string;
}

/**
 * Says what `meteredFetch` and `calculateCost` would charge for a model, or `null` when it has no
 * price. Every figure is an exact decimal.
 *
 * Prices: https://github.com/pydantic/genai-prices
 *
 * @throws InvalidOptionError when `url` is none; InvalidAmountError when `prices` holds no price.
 * @example
 * ```ts
 * import { describePrice } from 'pursestrings/llm';
 *
 * const price = describePrice('gpt-4o');
 * console.log(price?.usdPerMillion.input, price?.source); // 2.5 genai-prices:openai/gpt-4o
 * ```
 */
export function describePrice(model: string, options: CostOptions = {}): PriceDescription | null {
  const { url } = options;
  if (url !== undefined && !URL.canParse(url)) {
    throw new InvalidOptionError(
      `\`url\` is ${shown(url)}; it must be a URL, such as https://api.openai.com/v1`,
    );
  }
  const price = priceFinder(options)(model, url ?? null);
  return price === null ? null : described(price);
}

function described(price: Price): PriceDescription {
  const [standard, ...longContext] = steps(price.rates);
  return {
    model: price.model,
    provider: price.provider,
    source: price.source,
    usdPerMillion: standard?.usdPerMillion ?? {},
    longContext,
    serviceTiers: Object.fromEntries(
      [...price.serviceTiers]
        .map(([tier, rates]) => [tier, steps(rates)] as const)
        .filter(([, tier]) => Object.keys(tier[0]?.usdPerMillion ?? {}).length > 0),
    ),
    usdPerPiece: Object.fromEntries(
      [...price.attosPerPiece].map(([name, attos]) => [name, decimal(attos, 18)]),
    ),
    contextWindow: price.contextWindow,
    maxOutputTokens: price.maxOutputTokens,
  };
}

function steps(rates: readonly Rates[]): PriceStep[] {
  return rates.map((each) => ({
    aboveInputTokens: Math.max(0, each.aboveInputTokens),
    usdPerMillion: writtenRates(each),
  }));
}

/** Kinds in the order they are told in. */
const KINDS = [
  'input',
  'output',
  'cachedInput',
  'cacheWrite',
  'cacheWrite1h',
  'inputAudio',
  'cachedAudio',
  'inputImage',
  'cachedImage',
  'inputVideo',
  'outputAudio',
  'outputImage',
  'reasoning',
] as const satisfies readonly (keyof TokenRates)[];

/** Kinds that go without saying, together, where they cost what they would cost unsaid. */
const UNSAID: readonly (readonly (keyof TokenRates)[])[] = [
  ['cacheWrite', 'cacheWrite1h'],
  ['cachedAudio'],
  ['inputImage', 'cachedImage'],
  ['inputImage'],
  ['cachedImage'],
  ['inputVideo'],
  ['outputImage'],
  ['reasoning'],
];

/** Writes rates down such that `exactRates` reads the same rates back. */
function writtenRates(rates: Rates): DescribedRates {
  let written: LooseRates = Object.fromEntries(
    KINDS.flatMap((kind) => {
      const rate = rates[kind];
      return rate === null ? [] : [[kind, decimal(rate, 12)]];
    }),
  );
  for (const kinds of UNSAID) {
    const shorter = { ...written };
    for (const kind of kinds) delete shorter[kind];
    const read = exactRates(shorter, rates.aboveInputTokens);
    if (KINDS.every((kind) => read[kind] === rates[kind])) written = shorter;
  }
  return written as DescribedRates;
}

/** A whole number of 10^-digits as a decimal. */
function decimal(value: bigint, digits: number): string {
  const text = value.toString().padStart(digits + 1, '0');
  return `${text.slice(0, -digits)}.${text.slice(-digits)}`.replace(/\.?0+$/, '');
}

/** Providers whose own models are looked through for a name, and where those are called. */
const PROVIDERS: readonly (readonly [provider: string, url: string])[] = [
  ['openai', 'https://api.openai.com/v1'],
  ['anthropic', 'https://api.anthropic.com/v1'],
  ['google', 'https://generativelanguage.googleapis.com/v1beta'],
  ['mistral', 'https://api.mistral.ai/v1'],
  ['deepseek', 'https://api.deepseek.com/v1'],
  ['x-ai', 'https://api.x.ai/v1'],
  ['groq', 'https://api.groq.com/openai/v1'],
];

/** How unlike a name may be, in letters changed, for each letter it has. */
const MAX_UNLIKENESS = 0.35;

/** A part this long says something of a name. */
const MIN_PART = 3;

/** Names longer than this are compared by their beginning. */
const MAX_COMPARED = 64;

/**
 * Models of the bundled list with a name like this one, the most alike first: for a message about
 * a name that has no price.
 *
 * @param most A whole number from 1. Default 5.
 * @example
 * ```ts
 * import { similarModels } from 'pursestrings/llm';
 *
 * console.log(similarModels('gpt4o')[0]?.model); // gpt-4o
 * ```
 */
export function similarModels(model: string, most: number = 5): readonly ListedModel[] {
  const asked = model.toLowerCase().slice(0, MAX_COMPARED);
  const found = new Map<string, ListedModel & { readonly unlike: number }>();
  for (const [provider, url] of PROVIDERS) {
    for (const { id } of findProvider({ providerId: provider })?.models ?? []) {
      const unlike = unlikeness(asked, id);
      if (unlike <= MAX_UNLIKENESS && !found.has(id)) {
        found.set(id, { provider, model: id, url, unlike });
      }
    }
  }
  return [...found.values()]
    .sort((a, b) => a.unlike - b.unlike)
    .slice(0, most)
    .map(({ provider, model, url }) => ({ provider, model, url }));
}

/** 0 for the same name; a name that begins with the other, or contains it, is never too unlike. */
function unlikeness(asked: string, listed: string): number {
  const name = listed.toLowerCase().slice(0, MAX_COMPARED);
  const changed = distance(asked, name) / Math.max(asked.length, name.length);
  if (asked.length < MIN_PART) return changed;
  if (name.startsWith(asked) || asked.startsWith(name))
    return Math.min(changed / 2, MAX_UNLIKENESS);
  return name.includes(asked) ? Math.min(changed, MAX_UNLIKENESS) : changed;
}

/** Letters to add, take away or change: https://en.wikipedia.org/wiki/Levenshtein_distance */
function distance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 0; row < from.length; row += 1) {
    const line = [row + 1];
    for (let column = 0; column < to.length; column += 1) {
      const change = (above[column] ?? 0) + (from[row] === to[column] ? 0 : 1);
      line.push(Math.min(change, (above[column + 1] ?? 0) + 1, (line[column] ?? 0) + 1));
    }
    above = line;
  }
  return above.at(-1) ?? 0;
}
