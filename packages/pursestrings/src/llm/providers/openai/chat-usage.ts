import { isConsistent } from '../../usage.ts';
import type { Usage } from '../../usage.ts';
import { isObject } from '../provider.ts';
import type { JsonObject } from '../provider.ts';
import { count } from '../read-json.ts';
import { reportedCost } from '../reported-cost.ts';

/**
 * Reads the usage of a chat completion, of a chunk of its stream, or of the usage object alone.
 * https://platform.openai.com/docs/api-reference/chat/object: reasoning tokens lie inside the
 * completion count. Some hosts count them beside it; then the total tells.
 */
export function readChatUsage(body: unknown): Usage | null {
  if (!isObject(body)) return null;
  const usage = usageIn(body);
  const inputTokens = count(usage.prompt_tokens);
  const completion = count(usage.completion_tokens);
  if (inputTokens === undefined || completion === undefined) return null;
  const total = count(usage.total_tokens) ?? 0;
  const outputTokens = total > inputTokens + completion ? total - inputTokens : completion;
  // Servers that do not count say zero, but no call is made of nothing.
  if (inputTokens === 0 && outputTokens === 0) return null;
  const cost = reportedCost(usage);
  if (cost === null) return null;
  const input = isObject(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const output = isObject(usage.completion_tokens_details) ? usage.completion_tokens_details : {};
  const read: Usage = {
    inputTokens,
    outputTokens,
    cachedInputTokens: cachedIn(usage, input),
    cacheWriteTokens: count(input.cache_write_tokens) ?? 0,
    inputAudioTokens: count(input.audio_tokens) ?? 0,
    outputAudioTokens: count(output.audio_tokens) ?? 0,
    reasoningTokens: count(output.reasoning_tokens) ?? 0,
    ...(typeof body.service_tier === 'string' ? { serviceTier: body.service_tier } : {}),
    ...(cost === undefined ? {} : { reportedUsd: cost }),
  };
  return isConsistent(read) ? read : null;
}

/** Groq's streams tell it under a name of their own: https://console.groq.com/docs/api-reference */
function usageIn(body: JsonObject): JsonObject {
  if (isObject(body.usage)) return body.usage;
  return isObject(body.x_groq) && isObject(body.x_groq.usage) ? body.x_groq.usage : body;
}

/**
 * Tokens read from a cache, by OpenAI's name, by DeepSeek's and by Mistral's.
 * https://api-docs.deepseek.com/guides/kv_cache
 */
function cachedIn(usage: JsonObject, details: JsonObject): number {
  return (
    count(details.cached_tokens) ??
    count(usage.prompt_cache_hit_tokens) ??
    count(usage.num_cached_tokens) ??
    0
  );
}
