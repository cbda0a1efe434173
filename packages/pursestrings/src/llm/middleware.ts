import { InvalidLabelError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import { readCall } from './ai-sdk-call.ts';
import type { AiSdkCall } from './ai-sdk-call.ts';
import { settleFailed } from './ai-sdk-failure.ts';
import { itemIdOf } from './ai-sdk-input.ts';
import { PartReader, settledParts } from './ai-sdk-stream.ts';
import { usageOf } from './ai-sdk-usage.ts';
import type { Estimate } from './estimate.ts';
import { holdFor } from './holding.ts';
import { LoopBreaker } from './loop-breaker.ts';
import type { LoopEntry } from './loop-breaker.ts';
import type { MeterOptions } from './metered-fetch.ts';
import { checkChoice, checkOutputCeiling } from './option-checks.ts';
import { priceFinder } from './price-list.ts';
import type { PriceFinder } from './price-list.ts';
import { isObject } from './providers/provider.ts';
import type { JsonObject } from './providers/provider.ts';
import { Settlement } from './settlement.ts';
import { streamEnd, StreamedText } from './stream.ts';

/** How calls through the AI SDK are metered: the fields of `MeterOptions` that mean the same here. */
export type MiddlewareOptions = Pick<
  MeterOptions,
  | 'labels'
  | 'prices'
  | 'unknownModel'
  | 'whenTight'
  | 'outputCeiling'
  | 'ifAbandoned'
  | 'loopBreaker'
>;

/** Parameters of a call, as the AI SDK hands them to a model. */
export interface MiddlewareParams {
  readonly prompt: unknown;
  maxOutputTokens?: number | undefined;
  providerOptions?: object | undefined;
  readonly abortSignal?: AbortSignal | undefined;
}

/** A model, as far as a middleware needs to know it. */
export interface MiddlewareModel {
  readonly provider: string;
  readonly modelId: string;
}

/** What a model answers at once. */
export interface MiddlewareAnswer {
  readonly content: readonly unknown[];
  readonly usage: unknown;
  readonly providerMetadata?: unknown;
  readonly response?: { readonly body?: unknown } | undefined;
}

/** What a model answers piece by piece. */
export interface MiddlewareStream<Part> {
  stream: ReadableStream<Part>;
}

/** A middleware for `wrapLanguageModel` of the AI SDK, in its versions 6 and 7; 5 takes it, too. */
export interface PurseMiddleware {
  /** Version 6 asks for this; 7 takes it as well as its own. */
  readonly specificationVersion: 'v3';
  wrapGenerate<Params extends MiddlewareParams, Answer extends MiddlewareAnswer>(call: {
    readonly doGenerate: () => PromiseLike<Answer>;
    readonly params: Params;
    readonly model: MiddlewareModel & { doGenerate(params: Params): PromiseLike<Answer> };
  }): Promise<Answer>;
  wrapStream<Params extends MiddlewareParams, Part, Answer extends MiddlewareStream<Part>>(call: {
    readonly doStream: () => PromiseLike<Answer & MiddlewareStream<Part>>;
    readonly params: Params;
    readonly model: MiddlewareModel & { doStream(params: Params): PromiseLike<Answer> };
  }): Promise<Answer>;
}

/**
 * Makes a middleware for `wrapLanguageModel` of the Vercel AI SDK. It holds the most that each call
 * of the model can cost before the call is made, and settles what it did cost: each step of a tool
 * loop, and each try of a retry, is a call of its own.
 *
 * What it charges is what `meteredFetch` charges, read from the AI SDK's own account of the call: the
 * provider's usage where the AI SDK hands it on, else its translation. Give a model this middleware
 * or a metered `fetch`, not both: both would hold and charge each call. A `fetch` sees more: prefer
 * it where the provider takes one, and this where it does not, such as for the AI Gateway.
 *
 * Labels of one call: `providerOptions: { purse: { labels: { feature: 'chat' } } }`; they are not
 * passed on. With `whenTight: 'clamp'` the cap that the money left affords is written into
 * `maxOutputTokens`. A refused call throws the refusal itself, which the AI SDK neither retries nor
 * wraps; `BudgetExceededError.from(error)` finds it in either case. Embeddings, images and speech
 * are no language models: they need a metered `fetch`.
 *
 * Specification: https://ai-sdk.dev/docs/ai-sdk-core/middleware
 *
 * @throws InvalidOptionError, InvalidAmountError when an option is out of its range.
 * @throws (a wrapped call) BudgetExceededError, PriceUnknownError, InvalidLabelError, StoreError and
 * other PurseErrors before it is made, and whatever the model throws.
 * @example
 * ```ts no-run
 * import { openai } from '@ai-sdk/openai';
 * import { generateText, wrapLanguageModel } from 'ai';
 * import { openPurse } from 'pursestrings';
 * import { purseMiddleware } from 'pursestrings/llm';
 *
 * const purse = await openPurse({ limits: [{ name: 'daily', cap: { usd: 5 }, per: 'day' }] });
 * const model = wrapLanguageModel({
 *   model: openai('gpt-4o-mini'),
 *   middleware: purseMiddleware(purse, { labels: { agent: 'researcher' } }),
 * });
 * const { text } = await generateText({ model, maxOutputTokens: 500, prompt: 'Name a river.' });
 * console.log(text);
 * ```
 */
export function purseMiddleware(purse: Purse, options: MiddlewareOptions = {}): PurseMiddleware {
  checkChoice('whenTight', options.whenTight, ['deny', 'clamp']);
  checkChoice('ifAbandoned', options.ifAbandoned, ['charge', 'release']);
  checkOutputCeiling(options.outputCeiling);
  const { loopBreaker } = options;
  const meter: Meter = {
    purse,
    options,
    findPrice: priceFinder(options),
    breaker: loopBreaker === undefined ? null : new LoopBreaker(loopBreaker),
  };
  return {
    specificationVersion: 'v3',
    async wrapGenerate({ doGenerate, params, model }) {
      const held = await hold(meter, params, model, false);
      const answer = await sent(held, params, doGenerate, (changed) => model.doGenerate(changed));
      await settleAnswer(held, answer);
      return answer;
    },
    async wrapStream({ doStream, params, model }) {
      const held = await hold(meter, params, model, true);
      const answer = await sent(held, params, doStream, (changed) => model.doStream(changed));
      const signal = params.abortSignal ?? null;
      return { ...answer, stream: settledStream(meter, held, answer.stream, signal) };
    },
  };
}

interface Meter {
  readonly purse: Purse;
  readonly options: MiddlewareOptions;
  readonly findPrice: PriceFinder;
  readonly breaker: LoopBreaker | null;
}

/** A call whose money is held. */
interface HeldCall {
  readonly call: AiSdkCall;
  readonly estimate: Estimate;
  readonly settlement: Settlement;
  /** How this try counts with the loop breaker. */
  readonly entry: LoopEntry | null;
}

async function hold(
  { purse, options, findPrice, breaker }: Meter,
  params: MiddlewareParams,
  model: MiddlewareModel,
  streamed: boolean,
): Promise<HeldCall> {
  const { outputCeiling, whenTight, ifAbandoned = 'charge' } = options;
  const signal = params.abortSignal ?? null;
  signal?.throwIfAborted();
  const call = readCall({ ...params }, model, { findPrice, outputCeiling, streamed });
  const labels = { ...options.labels, ...labelsOf(params) };
  const clamps = whenTight === 'clamp';
  const asking = { purse, labels, signal, clamps, ifAbandoned };
  const entry = breaker?.admit(labels, `${model.provider} ${model.modelId}\n${call.facts.text}`);
  try {
    const { hold, estimate } = await holdFor(call.facts, asking);
    const settlement = new Settlement(hold, call.facts, estimate, call.named.host);
    return { call, estimate, settlement, entry: entry ?? null };
  } catch (error) {
    entry?.withdrawn();
    throw error;
  }
}

/** Makes the call, and settles it if there is no answer. */
async function sent<Params extends MiddlewareParams, Answer>(
  { call, estimate, settlement, entry }: HeldCall,
  params: Params,
  asGiven: () => PromiseLike<Answer>,
  withChanges: (params: Params) => PromiseLike<Answer>,
): Promise<Answer> {
  try {
    params.abortSignal?.throwIfAborted();
  } catch (reason) {
    entry?.withdrawn();
    await settlement.free();
    throw reason;
  }
  try {
    const changed = changedParams(params, estimate);
    const answer = await (changed === null ? asGiven() : withChanges(changed));
    entry?.succeeded();
    return answer;
  } catch (error) {
    if (params.abortSignal?.aborted !== true) entry?.failed();
    await settleFailed(error, settlement, call, estimate.bound);
    throw error;
  }
}

function settleAnswer(
  { call, estimate, settlement }: HeldCall,
  answer: MiddlewareAnswer,
): Promise<void> {
  const { usage, providerMetadata } = answer;
  const parts = answer.content.filter(isObject);
  const toolsRun = parts.filter(isToolRun).map(({ toolName }) => String(toolName));
  const items = parts
    .filter(({ type }) => type === 'reasoning')
    .map((part) => itemIdOf(part.providerMetadata))
    .filter((id) => id !== null);
  const said = { usage, providerMetadata, body: answer.response?.body, toolsRun, items };
  const read = usageOf(said, call, estimate.bound);
  return read === null ? settlement.unknown() : settlement.used(read);
}

function isToolRun(part: JsonObject): boolean {
  return part.type === 'tool-call' && part.providerExecuted === true;
}

function settledStream<Part>(
  { options }: Meter,
  { call, estimate, settlement }: HeldCall,
  stream: ReadableStream<Part>,
  signal: AbortSignal | null,
): ReadableStream<Part> {
  const text = options.ifAbandoned === 'release' ? new StreamedText() : null;
  const onText = text === null ? null : (piece: string): void => text.add(piece);
  const reader = new PartReader((said) => usageOf(said, call, estimate.bound), onText);
  return settledParts(stream, reader, streamEnd(reader, settlement, text), signal);
}

/** The parameters with a cap to send, and without what is said to us; null when nothing changes. */
function changedParams<Params extends MiddlewareParams>(
  params: Params,
  estimate: Estimate,
): Params | null {
  const { providerOptions } = params;
  const ours = providerOptions !== undefined && Object.hasOwn(providerOptions, 'purse');
  if (!estimate.sendCap && !ours) return null;
  const changed: Params = { ...params };
  if (estimate.sendCap) changed.maxOutputTokens = estimate.outputCap;
  if (ours) {
    const others = Object.entries(providerOptions).filter(([name]) => name !== 'purse');
    changed.providerOptions = Object.fromEntries(others);
  }
  return changed;
}

function labelsOf({ providerOptions }: MiddlewareParams): Labels {
  const ours: unknown = isObject(providerOptions) ? providerOptions.purse : undefined;
  if (ours === undefined) return {};
  const labels = isObject(ours) ? (ours.labels ?? {}) : null;
  if (isObject(labels)) return labels as Labels;
  throw new InvalidLabelError(
    '`providerOptions.purse` is no object with `labels`: write { purse: { labels: { … } } }',
  );
}
