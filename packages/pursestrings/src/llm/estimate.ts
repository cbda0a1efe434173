import { PriceUnknownError } from '../errors.ts';
import { InvalidOptionError } from '../ledger/invalid.ts';
import { boundAttos, lacksTier, outputRateAttos } from './price.ts';
import type { Price, TokenBound } from './price.ts';
import type { CallShape, InputBound, JsonObject, Provider } from './providers/provider.ts';

/** The most that a call can use and cost. */
export interface Estimate {
  readonly bound: TokenBound;
  /** The cap on the tokens of one answer that this rests on. */
  readonly outputCap: number;
  /** True when the request does not say that cap yet, and must. */
  readonly sendCap: boolean;
  /** True when the input was counted, not only bounded by its bytes. */
  readonly counted: boolean;
  readonly tokens: number;
  readonly attos: bigint;
}

/** What is known of a call before it is estimated. */
export interface CallFacts {
  readonly provider: Provider;
  readonly body: JsonObject;
  readonly text: string;
  readonly shape: CallShape;
  readonly price: Price;
  readonly outputCeiling: number | undefined;
}

/**
 * Bodies up to this length are held at their bytes: what that holds too much is a fraction of a
 * cent.
 */
const SMALL_BODY_CHARACTERS = 4_096;

/**
 * Estimates a call, never under its bill. The input is bounded by its bytes as long as that costs
 * next to nothing, or at most as much as the output held beside it; else it is counted.
 *
 * @throws PriceUnknownError when the price lacks the rate of something the call may be billed for.
 * @throws InvalidOptionError when no bound on the output, or on some part of the input, is known.
 */
export async function estimate(facts: CallFacts): Promise<Estimate> {
  const { provider, body, text, shape, price } = facts;
  const cap = await outputCapOf(facts);
  const cheap = estimateWith(facts, cap, provider.boundInput(body, shape, text), false);
  if (text.length <= SMALL_BODY_CHARACTERS) return cheap;
  const { bound } = cheap;
  const inputOnly = boundAttos(price, shape.serviceTier, { ...bound, outputTokens: 0 });
  if (inputOnly * 2n <= cheap.attos) return cheap;
  return (await recount(facts, cheap)) ?? cheap;
}

/** The same estimate with the input counted; null when that is not possible, or already done. */
export async function recount(facts: CallFacts, cheap: Estimate): Promise<Estimate | null> {
  if (cheap.counted) return null;
  const counted = await facts.provider.countInput(facts.body, facts.shape);
  return counted === null ? null : estimateWith(facts, cheap, counted, true);
}

/** The same call with another cap on each answer, which is then sent. */
export function withOutputCap(facts: CallFacts, old: Estimate, outputCap: number): Estimate {
  const outputTokens = outputCap * facts.shape.choices + facts.shape.extraOutputTokens;
  return priced(facts, { ...old, outputCap, sendCap: true }, { ...old.bound, outputTokens });
}

/** What is left, by unit; null where enough is. */
export interface Left {
  readonly attos: bigint | null;
  readonly tokens: number | null;
}

/**
 * True when the call would fit what is left if its input were nothing: else to count it is no use.
 */
export function mayFit(
  facts: CallFacts,
  current: Estimate,
  outputCap: number,
  left: Left,
): boolean {
  const { shape, price } = facts;
  const { inputAudioTokens } = current.bound;
  const outputTokens = outputCap * shape.choices + shape.extraOutputTokens;
  const least = { ...current.bound, inputTokens: inputAudioTokens, outputTokens };
  return (
    (left.tokens === null || inputAudioTokens + outputTokens <= left.tokens) &&
    (left.attos === null || boundAttos(price, shape.serviceTier, least) <= left.attos)
  );
}

/**
 * The longest cap on each answer that so much money, and so many tokens, afford; it may be
 * negative.
 */
export function affordableCap(facts: CallFacts, current: Estimate, left: Left): number {
  const { shape, price } = facts;
  const { bound } = current;
  let outputTokens = bound.outputTokens;
  if (left.tokens !== null) outputTokens = Math.min(outputTokens, left.tokens - bound.inputTokens);
  if (left.attos !== null) {
    const input = boundAttos(price, shape.serviceTier, { ...bound, outputTokens: 0 });
    const rate = outputRateAttos(price, shape.serviceTier, bound);
    const affordable = rate === 0n ? BigInt(outputTokens) : (left.attos - input) / rate;
    if (affordable < BigInt(outputTokens)) outputTokens = Number(affordable);
  }
  return Math.floor((outputTokens - shape.extraOutputTokens) / shape.choices);
}

