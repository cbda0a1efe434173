import { boundAnthropicInput, compacts, isServerTool, listOf } from './input.ts';
import { anthropicRefusalBody } from './refusal.ts';
import { openAnthropicStream } from './stream.ts';
import { readAnthropicUsage, tierName } from './usage.ts';
import { callShape, isObject } from '../provider.ts';
import type { BodyChanges, CallShape, JsonObject, Provider, Route } from '../provider.ts';
import { positive, textAt } from '../read-json.ts';

/**
 * Anthropic's messages, on its own host and at every base URL whose path ends in `/v1/messages`:
 * https://platform.claude.com/docs/en/api/messages
 */
export const anthropicMessages: Provider = {
  name: 'anthropic',
  recognise,
  readCall: (body, url) =>
    url === null && !isUnmistakable(body) ? null : readMessagesCall(body, false),
  boundInput: boundAnthropicInput,
  countInput: () => Promise.resolve(null),
  rewrite,
  readUsage: readAnthropicUsage,
  answeredBy: (body) => textAt(body, 'model'),
  asksUsage: false,
  openStream: openAnthropicStream,
  refusalBody: anthropicRefusalBody,
};

/** Counting tokens is free: https://platform.claude.com/docs/en/build-with-claude/token-counting */
function recognise(method: string, url: URL): Route | null {
  if (method !== 'POST') return null;
  if (/\/v1\/messages\/count_tokens\/?$/.test(url.pathname)) return 'free';
  return /\/v1\/messages\/?$/.test(url.pathname) ? 'metered' : null;
}

/** Fields that OpenAI's chat completions have and messages do not. */
const OPENAI_FIELDS: readonly string[] = [
  'max_completion_tokens',
  'response_format',
  'stream_options',
  'n',
  'functions',
  'frequency_penalty',
  'presence_penalty',
  'logit_bias',
  'modalities',
];

/** True for a body that can be no chat completion, which have a model, messages and a cap too. */
function isUnmistakable(body: JsonObject): boolean {
  if (typeof body.max_tokens !== 'number') return false;
  if (OPENAI_FIELDS.some((name) => body[name] !== undefined)) return false;
  return (
    (typeof body.model === 'string' && body.model.startsWith('claude-')) ||
    body.system !== undefined ||
    isObject(body.thinking) ||
    listOf(body.tools).some((tool) => isObject(tool) && tool.input_schema !== undefined)
  );
}

/**
 * A server tool is run in a loop of at most so many steps, each of which may write as much as the
 * cap: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
 */
const MAX_STEPS = 10;

/** No number bounds the searches of one step; more than this was not seen. */
const MAX_SEARCHES_PER_STEP = 10;

/**
 * A conversation is summed up in at most what a model can write:
 * https://platform.claude.com/docs/en/about-claude/models/overview
 */
const MAX_OUTPUT_TOKENS = 128_000;

/** Reads a message to create, alone or as a part of a batch. */
export function readMessagesCall(body: JsonObject, batched: boolean): CallShape | null {
  if (typeof body.model !== 'string' || !Array.isArray(body.messages)) return null;
  const tools = listOf(body.tools);
  const steps = stepsOf(body, tools);
  const fallbacks = listOf(body.fallbacks).filter(isObject);
  const caps = [body, ...fallbacks].map(({ max_tokens: cap }) => wholeNumber(cap));
  const told = caps.filter((cap) => cap !== null);
  const outputCap = told.length === 0 ? null : Math.max(...told);
  const rounds = steps * (1 + fallbacks.length);
  return callShape({
    model: body.model,
    alternatives: fallbacks.map(({ model }) => String(model)),
    streamed: body.stream === true,
    serviceTier: tierName([batched ? 'batch' : null, body.speed, body.inference_geo]),
    outputCap,
    // A budget of thinking must stay below the cap, and may not be any small number.
    cappable: !(isObject(body.thinking) && body.thinking.type === 'enabled'),
    extraOutputTokens: (outputCap ?? 0) * (rounds - 1) + (compacts(body) ? MAX_OUTPUT_TOKENS : 0),
    cacheWrites: cacheWritesOf(body, steps > 1),
    pieces: piecesOf(body, tools, steps),
  });
}

