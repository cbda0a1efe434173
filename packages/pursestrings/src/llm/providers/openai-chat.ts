import { isConsistent } from '../usage.ts';
import type { Usage } from '../usage.ts';
import { hostOf } from './hosts.ts';
import { boundChatInput, countChatInput } from './openai-chat-input.ts';
import { openaiRefusalBody } from './openai-refusal.ts';
import { callShape, isObject } from './provider.ts';
import type {
  BodyChanges,
  CallShape,
  JsonObject,
  OnText,
  Provider,
  Route,
  StreamReader,
} from './provider.ts';
import { count, largest, parseJson, positive } from './read-json.ts';

/**
 * OpenAI's chat completions, on its own host and at every base URL whose path ends in
 * `/chat/completions`: https://platform.openai.com/docs/api-reference/chat
 */
export const openaiChat: Provider = {
  name: 'openai',
  recognise,
  readCall,
  boundInput: boundChatInput,
  countInput: countChatInput,
  rewrite,
  readUsage,
  asksUsage: true,
  openStream,
  refusalBody: openaiRefusalBody,
};

function recognise(method: string, url: URL): Route | null {
  return method === 'POST' && /\/chat\/completions\/?$/.test(url.pathname) ? 'metered' : null;
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const model = modelOf(body, url);
  if (model === null || !Array.isArray(body.messages)) return null;
  const tier = body.service_tier;
  const options = isObject(body.stream_options) ? body.stream_options : {};
  return callShape({
    model,
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
    ...(searchesWeb(body) ? { pieces: { web_searches: 1 } } : {}),
    // Where nobody needs to ask, nothing is hidden.
    usageAsked: options.include_usage === true || hostOf(url)?.usageUnasked === true,
  });
}

/** Azure names the deployment in the path: `/openai/deployments/{name}/chat/completions`. */
function modelOf(body: JsonObject, url: URL | null): string | null {
  if (typeof body.model === 'string') return body.model;
  const deployment = /\/deployments\/([^/]+)\//.exec(url?.pathname ?? '')?.[1];
  return deployment === undefined ? null : decodeURIComponent(deployment);
}

/** True when the call searches the web: because it asks to, or because its model always does. */
function searchesWeb(body: JsonObject): boolean {
  const asked = body.web_search_options !== undefined && body.web_search_options !== null;
  return asked || (typeof body.model === 'string' && /-search-(preview|api)/.test(body.model));
}

function rewrite(body: JsonObject, changes: BodyChanges, url: URL | null): JsonObject {
  const changed: Record<string, unknown> = { ...body };
  if (changes.outputCap !== undefined) {
    const named = (['max_completion_tokens', 'max_tokens'] as const).filter(
      (name) => positive(body[name]) !== null,
    );
    const names = named.length > 0 ? named : [hostOf(url)?.capName ?? 'max_completion_tokens'];
    for (const name of names) changed[name] = changes.outputCap;
  }
  if (changes.askUsage === true) {
    const options = isObject(body.stream_options) ? body.stream_options : {};
    changed.stream_options = { ...options, include_usage: true };
  }
  return changed;
}

/**
 * https://platform.openai.com/docs/api-reference/chat/object: reasoning tokens lie inside the
 * completion count. Some hosts count them beside it; then the total tells.
 */
function readUsage(body: unknown): Usage | null {
  if (!isObject(body)) return null;
  const usage = isObject(body.usage) ? body.usage : body;
  const inputTokens = count(usage.prompt_tokens);
  const completion = count(usage.completion_tokens);
  if (inputTokens === undefined || completion === undefined) return null;
  const total = count(usage.total_tokens) ?? 0;
  const outputTokens = total > inputTokens + completion ? total - inputTokens : completion;
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

function openStream(shape: CallShape, onText: OnText): StreamReader {
  let usage: Usage | null = null;
  let complete = false;
  let tokensSeen = 0;
  return {
    read(data) {
      if (data === '[DONE]') {
        complete = true;
        return false;
      }
      if (HAS_OUTPUT.test(data)) {
        tokensSeen += 1;
        if (onText !== null) tellText(data, onText);
      }
      if (!HAS_USAGE.test(data)) return false;
      const chunk = parseJson(data);
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

const TEXTS: readonly string[] = ['content', 'refusal', 'reasoning_content', 'reasoning'];

/** Tells the text of a chunk's deltas; its characters stand for one byte each. */
function tellText(data: string, onText: (text: string) => void): void {
  const chunk = parseJson(Buffer.from(data, 'latin1').toString());
  if (!isObject(chunk) || !Array.isArray(chunk.choices)) return;
  for (const choice of chunk.choices as readonly unknown[]) {
    if (!isObject(choice) || !isObject(choice.delta)) continue;
    for (const name of TEXTS) {
      const text = choice.delta[name];
      if (typeof text === 'string') onText(text);
    }
    if (Array.isArray(choice.delta.tool_calls)) onText(JSON.stringify(choice.delta.tool_calls));
  }
}
