import { setImmediate as nextTurn } from 'node:timers/promises';

import { PriceUnknownError } from '../errors.ts';
import { InvalidOptionError } from '../ledger/invalid.ts';
import { limitsOf } from './prices/model-limits.ts';
import { boundAttos, missingRate, outputRateAttos } from './prices/price.ts';
import type { Price, TokenBound } from './prices/price.ts';
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
  /** More than one for a batch. */
  readonly calls: number;
}

/** What is known of a call before it is estimated. */
export interface CallFacts {
  readonly provider: Provider;
  readonly body: JsonObject;
  readonly text: string;
  readonly shape: CallShape;
  readonly price: Price;
  /** Prices of the other models that may answer. */
  readonly otherPrices: readonly Price[];
  readonly outputCeiling: number | undefined;
  /** The request may be changed: it is not signed. */
  readonly rewritable: boolean;
  /** The calls of a batch. */
  readonly parts: readonly CallFacts[];
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
  if (facts.parts.length > 0) return estimateParts(facts);
  const { provider, body, text, shape, price } = facts;
  const cap = await outputCapOf(facts);
  const cheap = estimateWith(facts, cap, provider.boundInput(body, shape, text), false);
  if (text.length <= SMALL_BODY_CHARACTERS) return cheap;
  const { bound } = cheap;
  const inputOnly = boundAttos(price, shape.serviceTier, { ...bound, outputTokens: 0 });
  if (inputOnly * 2n <= cheap.attos) return cheap;
  return (await recount(facts, cheap)) ?? cheap;
}

/** A batch may be long; the event loop gets its turn after so many of its calls. */
const PARTS_A_TURN = 256;

/** What all calls of a batch can use and cost together. */
async function estimateParts({ parts }: CallFacts): Promise<Estimate> {
  let sum: Estimate | null = null;
  for (const [index, part] of parts.entries()) {
    const one = await estimate(part);
    sum = sum === null ? one : added(sum, one);
    if (index % PARTS_A_TURN === PARTS_A_TURN - 1) await nextTurn();
  }
  if (sum === null) throw new InvalidOptionError('A batch without calls cannot be estimated');
  return { ...sum, sendCap: false };
}

function added(one: Estimate, other: Estimate): Estimate {
  const pieces: Record<string, number> = { ...one.bound.pieces };
  for (const [name, count] of Object.entries(other.bound.pieces)) {
    pieces[name] = (pieces[name] ?? 0) + count;
  }
  return {
    ...one,
    counted: one.counted && other.counted,
    tokens: one.tokens + other.tokens,
    attos: one.attos + other.attos,
    calls: one.calls + other.calls,
    bound: {
      ...one.bound,
      inputTokens: one.bound.inputTokens + other.bound.inputTokens,
      outputTokens: one.bound.outputTokens + other.bound.outputTokens,
      pieces,
    },
  };
}

/** The same estimate with the input counted; null when that is not possible, or already done. */
export async function recount(facts: CallFacts, cheap: Estimate): Promise<Estimate | null> {
  if (cheap.counted || facts.parts.length > 0) return null;
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
  const { choices } = shape;
  const pieces = Object.entries(shape.pieces).map(([name, most]) => [name, most * choices]);
  const bound: TokenBound = {
    inputTokens: inputTokensOf(input, price, shape.model),
    inputAudioTokens: input.audioTokens,
    inputMedia: shape.inputMedia,
    cacheWrites: shape.cacheWrites,
    outputTokens: cap.outputCap * choices + shape.extraOutputTokens,
    outputAudio: shape.outputAudio,
    outputImage: shape.outputImage,
    pieces: Object.fromEntries(pieces) as Record<string, number>,
  };
  checkRates(facts, bound);
  return priced(facts, { ...cap, counted }, bound);
}

function priced(
  facts: CallFacts,
  cap: Pick<Estimate, 'outputCap' | 'sendCap' | 'counted'>,
  bound: TokenBound,
): Estimate {
  const { serviceTier } = facts.shape;
  let attos = boundAttos(facts.price, serviceTier, bound);
  for (const price of facts.otherPrices) {
    const other = boundAttos(price, serviceTier, bound);
    if (other > attos) attos = other;
  }
  return {
    outputCap: cap.outputCap,
    sendCap: cap.sendCap,
    counted: cap.counted,
    bound,
    tokens: bound.inputTokens + bound.outputTokens,
    attos,
    calls: 1,
  };
}

/**
 * The window holds input of every kind, so it bounds what the request does not tell the size of.
 */
function inputTokensOf(input: InputBound, price: Price, model: string): number {
  if (input.unbounded === null) return input.tokens;
  const window = price.contextWindow ?? limitsOf(model).contextWindow ?? null;
  if (window === null) {
    throw new InvalidOptionError(
      `The input of ${JSON.stringify(model)} holds ${input.unbounded}, whose tokens cannot be ` +
        'bounded: give the model a `contextWindow` in `prices`',
    );
  }
  return Math.max(input.tokens, window);
}

function checkRates({ shape, price }: CallFacts, bound: TokenBound): void {
  const missing = missingRate(price, shape.serviceTier, bound);
  if (missing === null) return;
  throw new PriceUnknownError(
    shape.model,
    `No price is known for ${missing} of ${JSON.stringify(shape.model)}: add it to \`prices\``,
  );
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
  if (outputCeiling !== undefined && facts.rewritable && shape.cappable) {
    return { outputCap: outputCeiling, sendCap: true };
  }
  if (price.contextWindow !== null) return { outputCap: price.contextWindow, sendCap: false };
  throw new InvalidOptionError(
    `The request names no output cap, and none is known for ${JSON.stringify(shape.model)}: send ` +
      'one, or set `outputCeiling`, or `maxOutputTokens` in `prices`',
  );
}

let maxima: Promise<ReadonlyMap<string, number>> | undefined;

/** The most tokens a model writes; OpenAI's published list is loaded on first use. */
async function knownMaximum(model: string): Promise<number | null> {
  const { maxOutputTokens } = limitsOf(model);
  if (maxOutputTokens !== undefined) return maxOutputTokens;
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