/** A cap of 0 is one: it fills the cache and writes nothing. */
function wholeNumber(value: unknown): number | null {
  return value === 0 ? 0 : positive(value);
}

/** How often the model may be asked within one call. */
function stepsOf(body: JsonObject, tools: readonly unknown[]): number {
  if (listOf(body.mcp_servers).length > 0) return MAX_STEPS;
  const uses = tools.filter(isServerTool).map((tool) => positive(tool.max_uses) ?? MAX_STEPS);
  return Math.min(
    uses.reduce((sum, most) => sum + most, 1),
    MAX_STEPS,
  );
}

/**
 * What is billed by the piece. Searches: USD 10 for 1,000. Running code is billed by the time of
 * its container, which no answer tells, except beside the newer web tools, where it is free. An
 * adviser is another model, billed at its own rates. Where no price is known for a piece, the
 * call is refused by its name.
 * https://platform.claude.com/docs/en/about-claude/pricing#specific-tool-pricing, 2026-11-22
 */
function piecesOf(
  body: JsonObject,
  tools: readonly unknown[],
  steps: number,
): Record<string, number> {
  const pieces: Record<string, number> = {};
  const add = (name: string, most: number): void => {
    pieces[name] = (pieces[name] ?? 0) + most;
  };
  const server = tools.filter(isServerTool);
  for (const { type, max_uses: most } of server) {
    if (type.startsWith('web_search_')) {
      add('web_searches', positive(most) ?? steps * MAX_SEARCHES_PER_STEP);
    } else if (type.startsWith('advisor_')) {
      add('advisor_calls', positive(most) ?? steps);
    } else if (type.startsWith('code_execution_') && !server.some(freesCode)) {
      add('code_executions', 1);
    }
  }
  // Whatever model the server may choose.
  if (body.fallbacks === 'default') add('default_fallbacks', 1);
  return pieces;
}

/** Running code is free beside the web tools from February 2026 on. */
function freesCode({ type }: { readonly type: string }): boolean {
  const version = /^web_(?:search|fetch)_(\d{8})$/.exec(type)?.[1];
  return version !== undefined && version >= '20260209';
}

/**
 * What may be written to the cache: what the request marks, and between the steps of a loop the
 * server's own.
 */
function cacheWritesOf(body: JsonObject, loops: boolean): CallShape['cacheWrites'] {
  const marks = new Set<unknown>();
  const look = (block: unknown): void => {
    if (!isObject(block)) return;
    for (const mark of [block.cache_control, block.caching]) {
      if (isObject(mark)) marks.add(mark.ttl);
    }
    if (typeof block.content !== 'object') return;
    for (const inner of listOf(block.content)) look(inner);
  };
  look({ cache_control: body.cache_control });
  for (const list of [body.tools, body.system, body.messages]) {
    for (const block of listOf(list)) look(block);
  }
  if (marks.has('1h')) return '1h';
  return marks.size > 0 || loops ? '5m' : 'none';
}

function rewrite(body: JsonObject, changes: BodyChanges): JsonObject {
  const cap = changes.outputCap;
  if (cap === undefined) return body;
  const fallbacks = listOf(body.fallbacks);
  const changed = { ...body, max_tokens: lower(body.max_tokens, cap) };
  if (fallbacks.length === 0) return changed;
  return { ...changed, fallbacks: fallbacks.map((fallback) => capped(fallback, cap)) };
}

function capped(fallback: unknown, cap: number): unknown {
  if (!isObject(fallback) || wholeNumber(fallback.max_tokens) === null) return fallback;
  return { ...fallback, max_tokens: lower(fallback.max_tokens, cap) };
}

function lower(old: unknown, cap: number): number {
  return Math.min(wholeNumber(old) ?? cap, cap);
}
