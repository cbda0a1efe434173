import { calcPrice, findProvider } from '@pydantic/genai-prices';
import type {
  ModelPrice as ListedPrice,
  PriceCalculation,
  PriceOptions,
} from '@pydantic/genai-prices';

import { InvalidOptionError } from '../../ledger/invalid.ts';
import { withGooglePrices } from './google-prices.ts';
import { isAnotherModel } from './listed-names.ts';
import { limitsOf } from './model-limits.ts';
import type { ModelPrice, Price, PriceBook } from './price.ts';
import { PIECE_ADDITIONS, PRICE_ADDITIONS } from './price-additions.ts';
import { hostOf } from '../providers/hosts.ts';
import { attosPerUnit, exactRates, scaledRates } from './rates.ts';
import type { LooseRates, Rates, TokenRates } from './rates.ts';
import { tierRates } from './tiers/index.ts';

/** A price for a model that neither the list nor the book knows. */
export interface CeilingPrice {
  readonly usdPerMillion: { readonly input: number | string; readonly output: number | string };
}

/** Where prices are looked up. */
export interface PriceSources {
  /**
   * Prices that override the bundled list, or add to it. A function is asked at each call: answer
   * the same object as long as nothing has changed, and a new one when prices have.
   */
  readonly prices?: PriceBook | (() => PriceBook) | undefined;
  readonly unknownModel?: 'deny' | CeilingPrice | undefined;
}

/** Finds what a model costs at a URL, or null. */
export type PriceFinder = (model: string, url: string | null) => Price | null;

/** Prices change on dates and by the hour of the day, so a price found is kept for a minute. */
const KEPT_MS = 60_000;

/** Model names come from requests: past so many the kept prices are dropped and looked up again. */
const MAX_KEPT = 1_000;

/**
 * OpenAI's regional endpoints cost a tenth more:
 * https://developers.openai.com/api/docs/models/gpt-5.4-pro
 */
const REGIONAL_OPENAI = /^https:\/\/[a-z]{2,3}\.api\.openai\.com\//;

/**
 * Makes a finder that looks into the user's book, then into the list of `@pydantic/genai-prices`
 * that is bundled with this package (or refreshed by its `updatePrices`), then to the ceiling for
 * unknown models. A host that the list knows is asked for its own price of the model; at any other
 * host a model has the price of the provider whose name it bears.
 *
 * @throws InvalidOptionError, InvalidAmountError when the book or the ceiling holds something that
 * is no price.
 */
export function priceFinder(sources: PriceSources): PriceFinder {
  const book = bookReader(sources.prices);
  book();
  const { unknownModel } = sources;
  const ceiling =
    unknownModel === undefined || unknownModel === 'deny' ? null : ceilingOf(unknownModel);
  const kept = new Map<string, { readonly price: Price | null; readonly untilMs: number }>();
  return (model, url) => {
    const own = book().get(model);
    if (own !== undefined) return own;
    const key = url === null ? model : `${url.split('?', 1)[0]} ${model}`;
    const known = kept.get(key);
    if (known !== undefined && known.untilMs > Date.now()) return known.price;
    const price = listed(model, url) ?? (ceiling === null ? null : underCeiling(model, ceiling));
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(key, { price, untilMs: Date.now() + KEPT_MS });
    return price;
  };
}

function ceilingOf(unknownModel: CeilingPrice): TokenRates {
  const rates: TokenRates | undefined = unknownModel.usdPerMillion;
  if (rates === undefined) {
    throw new InvalidOptionError(
      "`unknownModel` must be 'deny' or { usdPerMillion: { input, output } }",
    );
  }
  exactRates(rates);
  return rates;
}

/** Reads the user's book, again only when it is another. */
function bookReader(prices: PriceSources['prices']): () => ReadonlyMap<string, Price> {
  let seen: PriceBook | undefined;
  let book: ReadonlyMap<string, Price> = new Map();
  return () => {
    const current = typeof prices === 'function' ? prices() : prices;
    if (current !== seen) {
      book = new Map(
        Object.entries(current ?? {}).map(([model, price]) => [model, booked(model, price)]),
      );
      seen = current;
    }
    return book;
  };
}

