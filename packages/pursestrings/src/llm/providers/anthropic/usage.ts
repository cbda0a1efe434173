import { isConsistent } from '../../usage.ts';
import type { Usage } from '../../usage.ts';
import { isObject } from '../provider.ts';
import type { CallShape, JsonObject } from '../provider.ts';
import { count } from '../read-json.ts';

/**
 * Reads the usage of a message, or of its usage object alone. Anthropic counts apart what this
 * package counts together: tokens read from the cache and written to it lie beside `input_tokens`.
 * https://platform.claude.com/docs/en/api/messages
 */
export function readAnthropicUsage(body: unknown, shape: CallShape | null): Usage | null {
  if (!isObject(body)) return null;
  const usage = isObject(body.usage) ? body.usage : body;
  if (shape === null ? isForeign(body, usage) : isByAnother(body, usage, shape)) return null;
  const blocks: readonly unknown[] = Array.isArray(body.content) ? body.content : [];
  return usageOf(usage, blocks.filter(isWebSearch).length, shape);
}

/** Fields of other providers' usages, which name input and output tokens as Anthropic does. */
const FOREIGN = ['total_tokens', 'input_tokens_details', 'input_token_details', 'prompt_tokens'];

function isForeign(body: JsonObject, usage: JsonObject): boolean {
  return body.object !== undefined || FOREIGN.some((name) => usage[name] !== undefined);
}

/**
 * True when another model than the one asked for has answered. It has a price of its own, which is
 * not known here.
 */
export function isByAnother(body: JsonObject, usage: JsonObject, shape: CallShape): boolean {
  if (shape.alternatives.length === 0) return false;
  const undated = (model: string): string => model.replace(/-\d{8}$/, '');
  return (
    (typeof body.model === 'string' && undated(body.model) !== undated(shape.model)) ||
    iterationsOf(usage).some(({ type }) => type === 'fallback_message')
  );
}

function isWebSearch(block: unknown): boolean {
  return isObject(block) && block.type === 'server_tool_use' && block.name === 'web_search';
}

/**
 * Translates a usage object. `searchesSeen` is how often the answer shows the web to have been
 * searched, which counts where the usage does not say.
 */
export function usageOf(
  usage: JsonObject,
  searchesSeen: number,
  shape: CallShape | null,
): Usage | null {
  const all = [usage, ...iterationsOf(usage).filter(({ type }) => type === 'compaction')];
  const parts = all.map((part) => tokensOf(part, shape?.cacheWrites === '1h'));
  const sum = (kind: keyof Tokens): number => parts.reduce((total, part) => total + part[kind], 0);
  const details = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  const thinking = count(details.thinking_tokens) ?? 0;
  const tools = isObject(usage.server_tool_use) ? usage.server_tool_use : {};
  const searches = count(tools.web_search_requests) ?? searchesSeen;
  const tier = tierOf(usage, shape);
  const read: Usage = {
    inputTokens: sum('fresh') + sum('read') + sum('written'),
    outputTokens: sum('output'),
    cachedInputTokens: sum('read'),
    cacheWriteTokens: sum('written'),
    cacheWrite1hTokens: sum('written1h'),
    // It is told for information and billed as output, so it need not be right.
    ...(thinking > 0 && thinking <= sum('output') ? { reasoningTokens: thinking } : {}),
    // The caller's own bound on searches would be billed if nothing were said of them.
    ...(searches === 0 && shape?.pieces.web_searches === undefined
      ? {}
      : { pieces: { web_searches: searches } }),
    ...(tier === null ? {} : { serviceTier: tier }),
  };
  // Servers that do not count say zero, but no call is made of nothing.
  if (read.inputTokens === 0 && read.outputTokens === 0) return null;
  return Number.isSafeInteger(searches) && isConsistent(read) ? read : null;
}

interface Tokens {
  readonly fresh: number;
  readonly read: number;
  readonly written: number;
  readonly written1h: number;
  readonly output: number;
}

/**
 * Reads one set of counts; what is missing or no count is not a number. What was written to the
 * cache is told in sum and by how long it is kept; where the two differ, the larger one counts, and
 * what is not told apart was kept as long as the request may have asked.
 */
function tokensOf(usage: JsonObject, keepsAnHour: boolean): Tokens {
  const kept = isObject(usage.cache_creation) ? usage.cache_creation : {};
  const hour = count(kept.ephemeral_1h_input_tokens) ?? 0;
  const apart = hour + (count(kept.ephemeral_5m_input_tokens) ?? 0);
  const written = Math.max(count(usage.cache_creation_input_tokens) ?? 0, apart);
  return {
    fresh: count(usage.input_tokens) ?? Number.NaN,
    read: count(usage.cache_read_input_tokens) ?? 0,
    written,
    written1h: hour + (keepsAnHour ? written - apart : 0),
    output: count(usage.output_tokens) ?? Number.NaN,
  };
}

/**
 * The steps of a call. Those that made room in the context are billed beside the usage, all others
 * in it.
 */
function iterationsOf(usage: JsonObject): readonly JsonObject[] {
  return Array.isArray(usage.iterations)
    ? (usage.iterations as readonly unknown[]).filter(isObject)
    : [];
}

/** Values that say: nothing special. */
const PLAIN: ReadonlySet<unknown> = new Set(['standard', 'global', 'not_available', '']);

/** The tier by which a call was served, as the price's tiers are named. */
function tierOf(usage: JsonObject, shape: CallShape | null): string | null {
  const asked = shape?.serviceTier?.split('+') ?? [];
  const said = [usage.service_tier, usage.speed, usage.inference_geo];
  const silent = (value: unknown): boolean => value === undefined || value === null;
  if (said.every(silent)) return shape?.serviceTier ?? null;
  const choices = [
    silent(usage.service_tier) ? asked.find((choice) => choice === 'batch') : usage.service_tier,
    silent(usage.speed) ? asked.find((choice) => choice === 'fast') : usage.speed,
    silent(usage.inference_geo) ? asked.find(isPlace) : usage.inference_geo,
  ];
  return tierName(choices) ?? 'standard';
}

function isPlace(choice: string): boolean {
  return choice !== 'batch' && choice !== 'fast';
}

/** Names a tier by its choices, in the order: service tier, speed, place; null for the plain one. */
export function tierName(choices: readonly unknown[]): string | null {
  const names = choices.filter(
    (choice): choice is string => typeof choice === 'string' && !PLAIN.has(choice),
  );
  return names.length === 0 ? null : names.join('+');
}
