import { countTokens, hasTokenizer } from '../../tokenizer.ts';
import { isObject } from '../provider.ts';
import type { CallShape, InputBound, JsonObject } from '../provider.ts';

/**
 * Tokens around each message, its role and its name included, and once for the reply; OpenAI adds
 * 3, 1 and 3.
 */
const TOKENS_PER_MESSAGE = 8;
const TOKENS_PER_REQUEST = 32;

/**
 * The notation that tools and schemas are rewritten into is undocumented; this covers its frame.
 */
const TOKENS_PER_TOOL = 32;

/** Parts and tool calls are framed too. */
const TOKENS_PER_PART = 16;

/**
 * The most that one image can cost, by the documented formulas. Tiles: a base and so much for each
 * 512-pixel tile, of which the documented scaling leaves 8 at most. Patches of 32 pixels: at most
 * 1,536 (10,000 in full detail), times at most 2.46. The last entry is for models not known here.
 * https://platform.openai.com/docs/guides/images-vision#calculating-costs
 */
const IMAGE_TOKENS: readonly {
  readonly models: RegExp;
  readonly low: number;
  readonly high: number;
}[] = [
  { models: /^(ft:)?gpt-4o-mini/, low: 2_833, high: 48_169 },
  { models: /^(ft:)?(gpt-4o|chatgpt-4o|gpt-4\.5|gpt-4-|gpt-4\.1(-20|$))/, low: 85, high: 1_445 },
  {
    models: /^(ft:)?(gpt-5(-20|-chat|-codex|$)|o1(-20|-pro|$)|o3(-20|-pro|$))/,
    low: 85,
    high: 1_445,
  },
  { models: /^(ft:)?(gpt-4\.1-|gpt-5-(mini|nano)|o4-mini)/, low: 3_779, high: 3_779 },
  { models: /^(ft:)?gpt-(5\.|6)/, low: 24_600, high: 24_600 },
  { models: /(?:)/, low: 48_169, high: 48_169 },
];

/**
 * Audio is billed by time, ten tokens a second. The lowest bit rate of the formats accepted is
 * 8 kbit/s, a hundred bytes a token; half of that is assumed.
 */
const BYTES_PER_AUDIO_TOKEN = 50;

/** What a walk over the messages finds besides text. */
interface Found {
  readonly texts: string[];
  tokens: number;
  audioTokens: number;
  /** Characters of data that are no text: they are billed by the parts' own rules. */
  dataCharacters: number;
  unbounded: string | null;
}

/**
 * Bounds the input of a chat completion by its bytes: no byte-level encoding makes more tokens than
 * bytes, and JSON never makes text shorter. Costs microseconds; lies 3 to 5 times over for English.
 */
export function boundChatInput(body: JsonObject, shape: CallShape, text: string): InputBound {
  const found = walk(body, shape);
  return {
    tokens: Buffer.byteLength(text) - found.dataCharacters + found.tokens + found.audioTokens,
    audioTokens: found.audioTokens,
    unbounded: found.unbounded,
  };
}

/**
 * Counts the input of a chat completion with the model's own encoding; null when that is not
 * public.
 */
export async function countChatInput(
  body: JsonObject,
  { model, pieces }: CallShape,
): Promise<InputBound | null> {
  if (!hasTokenizer(model)) return null;
  const found = walk(body, { model, pieces });
  for (const part of [body.tools, body.functions, body.response_format, body.tool_choice]) {
    if (typeof part === 'object' && part !== null) found.texts.push(JSON.stringify(part));
  }
  const counted = await countTokens(model, found.texts);
  if (counted === null) return null;
  return {
    tokens: counted + found.tokens + found.audioTokens,
    audioTokens: found.audioTokens,
    unbounded: found.unbounded,
  };
}

function walk(body: JsonObject, { model, pieces }: Pick<CallShape, 'model' | 'pieces'>): Found {
  const run = Object.keys(pieces).find((name) => name !== 'requests');
  const found: Found = {
    texts: [],
    tokens: TOKENS_PER_REQUEST,
    audioTokens: 0,
    dataCharacters: 0,
    // What the host finds becomes input, and its size is not the caller's to know.
    unbounded: run === undefined ? null : `what \`${run}\` finds`,
  };
  for (const list of [body.tools, body.functions]) {
    if (Array.isArray(list)) found.tokens += TOKENS_PER_TOOL * list.length;
  }
  if (body.response_format !== undefined) found.tokens += TOKENS_PER_TOOL;
  if (!Array.isArray(body.messages)) return found;
  for (const message of body.messages as readonly unknown[]) {
    found.tokens += TOKENS_PER_MESSAGE;
    if (isObject(message)) readMessage(message, found, model);
  }
  return found;
}

function readMessage(message: JsonObject, found: Found, model: string): void {
  for (const [name, value] of Object.entries(message)) {
    if (typeof value === 'string') {
      if (name !== 'role') found.texts.push(value);
    } else if (name === 'content' && Array.isArray(value)) {
      for (const part of value as readonly unknown[]) readPart(part, found, model);
    } else if (name === 'audio' && isObject(value)) {
      found.unbounded ??= 'an earlier audio answer, given by its id';
    } else if (isObject(value) || Array.isArray(value)) {
      found.texts.push(JSON.stringify(value));
      found.tokens += TOKENS_PER_PART * (Array.isArray(value) ? value.length : 1);
    }
  }
}

function readPart(part: unknown, found: Found, model: string): void {
  found.tokens += TOKENS_PER_PART;
  if (!isObject(part)) {
    if (typeof part === 'string') found.texts.push(part);
    return;
  }
  const { type } = part;
  if (type === 'text' && typeof part.text === 'string') {
    found.texts.push(part.text);
  } else if (type === 'refusal' && typeof part.refusal === 'string') {
    found.texts.push(part.refusal);
  } else if (type === 'image_url' && isObject(part.image_url)) {
    readImage(part.image_url, found, model);
  } else if (type === 'image_url' && typeof part.image_url === 'string') {
    // As Mistral takes it, too: https://docs.mistral.ai/capabilities/vision/
    readImage({ url: part.image_url }, found, model);
  } else if (type === 'input_audio' && isObject(part.input_audio)) {
    const characters = lengthOf(part.input_audio.data);
    found.audioTokens += Math.ceil((characters * 3) / 4 / BYTES_PER_AUDIO_TOKEN) + 1;
    found.dataCharacters += characters;
  } else if (type === 'file') {
    found.unbounded ??= 'a file';
  } else {
    found.unbounded ??= `a content part of type ${JSON.stringify(type)}`;
  }
}

function readImage(image: JsonObject, found: Found, model: string): void {
  found.tokens += imageTokens(model, image.detail);
  if (typeof image.url === 'string' && image.url.startsWith('data:')) {
    found.dataCharacters += lengthOf(image.url);
  }
}

/** The most tokens that one image can cost a model of OpenAI; more for models not known here. */
export function imageTokens(model: string, detail: unknown): number {
  const cost = IMAGE_TOKENS.find(({ models }) => models.test(model));
  return (detail === 'low' ? cost?.low : cost?.high) ?? 0;
}

/** Base64 is written one byte a character, so characters are bytes of the body. */
function lengthOf(data: unknown): number {
  return typeof data === 'string' ? data.length : 0;
}
