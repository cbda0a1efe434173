import { InvalidAmountError, shown } from '../../ledger/invalid.ts';
import { costAttos } from '../prices/price.ts';
import type { ModelPrice, Price } from '../prices/price.ts';
import { type PriceFinder, type PriceSources, priceFinder } from '../prices/price-list.ts';
import { usdNumber } from '../prices/rates.ts';
import type { Usage as CallUsage } from '../usage.ts';
import { UnknownModelError } from './errors.ts';
import type { PriceRow, UnknownModelPolicy, Usage } from './types.ts';
import { toCallUsage } from './usage.ts';

/** Models whose rows stand in `PRICES` from the start; all others of the list are known too. */
const COMMON_MODELS: readonly string[] = [
  'gpt-5',
  'gpt-5-mini',
  'gpt-5-nano',
  'gpt-4.1',
  'gpt-4.1-mini',
  'gpt-4.1-nano',
  'gpt-4o',
  'gpt-4o-mini',
  'gpt-4-turbo',
  'gpt-3.5-turbo',
  'o1',
  'o3',
  'o3-mini',
  'o4-mini',
  'text-embedding-3-small',
  'text-embedding-3-large',
  'claude-opus-4',
  'claude-opus-4-5',
  'claude-opus-4-8',
  'claude-sonnet-4',
  'claude-sonnet-4-5',
  'claude-sonnet-4-6',
  'claude-haiku-4-5',
  'claude-3-5-haiku-latest',
  'gemini-2.5-pro',
  'gemini-2.5-flash',
  'gemini-2.5-flash-lite',
  'gemini-2.0-flash',
  'deepseek-chat',
  'deepseek-reasoner',
  'grok-4',
  'mistral-large-latest',
];

const ATTOS_PER_USD = 1e18;

const listed: PriceFinder = priceFinder({});

/** The rows as they stood at first: one that still says the same defers to the list's own tiers. */
const SEEDS: ReadonlyMap<string, PriceRow> = new Map(
  COMMON_MODELS.flatMap((model) => {
    const row = rowOf(listed(model, null));
    return row === null ? [] : [[model, row] as const];
  }),
);

/**
 * USD per 1,000 tokens, by model. Write to it to change a price or to add a model; `cost` and every
 * guard read it at each call. A row that nobody has changed stands for the whole price on the
 * bundled list, with its tiers for long input; models without a row are looked up there too.
 *
 * Prices: https://github.com/pydantic/genai-prices
 *
 * @example
 * ```ts
 * import { cost, PRICES } from 'pursestrings/guard';
 *
 * PRICES['my-fine-tune'] = { in: 0.003, out: 0.012 };
 * console.log(cost('my-fine-tune', { input: 1_000, output: 1_000 })); // 0.015
 * ```
 */
export const PRICES: Record<string, PriceRow> = Object.fromEntries(
  [...SEEDS].map(([model, row]) => [model, { ...row }]),
);

/**
 * Registers what a model costs, in USD per 1,000 tokens: the same as writing to `PRICES`, checked.
 *
 * @throws InvalidAmountError for a rate that is not a finite number from 0.
 * @example
 * ```ts
 * import { cost, definePrice } from 'pursestrings/guard';
 *
 * definePrice('acme-9000', { in: 0.001, out: 0.002 });
 * console.log(cost('acme-9000', { input: 1_000, output: 1_000 })); // 0.003
 * ```
 */
export function definePrice(model: string, price: PriceRow): void {
  exactPrice(model, price);
  PRICES[model] = { ...price };
}

/**
 * What a call costs in USD, rounded up once to 1e-8.
 *
 * @throws UnknownModelError when nobody knows what the model costs.
 * @throws InvalidAmountError for a count or a rate that is not a finite number from 0.
 * @example
 * ```ts
 * import { cost } from 'pursestrings/guard';
 *
 * console.log(cost('gpt-4o', { input: 1_000, output: 1_000 })); // 0.0125
 * ```
 */
export function cost(model: string, usage: Usage): number {
  const known = findPrice(model, null);
  if (known === null) throw new UnknownModelError(model);
  const usd = costOf(known.price, toCallUsage(usage));
  if (usd === null) throw new UnknownModelError(model);
  return usd;
}

/** A price, and where `estimateCall` finds the same. */
export interface KnownPrice {
  readonly price: Price;
  readonly sources: PriceSources & { readonly url?: string };
}

/** What a model costs at a URL by `PRICES`, else by the list; null when nobody knows. */
export function findPrice(model: string, url: string | null): KnownPrice | null {
  if (Object.hasOwn(PRICES, model)) {
    const row = PRICES[model] as PriceRow;
    if (!sameRow(row, SEEDS.get(model))) return bookedPrice(model, row);
  }
  for (const place of BEDROCK_MODEL.test(model) ? [BEDROCK_URL, url] : [url]) {
    const price = listed(model, place);
    if (price !== null) return { price, sources: sourcesAt(place) };
  }
  return null;
}

/** The price of a model by a guard's policy for those that nobody knows. */
export function unknownPrice(model: string, policy: UnknownModelPolicy): KnownPrice {
  if (policy === 'throw') throw new UnknownModelError(model);
  const row = typeof policy === 'function' ? policy(model) : policy;
  return bookedPrice(model, row === 'zero' ? { in: 0, out: 0 } : row);
}

