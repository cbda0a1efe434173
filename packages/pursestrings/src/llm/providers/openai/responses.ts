import { openaiRefusalBody } from './refusal.ts';
import { modelOf } from './fields.ts';
import { boundResponsesInput, countResponsesInput } from './responses-input.ts';
import { backgroundResponses, openResponsesStream } from './responses-stream.ts';
import { toolCallBound, toolPieces } from './responses-tools.ts';
import { readResponsesUsage, remember } from './responses-usage.ts';
import { callShape, isObject } from '../provider.ts';
import type { BodyChanges, CallShape, JsonObject, Provider, Route } from '../provider.ts';
import { positive, textAt } from '../read-json.ts';

/**
 * OpenAI's responses, on its own host and at every base URL whose path ends in `/responses`:
 * https://developers.openai.com/api/reference/resources/responses
 */
export const openaiResponses: Provider = {
  name: 'openai',
  recognise,
  readCall,
  boundInput: boundResponsesInput,
  countInput: countResponsesInput,
  rewrite,
  readUsage(body, shape) {
    const usage = readResponsesUsage(body, shape);
    if (shape !== null && isObject(body)) remember(body, shape.model, usage);
    return usage;
  },
  answeredBy: (body) => textAt(body, 'model'),
  asksUsage: false,
  openStream: openResponsesStream,
  work: backgroundResponses,
  refusalBody: openaiRefusalBody,
};

const METERED_PATH = /\/responses(?:\/compact)?\/?$/;
const FREE_PATH = /\/responses\/input_tokens\/?$/;

function recognise(method: string, url: URL): Route | null {
  const { pathname } = url;
  if (method === 'POST' && METERED_PATH.test(pathname)) return 'metered';
  if (method === 'POST' && FREE_PATH.test(pathname)) return 'free';
  return backgroundResponses.resultOf(method, url) === null ? null : 'result';
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const model = modelOf(body, url);
  if (model === null || (url === null && !isUnmistakable(body, model))) return null;
  const tier = body.service_tier;
  const compacts = /\/compact\/?$/.test(url?.pathname ?? '');
  const outputCap = positive(body.max_output_tokens);
  const calls = toolCallBound(model, positive(body.max_tool_calls), outputCap);
  const cache = isObject(body.prompt_cache_options) ? body.prompt_cache_options : {};
  return callShape({
    model,
    streamed: body.stream === true,
    // `fast` is another word for `priority`.
    serviceTier: tier === 'fast' ? 'priority' : typeof tier === 'string' ? tier : null,
    outputCap,
    cappable: !compacts,
    inputMedia: true,
    cacheWrites: cache.ttl === '12h' ? '1h' : '5m',
    pieces: toolPieces(body.tools, model, calls),
    usageAsked: true,
  });
}

/** Fields that no other format with an `input` has. */
const OWN_FIELDS: readonly string[] = [
  'max_output_tokens',
  'previous_response_id',
  'conversation',
  'prompt',
  'tools',
  'text',
  'reasoning',
  'background',
];

/** True for a body that is a response's without its URL: embeddings and speech have `input` too. */
function isUnmistakable(body: JsonObject, model: string): boolean {
  if (body.messages !== undefined || body.voice !== undefined) return false;
  if (Array.isArray(body.input)) return (body.input as readonly unknown[]).every(isObject);
  if (typeof body.input !== 'string') return false;
  return (
    OWN_FIELDS.some((name) => body[name] !== undefined) ||
    /^(?:ft:)?(?:gpt-\d|o\d|chatgpt|codex)/.test(model)
  );
}

function rewrite(body: JsonObject, { outputCap }: BodyChanges): JsonObject {
  return outputCap === undefined ? body : { ...body, max_output_tokens: outputCap };
}
