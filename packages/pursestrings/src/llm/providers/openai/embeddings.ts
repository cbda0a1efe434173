import { countTokens } from '../../tokenizer.ts';
import { isConsistent } from '../../usage.ts';
import type { Usage } from '../../usage.ts';
import { modelOf, textsOf } from './fields.ts';
import { openaiRefusalBody } from './refusal.ts';
import { callShape, isObject } from '../provider.ts';
import type { CallShape, InputBound, JsonObject, Provider, StreamReader } from '../provider.ts';
import { count, textAt } from '../read-json.ts';
import { reportedCost } from '../reported-cost.ts';

/**
 * The models of OpenAI count in the encoding of GPT-4:
 * https://developers.openai.com/api/docs/guides/embeddings
 */
const CL100K_MODELS = /^text-embedding-(?:3|ada-002)/;
const CL100K = 'gpt-4';

/** Servers may frame each input by a token or two. */
const TOKENS_PER_INPUT = 4;

/**
 * Embeddings, on OpenAI's host and at every base URL whose path ends in `/embeddings`. They have
 * input only: https://developers.openai.com/api/reference/resources/embeddings
 */
export const openaiEmbeddings: Provider = {
  name: 'openai',
  recognise: (method, { pathname }) =>
    method === 'POST' && /\/embeddings\/?$/.test(pathname) ? 'metered' : null,
  readCall,
  boundInput,
  countInput,
  rewrite: (body) => body,
  readUsage,
  answeredBy: (body) => textAt(body, 'model'),
  asksUsage: false,
  openStream: () => UNREAD,
  refusalBody: openaiRefusalBody,
};

/** No embedding is streamed. */
const UNREAD: StreamReader = {
  read: () => false,
  usage: () => null,
  complete: () => false,
  tokensSeen: () => 0,
};

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const model = modelOf(body, url);
  if (model === null || body.input === undefined) return null;
  if (url === null && !/embed/.test(model)) return null;
  return callShape({ model, outputCap: 0, cappable: false, usageAsked: true });
}

/** No encoding makes more tokens than bytes, and a token that is given takes two at least. */
function boundInput(body: JsonObject, _shape: CallShape, text: string): InputBound {
  const tokens = Buffer.byteLength(text) + TOKENS_PER_INPUT * inputs(body);
  return { tokens, audioTokens: 0, unbounded: unreadable(body) };
}

async function countInput(body: JsonObject, { model }: CallShape): Promise<InputBound | null> {
  if (!CL100K_MODELS.test(model) || unreadable(body) !== null) return null;
  const counted = await countTokens(CL100K, textsOf(body.input));
  if (counted === null) return null;
  const given = Array.isArray(body.input) ? body.input.flat().length : 0;
  const tokens = counted + given + TOKENS_PER_INPUT * inputs(body);
  return { tokens, audioTokens: 0, unbounded: null };
}

function inputs({ input }: JsonObject): number {
  return Array.isArray(input) && typeof input[0] !== 'number' ? input.length : 1;
}

/** Names input that is neither text nor tokens, as some servers embed; or null. */
function unreadable({ input }: JsonObject): string | null {
  return Array.isArray(input) && (input as readonly unknown[]).some(isObject)
    ? 'input that is no text'
    : null;
}

/** Some servers give the total only; it is all input. */
function readUsage(body: unknown, shape: CallShape | null): Usage | null {
  if (!isObject(body)) return null;
  const usage = isObject(body.usage) ? body.usage : body;
  if (shape === null && !isPlain(usage)) return null;
  const total = count(usage.total_tokens);
  const inputTokens = count(usage.prompt_tokens) ?? total;
  if (inputTokens === undefined || inputTokens === 0) return null;
  const cost = reportedCost(usage);
  if (cost === null) return null;
  const read: Usage = {
    inputTokens: Math.max(inputTokens, total ?? 0),
    outputTokens: 0,
    ...(cost === undefined ? {} : { reportedUsd: cost }),
  };
  return isConsistent(read) ? read : null;
}

/** True for counts that are an embedding's: a chat completion says what it wrote, even nothing. */
function isPlain(usage: JsonObject): boolean {
  if (usage.prompt_tokens === undefined || usage.total_tokens === undefined) return false;
  return (usage.completion_tokens ?? usage.output_tokens) === undefined;
}
