import { calcPrice, findProvider } from '@pydantic/genai-prices';
import type { ModelPrice as ListedPrice } from '@pydantic/genai-prices';

import { InvalidOptionError } from '../ledger/invalid.ts';
import { attosPerUnit, exactRates } from './price.ts';
import type { ModelPrice, Price, PriceBook, Rates, TokenRates } from './price.ts';

/** A price for a model that neither the list nor the book knows. */
export interface CeilingPrice {
  readonly usdPerMillion: { readonly input: number | string; readonly output: number | string };
}

/** Where prices are looked up. */
export interface PriceSources {
  readonly prices?: PriceBook | undefined;
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
  const book = new Map(
    Object.entries(sources.prices ?? {}).map(([model, price]) => [model, booked(model, price)]),
  );
  const { unknownModel } = sources;
  const ceiling =
    unknownModel === undefined || unknownModel === 'deny' ? null : ceilingOf(unknownModel);
  const kept = new Map<string, { readonly price: Price | null; readonly untilMs: number }>();
  return (model, url) => {
    const own = book.get(model);
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

function booked(model: string, price: ModelPrice): Price {
  const rates = [exactRates(price.usdPerMillion)];
  if (price.longContext !== undefined) {
    rates.push(exactRates(price.longContext.usdPerMillion, price.longContext.aboveInputTokens));
  }
  const tiers = Object.entries(price.serviceTiers ?? {});
  return {
    provider: 'custom',
    model,
    source: 'prices',
    rates,
    serviceTiers: new Map(tiers.map(([tier, tierRates]) => [tier, [exactRates(tierRates)]])),
    webSearchAttos:
      price.usdPerWebSearch === undefined ? null : attosPerUnit(price.usdPerWebSearch, 1),
    contextWindow: price.contextWindow ?? null,
    maxOutputTokens: price.maxOutputTokens ?? null,
  };
}

/** A ceiling is what the user says any token costs at most, so it covers audio too. */
function underCeiling(model: string, ceiling: TokenRates): Price {
  const rates = { ...ceiling, inputAudio: ceiling.input, outputAudio: ceiling.output };
  return {
    provider: 'unknown',
    model,
    source: 'unknownModel',
    rates: [exactRates(rates)],
    serviceTiers: new Map(),
    webSearchAttos: null,
    contextWindow: null,
    maxOutputTokens: null,
  };
}

function listed(model: string, url: string | null): Price | null {
  const regional = url !== null && REGIONAL_OPENAI.test(url);
  const found = lookUp(model, regional ? 'https://api.openai.com/v1' : url);
  if (found === null) return null;
  const { input_mtok: input, output_mtok: output } = found.model_price;
  if (input === undefined || output === undefined) return null;
  const searches = found.model_price.web_searches_kcount;
  return {
    provider: found.provider.id,
    model: found.model.id,
    source: `genai-prices:${found.provider.id}/${found.model.id}${regional ? '+10%' : ''}`,
    rates: listedRates(found.model_price).map((rates) => (regional ? withUplift(rates) : rates)),
    serviceTiers: new Map(),
    webSearchAttos: typeof searches === 'number' ? attosPerUnit(searches, 1_000) : null,
    contextWindow: found.model.context_window ?? null,
    maxOutputTokens: null,
  };
}

function lookUp(model: string, url: string | null): ReturnType<typeof calcPrice> {
  const noUsage = { input_tokens: 0, output_tokens: 0 };
  const host = url === null ? undefined : findProvider({ providerApiUrl: url });
  return calcPrice(noUsage, model, host === undefined ? {} : { providerId: host.id });
}

/** One set of rates for each start of a tier: the list gives every kind of token its own tiers. */
function listedRates(prices: ListedPrice): Rates[] {
  const starts = new Set([-1]);
  for (const value of Object.values(prices)) {
    if (typeof value === 'object') for (const tier of value.tiers) starts.add(tier.start);
  }
  const ordered = [...starts].sort((a, b) => a - b);
  return ordered.map((start) => {
    const rate = (key: string): number | undefined => rateAbove(prices[key], start);
    return exactRates(
      {
        input: rate('input_mtok') ?? 0,
        output: rate('output_mtok') ?? 0,
        cachedInput: rate('cache_read_mtok'),
        cacheWrite: rate('cache_write_mtok'),
        inputAudio: rate('input_audio_mtok'),
        outputAudio: rate('output_audio_mtok'),
      },
      start,
    );
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

function withUplift(rates: Rates): Rates {
  const up = (rate: bigint): bigint => (rate * 11n + 9n) / 10n;
  return {
    aboveInputTokens: rates.aboveInputTokens,
    input: up(rates.input),
    output: up(rates.output),
    cachedInput: up(rates.cachedInput),
    cacheWrite: up(rates.cacheWrite),
    inputAudio: rates.inputAudio === null ? null : up(rates.inputAudio),
    outputAudio: rates.outputAudio === null ? null : up(rates.outputAudio),
  };
}
