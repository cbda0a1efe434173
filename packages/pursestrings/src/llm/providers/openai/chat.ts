import type { Usage } from '../../usage.ts';
import { hostOf } from '../hosts.ts';
import { boundChatInput, countChatInput } from './chat-input.ts';
import { piecesOf } from './chat-pieces.ts';
import { readChatUsage } from './chat-usage.ts';
import { openaiRefusalBody } from './refusal.ts';
import { callShape, isObject } from '../provider.ts';
import type {
  BodyChanges,
  CallShape,
  JsonObject,
  OnText,
  Provider,
  Route,
  StreamReader,
} from '../provider.ts';
import { decoded, largest, parseJson, textAt, wholeNumber } from '../read-json.ts';

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
  readUsage: (body, shape) => (isByAnother(body, shape) ? null : readChatUsage(body)),
  answeredBy: (body) => textAt(body, 'model'),
  asksUsage: true,
  openStream,
  refusalBody: openaiRefusalBody,
};

function recognise(method: string, url: URL): Route | null {
  return method === 'POST' && /\/chat\/completions\/?$/.test(url.pathname) ? 'metered' : null;
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const [model, ...alternatives] = modelsOf(body, url);
  if (model === undefined || !Array.isArray(body.messages)) return null;
  const tier = body.service_tier;
  const options = isObject(body.stream_options) ? body.stream_options : {};
  const pieces = piecesOf(body, model, url);
  return callShape({
    model,
    alternatives,
    streamed: body.stream === true,
    // `fast` is another word for `priority`: the answer says so.
    serviceTier: tier === 'fast' ? 'priority' : typeof tier === 'string' ? tier : null,
    choices: wholeNumber(body.n) ?? 1,
    outputCap: largest(wholeNumber(body.max_completion_tokens), wholeNumber(body.max_tokens)),
    extraOutputTokens:
      body.prediction === undefined || body.prediction === null
        ? 0
        : Buffer.byteLength(JSON.stringify(body.prediction)),
    outputAudio: Array.isArray(body.modalities) && body.modalities.includes('audio'),
    pieces,
    // Where nobody needs to ask, nothing is hidden.
    usageAsked: options.include_usage === true || hostOf(url)?.usageUnasked === true,
  });
}

/**
 * The model asked for, and those that may answer in its place. Azure names the deployment in the
 * path, `/openai/deployments/{name}/chat/completions`, and looks at no other name. OpenRouter takes
 * a list to fall back on, or a preset that may name any model:
 * https://openrouter.ai/docs/features/model-routing
 */
function modelsOf(body: JsonObject, url: URL | null): readonly string[] {
  const deployment = /\/deployments\/([^/]+)\//.exec(url?.pathname ?? '')?.[1];
  if (deployment !== undefined) return [decoded(deployment)];
  const others: readonly unknown[] = Array.isArray(body.models) ? body.models : [];
  const preset = typeof body.preset === 'string' ? [`@preset/${body.preset}`] : [];
  const models = [body.model, ...others, ...preset].filter((name) => typeof name === 'string');
  return [...new Set(models)];
}

/**
 * True when a model other than the first of several answered, and the answer does not say its cost:
 * then all that was held for the dearest of them is charged.
 */
function isByAnother(body: unknown, shape: CallShape | null): boolean {
  if (shape === null || shape.alternatives.length === 0) return false;
  const answered = textAt(body, 'model');
  if (answered === null || answered.startsWith(shape.model)) return false;
  return readChatUsage(body)?.reportedUsd === undefined;
}

function rewrite(body: JsonObject, changes: BodyChanges, url: URL | null): JsonObject {
  const changed: Record<string, unknown> = { ...body };
  if (changes.outputCap !== undefined) {
    const named = (['max_completion_tokens', 'max_tokens'] as const).filter(
      (name) => wholeNumber(body[name]) !== null,
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

const HAS_USAGE = /"usage"\s*:\s*\{/;
const HAS_OUTPUT = /"(?:content|arguments|refusal|reasoning_content|reasoning|text)"\s*:\s*"(?!")/;

function openStream(shape: CallShape, onText: OnText): StreamReader {
  let usage: Usage | null = null;
  let model: string | null = null;
  let complete = false;
  let usages = 0;
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
      const read = isObject(chunk) ? readChatUsage(chunk) : null;
      if (!isObject(chunk) || read === null) return false;
      usage = isByAnother(chunk, shape) ? null : read;
      usages += 1;
      model = textAt(chunk, 'model') ?? model;
      const choices: readonly unknown[] = Array.isArray(chunk.choices) ? chunk.choices : [];
      const extra = Array.isArray(chunk.choices) && choices.length === 0;
      // Some hosts tell the usage together with the reason why the answer ends.
      if (extra || (shape.choices === 1 && choices.some(isFinished))) complete = true;
      return extra && !shape.usageAsked;
    },
    // A host that counts along has not told all of it before the answer is complete.
    usage: () => (complete || usages === 1 ? usage : null),
    complete: () => complete,
    tokensSeen: () => tokensSeen,
    answeredBy: () => model,
  };
}

function isFinished(choice: unknown): boolean {
  return isObject(choice) && typeof choice.finish_reason === 'string';
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
      // Mistral gives its thinking as a list of parts.
      else if (Array.isArray(text)) onText(JSON.stringify(text));
    }
    if (Array.isArray(choice.delta.tool_calls)) onText(JSON.stringify(choice.delta.tool_calls));
  }
}
