import { PriceUnknownError } from '../errors.ts';
import { InvalidAmountError, InvalidOptionError } from '../ledger/invalid.ts';
import { factsOf } from './call-facts.ts';
import { estimate } from './estimate.ts';
import { costAttos, lacksTier } from './prices/price.ts';
import type { Price } from './prices/price.ts';
import { priceFinder } from './prices/price-list.ts';
import type { PriceFinder, PriceSources } from './prices/price-list.ts';
import { PROVIDERS, recogniseBody } from './providers/index.ts';
import { isObject } from './providers/provider.ts';
import { usdNumber } from './prices/rates.ts';
import { checkUsage } from './usage.ts';
import type { Usage } from './usage.ts';

/** Where a price is looked up, and for which host. */
export interface CostOptions extends PriceSources {
  /**
   * The URL the call goes to, for hosts with prices of their own. Default: the price of the
   * provider whose name the model bears.
   */
  readonly url?: string;
}

/** What a call cost. */
export interface CallCost {
  /** USD, rounded up once to the ledger's step of 1e-8. */
  readonly usd: number;
  /** Input and output tokens together. */
  readonly tokens: number;
  readonly provider: string;
  readonly model: string;
  /** Where the price comes from: `prices`, `unknownModel`, or `genai-prices:openai/gpt-4o`. */
  readonly price: string;
}

/** The most a call can cost. */
export interface CallEstimate extends CallCost {
  readonly inputTokens: number;
  /** Of all answers together. */
  readonly outputTokens: number;
  /**
   * True when the input was counted with the model's encoding, false when it was bounded by its
   * bytes.
   */
  readonly counted: boolean;
}

/** A usage object as a provider's answer carries it: OpenAI's, Anthropic's, Gemini's or Bedrock's. */
export type ProviderUsage =
  | { readonly prompt_tokens: number }
  | { readonly input_tokens: number }
  | { readonly promptTokenCount?: number | undefined; readonly totalTokenCount: number }
  | { readonly inputTokens: number; readonly outputTokens: number; readonly totalTokens: number };

const listOnly: PriceFinder = priceFinder({});
const finders = new WeakMap<object, PriceFinder>();

/**
 * What a model call cost, exactly: integer tokens times decimal rates, summed, and rounded up once
 * to 1e-8 USD. Cached, cache-writing and audio tokens have their own rates, and input past a
 * model's threshold its own tier. The options are read once: give the same object again for speed,
 * and a new one after a change.
 *
 * Prices: https://github.com/pydantic/genai-prices
 *
 * @param usage What `readUsage` returns, or the usage object of a provider's answer.
 * @throws PriceUnknownError when the model has no price, or none for audio, web searches or a
 * premium tier that the call used.
 * @throws InvalidAmountError when a count is no whole number from 0, or a part exceeds its whole.
 * @example
 * ```ts
 * import { calculateCost } from 'pursestrings/llm';
 *
 * const cost = calculateCost('gpt-4o', { inputTokens: 1_000, cachedInputTokens: 400, outputTokens:
 * 200 });
 * console.log(cost.usd); // 0.004
 * ```
 */
export function calculateCost(
  model: string,
  usage: Usage | ProviderUsage,
  options?: CostOptions,
): CallCost {
  const price = priceOf(model, options);
  const used = isOwn(usage) ? usage : translated(usage);
  checkUsage(used);
  const attos = lacksTier(price, used.serviceTier ?? null) ? null : costAttos(price, used);
  if (attos === null) {
    throw new PriceUnknownError(
      model,
      'The call used audio, web searches or a service tier that ' +
        `${JSON.stringify(model)} has no price for: add it to \`prices\``,
    );
  }
  const tokens = used.inputTokens + used.outputTokens;
  return {
    usd: usdNumber(attos),
    tokens,
    provider: price.provider,
    model,
    price: price.source,
  };
}

