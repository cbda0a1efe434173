import { isConsistent } from '../../usage.ts';
import type { Usage } from '../../usage.ts';
import { isObject } from '../provider.ts';
import type { CallShape, JsonObject, OnText, StreamReader } from '../provider.ts';
import { count, parseJson } from '../read-json.ts';

/**
 * Reads a usage: what the cache gave or took is counted beside `inputTokens`.
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
 */
export function readConverseUsage(body: unknown): Usage | null {
  if (!isObject(body)) return null;
  const said = isObject(body.usage) ? body.usage : body;
  const fresh = count(said.inputTokens);
  const output = count(said.outputTokens);
  const total = count(said.totalTokens);
  if (fresh === undefined || output === undefined || total === undefined) return null;
  // Usages of other libraries have these names too, and what was cached inside their input.
  if (said.cachedInputTokens !== undefined || said.reasoningTokens !== undefined) return null;
  const read = count(said.cacheReadInputTokens) ?? 0;
  const written = count(said.cacheWriteInputTokens) ?? 0;
  const inputTokens = fresh + read + written;
  const outputTokens = Math.max(output, total - inputTokens);
  if (inputTokens === 0 && outputTokens === 0) return null;
  const tier = tierOf(body);
  const usage: Usage = {
    inputTokens,
    outputTokens,
    cachedInputTokens: read,
    cacheWriteTokens: written,
    cacheWrite1hTokens: writtenForAnHour(said.cacheDetails),
    ...(tier === null ? {} : { serviceTier: tier }),
  };
  return isConsistent(usage) ? usage : null;
}

function writtenForAnHour(details: unknown): number {
  if (!Array.isArray(details)) return 0;
  let tokens = 0;
  for (const detail of details as readonly unknown[]) {
    if (isObject(detail) && detail.ttl === '1h') tokens += count(detail.inputTokens) ?? 0;
  }
  return tokens;
}

/** The tier that served the call, and whether it was a fast one. */
function tierOf({ serviceTier, performanceConfig }: JsonObject): string | null {
  const tier = isObject(serviceTier) ? serviceTier.type : null;
  const latency = isObject(performanceConfig) ? performanceConfig.latency : null;
  const named = typeof tier === 'string' ? tier : null;
  if (latency === 'optimized') {
    return named === null || named === 'default' ? 'optimized' : `${named}+optimized`;
  }
  return named ?? (latency === 'standard' ? 'default' : null);
}

const HAS_METADATA = /^\{"metadata":/;
const HAS_DELTA = /^\{"contentBlockDelta":/;

/** Reads a stream, whose messages come as `{"<event type>":<payload>}`. */
export function openConverseStream(_shape: CallShape, onText: OnText): StreamReader {
  let usage: Usage | null = null;
  let complete = false;
  let tokensSeen = 0;
  return {
    read(data) {
      if (HAS_DELTA.test(data)) {
        tokensSeen += 1;
        if (onText !== null) tellText(data, onText);
      } else if (HAS_METADATA.test(data)) {
        const event = parseJson(data);
        usage = isObject(event) ? readConverseUsage(event.metadata) : null;
        complete = true;
      }
      return false;
    },
    usage: () => usage,
    complete: () => complete,
    tokensSeen: () => tokensSeen,
  };
}

/** Tells what a delta holds; its characters stand for one byte each. */
function tellText(data: string, onText: (text: string) => void): void {
  const event = parseJson(Buffer.from(data, 'latin1').toString());
  const block = isObject(event) ? event.contentBlockDelta : null;
  const delta = isObject(block) ? block.delta : null;
  if (!isObject(delta)) return;
  const { text, toolUse, reasoningContent } = delta;
  if (typeof text === 'string') onText(text);
  if (isObject(toolUse) && typeof toolUse.input === 'string') onText(toolUse.input);
  if (isObject(reasoningContent) && typeof reasoningContent.text === 'string') {
    onText(reasoningContent.text);
  }
}
