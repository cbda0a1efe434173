import { isConsistent } from '../../usage.ts';
import type { Usage } from '../../usage.ts';
import { imageTokens } from './image-output.ts';
import { modelOf } from './fields.ts';
import { openaiRefusalBody } from './refusal.ts';
import { callShape, FormFile, isObject } from '../provider.ts';
import type {
  CallShape,
  InputBound,
  JsonObject,
  Provider,
  Route,
  StreamReader,
} from '../provider.ts';
import { count, parseJson, wholeNumber } from '../read-json.ts';

/** Models that are billed by the token; all others by the image. */
const BY_TOKEN = /^(?:gpt-image|chatgpt-image)/;

/**
 * What an image given to be edited costs at most. For GPT Image 1 it is documented: 65, 129 for
 * each of at most 8 tiles, and 6,144 in high fidelity. For later ones nothing is; the tokens of the
 * largest image that they write are taken.
 * https://developers.openai.com/api/docs/guides/images-vision#gpt-image-1, 2026-11-22.
 */
const INPUT_TOKENS = 65 + 129 * 8 + 6_144;
const LATER_INPUT_TOKENS = 24_000;

/** Tokens of the frame around a prompt. */
const FRAME_TOKENS = 64;

/**
 * Making and editing images, on OpenAI's host and at every base URL whose path ends in
 * `/images/generations`, `/images/edits` or `/images/variations`:
 * https://developers.openai.com/api/reference/resources/images
 */
export const openaiImages: Provider = {
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
  const known = /\/images\/(?:generations|edits|variations)\/?$/.test(pathname);
  return method === 'POST' && known ? 'metered' : null;
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  const model = modelOf(body, url);
  if (model === null) return null;
  if (url === null && !(typeof body.prompt === 'string' && /image|dall-e/.test(model))) return null;
  const choices = wholeNumber(body.n) ?? 1;
  const streamed = body.stream === true || body.stream === 'true';
  const shared = { model, streamed, choices, cappable: false, usageAsked: true };
  if (BY_TOKEN.test(model)) {
    const outputCap = imageTokens(body, model);
    return callShape({ ...shared, outputCap, outputImage: true, inputMedia: true });
  }
  return callShape({
    ...shared,
    outputCap: 0,
    pieces: { images: 1 },
    fixedUsage: { inputTokens: 0, outputTokens: 0, pieces: { images: choices } },
  });
}

/** The prompt is paid for each image, and so is what is edited. */
function boundInput(body: JsonObject, shape: CallShape): InputBound {
  if (!BY_TOKEN.test(shape.model)) return { tokens: 0, audioTokens: 0, unbounded: null };
  const prompt = typeof body.prompt === 'string' ? Buffer.byteLength(body.prompt) : 0;
  const documented = /^gpt-image-1(?:-mini|-20|$)/.test(shape.model);
  const each = documented ? INPUT_TOKENS : LATER_INPUT_TOKENS;
  const tokens = (FRAME_TOKENS + prompt + images(body) * each) * shape.choices;
  return { tokens, audioTokens: 0, unbounded: null };
}

/** Images, and masks over them, in a form's files or a body's links. */
function images(body: JsonObject): number {
  let found = 0;
  for (const value of [body.image, body.images, body.mask, body.markup]) {
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    found += list.filter(
      (each) => each instanceof FormFile || isObject(each) || typeof each === 'string',
    ).length;
  }
  return found;
}

/** Image and text tokens lie inside the input's and the output's; what is not said is an image. */
function readUsage(body: unknown, shape: CallShape | null): Usage | null {
  if (!isObject(body)) return null;
  const usage = isObject(body.usage) ? body.usage : body;
  const inputs = isObject(usage.input_tokens_details) ? usage.input_tokens_details : {};
  const outputs = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  if (shape === null && (inputs.image_tokens ?? inputs.text_tokens) === undefined) return null;
  // A drawing is written by another model, whose price is not this one's.
  if (isObject(body.svg_usage)) return null;
  const inputTokens = count(usage.input_tokens);
  const outputTokens = count(usage.output_tokens);
  if (inputTokens === undefined || outputTokens === undefined) return null;
  if (inputTokens === 0 && outputTokens === 0) return null;
  const written = count(outputs.text_tokens) ?? 0;
  const read: Usage = {
    inputTokens,
    outputTokens,
    inputImageTokens:
      count(inputs.image_tokens) ?? inputTokens - (count(inputs.text_tokens) ?? inputTokens),
    outputImageTokens: count(outputs.image_tokens) ?? outputTokens - written,
  };
  const parts = [read.inputImageTokens ?? 0, read.outputImageTokens ?? 0];
  return isConsistent(read) && parts.every((part) => part >= 0) ? read : null;
}

const COMPLETED = /"type"\s*:\s*"image_(?:generation|edit)\.completed"/;

/** Each image that is done comes with a usage: they are added up. */
function openStream(shape: CallShape): StreamReader {
  const usages: (Usage | null)[] = [];
  return {
    read(data) {
      if (COMPLETED.test(data)) usages.push(readUsage(parseJson(data), shape));
      return false;
    },
    usage: () => sum(usages),
    complete: () => usages.length >= shape.choices,
    tokensSeen: () => 0,
  };
}

/** All usages together; null when there are none, or one of them could not be read. */
function sum(usages: readonly (Usage | null)[]): Usage | null {
  const read = usages.filter((usage) => usage !== null);
  if (read.length === 0 || read.length < usages.length) return null;
  const total = (kind: (typeof KINDS)[number]): number =>
    read.reduce((tokens, usage) => tokens + (usage[kind] ?? 0), 0);
  return {
    inputTokens: total('inputTokens'),
    outputTokens: total('outputTokens'),
    inputImageTokens: total('inputImageTokens'),
    outputImageTokens: total('outputImageTokens'),
  };
}

const KINDS = ['inputTokens', 'outputTokens', 'inputImageTokens', 'outputImageTokens'] as const;
