import { InvalidLabelError } from '../../ledger/invalid.ts';
import type { Labels } from '../../ledger/labels.ts';
import type { Purse } from '../../purse.ts';
import { readCall } from './call.ts';
import type { AiSdkCall } from './call.ts';
import { beginSpan, observerOf, reportRefused } from '../call-span.ts';
import { settleFailed } from './failure.ts';
import { itemIdOf } from './input.ts';
import { namedModel } from './model.ts';
import { PartReader, settledParts } from './stream.ts';
import { usageOf } from './usage.ts';
import type { Estimate } from '../estimate.ts';
import { heldAround } from '../held-around.ts';
import { holdFor } from '../holding.ts';
import { LoopBreaker } from '../loop-breaker.ts';
import type { LoopEntry } from '../loop-breaker.ts';
import type { MeterOptions } from '../metered-fetch.ts';
import { checkChoice, checkOutputCeiling } from '../option-checks.ts';
import { priceFinder } from '../prices/price-list.ts';
import type { PriceFinder } from '../prices/price-list.ts';
import { isObject } from '../providers/provider.ts';
import type { JsonObject } from '../providers/provider.ts';
import { textAt } from '../providers/read-json.ts';
import { Settlement } from '../settlement.ts';
import { streamEnd, StreamedText } from '../streams/stream.ts';
import { callTelemetry } from '../telemetry.ts';
import type { CallSpan, CallTelemetry } from '../telemetry.ts';

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
  readonly response?: { readonly body?: unknown; readonly modelId?: unknown } | undefined;
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
 * or a metered `fetch`, not both: with both, the middleware alone holds and charges, and a process
 * warning `PURSE_METERED_TWICE` says so once. A `fetch` sees more: prefer it where the provider takes
 * one, and this where it does not, such as for the AI Gateway.
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
    telemetry: callTelemetry(),
  };
  return {
    specificationVersion: 'v3',
    async wrapGenerate({ doGenerate, params, model }) {
      const held = await hold(meter, params, model, false);
      const answer = await sent(meter, held, params, doGenerate, (changed) =>
        model.doGenerate(changed),
      );
      await settleAnswer(held, answer);
      return answer;
    },
    async wrapStream({ doStream, params, model }) {
      const held = await hold(meter, params, model, true);
      const answer = await sent(meter, held, params, doStream, (changed) =>
        model.doStream(changed),
      );
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
  readonly telemetry: CallTelemetry | null;
}

/** A call whose money is held. */
interface HeldCall {
  readonly call: AiSdkCall;
  readonly estimate: Estimate;
  readonly settlement: Settlement;
  /** How this try counts with the loop breaker. */
  readonly entry: LoopEntry | null;
  readonly span: CallSpan | null;
}

/** A call that is understood, and whose money is to be held. */
interface ReadyCall {
  readonly call: AiSdkCall;
  readonly labels: Labels;
  readonly span: CallSpan | null;
}

function ready(
  { options, findPrice, telemetry }: Meter,
  params: MiddlewareParams,
  model: MiddlewareModel,
  streamed: boolean,
): ReadyCall {
  const { outputCeiling } = options;
  const place = { operation: 'chat', provider: vendorOf(model) };
  let labels: Labels = { ...options.labels };
  try {
    labels = { ...labels, ...labelsOf(params) };
    const call = readCall({ ...params }, model, { findPrice, outputCeiling, streamed });
    return { call, labels, span: beginSpan(telemetry, place, call.facts, labels) };
  } catch (error) {
    reportRefused(telemetry, place, { model: model.modelId, labels }, error);
    throw error;
  }
}

/** Who is called, by the names of OpenTelemetry where those need the address of a server. */
function vendorOf({ provider, modelId }: MiddlewareModel): string {
  const { host, url } = namedModel(provider, modelId);
  if (host !== 'google') return host;
  return url?.includes('aiplatform') === true ? 'gcp.vertex_ai' : 'gcp.gemini';
}

async function hold(
  meter: Meter,
  params: MiddlewareParams,
  model: MiddlewareModel,
  streamed: boolean,
): Promise<HeldCall> {
  const { purse, options, breaker } = meter;
  const { whenTight } = options;
  const signal = params.abortSignal ?? null;
  signal?.throwIfAborted();
  const { call, labels, span } = ready(meter, params, model, streamed);
  const clamps = whenTight === 'clamp';
  const asking = { purse, labels, signal, clamps };
  let entry: LoopEntry | null = null;
  try {
    const request = `${model.provider} ${model.modelId}\n${call.facts.text}`;
    entry = breaker?.admit(labels, request) ?? null;
    const { hold, estimate } = await holdFor(call.facts, asking);
    span?.held(hold.id, hold.amounts.usd ?? 0, estimate.tokens);
    const observer = observerOf(span, call.facts);
    const settlement = new Settlement(hold, call.facts, estimate, call.named.host, observer);
    return { call, estimate, settlement, entry, span };
  } catch (error) {
    entry?.withdrawn();
    span?.denied(error);
    span?.end();
    throw error;
  }
}

/** Makes the call, and settles it if there is no answer. */
async function sent<Params extends MiddlewareParams, Answer>(
  { purse }: Meter,
  { call, estimate, settlement, entry, span }: HeldCall,
  params: Params,
  asGiven: () => PromiseLike<Answer>,
  withChanges: (params: Params) => PromiseLike<Answer>,
): Promise<Answer> {
  try {
    params.abortSignal?.throwIfAborted();
  } catch (reason) {
    entry?.withdrawn();
    span?.failed(reason);
    await settlement.free();
    throw reason;
  }
  try {
    const changed = changedParams(params, estimate);
    const made = (): PromiseLike<Answer> => (changed === null ? asGiven() : withChanges(changed));
    const make = (): Promise<Answer> => heldAround(purse, call.named.model, made);
    const answer = await (span === null ? make() : span.withSpan(make));
    entry?.succeeded();
    return answer;
  } catch (error) {
    if (params.abortSignal?.aborted !== true) entry?.failed();
    span?.failed(
      isObject(error) && typeof error.statusCode === 'number' ? error.statusCode : error,
    );
    await settleFailed(error, settlement, call, estimate.bound);
    throw error;
  }
}

function settleAnswer(
  { call, estimate, settlement, span }: HeldCall,
  answer: MiddlewareAnswer,
): Promise<void> {
  const model = textAt(answer.response, 'modelId');
  if (model !== null) span?.answeredBy(model);
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
  { call, estimate, settlement, span }: HeldCall,
  stream: ReadableStream<Part>,
  signal: AbortSignal | null,
): ReadableStream<Part> {
  const text = options.ifAbandoned === 'release' ? new StreamedText() : null;
  const onText = text === null ? null : (piece: string): void => text.add(piece);
  const reader = new PartReader((said) => usageOf(said, call, estimate.bound), onText);
  return settledParts(stream, reader, streamEnd(reader, settlement, text, span), signal);
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
