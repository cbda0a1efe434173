import {
  asksLongWindow,
  boundConverseInput,
  cacheWritesOf,
  holdsMedia,
  systemToolsOf,
} from './input.ts';
import { openConverseStream, readConverseUsage } from './usage.ts';
import { awsRefusalBody, awsRefusalHeaders } from './refusal.ts';
import { callShape, isObject } from '../provider.ts';
import type { BodyChanges, CallShape, JsonObject, Provider, Route } from '../provider.ts';
import { decoded, positive } from '../read-json.ts';

/**
 * Amazon Bedrock's Converse, whole and streamed:
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
 */
export const bedrockConverse: Provider = {
  name: 'aws',
  recognise,
  readCall,
  boundInput: boundConverseInput,
  // Bedrock's models have no public tokenizers in common.
  countInput: () => Promise.resolve(null),
  rewrite,
  readUsage: readConverseUsage,
  asksUsage: false,
  openStream: openConverseStream,
  refusalBody: awsRefusalBody,
  refusalHeaders: awsRefusalHeaders,
};

/** The model's id, an inference profile's, or an ARN, percent-encoded; and what is asked of it. */
const PATH = /\/model\/([^/]+)\/(converse|converse-stream|count-tokens)$/;

function recognise(method: string, url: URL): Route | null {
  const match = method === 'POST' ? PATH.exec(url.pathname) : null;
  if (match === null) return null;
  return match[2] === 'count-tokens' ? 'free' : 'metered';
}

/**
 * An ARN of a model of Bedrock's own, or of an inference profile that AWS defines, ends in its
 * name, and has its price. All others are somebody's own: `prices` may name them.
 */
const NAMED_BY_AWS =
  /^arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:(?:foundation-model|inference-profile)\/(.+)$/;

function modelOf(id: string): string {
  return NAMED_BY_AWS.exec(id)?.[1] ?? id;
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const [, id, operation] = PATH.exec(url?.pathname ?? '') ?? [];
  // Without a URL it is the SDK's input, which other operations share the id with.
  if (id === undefined && !Array.isArray(body.messages)) return null;
  const name = id === undefined ? body.modelId : decoded(id);
  if (typeof name !== 'string') return null;
  const model = modelOf(name);
  return callShape({
    model,
    streamed: operation === 'converse-stream',
    serviceTier: tierOf(body, model),
    outputCap: outputCapOf(body),
    // A cap in a model's own nested fields stays what it is.
    cappable: !isObject(moreOf(body).inferenceConfig),
    inputMedia: holdsMedia(body),
    cacheWrites: cacheWritesOf(body),
    pieces: piecesOf(body),
    // The stream tells its usage unasked.
    usageAsked: true,
  });
}

/**
 * Claude Sonnet 4 and 4.5 cost more past 200,000 tokens, which a header lets them read; the price
 * list does not tell so for Bedrock.
 */
const DEARER_WHEN_LONG = /claude-sonnet-4-(?:5|20)/;

/** Fast answers have rates of their own, as the tiers have: they go by the name `optimized`. */
function tierOf(body: JsonObject, model: string): string | null {
  if (asksLongWindow(body) && DEARER_WHEN_LONG.test(model)) return 'context-1m';
  const tier = isObject(body.serviceTier) ? body.serviceTier.type : null;
  const { performanceConfig } = body;
  const optimized = isObject(performanceConfig) && performanceConfig.latency === 'optimized';
  const named = typeof tier === 'string' && tier !== 'default' ? tier : null;
  if (!optimized) return named;
  return named === null ? 'optimized' : `${named}+optimized`;
}

/** The caps of models' own request formats, which may stand in `additionalModelRequestFields`. */
const MODEL_CAPS: readonly string[] = [
  'max_tokens',
  'max_completion_tokens',
  'maxTokens',
  'max_new_tokens',
  'max_gen_len',
  'maxTokenCount',
];

/** A larger cap in the model's own fields may win over the one of the request. */
function outputCapOf(body: JsonObject): number | null {
  const config = isObject(body.inferenceConfig) ? body.inferenceConfig : {};
  const cap = positive(config.maxTokens);
  if (cap === null) return null;
  const more = moreOf(body);
  const inner = isObject(more.inferenceConfig) ? more.inferenceConfig : {};
  const caps = MODEL_CAPS.flatMap((name) => [positive(more[name]), positive(inner[name])]);
  return Math.max(cap, ...caps.filter((each) => each !== null));
}

function moreOf(body: JsonObject): JsonObject {
  const fields = body.additionalModelRequestFields;
  return isObject(fields) ? fields : {};
}

/** Guardrails are billed by the text they see, and AWS's own tools by their use. */
function piecesOf(body: JsonObject): Record<string, number> {
  const pieces: Record<string, number> = {};
  if (isObject(body.guardrailConfig)) pieces.guardrails = 1;
  for (const tool of systemToolsOf(body)) pieces[tool] = 1;
  return pieces;
}

function rewrite(body: JsonObject, changes: BodyChanges): JsonObject {
  if (changes.outputCap === undefined) return body;
  const config = isObject(body.inferenceConfig) ? body.inferenceConfig : {};
  const changed = { ...body, inferenceConfig: { ...config, maxTokens: changes.outputCap } };
  if (!isObject(body.additionalModelRequestFields)) return changed;
  const kept = Object.entries(moreOf(body)).filter(([name]) => !MODEL_CAPS.includes(name));
  return { ...changed, additionalModelRequestFields: Object.fromEntries(kept) };
}
