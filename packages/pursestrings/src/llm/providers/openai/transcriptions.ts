import { isConsistent } from '../../usage.ts';
import type { Usage } from '../../usage.ts';
import { hostOf } from '../hosts.ts';
import { modelOf, textsOf } from './fields.ts';
import { openaiRefusalBody } from './refusal.ts';
import { callShape, FormFile, isObject } from '../provider.ts';
import type {
  CallShape,
  InputBound,
  JsonObject,
  OnText,
  Provider,
  Route,
  StreamReader,
} from '../provider.ts';
import { count, parseJson } from '../read-json.ts';

/** Models that are billed by the token; all others by the second of audio. */
const BY_TOKEN = /^gpt-4o(?:-mini)?-transcribe/;

/**
 * How long a file is at most: it is taken for Opus at its lowest bit rate, 6 kbit/s
 * (https://www.rfc-editor.org/rfc/rfc6716#section-2.1.1); MP3 begins at 8. Silence can be packed
 * still denser; then what the answer says is charged all the same.
 */
const BYTES_PER_SECOND = 750;

/** Ten tokens are documented for a second of speech; twice that is held. */
const TOKENS_PER_SECOND = 20;

/** What one call of these models reads and writes, unless it is cut into chunks. */
const MAX_INPUT_TOKENS = 16_000;
const MAX_OUTPUT_TOKENS = 2_000;

/**
 * Groq bills ten seconds for a shorter file; its answers say by a field of their own that they are
 * Groq's: https://console.groq.com/docs/speech-to-text, 2026-11-22.
 */
const GROQ_SECONDS = 10;

/** Tokens of the frame around a prompt. */
const FRAME_TOKENS = 64;

/**
 * Speech to text, on OpenAI's host and at every base URL whose path ends in
 * `/audio/transcriptions` or `/audio/translations`:
 * https://developers.openai.com/api/reference/resources/audio/subresources/transcriptions
 */
export const openaiTranscriptions: Provider = {
  name: 'openai',
  recognise,
  readCall,
  boundInput,
  countInput: () => Promise.resolve(null),
  rewrite: (body) => body,
  readUsage,
  asksUsage: false,
  openStream,
  refusalBody: openaiRefusalBody,
};

function recognise(method: string, { pathname }: URL): Route | null {
  const known = /\/audio\/(?:transcriptions|translations)\/?$/.test(pathname);
  return method === 'POST' && known ? 'metered' : null;
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const model = modelOf(body, url);
  const seconds = secondsOf(body);
  // Without its file nobody knows how long the speech is.
  if (url === null || model === null || seconds === null) return null;
  const shared = { model, streamed: body.stream === 'true' || body.stream === true };
  if (BY_TOKEN.test(model)) {
    const outputCap = isCut(body, model)
      ? Math.max(MAX_OUTPUT_TOKENS, seconds * TOKENS_PER_SECOND)
      : MAX_OUTPUT_TOKENS;
    return callShape({ ...shared, outputCap, cappable: false, usageAsked: true });
  }
  const least = hostOf(url)?.name === 'groq' ? GROQ_SECONDS : 0;
  const pieces = { audio_seconds: Math.max(seconds, least) };
  return callShape({ ...shared, outputCap: 0, cappable: false, usageAsked: true, pieces });
}

function secondsOf({ file }: JsonObject): number | null {
  const files: readonly unknown[] = Array.isArray(file) ? file : [file];
  let bytes = 0;
  for (const each of files) {
    if (!(each instanceof FormFile)) return null;
    bytes += each.bytes;
  }
  return Math.ceil(bytes / BYTES_PER_SECOND) + 1;
}

/** Long speech is cut into chunks, each of which is read and written on its own. */
function isCut(body: JsonObject, model: string): boolean {
  return body.chunking_strategy !== undefined || model.includes('diarize');
}

function boundInput(body: JsonObject, { model }: CallShape): InputBound {
  if (!BY_TOKEN.test(model)) return { tokens: 0, audioTokens: 0, unbounded: null };
  const whole = (secondsOf(body) ?? 0) * TOKENS_PER_SECOND;
  const references = textsOf(body.known_speaker_references).join('').length;
  const cut = isCut(body, model);
  const audioTokens =
    (cut ? whole : Math.min(whole, MAX_INPUT_TOKENS)) +
    Math.ceil(references / BYTES_PER_SECOND) * TOKENS_PER_SECOND;
  const prompt = Buffer.byteLength(textsOf(body.prompt).join('')) + FRAME_TOKENS;
  return { tokens: audioTokens + prompt, audioTokens, unbounded: null };
}

/**
 * A usage says itself what it counts, tokens or seconds. Without one a verbose answer still says
 * how long the speech was; texts and subtitles do not.
 */
function readUsage(body: unknown, shape: CallShape | null): Usage | null {
  if (!isObject(body)) return null;
  const usage = isObject(body.usage) ? body.usage : body;
  if (usage.type === 'tokens') return readTokens(usage);
  const least = isObject(body.x_groq) ? GROQ_SECONDS : 0;
  if (usage.type === 'duration') return readSeconds(usage.seconds, least);
  if (shape?.pieces.audio_seconds === undefined) return null;
  return readSeconds(body.duration, least);
}

function readTokens(usage: JsonObject): Usage | null {
  const inputTokens = count(usage.input_tokens);
  const outputTokens = count(usage.output_tokens);
  if (inputTokens === undefined || outputTokens === undefined) return null;
  if (inputTokens === 0 && outputTokens === 0) return null;
  const details = isObject(usage.input_token_details) ? usage.input_token_details : {};
  // Audio is the dearer kind: what nobody says is taken for it.
  const text = count(details.text_tokens) ?? 0;
  const inputAudioTokens = count(details.audio_tokens) ?? inputTokens - text;
  const read: Usage = { inputTokens, outputTokens, inputAudioTokens };
  return isConsistent(read) && inputAudioTokens >= 0 ? read : null;
}

/** A second that has begun counts as a whole one. */
function readSeconds(seconds: unknown, least: number): Usage | null {
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds < 1e9)) return null;
  const pieces = { audio_seconds: Math.max(Math.ceil(seconds), least) };
  return { inputTokens: 0, outputTokens: 0, pieces };
}

const DELTA = /"type"\s*:\s*"transcript\.text\.delta"/;
const DONE = /"type"\s*:\s*"transcript\.text\.done"/;

function openStream(shape: CallShape, onText: OnText): StreamReader {
  let usage: Usage | null = null;
  let complete = false;
  let tokensSeen = 0;
  return {
    read(data) {
      if (DELTA.test(data)) {
        tokensSeen += 1;
        if (onText !== null) tellDelta(data, onText);
      } else if (DONE.test(data)) {
        complete = true;
        usage = readUsage(parseJson(data), shape);
      }
      return false;
    },
    usage: () => usage,
    complete: () => complete,
    tokensSeen: () => tokensSeen,
  };
}

/** Tells the text of a delta; its characters stand for one byte each. */
function tellDelta(data: string, onText: (text: string) => void): void {
  const event = parseJson(Buffer.from(data, 'latin1').toString());
  if (isObject(event) && typeof event.delta === 'string') onText(event.delta);
}