function booked(model: string, price: ModelPrice): Price {
  const rates = [exactRates(price.usdPerMillion)];
  if (price.longContext !== undefined) {
    rates.push(exactRates(price.longContext.usdPerMillion, price.longContext.aboveInputTokens));
  }
  const tiers = Object.entries(price.serviceTiers ?? {});
  const pieces = Object.entries(price.usdPerPiece ?? {});
  return {
    provider: 'custom',
    model,
    source: 'prices',
    rates,
    serviceTiers: new Map(tiers.map(([tier, tierRates]) => [tier, [exactRates(tierRates)]])),
    attosPerPiece: new Map(pieces.map(([name, usd]) => [name, attosPerUnit(usd, 1)])),
    contextWindow: price.contextWindow ?? null,
    maxOutputTokens: price.maxOutputTokens ?? null,
  };
}

/** A ceiling is what the user says any token costs at most, so it covers audio too. */
function underCeiling(model: string, ceiling: TokenRates): Price {
  const rates = { ...ceiling, inputAudio: ceiling.input, outputAudio: ceiling.output };
  return plainPrice('unknown', model, 'unknownModel', [exactRates(rates)]);
}

function plainPrice(
  provider: string,
  model: string,
  source: string,
  rates: readonly Rates[],
): Price {
  return {
    provider,
    model,
    source,
    rates,
    serviceTiers: new Map(),
    attosPerPiece: new Map(),
    contextWindow: null,
    maxOutputTokens: null,
  };
}

const NOTHING: Rates = exactRates({ input: 0, output: 0, inputAudio: 0, outputAudio: 0 });

function listed(model: string, given: string | null): Price | null {
  const parsed = given === null ? null : new URL(given);
  const host = hostOf(parsed);
  // A host's name may end in a dot, which the list does not know.
  const url = given?.replace(/^([^/]*\/\/[^/:]+)\.(?=[/:])/, '$1') ?? null;
  if (host !== null && (host.free === true || host.freeModels?.test(model) === true)) {
    const contextWindow = host.contextWindow ?? limitsOf(model).contextWindow ?? null;
    return { ...plainPrice(host.name, model, host.name, [NOTHING]), contextWindow };
  }
  const regional = url !== null && REGIONAL_OPENAI.test(url);
  const found = lookUp(model, regional ? 'https://api.openai.com/v1' : url);
  if (found === null) return added(model, host?.name ?? null);
  const prices = withGooglePrices(found);
  const listedOnes = listedPieces(prices);
  const standard = listedRates(prices);
  if (listedOnes.size === 0 && standard.every(({ input }) => input === null)) return null;
  const rates = regional ? standard.map((each) => scaledRates(each, 11n, 10n)) : standard;
  return {
    provider: found.provider.id,
    model: found.model.id,
    source: `genai-prices:${found.provider.id}/${found.model.id}${regional ? '+10%' : ''}`,
    rates,
    serviceTiers: tierRates(found.provider.id, found.model.id, rates),
    attosPerPiece: new Map([...addedPieces(found.provider.id), ...listedOnes]),
    contextWindow: windowOf(model, found.model.context_window),
    maxOutputTokens: null,
  };
}

function addedPieces(provider: string): (readonly [string, bigint])[] {
  const pieces = PIECE_ADDITIONS.get(provider) ?? new Map<string, string>();
  return [...pieces].map(([name, usd]) => [name, attosPerUnit(usd, 1)] as const);
}

/** The list rounds some windows down. */
function windowOf(model: string, listedWindow: number | undefined): number | null {
  const window = Math.max(listedWindow ?? 0, limitsOf(model).contextWindow ?? 0);
  return window === 0 ? null : window;
}

/** A price that the bundled list lacks, at its own provider's host or at one that nobody knows. */
function added(model: string, host: string | null): Price | null {
  const addition = PRICE_ADDITIONS.get(model);
  if (addition === undefined || (host !== null && host !== addition.provider)) return null;
  const price = booked(model, addition.price);
  return { ...price, provider: addition.provider, source: addition.source };
}

/** Whose models a name is looked for among when it does not say whose it is. */
const OWNERS = ['openai', 'anthropic', 'google', 'mistral', 'deepseek', 'x-ai', 'cohere'] as const;