/**
 * Reads the usage of a model's answer, of the last chunk of its stream, or of its `usage` object
 * alone. Answers null when there is none, or when it contradicts itself: then nobody knows what the
 * call cost.
 *
 * Understands every format that `meteredFetch` meters, such as OpenAI's chat completions:
 * https://platform.openai.com/docs/api-reference/chat/object
 *
 * @example
 * ```ts
 * import { calculateCost, readUsage } from 'pursestrings/llm';
 *
 * const body = { model: 'gpt-4o', usage: { prompt_tokens: 1_000, completion_tokens: 200 } };
 * const usage = readUsage(body);
 * if (usage !== null) console.log(calculateCost(body.model, usage).usd); // 0.0045
 * ```
 */
export function readUsage(body: unknown): Usage | null {
  for (const provider of PROVIDERS) {
    const usage = provider.readUsage(body, null);
    if (usage !== null) return usage;
  }
  return null;
}

/**
 * The most a call can use and cost, as `meteredFetch` would hold it: never under the bill, from the
 * body of the request. Tokenizes long input, whose encoder is loaded on first use.
 *
 * @param request The body of a call, as an SDK takes it. Where the body does not say whose format it
 * is in, or part of the call stands in its path, `url` does.
 * @throws PriceUnknownError when the model, or something the call may use, has no price.
 * @throws InvalidOptionError when the body is in no known format, or nothing bounds its input or
 * output.
 * @example
 * ```ts
 * import { estimateCall } from 'pursestrings/llm';
 *
 * const { usd, inputTokens } = await estimateCall({
 *   model: 'gpt-4o-mini',
 *   max_completion_tokens: 500,
 *   messages: [{ role: 'user', content: 'Tell me of purses.' }],
 * });
 * console.log(`at most $${usd} for ${inputTokens} tokens in, 500 out`);
 * ```
 */
export async function estimateCall(
  request: object,
  options: CostOptions & { readonly outputCeiling?: number } = {},
): Promise<CallEstimate> {
  if (!isObject(request)) throw new InvalidOptionError('The request is no JSON object');
  const url = options.url === undefined ? null : new URL(options.url);
  const known = recogniseBody(request, url);
  if (known === null) {
    throw new InvalidOptionError(
      'The request is in no format that is known here: it needs a `model` and what it is asked, ' +
        'such as `messages`, `input` or `contents`; else say where it goes by `url`',
    );
  }
  const { provider, shape } = known;
  const { outputCeiling } = options;
  const findPrice = finderOf(options);
  const reading = { provider, url, findPrice, outputCeiling, rewritable: true };
  const facts = factsOf(reading, request, JSON.stringify(request), shape);
  const { attos, tokens, bound, counted } = await estimate(facts);
  return {
    usd: usdNumber(attos),
    tokens,
    inputTokens: bound.inputTokens,
    outputTokens: bound.outputTokens,
    counted,
    provider: facts.price.provider,
    model: shape.model,
    price: facts.price.source,
  };
}

function finderOf(options: CostOptions | undefined): PriceFinder {
  if (options === undefined) return listOnly;
  let finder = finders.get(options);
  if (finder === undefined) {
    finder = priceFinder(options);
    finders.set(options, finder);
  }
  return finder;
}

function priceOf(model: string, options: CostOptions | undefined): Price {
  const price = finderOf(options)(model, options?.url ?? null);
  if (price === null) {
    throw new PriceUnknownError(
      model,
      `No price is known for the model ${JSON.stringify(model)}: add it to ` +
        '`prices`, or set `unknownModel`',
    );
  }
  return price;
}

/** Bedrock names its counts as we do, but not all of them mean the same: it gives a total. */
function isOwn(usage: Usage | ProviderUsage): usage is Usage {
  return 'inputTokens' in usage && !('totalTokens' in usage);
}

function translated(usage: ProviderUsage): Usage {
  const read = readUsage(usage);
  if (read !== null) return read;
  throw new InvalidAmountError(
    `The usage ${JSON.stringify(usage)} is empty, or contradicts itself: nobody knows what it cost`,
  );
}
