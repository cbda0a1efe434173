import { PriceUnknownError } from '../../errors.ts';
import { boundPrompt, countPrompt, isOwnTool, promptContents } from './input.ts';
import type { PromptContents } from './input.ts';
import { namedModel } from './model.ts';
import type { NamedModel } from './model.ts';
import type { CallFacts } from '../estimate.ts';
import type { CacheWrites, Price } from '../prices/price.ts';
import type { PriceFinder } from '../prices/price-list.ts';
import { ALWAYS_SEARCHES, previewSearchPiece } from '../providers/openai/fields.ts';
import { callShape, isObject } from '../providers/provider.ts';
import type { CallShape, JsonObject, Provider } from '../providers/provider.ts';
import { positive } from '../providers/read-json.ts';

/** A call by the AI SDK, read. */
export interface AiSdkCall {
  readonly named: NamedModel;
  readonly facts: CallFacts;
  /** What is billed by the piece, by the name of the tool that is called for it. */
  readonly pieceOfTool: ReadonlyMap<string, string>;
}

/** What decides how a call is read. */
export interface AiSdkReading {
  readonly findPrice: PriceFinder;
  readonly outputCeiling: number | undefined;
  readonly streamed: boolean;
}

/**
 * Reads what a call is and what it costs from the parameters that a model of the AI SDK is called
 * with: https://ai-sdk.dev/docs/ai-sdk-core/middleware
 *
 * @throws PriceUnknownError when the model has no price.
 */
export function readCall(
  params: JsonObject,
  model: { readonly provider: string; readonly modelId: string },
  reading: AiSdkReading,
): AiSdkCall {
  const named = namedModel(model.provider, model.modelId);
  const contents = promptContents(params, named.model);
  const tools = ownTools(params, named.model);
  const shape = shapeOf(params, named, contents, tools, reading.streamed);
  const facts: CallFacts = {
    provider: formatOf(named, contents, tools),
    body: params,
    text: contents.texts.join(''),
    shape,
    price: priceOf(named, reading.findPrice),
    otherPrices: [],
    outputCeiling: reading.outputCeiling,
    rewritable: true,
    parts: [],
  };
  const billed = tools.filter(({ piece }) => piece !== null);
  return {
    named,
    facts,
    pieceOfTool: new Map(billed.map((tool) => [tool.name, tool.piece ?? ''])),
  };
}

function priceOf({ model, url, host }: NamedModel, findPrice: PriceFinder): Price {
  const price = findPrice(model, url);
  if (price !== null) return price;
  throw new PriceUnknownError(
    model,
    `No price is known for the model ${JSON.stringify(model)} of ${host}: add it to \`prices\`, ` +
      'or set `unknownModel`',
  );
}

/** A call's format in the terms of the meter, which asks it for bounds on the input. */
function formatOf(
  named: NamedModel,
  contents: PromptContents,
  tools: readonly OwnTool[],
): Provider {
  const reading = tools.find(({ reads }) => reads);
  const seen: PromptContents =
    reading === undefined
      ? contents
      : { ...contents, unbounded: contents.unbounded ?? `the results of ${reading.name}` };
  return {
    name: named.host,
    recognise: () => null,
    readCall: () => null,
    boundInput: () => boundPrompt(seen),
    countInput: () => countPrompt(seen, named.model),
    rewrite: (body, { outputCap }) =>
      outputCap === undefined ? body : { ...body, maxOutputTokens: outputCap },
    readUsage: () => null,
    asksUsage: false,
    openStream: () => {
      throw new TypeError('The parts of a stream are read by `PartReader`');
    },
    refusalBody: (error) => ({ error: { message: error.message } }),
  };
}

function shapeOf(
  params: JsonObject,
  named: NamedModel,
  contents: PromptContents,
  tools: readonly OwnTool[],
  streamed: boolean,
): CallShape {
  const options = namespaces(params.providerOptions);
  const pieces: Record<string, number> = {};
  for (const { piece, most } of tools) {
    if (piece !== null) pieces[piece] = (pieces[piece] ?? 0) + most;
  }
  // Such a model has no tool for it: it searches once, whatever it is asked.
  if (ALWAYS_SEARCHES.test(named.model)) pieces[previewSearchPiece(named.model)] ??= 1;
  return callShape({
    model: named.model,
    streamed,
    outputCap: outputCapOf(params, options),
    extraOutputTokens: extraOutput(params, options),
    serviceTier: tierOf(options),
    inputMedia: contents.media,
    outputImage: options.some(({ responseModalities }) => includes(responseModalities, 'IMAGE')),
    cacheWrites: cacheWritesOf(contents),
    pieces,
  });
}

function namespaces(providerOptions: unknown): readonly JsonObject[] {
  return isObject(providerOptions) ? Object.values(providerOptions).filter(isObject) : [];
}

function outputCapOf(params: JsonObject, options: readonly JsonObject[]): number | null {
  const caps = options.map(({ maxCompletionTokens }) => positive(maxCompletionTokens) ?? 0);
  const cap = Math.max(positive(params.maxOutputTokens) ?? 0, ...caps);
  return cap === 0 ? null : cap;
}

