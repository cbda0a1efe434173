import { rememberedItem } from './memory.ts';
import { imageTokens } from '../providers/openai/chat-input.ts';
import { isObject } from '../providers/provider.ts';
import type { InputBound, JsonObject } from '../providers/provider.ts';
import { countTokens, hasTokenizer } from '../tokenizer.ts';

/** Tokens around a message, and around a part of one, whoever the provider is. */
const TOKENS_PER_MESSAGE = 8;
const TOKENS_PER_PART = 16;
const TOKENS_PER_REQUEST = 32;
const TOKENS_PER_TOOL = 32;

/**
 * What a provider writes itself where there are tools: Anthropic's prompt for them is 264 to 804
 * tokens, as `providers/anthropic-input.ts` says with its source.
 */
const TOKENS_OF_TOOL_USE = 1_024;

/** The description of a provider's own tool: Anthropic's longest is 6,600 tokens. Same source. */
const TOKENS_OF_OWN_TOOL = 8_192;

/** A schema that a provider knows no field for is written into the prompt with some sentences. */
const TOKENS_OF_SCHEMA = 512;

/** The most one image can cost at Anthropic, 4,784 tokens, and what bills show above. Same source. */
const CLAUDE_IMAGE_TOKENS = 5_120;

/**
 * Audio at 8 kbit/s, the lowest rate of any format accepted, is 1,000 bytes a second; Gemini makes
 * 32 tokens of one, OpenAI 10. Half as many bytes are assumed.
 * https://ai.google.dev/gemini-api/docs/audio
 */
const BYTES_PER_AUDIO_TOKEN = 15;

/** What is in the prompt of a call by the AI SDK, and costs input tokens. */
export interface PromptContents {
  readonly texts: readonly string[];
  /** Everything but the texts: frames, images, audio. */
  readonly tokens: number;
  readonly audioTokens: number;
  readonly media: boolean;
  readonly unbounded: string | null;
}

interface Found {
  readonly model: string;
  readonly texts: string[];
  /** Items given by their ids, each once. */
  readonly items: Set<string>;
  tokens: number;
  audioTokens: number;
  media: boolean;
  unbounded: string | null;
}

/** Reads the prompt, tools and schema of a call: `LanguageModelV4CallOptions`, or V3, or V2. */
export function promptContents(params: JsonObject, model: string): PromptContents {
  const found: Found = {
    model,
    texts: [],
    items: new Set(),
    tokens: TOKENS_PER_REQUEST,
    audioTokens: 0,
    media: false,
    unbounded: null,
  };
  for (const message of listOf(params.prompt)) {
    found.tokens += TOKENS_PER_MESSAGE;
    if (isObject(message)) readMessage(message, found);
  }
  const tools = listOf(params.tools);
  if (tools.length > 0 && !hasTokenizer(model)) found.tokens += TOKENS_OF_TOOL_USE;
  for (const tool of tools) {
    found.tokens += isOwnTool(tool) ? TOKENS_OF_OWN_TOOL : TOKENS_PER_TOOL;
    found.texts.push(written(tool));
  }
  if (isObject(params.responseFormat) && params.responseFormat.type === 'json') {
    found.tokens += TOKENS_OF_SCHEMA;
    found.texts.push(written(params.responseFormat));
  }
  // Instructions and the like may stand there.
  if (params.providerOptions !== undefined) found.texts.push(written(params.providerOptions));
  return found;
}

/** A bound by bytes: no byte-level encoding makes more tokens than bytes. */
export function boundPrompt(contents: PromptContents): InputBound {
  const bytes = contents.texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return inputOf(contents, bytes);
}

/** A count with the model's own encoding; null when that is not public. */
export async function countPrompt(
  contents: PromptContents,
  model: string,
): Promise<InputBound | null> {
  if (!hasTokenizer(model)) return null;
  const tokens = await countTokens(model, contents.texts);
  return tokens === null ? null : inputOf(contents, tokens);
}

function inputOf(contents: PromptContents, textTokens: number): InputBound {
  const { tokens, audioTokens, unbounded } = contents;
  return { tokens: textTokens + tokens + audioTokens, audioTokens, unbounded };
}

