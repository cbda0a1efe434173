import { asSent, field, listField, objectField } from './fields.ts';
import type { CallShape, InputBound, JsonObject } from '../provider.ts';

/** Roles, separators and what is put before tools; their JSON is longer than this, mostly. */
const TOKENS_PER_REQUEST = 256;

/**
 * The most that one image can cost. Gemini 3 and later: 2,240 at the highest resolution. Before:
 * 258 a tile, and about 2,048 in all with "pan and scan", of which this is twice.
 * https://ai.google.dev/gemini-api/docs/media-resolution#token-counts
 */
const IMAGE_TOKENS = 4_128;

/**
 * Until Gemini 2.5 a page of a PDF is 258 tokens, and a request has 1,000 pages at most.
 * https://ai.google.dev/gemini-api/docs/document-processing
 */
const OLD_PDF_TOKENS = 258_000;
const OLD_MODEL = /gemini-(?:1\.|2\.|pro|flash)/;

/**
 * Audio is 32 tokens a second. The lowest bit rate of the formats accepted is 8 kbit/s, of which
 * half is assumed; lossless silence can be smaller still.
 * https://ai.google.dev/gemini-api/docs/audio#technical-details
 */
const BYTES_PER_AUDIO_TOKEN = 15;
const LOSSLESS_BYTES_PER_AUDIO_TOKEN = 3;

/** Tools whose findings become input, so that its size is not the caller's to know. */
const READERS: ReadonlySet<string> = new Set([
  'googleSearch',
  'googleSearchRetrieval',
  'googleMaps',
  'enterpriseWebSearch',
  'retrieval',
  'urlContext',
  'fileSearch',
  'codeExecution',
  'computerUse',
  'mcpServers',
]);

/** What a walk over the contents finds besides text. */
interface Found {
  tokens: number;
  audioTokens: number;
  /** Characters of data that are no text: they are billed by the parts' own rules. */
  dataCharacters: number;
  unbounded: string | null;
  media: boolean;
}

/** Bounds the input by its bytes, as no tokenizer makes more tokens than bytes. */
export function boundGeminiInput(body: JsonObject, shape: CallShape, text: string): InputBound {
  const found = walk(asSent(body), shape.model);
  return {
    tokens: Buffer.byteLength(text) - found.dataCharacters + found.tokens + found.audioTokens,
    audioTokens: found.audioTokens,
    unbounded: found.unbounded,
  };
}

/** True when the input holds anything but text. */
export function holdsMedia(body: JsonObject): boolean {
  return walk(body, '').media;
}

/** The tools that a request gives to the model, by name. */
export function toolsOf(body: JsonObject): readonly string[] {
  return listField(body, 'tools').flatMap((tool) =>
    Object.keys(tool).map((name) =>
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    ),
  );
}

function walk(body: JsonObject, model: string): Found {
  const found: Found = {
    tokens: TOKENS_PER_REQUEST,
    audioTokens: 0,
    dataCharacters: 0,
    unbounded: null,
    media: false,
  };
  const reader = toolsOf(body).find((tool) => READERS.has(tool));
  if (reader !== undefined) found.unbounded = `the findings of the tool \`${reader}\``;
  if (typeof field(body, 'cachedContent') === 'string') found.unbounded ??= 'cached content';
  const contents = [...listField(body, 'contents'), ...listField(body, 'systemInstruction')];
  for (const request of [body, ...listField(body, 'requests')]) {
    contents.push(...listField(request, 'content'));
  }
  for (const content of contents) {
    // An SDK takes a part in the place of a content.
    for (const part of [content, ...listField(content, 'parts')]) readPart(part, found, model);
  }
  return found;
}

function readPart(part: JsonObject, found: Found, model: string): void {
  if (field(part, 'fileData') !== undefined) {
    found.unbounded ??= 'a file';
    found.media = true;
  }
  const data = objectField(part, 'inlineData');
  if (typeof data.data === 'string') {
    found.media = true;
    const type = field(data, 'mimeType');
    readData(typeof type === 'string' ? type : '', data.data.length, found, model);
  }
  for (const nested of listField(objectField(part, 'functionResponse'), 'parts')) {
    readPart(nested, found, model);
  }
}

/** Base64 is written one byte a character, so characters are bytes of the body. */
function readData(type: string, characters: number, found: Found, model: string): void {
  // Other text is at most as many tokens as the bytes that the body's own bound counts.
  if (/^text\//i.test(type)) return;
  found.dataCharacters += characters;
  if (/^image\//i.test(type)) {
    found.tokens += IMAGE_TOKENS;
  } else if (/^audio\//i.test(type)) {
    const lossless = /flac/i.test(type);
    const bytes = lossless ? LOSSLESS_BYTES_PER_AUDIO_TOKEN : BYTES_PER_AUDIO_TOKEN;
    found.audioTokens += Math.ceil((characters * 3) / 4 / bytes) + 32;
  } else if (type === 'application/pdf' && OLD_MODEL.test(model)) {
    found.tokens += OLD_PDF_TOKENS;
  } else {
    found.unbounded ??= `data of the type ${JSON.stringify(type)}`;
  }
}