function lookUp(model: string, url: string | null): PriceCalculation | null {
  // The list finds names within names; what an ARN names is somebody's own.
  if (model.startsWith('arn:')) return null;
  const host = url === null ? undefined : findProvider({ providerApiUrl: url });
  const owner = host?.id ?? (url !== null && BEDROCK_PATH.test(url) ? 'aws' : null);
  if (owner !== null) return priceIn(model, { providerId: owner });
  const named = priceIn(model, {});
  if (named !== null) return named;
  // The list knows a provider by some of its models' names only.
  for (const providerId of OWNERS) {
    const found = priceIn(model, { providerId });
    if (found !== null) return found;
  }
  return null;
}

/**
 * The list's price. Some change by the hour, and are billed by the hour in which the tokens were
 * made: a call that may run into a dearer one has its price.
 */
function priceIn(model: string, where: PriceOptions): PriceCalculation | null {
  const now = Date.now();
  const [soon, later] = [now, now + CALL_MS].map((timestamp) =>
    calcPrice(A_USAGE, model, { ...where, timestamp: new Date(timestamp) }),
  );
  if (!soon || isAnotherModel(model, soon.model)) return null;
  return later && later.total_price > soon.total_price ? later : soon;
}

/** As long as most calls take; what is kept of a price is as old as `KEPT_MS` besides. */
const CALL_MS = 10 * 60_000;

/** Enough of both kinds that the dearer price has the larger total. */
const A_USAGE = { input_tokens: 1_000, output_tokens: 1_000 };

/** Where Bedrock's format is spoken, its names have Bedrock's prices. */
const BEDROCK_PATH = /\/model\/[^/]+\/converse(?:-stream)?$/;

/** What the list sells by the piece: our name, and how many pieces its price is for. */
const PIECES: readonly (readonly [key: string, name: string, pieces: number])[] = [
  ['web_searches_kcount', 'web_searches', 1_000],
  ['storage_searches_kcount', 'file_searches', 1_000],
  ['requests_kcount', 'requests', 1_000],
  ['audio_hours', 'audio_seconds', 3_600],
  ['input_audio_hours', 'audio_seconds', 3_600],
];

function listedPieces(prices: ListedPrice): Map<string, bigint> {
  const pieces = new Map<string, bigint>();
  for (const [key, name, count] of PIECES) {
    const usd = prices[key];
    if (typeof usd === 'number') pieces.set(name, attosPerUnit(usd, count));
  }
  return pieces;
}

/** The list's names of the kinds of token. */
const KINDS: { readonly [Kind in keyof TokenRates]-?: string } = {
  input: 'input_mtok',
  output: 'output_mtok',
  cachedInput: 'cache_read_mtok',
  cacheWrite: 'cache_write_mtok',
  cacheWrite1h: 'cache_write_1h_mtok',
  inputAudio: 'input_audio_mtok',
  cachedAudio: 'cache_audio_read_mtok',
  inputImage: 'input_image_mtok',
  cachedImage: 'cache_image_read_mtok',
  inputVideo: 'input_video_mtok',
  outputAudio: 'output_audio_mtok',
  outputImage: 'output_image_mtok',
  reasoning: 'output_reasoning_mtok',
};

/** One set of rates for each start of a tier: the list gives every kind of token its own tiers. */
function listedRates(prices: ListedPrice): Rates[] {
  const starts = new Set([-1]);
  for (const value of Object.values(prices)) {
    if (typeof value === 'object') for (const tier of value.tiers) starts.add(tier.start);
  }
  const ordered = [...starts].sort((a, b) => a - b);
  return ordered.map((start) => {
    const rates = Object.entries(KINDS).map(([kind, key]) => [kind, rateAbove(prices[key], start)]);
    return exactRates(Object.fromEntries(rates) as LooseRates, start);
  });
}

function rateAbove(value: ListedPrice[string], start: number): number | undefined {
  if (typeof value !== 'object') return value;
  const reached = value.tiers.filter((tier) => tier.start <= start);
  return reached.reduce((last, tier) => (tier.start >= last.start ? tier : last), {
    start: -1,
    price: value.base,
  }).price;
}