function estimateWith(
  facts: CallFacts,
  cap: Pick<Estimate, 'outputCap' | 'sendCap'>,
  input: InputBound,
  counted: boolean,
): Estimate {
  const { shape, price } = facts;
  checkRates(facts, input);
  return priced(
    facts,
    { ...cap, counted },
    {
      inputTokens: inputTokensOf(input, price, shape.model),
      inputAudioTokens: input.audioTokens,
      outputTokens: cap.outputCap * shape.choices + shape.extraOutputTokens,
      outputAudio: shape.outputAudio,
      webSearches: shape.webSearches * shape.choices,
    },
  );
}

function priced(
  facts: CallFacts,
  cap: Pick<Estimate, 'outputCap' | 'sendCap' | 'counted'>,
  bound: TokenBound,
): Estimate {
  return {
    outputCap: cap.outputCap,
    sendCap: cap.sendCap,
    counted: cap.counted,
    bound,
    tokens: bound.inputTokens + bound.outputTokens,
    attos: boundAttos(facts.price, facts.shape.serviceTier, bound),
  };
}

/**
 * The window holds input of every kind, so it bounds what the request does not tell the size of.
 */
function inputTokensOf(input: InputBound, price: Price, model: string): number {
  if (input.unbounded === null) return input.tokens;
  if (price.contextWindow === null) {
    throw new InvalidOptionError(
      `The input of ${JSON.stringify(model)} holds ${input.unbounded}, whose tokens cannot be ` +
        'bounded: give the model a `contextWindow` in `prices`',
    );
  }
  return Math.max(input.tokens, price.contextWindow);
}

function checkRates(facts: CallFacts, input: InputBound): void {
  const { shape, price } = facts;
  const [standard] = price.rates;
  const missing =
    (lacksTier(price, shape.serviceTier) && `the service tier \`${shape.serviceTier}\``) ||
    (input.audioTokens > 0 && (standard?.inputAudio ?? null) === null && 'audio input') ||
    (shape.outputAudio && (standard?.outputAudio ?? null) === null && 'audio output') ||
    (shape.webSearches > 0 && price.webSearchAttos === null && 'web searches');
  if (missing !== false) {
    throw new PriceUnknownError(
      shape.model,
      `No price is known for ${missing} of ${JSON.stringify(shape.model)}: add it to \`prices\``,
    );
  }
}

/**
 * The request's own cap, else the model's maximum, else the ceiling (which is sent), else the
 * model's window.
 */
async function outputCapOf(facts: CallFacts): Promise<Pick<Estimate, 'outputCap' | 'sendCap'>> {
  const { shape, price, outputCeiling } = facts;
  if (shape.outputCap !== null) return { outputCap: shape.outputCap, sendCap: false };
  const maximum = price.maxOutputTokens ?? (await knownMaximum(shape.model));
  if (maximum !== null) return { outputCap: maximum, sendCap: false };
  if (outputCeiling !== undefined) return { outputCap: outputCeiling, sendCap: true };
  if (price.contextWindow !== null) return { outputCap: price.contextWindow, sendCap: false };
  throw new InvalidOptionError(
    `The request names no output cap, and none is known for ${JSON.stringify(shape.model)}: send ` +
      '`max_completion_tokens`, or set `outputCeiling`, or `maxOutputTokens` in `prices`',
  );
}

let maxima: Promise<ReadonlyMap<string, number>> | undefined;

/** The most tokens a model writes, by OpenAI's published list, which is loaded on first use. */
async function knownMaximum(model: string): Promise<number | null> {
  maxima ??= import('gpt-tokenizer/models').then((models) => {
    const found = new Map<string, number>();
    for (const [name, spec] of Object.entries(models)) {
      if ('max_output_tokens' in spec) found.set(name, spec.max_output_tokens);
    }
    return found;
  });
  // A fine-tuned model is named `ft:<base>:<owner>…`.
  const base = model.startsWith('ft:') ? (model.split(':')[1] ?? model) : model;
  return (await maxima).get(base) ?? null;
}
