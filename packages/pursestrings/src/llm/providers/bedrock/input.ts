import type { CacheWrites } from '../../prices/price.ts';
import { isObject } from '../provider.ts';
import type { CallShape, InputBound, JsonObject } from '../provider.ts';

/** Roles and separators; the JSON around a message is longer than what stands for it. */
const TOKENS_PER_REQUEST = 64;

/**
 * What is put before tools. Claude: at most some 700 tokens, by the tool choice.
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing
 */
const TOKENS_FOR_TOOLS = 1_024;

/**
 * The most that one image costs on Claude: 4,784 tokens at the high resolution of the newest, and some more here.
 * https://platform.claude.com/docs/en/build-with-claude/vision
 */
const CLAUDE_IMAGE_TOKENS = 5_120;

/** A window that a header asks for; the price list has the one without. */
const LONG_WINDOW = /context-1m/;
const LONG_WINDOW_TOKENS = 1_000_000;

/** What a walk over the messages finds besides text. */
interface Found {
  tokens: number;
  /** Characters of data that are no text: they are billed by the blocks' own rules. */
  dataCharacters: number;
  unbounded: string | null;
  media: boolean;
  cacheWrites: CacheWrites;
}

/** Bounds the input by its bytes, as no tokenizer makes more tokens than bytes. */
export function boundConverseInput(body: JsonObject, shape: CallShape, text: string): InputBound {
  const found = walk(body, shape.model);
  const bytes = Buffer.byteLength(text) - found.dataCharacters + found.tokens;
  const long = found.unbounded !== null && asksLongWindow(body);
  return {
    tokens: long ? Math.max(bytes, LONG_WINDOW_TOKENS) : bytes,
    audioTokens: 0,
    unbounded: found.unbounded,
  };
}

/** True when the request asks for a window that is longer than the model's own. */
export function asksLongWindow(body: JsonObject): boolean {
  const fields = body.additionalModelRequestFields;
  return isObject(fields) && LONG_WINDOW.test(JSON.stringify(fields.anthropic_beta ?? ''));
}

/** True when the input holds anything but text. */
export function holdsMedia(body: JsonObject): boolean {
  return walk(body, '').media;
}

/** How long the longest of the request's cache points keeps what is before it. */
export function cacheWritesOf(body: JsonObject): CacheWrites {
  const fields = body.additionalModelRequestFields;
  if (isObject(fields) && JSON.stringify(fields).includes('cache_control')) return '1h';
  return walk(body, '').cacheWrites;
}

/** The tools of AWS that a request gives to the model, by name. */
export function systemToolsOf(body: JsonObject): readonly string[] {
  return toolsOf(body).flatMap(({ systemTool }) =>
    isObject(systemTool) ? [String(systemTool.name)] : [],
  );
}

function toolsOf(body: JsonObject): readonly JsonObject[] {
  return isObject(body.toolConfig) ? objects(body.toolConfig.tools) : [];
}

function walk(body: JsonObject, model: string): Found {
  const tools = toolsOf(body);
  const found: Found = {
    tokens: TOKENS_PER_REQUEST + (tools.length > 0 ? TOKENS_FOR_TOOLS : 0),
    dataCharacters: 0,
    unbounded: null,
    media: false,
    cacheWrites: 'none',
  };
  for (const block of [...tools, ...objects(body.system)]) readBlock(block, found, model);
  for (const message of objects(body.messages)) {
    for (const block of objects(message.content)) readBlock(block, found, model);
  }
  if (body.promptVariables !== undefined) found.unbounded ??= 'a stored prompt';
  return found;
}

function readBlock(block: JsonObject, found: Found, model: string): void {
  const { cachePoint, toolResult, systemTool, image, guardContent } = block;
  if (isObject(cachePoint)) {
    if (cachePoint.ttl === '1h') found.cacheWrites = '1h';
    else if (found.cacheWrites === 'none') found.cacheWrites = '5m';
  }
  if (isObject(toolResult)) {
    for (const inner of objects(toolResult.content)) readBlock(inner, found, model);
  }
  if (isObject(systemTool)) found.unbounded ??= `the findings of \`${String(systemTool.name)}\``;
  if (isObject(image)) readImage(image, found, model);
  if (isObject(guardContent) && isObject(guardContent.image)) {
    readImage(guardContent.image, found, model);
  }
  for (const kind of ['document', 'video', 'audio'] as const) {
    const media = block[kind];
    if (isObject(media)) readMedia(kind, media, found);
  }
}

function readImage(image: JsonObject, found: Found, model: string): void {
  found.media = true;
  if (/claude/.test(model)) {
    found.tokens += CLAUDE_IMAGE_TOKENS;
    found.dataCharacters += bytesOf(image.source)?.length ?? 0;
  } else {
    found.unbounded ??= 'an image';
  }
}

/** Formats of documents that are text as they are. */
const PLAIN: ReadonlySet<unknown> = new Set(['txt', 'md']);

function readMedia(kind: string, media: JsonObject, found: Found): void {
  found.media = true;
  const { source, format } = media;
  const written = isObject(source) && (source.text !== undefined || source.content !== undefined);
  // Text is bounded by the bytes of the body, in base64 as well.
  const plain = written || (PLAIN.has(format) && bytesOf(source) !== null);
  if (kind === 'document' && plain) return;
  found.unbounded ??= `a ${kind}`;
}

/** The data of a source, in base64; null when it lies elsewhere. */
function bytesOf(source: unknown): string | null {
  return isObject(source) && typeof source.bytes === 'string' ? source.bytes : null;
}

function objects(list: unknown): readonly JsonObject[] {
  return Array.isArray(list) ? (list as readonly unknown[]).filter(isObject) : [];
}
