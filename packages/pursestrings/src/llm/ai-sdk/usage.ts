import type { AiSdkCall } from './call.ts';
import { rememberItems } from './memory.ts';
import { readUsage } from '../cost.ts';
import type { TokenBound } from '../prices/price.ts';
import { isObject } from '../providers/provider.ts';
import type { JsonObject } from '../providers/provider.ts';
import { count } from '../providers/read-json.ts';
import { isConsistent } from '../usage.ts';
import type { Usage } from '../usage.ts';

/** What an answer of the AI SDK says of its cost: a generate result, or the `finish` of a stream. */
export interface AnswerSaid {
  readonly usage?: unknown;
  readonly providerMetadata?: unknown;
  /** The provider's own answer, where the AI SDK hands it on. */
  readonly body?: unknown;
  /** Names of the tools that the provider ran, once for each time. */
  readonly toolsRun: readonly string[];
  /** Ids of the reasoning that the provider keeps. */
  readonly items: readonly string[];
}

/**
 * Reads the usage of an answer: the provider's own where it is there, as it says the most; and never
 * less than what the AI SDK made of it. Null when there is none, or it cannot be right.
 */
export function usageOf(said: AnswerSaid, call: AiSdkCall, bound: TokenBound): Usage | null {
  const metadata = isObject(said.providerMetadata) ? said.providerMetadata : {};
  const whole = isObject(said.body) ? readUsage(said.body) : null;
  const own = whole ?? readRaw(said.usage, metadata);
  const translated = readTranslated(said.usage, call.facts.shape.cacheWrites === '1h');
  const read = own === null || translated === null ? (own ?? translated) : larger(own, translated);
  if (read === null) return null;
  rememberItems(said.items, read.outputTokens);
  const audible = whole === null ? withAudio(read, bound) : read;
  const pieces = piecesOf(said, call, metadata, audible);
  const tier = audible.serviceTier ?? tierIn(metadata);
  const cost = audible.reportedUsd ?? costIn(metadata);
  return {
    ...audible,
    ...(pieces === null ? {} : { pieces }),
    ...(tier === undefined ? {} : { serviceTier: tier }),
    ...(cost === undefined ? {} : { reportedUsd: cost }),
  };
}

/** The provider's usage object, which the AI SDK passes on beside its own. */
function readRaw(usage: unknown, metadata: JsonObject): Usage | null {
  const raw = isObject(usage) && isObject(usage.raw) ? readUsage(usage.raw) : null;
  if (raw !== null) return raw;
  for (const values of Object.values(metadata)) {
    const inside = isObject(values) && isObject(values.usage) ? readUsage(values.usage) : null;
    if (inside !== null) return inside;
  }
  return null;
}

/**
 * The usage as the AI SDK counts it, with totals and parts (V3, V4) or plain counts (V2):
 * https://github.com/vercel/ai/tree/main/packages/provider/src/language-model
 */
function readTranslated(usage: unknown, keepsAnHour: boolean): Usage | null {
  if (!isObject(usage)) return null;
  const { inputTokens: input, outputTokens: output } = usage;
  const written = isObject(input) ? (count(input.cacheWrite) ?? 0) : 0;
  const read: Usage =
    isObject(input) && isObject(output)
      ? {
          inputTokens: count(input.total) ?? Number.NaN,
          outputTokens: count(output.total) ?? Number.NaN,
          cachedInputTokens: count(input.cacheRead) ?? 0,
          cacheWriteTokens: written,
          cacheWrite1hTokens: keepsAnHour ? written : 0,
          reasoningTokens: count(output.reasoning) ?? 0,
        }
      : {
          inputTokens: count(input) ?? Number.NaN,
          outputTokens: count(output) ?? Number.NaN,
          cachedInputTokens: count(usage.cachedInputTokens) ?? 0,
          reasoningTokens: count(usage.reasoningTokens) ?? 0,
        };
  if (read.inputTokens === 0 && read.outputTokens === 0) return null;
  return isConsistent(read) ? read : null;
}

function larger(own: Usage, translated: Usage): Usage {
  const inputTokens = Math.max(own.inputTokens, translated.inputTokens);
  const outputTokens = Math.max(own.outputTokens, translated.outputTokens);
  return { ...own, inputTokens, outputTokens };
}

/** Audio is dearer than text, and the AI SDK keeps no count of it: all that was sent is billed. */
function withAudio(usage: Usage, bound: TokenBound): Usage {
  if (bound.inputAudioTokens === 0 || (usage.inputAudioTokens ?? 0) > 0) return usage;
  const { inputTokens, cachedInputTokens = 0, cacheWriteTokens = 0 } = usage;
  const most = inputTokens - cacheWriteTokens;
  const inputAudioTokens = Math.min(bound.inputAudioTokens, most);
  const room = inputTokens - inputAudioTokens;
  return { ...usage, inputAudioTokens, cachedInputTokens: Math.min(cachedInputTokens, room) };
}

/** What was billed by the piece; null where the answer does not tell, and the request has to. */
function piecesOf(
  said: AnswerSaid,
  { pieceOfTool, named }: AiSdkCall,
  metadata: JsonObject,
  usage: Usage,
): Record<string, number> | null {
  if (pieceOfTool.size === 0) return null;
  const counted: Record<string, number> = {};
  for (const piece of pieceOfTool.values()) counted[piece] = 0;
  for (const tool of said.toolsRun) {
    const piece = pieceOfTool.get(tool);
    if (piece !== undefined) counted[piece] = (counted[piece] ?? 0) + 1;
  }
  if (named.host === 'google') counted.web_searches = searchesGrounding(metadata, named.model);
  for (const [name, pieces] of Object.entries(usage.pieces ?? {})) {
    counted[name] = Math.max(counted[name] ?? 0, pieces);
  }
  return counted;
}

/**
 * Gemini 3 bills each search, its predecessors a grounded prompt however many it took.
 * https://you.com/resources/gemini-web-search-api (of Google's own pages), 2026-11-22
 */
function searchesGrounding(metadata: JsonObject, model: string): number {
  const values = metadata.google ?? metadata.vertex;
  const grounding = isObject(values) ? values.groundingMetadata : null;
  if (!isObject(grounding)) return 0;
  const queries = Array.isArray(grounding.webSearchQueries) ? grounding.webSearchQueries.length : 0;
  return /gemini-[12]/.test(model) ? 1 : Math.max(queries, 1);
}

function tierIn(metadata: JsonObject): string | undefined {
  for (const values of Object.values(metadata)) {
    if (isObject(values) && typeof values.serviceTier === 'string') {
      return values.serviceTier.toLowerCase().replace(/^service_tier_/, '');
    }
  }
  return undefined;
}

/** What OpenRouter's provider and the AI Gateway say a call cost, in USD. */
function costIn(metadata: JsonObject): number | string | undefined {
  const { openrouter, gateway } = metadata;
  if (isObject(openrouter) && isObject(openrouter.usage)) {
    const { cost, costDetails } = openrouter.usage;
    const upstream = isObject(costDetails) ? costDetails.upstreamInferenceCost : undefined;
    if (isAmount(cost) && !isAmount(upstream)) return cost;
  }
  if (isObject(gateway) && isAmount(gateway.cost)) return gateway.cost;
  return undefined;
}

function isAmount(value: unknown): value is number | string {
  const decimal =
    typeof value === 'number' || (typeof value === 'string' && /^[\d.]+$/.test(value));
  return decimal && Number(value) > 0;
}