/** True for a price at which no token costs anything. */
export function isFree({ rates, attosPerPiece }: Price): boolean {
  const free = rates.every((each) =>
    Object.entries(each).every(([kind, rate]) => kind === 'aboveInputTokens' || !rate),
  );
  return free && attosPerPiece.size === 0;
}

/** USD of a usage, rounded up once; null when the price lacks a rate of something that was used. */
export function costOf(price: Price, usage: CallUsage): number | null {
  const attos = costAttos(price, usage);
  return attos === null ? null : usdNumber(attos);
}

/**
 * Names that only Amazon Bedrock gives, some with a region before them: sold there, at its prices.
 * https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html
 */
const BEDROCK_MODEL =
  /^(?:[a-z-]+\.)?(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|mistral|nvidia|openai|qwen|writer)\.[a-z]/;
const BEDROCK_URL = 'https://bedrock-runtime.us-east-1.amazonaws.com/';

const atUrl = new Map<string | null, PriceSources & { readonly url?: string }>();

/** One object for each URL, because finders are kept by their options. */
function sourcesAt(url: string | null): PriceSources & { readonly url?: string } {
  let sources = atUrl.get(url);
  if (sources === undefined) {
    sources = url === null ? {} : { url };
    if (atUrl.size >= MAX_KEPT) atUrl.clear();
    atUrl.set(url, sources);
  }
  return sources;
}

interface BookedRow extends KnownPrice {
  readonly row: PriceRow;
}

const booked = new Map<string, BookedRow>();

/** Names of models come from requests. */
const MAX_KEPT = 1_000;

function bookedPrice(model: string, row: PriceRow): KnownPrice {
  const kept = booked.get(model);
  if (kept !== undefined && sameRow(row, kept.row)) return kept;
  const exact = exactPrice(model, row);
  const sources: PriceSources = { prices: { [model]: exact } };
  const price = priceFinder(sources)(model, null);
  if (price === null) throw new UnknownModelError(model);
  const made = { price, sources, row: { ...row } };
  if (booked.size >= MAX_KEPT) booked.clear();
  booked.set(model, made);
  return made;
}

function exactPrice(model: string, row: PriceRow): ModelPrice {
  if (typeof row !== 'object' || row === null) {
    throw new InvalidAmountError(`The price of ${JSON.stringify(model)} is ${shown(row)}`);
  }
  const input = perMillion(model, 'in', row.in);
  const written =
    row.cacheWriteIn === undefined
      ? { ...(/claude/.test(model) && { cacheWrite: quarterMore(input) }) }
      : { cacheWrite: perMillion(model, 'cacheWriteIn', row.cacheWriteIn) };
  return {
    usdPerMillion: {
      input,
      output: perMillion(model, 'out', row.out),
      ...(row.cachedIn !== undefined && {
        cachedInput: perMillion(model, 'cachedIn', row.cachedIn),
      }),
      ...written,
    },
    ...(row.maxOutputTokens !== undefined && { maxOutputTokens: maxOutputOf(model, row) }),
  };
}

function maxOutputOf(model: string, { maxOutputTokens }: PriceRow): number {
  if (Number.isSafeInteger(maxOutputTokens) && Number(maxOutputTokens) > 0) {
    return Number(maxOutputTokens);
  }
  throw new InvalidAmountError(
    `\`maxOutputTokens\` of the price of ${JSON.stringify(model)} is ${shown(maxOutputTokens)}; ` +
      'it must be a whole number from 1',
  );
}

/** USD per 1,000 tokens as the decimal text of USD per million, exactly. */
function perMillion(model: string, field: string, rate: number): string {
  if (typeof rate !== 'number' || !Number.isFinite(rate) || rate < 0) {
    throw new InvalidAmountError(
      `\`${field}\` of the price of ${JSON.stringify(model)} is ${shown(rate)}; it must be USD ` +
        'per 1,000 tokens, from 0',
    );
  }
  const [digits = '0', exponent = '0'] = String(rate).split('e');
  return `${digits}e${Number(exponent) + 3}`;
}

/** What Anthropic takes for writing to its cache: https://platform.claude.com/docs/en/build-with-claude/prompt-caching */
function quarterMore(perMillionText: string): string {
  const [digits = '0', exponent = '0'] = perMillionText.split('e');
  const [whole = '0', fraction = ''] = digits.split('.');
  const scaled = BigInt(`${whole}${fraction}`) * 125n;
  return `${scaled}e${Number(exponent) - fraction.length - 2}`;
}

function sameRow(row: PriceRow, other: PriceRow | undefined): boolean {
  return (
    other !== undefined &&
    row.in === other.in &&
    row.out === other.out &&
    row.cachedIn === other.cachedIn &&
    row.cacheWriteIn === other.cacheWriteIn &&
    row.maxOutputTokens === other.maxOutputTokens
  );
}

function rowOf(price: Price | null): PriceRow | null {
  const rates = price?.rates[0];
  if (rates === undefined || rates.input === null) return null;
  const per1000 = (attos: bigint): number => Number(attos * 1_000n) / ATTOS_PER_USD;
  const { input, output, cachedInput, cacheWrite } = rates;
  return {
    in: per1000(input),
    out: per1000(output ?? 0n),
    ...(cachedInput !== null && cachedInput !== input && { cachedIn: per1000(cachedInput) }),
    ...(cacheWrite !== null && cacheWrite !== input && { cacheWriteIn: per1000(cacheWrite) }),
  };
}