/**
 * Thinking is given its budget on top of the cap by the AI SDK's Anthropic and Bedrock providers; a
 * predicted output is billed where it did not fit.
 * https://ai-sdk.dev/providers/ai-sdk-providers/anthropic#reasoning
 */
function extraOutput(params: JsonObject, options: readonly JsonObject[]): number {
  let tokens = 0;
  for (const { thinking, reasoningConfig, prediction } of options) {
    for (const budget of [thinking, reasoningConfig]) {
      if (isObject(budget) && budget.type === 'enabled') {
        tokens += positive(budget.budgetTokens) ?? DEFAULT_THINKING_TOKENS;
      }
    }
    if (prediction !== undefined && prediction !== null) {
      tokens += Buffer.byteLength(JSON.stringify(prediction));
    }
  }
  const { reasoning } = params;
  if (typeof reasoning !== 'string' || reasoning === 'provider-default') return tokens;
  return tokens + (reasoning === 'none' ? 0 : MAPPED_THINKING_TOKENS);
}

/** What the AI SDK asks for where a budget is enabled and not named. */
const DEFAULT_THINKING_TOKENS = 1_024;

/**
 * The AI SDK turns `reasoning: 'high'` and its kin into a share of the model's longest output; of
 * the models that take a budget the longest is 64,000 tokens.
 */
const MAPPED_THINKING_TOKENS = 64_000;

/** The processing tier that is asked for, as `tiers/` names it. */
function tierOf(options: readonly JsonObject[]): string | null {
  for (const { serviceTier, speed, inferenceGeo } of options) {
    const modifiers = [speed === 'fast' ? 'fast' : null, inferenceGeo === 'us' ? 'us' : null];
    const tier = modifiers.filter((modifier) => modifier !== null).join('+');
    if (tier !== '') return tier;
    // `fast` is OpenAI's other word for `priority`.
    if (typeof serviceTier === 'string') return serviceTier === 'fast' ? 'priority' : serviceTier;
    if (isObject(serviceTier) && typeof serviceTier.type === 'string') return serviceTier.type;
  }
  return null;
}

function cacheWritesOf(contents: PromptContents): CacheWrites {
  return contents.texts.some((text) => /"ttl":"(?!5m|30m)/.test(text)) ? '1h' : '5m';
}

function includes(list: unknown, wanted: string): boolean {
  return Array.isArray(list) && list.includes(wanted);
}

/** A tool that the provider runs, or brings along. */
interface OwnTool {
  readonly name: string;
  /** What it is billed by, or null. */
  readonly piece: string | null;
  /** How often it may be called. */
  readonly most: number;
  /** What it finds becomes input, and its size is not the caller's to know. */
  readonly reads: boolean;
}

/**
 * How often a tool of the provider is taken to be called, at most, where nothing says it: providers
 * document no bound. What is called more is charged, like every call, when the answer says so.
 */
const MAX_TOOL_CALLS = 10;

/** Tools that the provider describes and the caller runs. */
const RUN_BY_CALLER = /bash|text_?editor|computer|local_shell|apply_patch|memory|^openai\.custom/i;

/** Tools that the provider runs and does not bill, beyond the tokens they read and write. */
const RUN_FREE = /web_?fetch|url_context|mcp|tool_search|^google\.code_execution/i;

const SEARCHES_WEB =
  /web_?search|google_search|enterprise_web|google_maps|x_search|browser_search/i;
const PREVIEW_SEARCH = /web_?search_?preview/i;
const SEARCHES_FILES = /file_?search|vertex_rag/i;

function ownTools(params: JsonObject, model: string): readonly OwnTool[] {
  const tools: unknown = params.tools;
  if (!Array.isArray(tools)) return [];
  const said = namespaces(params.providerOptions).map(({ maxToolCalls }) => positive(maxToolCalls));
  const atMost = said.find((calls) => calls !== null) ?? MAX_TOOL_CALLS;
  return (tools as readonly unknown[])
    .filter(isOwnTool)
    .map((tool) => ownTool(tool, model, atMost));
}

function ownTool(tool: JsonObject, model: string, atMost: number): OwnTool {
  const id = String(tool.id);
  const name = String(tool.name);
  const args = isObject(tool.args) ? tool.args : {};
  const most = positive(args.maxUses) ?? atMost;
  if (RUN_BY_CALLER.test(id)) return { name, piece: null, most, reads: false };
  if (RUN_FREE.test(id)) return { name, piece: null, most, reads: true };
  if (SEARCHES_WEB.test(id)) {
    const piece = PREVIEW_SEARCH.test(id) ? previewSearchPiece(model) : 'web_searches';
    return { name, piece, most, reads: true };
  }
  if (SEARCHES_FILES.test(id)) return { name, piece: 'file_searches', most, reads: true };
  // Whatever else it is, somebody bills it: by its own name, which a price may have.
  return { name, piece: id.slice(id.indexOf('.') + 1), most, reads: true };
}
