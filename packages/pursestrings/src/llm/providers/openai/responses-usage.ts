import { isConsistent } from '../../usage.ts';
import type { Pieces, Usage } from '../../usage.ts';
import { rememberItems, rememberResponse } from './responses-memory.ts';
import { toolPieces, usedPieces } from './responses-tools.ts';
import { isObject } from '../provider.ts';
import type { CallShape, JsonObject } from '../provider.ts';
import { count } from '../read-json.ts';
import { reportedCost } from '../reported-cost.ts';

/**
 * With these models each search costs so many input tokens, whatever it found. Whether a usage
 * holds them is not documented, so they are added: https://developers.openai.com/api/docs/pricing
 */
const FIXED_BLOCK_MODELS = /^(?:ft:)?(?:gpt-4o-mini|gpt-4\.1-mini)/;
const FIXED_BLOCK_TOKENS = 8_000;

/** Responses that nothing more will be added to. */
const ENDED: ReadonlySet<unknown> = new Set(['completed', 'incomplete', 'failed', 'cancelled']);

/** True for a response that is made, however it ended. */
export function hasEnded(status: unknown): boolean {
  return ENDED.has(status);
}

/** True for a response that failed before anything was counted: OpenAI bills no such one. */
export function failedUncounted(response: JsonObject): boolean {
  return response.status === 'failed' && !isObject(response.usage);
}

/**
 * Reads the usage of a response, or of its usage object alone.
 * https://developers.openai.com/api/reference/resources/responses: reasoning tokens lie inside
 * the output, cached and cache-writing ones inside the input.
 */
export function readResponsesUsage(body: unknown, shape: CallShape | null): Usage | null {
  if (!isObject(body)) return null;
  // The last event of a stream holds the whole response.
  if (shape === null && isObject(body.response)) return readResponsesUsage(body.response, null);
  const whole = body.object === 'response' || body.object === 'response.compaction';
  if (whole && failedUncounted(body)) {
    return { inputTokens: 0, outputTokens: 0, ...piecesOf(body, shape) };
  }
  const usage = isObject(body.usage) ? body.usage : body;
  const read = readCounts(usage, shape);
  if (read === null) return null;
  const tier = body.service_tier;
  const found: Usage = {
    ...read,
    ...(typeof tier === 'string' ? { serviceTier: tier === 'fast' ? 'priority' : tier } : {}),
    ...(whole ? piecesOf(body, shape) : {}),
  };
  if (!isConsistent(found)) return null;
  const blocks = fixedBlockTokens(body, found);
  return blocks === 0 ? found : { ...found, inputTokens: found.inputTokens + blocks };
}

function readCounts(usage: JsonObject, shape: CallShape | null): Usage | null {
  if (shape === null && !isPlain(usage)) return null;
  const inputTokens = count(usage.input_tokens);
  const output = count(usage.output_tokens);
  if (inputTokens === undefined || output === undefined) return null;
  const total = count(usage.total_tokens) ?? 0;
  // A host that counts reasoning beside the output tells it by its total.
  const outputTokens = total > inputTokens + output ? total - inputTokens : output;
  // Servers that do not count say zero, but no call is made of nothing.
  if (inputTokens === 0 && outputTokens === 0) return null;
  const cost = reportedCost(usage);
  if (cost === null) return null;
  const inputs = isObject(usage.input_tokens_details) ? usage.input_tokens_details : {};
  const outputs = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  const writes = isObject(inputs.cache_write_tokens_details)
    ? inputs.cache_write_tokens_details
    : {};
  return {
    inputTokens,
    outputTokens,
    cachedInputTokens: count(inputs.cached_tokens) ?? 0,
    cacheWriteTokens: count(inputs.cache_write_tokens) ?? 0,
    // No price is published for a longer life: it is taken for the dearest that is.
    cacheWrite1hTokens: count(writes.ttl_12h_tokens) ?? 0,
    inputAudioTokens: count(inputs.audio_tokens) ?? 0,
    outputAudioTokens: count(outputs.audio_tokens) ?? 0,
    reasoningTokens: count(outputs.reasoning_tokens) ?? 0,
    ...(cost === undefined ? {} : { reportedUsd: cost }),
  };
}

/**
 * Others write `input_tokens` too: Anthropic without a total, images and audio with parts, the
 * realtime API and LangChain with details by a name that is one letter shorter.
 */
function isPlain(usage: JsonObject): boolean {
  const details = usage.input_tokens_details;
  if (usage.total_tokens === undefined || usage.type !== undefined) return false;
  if ((usage.input_token_details ?? usage.output_token_details) !== undefined) return false;
  return !isObject(details) || (details.text_tokens ?? details.image_tokens) === undefined;
}

function piecesOf(response: JsonObject, shape: CallShape | null): { pieces?: Pieces } {
  const bound = shape?.pieces ?? toolPieces(response.tools, String(response.model), 1);
  return Object.keys(bound).length === 0 ? {} : { pieces: usedPieces(response.output, bound) };
}

function fixedBlockTokens(response: JsonObject, usage: Usage): number {
  if (typeof response.model !== 'string' || !FIXED_BLOCK_MODELS.test(response.model)) return 0;
  return (usage.pieces?.web_searches ?? 0) * FIXED_BLOCK_TOKENS;
}

/**
 * Keeps in mind how long a conversation has become, and each part of what was written, for the
 * response that continues it.
 */
export function remember(response: JsonObject, model: string, usage: Usage | null): void {
  rememberItems(response.output, model, usage?.outputTokens ?? null);
  if (typeof response.id !== 'string') return;
  if (usage !== null) rememberResponse(response.id, model, usage.inputTokens + usage.outputTokens);
}
