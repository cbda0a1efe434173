import { countTokens } from '../../tokenizer.ts';
import { isConsistent } from '../../usage.ts';
import type { Usage } from '../../usage.ts';
import { modelOf } from './fields.ts';
import { openaiRefusalBody } from './refusal.ts';
import { callShape, isObject } from '../provider.ts';
import type { CallShape, InputBound, JsonObject, Provider, StreamReader } from '../provider.ts';
import { count, parseJson } from '../read-json.ts';

/** Models that are billed by the character: https://developers.openai.com/api/docs/pricing */
const BY_CHARACTER = /^tts-/;

/**
 * Speech costs USD 0.015 a minute at USD 12 for a million tokens, so 20.84 tokens a second:
 * https://developers.openai.com/api/docs/pricing, 2026-11-22. How long a text takes is documented
 * nowhere; it is bounded here by slow speech, 8 bytes a second, and each digit spelled out for 0.6
 * seconds. What an answer does not tell is charged at this bound: by `stream_format: 'sse'` it does.
 */
const TOKENS_PER_SECOND = 21;
const SECONDS_PER_BYTE = 0.125;
const SECONDS_PER_DIGIT = 0.6;
const PAUSES_SECONDS = 2;

/** Tokens of the frame around the text and its instructions. */
const FRAME_TOKENS = 32;

/**
 * Text to speech, on OpenAI's host and at every base URL whose path ends in `/audio/speech`:
 * https://developers.openai.com/api/reference/resources/audio/subresources/speech
 */
export const openaiSpeech: Provider = {
  name: 'openai',
  recognise: (method, { pathname }) =>
    method === 'POST' && /\/audio\/speech\/?$/.test(pathname) ? 'metered' : null,
  readCall,
  boundInput: (body, shape) => ({
    tokens: shape.fixedUsage === null ? Buffer.byteLength(textOf(body)) + FRAME_TOKENS : 0,
    audioTokens: 0,
    unbounded: null,
  }),
  countInput,
  rewrite: (body) => body,
  readUsage,
  asksUsage: false,
  openStream,
  refusalBody: openaiRefusalBody,
};

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const model = modelOf(body, url);
  const { input } = body;
  if (model === null || typeof input !== 'string') return null;
  if (url === null && body.voice === undefined) return null;
  if (!BY_CHARACTER.test(model)) {
    return callShape({ model, outputCap: speechTokens(body), cappable: false, usageAsked: true });
  }
  const pieces = { characters: Array.from(input).length };
  return callShape({
    model,
    outputCap: 0,
    cappable: false,
    pieces,
    fixedUsage: { inputTokens: 0, outputTokens: 0, pieces },
  });
}

function textOf({ input, instructions }: JsonObject): string {
  return `${String(input)}${typeof instructions === 'string' ? instructions : ''}`;
}

function speechTokens({ input, speed }: JsonObject): number {
  const text = String(input);
  const digits = text.replace(/\D/g, '').length;
  const seconds =
    PAUSES_SECONDS + Buffer.byteLength(text) * SECONDS_PER_BYTE + digits * SECONDS_PER_DIGIT;
  const slowness = typeof speed === 'number' && speed > 0 && speed < 1 ? speed : 1;
  return Math.ceil((seconds / slowness) * TOKENS_PER_SECOND);
}

async function countInput(body: JsonObject, { model }: CallShape): Promise<InputBound | null> {
  const counted = await countTokens(model, [textOf(body)]);
  return counted === null
    ? null
    : { tokens: counted + FRAME_TOKENS, audioTokens: 0, unbounded: null };
}

/** Only a stream of events has a usage, in its last one. */
function readUsage(body: unknown, shape: CallShape | null): Usage | null {
  if (shape === null || !isObject(body) || !isObject(body.usage)) return null;
  const inputTokens = count(body.usage.input_tokens);
  const outputTokens = count(body.usage.output_tokens);
  if (inputTokens === undefined || outputTokens === undefined || outputTokens === 0) return null;
  const read: Usage = { inputTokens, outputTokens };
  return isConsistent(read) ? read : null;
}

function openStream(shape: CallShape): StreamReader {
  let usage: Usage | null = null;
  let complete = false;
  return {
    read(data) {
      if (!/"type"\s*:\s*"speech\.audio\.done"/.test(data)) return false;
      complete = true;
      usage = readUsage(parseJson(data), shape);
      return false;
    },
    usage: () => usage,
    complete: () => complete,
    tokensSeen: () => 0,
  };
}
