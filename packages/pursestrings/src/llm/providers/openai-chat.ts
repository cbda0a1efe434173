import { BudgetExceededError } from '../../errors.ts';
import type { PurseError } from '../../ledger/invalid.ts';
import { isConsistent } from '../price.ts';
import type { Usage } from '../price.ts';
import { boundChatInput, countChatInput } from './openai-chat-input.ts';
import { isObject } from './provider.ts';
import type {
  BodyChanges,
  CallShape,
  JsonObject,
  Provider,
  Route,
  StreamReader,
} from './provider.ts';

/**
 * OpenAI's chat completions, on its own host and at every base URL whose path ends in
 * `/chat/completions`: https://platform.openai.com/docs/api-reference/chat
 */
export const openaiChat: Provider = {
  name: 'openai',
  ownsHost: (url) => /^(?:[a-z]{2,3}\.)?api\.openai\.com$/.test(url.hostname),
  recognise,
  readCall,
  boundInput: boundChatInput,
  countInput: countChatInput,
  rewrite,
  readUsage,
  openStream,
  refusalBody,
};

/**
 * Routes of OpenAI that take a POST and cost nothing: moderation, uploads, and changing what is
 * stored.
 */
const FREE_POSTS =
  /\/v1\/(?:moderations|files|uploads(?:\/[^/]+\/\w+)?|chat\/completions\/[^/]+)\/?$/;

function recognise(method: string, url: URL): Route | null {
  if (method === 'POST' && /\/chat\/completions\/?$/.test(url.pathname)) return 'metered';
  if (!openaiChat.ownsHost(url)) return null;
  return method !== 'POST' || FREE_POSTS.test(url.pathname) ? 'free' : null;
}

function readCall(body: JsonObject): CallShape | null {
  if (typeof body.model !== 'string' || !Array.isArray(body.messages)) return null;
  const tier = body.service_tier;
  const options = isObject(body.stream_options) ? body.stream_options : {};
  return {
    model: body.model,
    streamed: body.stream === true,
    // `fast` is another word for `priority`: the answer says so.
    serviceTier: tier === 'fast' ? 'priority' : typeof tier === 'string' ? tier : null,
    choices: positive(body.n) ?? 1,
    outputCap: largest(positive(body.max_completion_tokens), positive(body.max_tokens)),
    extraOutputTokens:
      body.prediction === undefined || body.prediction === null
        ? 0
        : Buffer.byteLength(JSON.stringify(body.prediction)),
    outputAudio: Array.isArray(body.modalities) && body.modalities.includes('audio'),
    webSearches: searchesWeb(body) ? 1 : 0,
    usageAsked: options.include_usage === true,
  };
}

/** True when the call searches the web: because it asks to, or because its model always does. */
function searchesWeb(body: JsonObject): boolean {
  const asked = body.web_search_options !== undefined && body.web_search_options !== null;
  return asked || (typeof body.model === 'string' && /-search-(preview|api)/.test(body.model));
}

function rewrite(body: JsonObject, changes: BodyChanges): JsonObject {
  const changed: Record<string, unknown> = { ...body };
  if (changes.outputCap !== undefined) {
    if (positive(body.max_tokens) !== null) changed.max_tokens = changes.outputCap;
    if (positive(body.max_completion_tokens) !== null || positive(body.max_tokens) === null) {
      changed.max_completion_tokens = changes.outputCap;
    }
  }
  if (changes.askUsage === true) {
    const options = isObject(body.stream_options) ? body.stream_options : {};
    changed.stream_options = { ...options, include_usage: true };
  }
  return changed;
}

/**
 * https://platform.openai.com/docs/api-reference/chat/object: reasoning tokens lie inside the
 * completion count.
 */
function readUsage(body: unknown): Usage | null {
  if (!isObject(body)) return null;
  const usage = isObject(body.usage) ? body.usage : body;
  const inputTokens = count(usage.prompt_tokens);
  const outputTokens = count(usage.completion_tokens);
  if (inputTokens === undefined || outputTokens === undefined) return null;
  // Servers that do not count say zero, but no call is made of nothing.
  if (inputTokens === 0 && outputTokens === 0) return null;
  const input = isObject(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const output = isObject(usage.completion_tokens_details) ? usage.completion_tokens_details : {};
  const read: Usage = {
    inputTokens,
    outputTokens,
    cachedInputTokens: count(input.cached_tokens) ?? 0,
    cacheWriteTokens: count(input.cache_write_tokens) ?? 0,
    inputAudioTokens: count(input.audio_tokens) ?? 0,
    outputAudioTokens: count(output.audio_tokens) ?? 0,
    reasoningTokens: count(output.reasoning_tokens) ?? 0,
    ...(typeof body.service_tier === 'string' ? { serviceTier: body.service_tier } : {}),
  };
  return isConsistent(read) ? read : null;
}

const HAS_USAGE = /"usage"\s*:\s*\{/;
const HAS_OUTPUT = /"(?:content|arguments|refusal|reasoning_content)"\s*:\s*"[^"]/;

function openStream(shape: CallShape): StreamReader {
  let usage: Usage | null = null;
  let complete = false;
  let tokensSeen = 0;
  return {
    read(data) {
      if (data === '[DONE]') {
        complete = true;
        return false;
      }
      if (HAS_OUTPUT.test(data)) tokensSeen += 1;
      if (!HAS_USAGE.test(data)) return false;
      const chunk = parse(data);
      const read = isObject(chunk) ? readUsage(chunk) : null;
      if (!isObject(chunk) || read === null) return false;
      usage = read;
      const extra = Array.isArray(chunk.choices) && chunk.choices.length === 0;
      if (extra) complete = true;
      return extra && !shape.usageAsked;
    },
    usage: () => usage,
    complete: () => complete,
    tokensSeen: () => tokensSeen,
  };
}

/**
 * https://platform.openai.com/docs/guides/error-codes: the SDK raises the error with this object
 * as its `error`.
 */
function refusalBody(error: PurseError): JsonObject {
  if (BudgetExceededError.isInstance(error)) {
    const { message, denial, denials } = error;
    const code = 'budget_exceeded';
    return { error: { message, type: code, param: null, code, denial, denials } };
  }
  const code = error.code.toLowerCase();
  return { error: { message: error.message, type: 'purse_error', param: null, code } };
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}

/**
 * A count, or undefined when the field is absent; what is no count makes the usage inconsistent.
 */
function count(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    ? value
    : Number.NaN;
}

/** Of two caps it is the server that picks one. */
function largest(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}

function positive(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null;
}