/** True for a tool of the provider, which it describes to the model itself. */
export function isOwnTool(tool: unknown): tool is JsonObject {
  return isObject(tool) && (tool.type === 'provider' || tool.type === 'provider-defined');
}

function readMessage(message: JsonObject, found: Found): void {
  if (typeof message.content === 'string') found.texts.push(message.content);
  for (const part of listOf(message.content)) readPart(part, found);
  if (message.providerOptions !== undefined) found.texts.push(written(message.providerOptions));
}

function readPart(part: unknown, found: Found): void {
  found.tokens += TOKENS_PER_PART;
  if (!isObject(part)) {
    found.texts.push(written(part));
  } else if (isFile(part)) {
    readFile(part, found);
  } else if (isObject(part.output) && part.output.type === 'content') {
    const { output, ...rest } = part;
    found.texts.push(written(rest));
    for (const inner of listOf(output.value)) readPart(inner, found);
  } else {
    found.texts.push(written(part));
    if (part.type === 'reasoning') readReasoning(part, found);
  }
}

/**
 * The provider may keep what it thought, and be given the id: the text here is a summary then. With
 * its thoughts encrypted it is given all of them.
 * https://ai-sdk.dev/providers/ai-sdk-providers/openai#reasoning-output
 */
function readReasoning(part: JsonObject, found: Found): void {
  const id = itemIdOf(part.providerOptions);
  if (id === null || found.items.has(id)) return;
  found.items.add(id);
  const tokens = rememberedItem(id);
  if (tokens === null) found.unbounded ??= 'reasoning that the provider keeps, given by its id';
  else found.tokens += tokens;
}

/** The id under which a provider keeps a part of an answer; null when it is sent in full. */
export function itemIdOf(providerValues: unknown): string | null {
  if (!isObject(providerValues)) return null;
  for (const values of Object.values(providerValues)) {
    if (!isObject(values) || typeof values.itemId !== 'string') continue;
    return typeof values.reasoningEncryptedContent === 'string' ? null : values.itemId;
  }
  return null;
}

/** Parts that are files, in a message or in what a tool answers, of all versions. */
const FILE_TYPES = /^(?:file|media|image|reasoning-file)(?:-|$)/;

function isFile({ type }: JsonObject): boolean {
  return typeof type === 'string' && FILE_TYPES.test(type);
}

function readFile(part: JsonObject, found: Found): void {
  // The data of a file is no text: it is billed by rules of its own.
  const { data, ...rest } = part;
  found.texts.push(written(rest));
  const said = typeof part.mediaType === 'string' ? part.mediaType.toLowerCase() : '';
  const kind = said === '' && String(part.type).startsWith('image') ? 'image' : said;
  const bytes = bytesOf(data);
  if (kind.startsWith('image')) {
    found.media = true;
    found.tokens += /claude/.test(found.model)
      ? CLAUDE_IMAGE_TOKENS
      : imageTokens(found.model, null);
  } else if (kind.startsWith('audio') && bytes !== null) {
    found.audioTokens += Math.ceil(bytes / BYTES_PER_AUDIO_TOKEN) + 1;
  } else if (bytes !== null && (kind.startsWith('text') || isText(data))) {
    found.tokens += bytes;
  } else {
    found.media ||= kind.startsWith('video');
    found.unbounded ??= `a file of type ${JSON.stringify(said)}`;
  }
}

function isText(data: unknown): boolean {
  return isObject(data) && data.type === 'text';
}

/** How long a file's data is; null when the request does not hold it. */
function bytesOf(data: unknown): number | null {
  if (typeof data === 'string') return /^https?:/.test(data) ? null : Buffer.byteLength(data);
  if (data instanceof Uint8Array || data instanceof ArrayBuffer) return data.byteLength;
  if (!isObject(data)) return null;
  if (data.type === 'data') return bytesOf(data.data);
  return data.type === 'text' && typeof data.text === 'string'
    ? Buffer.byteLength(data.text)
    : null;
}

function written(value: unknown): string {
  if (typeof value === 'string') return value;
  const text: string | undefined = JSON.stringify(value);
  return text ?? '';
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}
