import { countTokens, hasTokenizer } from '../../tokenizer.ts';
import { hostOf } from '../hosts.ts';
import { openaiChat } from './chat.ts';
import { modelOf, textsOf } from './fields.ts';
import { openaiRefusalBody } from './refusal.ts';
import { callShape, isObject } from '../provider.ts';
import type {
  BodyChanges,
  CallShape,
  InputBound,
  JsonObject,
  OnText,
  Provider,
  Route,
  StreamReader,
} from '../provider.ts';
import { parseJson, positive, wholeNumber, textAt } from '../read-json.ts';

/** What OpenAI writes at most where the request names no cap; other servers write on. */
const DEFAULT_MAX_TOKENS = 16;

/** A prompt has no frame, but an empty one still begins with a token. */
const TOKENS_PER_PROMPT = 8;

/**
 * Completions of plain prompts, which came before chat, on OpenAI's host and at every base URL
 * whose path ends in `/completions`: https://developers.openai.com/api/reference/resources/completions
 */
export const openaiCompletions: Provider = {
  name: 'openai',
  recognise,
  readCall,
  boundInput,
  countInput,
  rewrite,
  // The usage has the names of chat completions.
  readUsage: (body, shape) => openaiChat.readUsage(body, shape),
  answeredBy: (body) => textAt(body, 'model'),
  asksUsage: true,
  openStream,
  refusalBody: openaiRefusalBody,
};

function recognise(method: string, { pathname }: URL): Route | null {
  if (method !== 'POST' || !/\/completions\/?$/.test(pathname)) return null;
  return /\/chat\/completions\/?$/.test(pathname) ? null : 'metered';
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const model = modelOf(body, url);
  if (model === null || body.messages !== undefined) return null;
  if (url === null && !isUnmistakable(body, model)) return null;
  const host = url === null ? 'openai' : (hostOf(url)?.name ?? null);
  const caps = host === 'openai' || host === 'azure';
  const options = isObject(body.stream_options) ? body.stream_options : {};
  const tier = body.service_tier;
  return callShape({
    model,
    streamed: body.stream === true,
    serviceTier: typeof tier === 'string' ? tier : null,
    // All that are made are billed, not only the best of them.
    choices: prompts(body) * Math.max(wholeNumber(body.n) ?? 1, wholeNumber(body.best_of) ?? 1),
    outputCap: positive(body.max_tokens) ?? (caps ? DEFAULT_MAX_TOKENS : null),
    usageAsked: options.include_usage === true || hostOf(url)?.usageUnasked === true,
  });
}

const OWN_FIELDS: readonly string[] = ['max_tokens', 'best_of', 'suffix', 'echo', 'logprobs'];

/** True for a body that is a completion's without its URL: images are asked for by `prompt` too. */
function isUnmistakable(body: JsonObject, model: string): boolean {
  if (body.prompt === undefined || /image|dall-e/.test(model)) return false;
  return (
    /instruct|davinci|babbage/.test(model) || OWN_FIELDS.some((name) => body[name] !== undefined)
  );
}

/** A list is one prompt each, unless it is a list of tokens. */
function prompts({ prompt }: JsonObject): number {
  if (!Array.isArray(prompt) || typeof prompt[0] === 'number') return 1;
  return Math.max(prompt.length, 1);
}

/** No encoding makes more tokens than bytes, and a token that is given takes two at least. */
function boundInput(body: JsonObject, _shape: CallShape, text: string): InputBound {
  const tokens = Buffer.byteLength(text) + TOKENS_PER_PROMPT * prompts(body);
  return { tokens, audioTokens: 0, unbounded: null };
}

async function countInput(body: JsonObject, { model }: CallShape): Promise<InputBound | null> {
  if (!hasTokenizer(model)) return null;
  const texts = [...textsOf(body.prompt), ...textsOf(body.suffix)];
  const counted = await countTokens(model, texts);
  if (counted === null) return null;
  const given = Array.isArray(body.prompt) ? body.prompt.flat().length : 0;
  const tokens = counted + given + TOKENS_PER_PROMPT * prompts(body);
  return { tokens, audioTokens: 0, unbounded: null };
}

function rewrite(body: JsonObject, changes: BodyChanges): JsonObject {
  const changed: Record<string, unknown> = { ...body };
  if (changes.outputCap !== undefined) changed.max_tokens = changes.outputCap;
  if (changes.askUsage === true) {
    const options = isObject(body.stream_options) ? body.stream_options : {};
    changed.stream_options = { ...options, include_usage: true };
  }
  return changed;
}

const HAS_TEXT = /"text"\s*:\s*"[^"]/;

/** As a chat completion's stream, but that a choice's text is its own. */
function openStream(shape: CallShape, onText: OnText): StreamReader {
  const reader = openaiChat.openStream(shape, null);
  let tokensSeen = 0;
  return {
    ...reader,
    read(data) {
      if (HAS_TEXT.test(data)) {
        tokensSeen += 1;
        if (onText !== null) tellText(data, onText);
      }
      return reader.read(data);
    },
    tokensSeen: () => tokensSeen,
  };
}

/** Tells the text of a chunk's choices; its characters stand for one byte each. */
function tellText(data: string, onText: (text: string) => void): void {
  const chunk = parseJson(Buffer.from(data, 'latin1').toString());
  if (!isObject(chunk) || !Array.isArray(chunk.choices)) return;
  for (const choice of chunk.choices as readonly unknown[]) {
    if (isObject(choice) && typeof choice.text === 'string') onText(choice.text);
  }
}
