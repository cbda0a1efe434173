import { countTokens, hasTokenizer } from '../../tokenizer.ts';
import { dataUrlCharacters, inputImageTokens } from './image-input.ts';
import { rememberedItem, rememberedTokens } from './responses-memory.ts';
import { feedingTools } from './responses-tools.ts';
import { isObject } from '../provider.ts';
import type { CallShape, InputBound, JsonObject } from '../provider.ts';

/** As for chat completions: OpenAI adds 3 tokens a message, 1 a name and 3 for the reply. */
const TOKENS_PER_ITEM = 16;
const TOKENS_PER_REQUEST = 32;
const TOKENS_PER_PART = 16;

/** The notation that tools are rewritten into is undocumented; so are the words on hosted ones. */
const TOKENS_PER_TOOL = 32;
const TOKENS_PER_HOSTED_TOOL = 2_048;

/** Ten tokens a second; half of the lowest bit rate accepted, 8 kbit/s, is assumed. */
const BYTES_PER_AUDIO_TOKEN = 50;

/** Items that hold nothing but text: what they cost is what is written in them. */
const TEXT_ITEMS: ReadonlySet<unknown> = new Set([
  'message',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
  'reasoning',
  'computer_call',
  'computer_call_output',
  'local_shell_call',
  'local_shell_call_output',
  'shell_call_output',
  'apply_patch_call',
  'apply_patch_call_output',
  'mcp_list_tools',
  'mcp_approval_request',
  'mcp_approval_response',
  'mcp_call',
  'additional_tools',
  'configuration_update',
]);

/** Parts that hold text under their own name or under `text`. */
const TEXT_PARTS: ReadonlySet<unknown> = new Set([
  'input_text',
  'output_text',
  'text',
  'summary_text',
  'reasoning_text',
  'refusal',
]);

/** What a walk over the request finds besides text. */
interface Found {
  readonly texts: string[];
  readonly model: string;
  tokens: number;
  audioTokens: number;
  /** Characters of data that are no text: they are billed by the parts' own rules. */
  dataCharacters: number;
  unbounded: string | null;
}

/**
 * Bounds the input of a response by its bytes: no byte-level encoding makes more tokens than bytes,
 * and JSON never makes text shorter. An earlier conversation is added as long as it is known.
 */
export function boundResponsesInput(body: JsonObject, shape: CallShape, text: string): InputBound {
  const found = walk(body, shape.model);
  return {
    tokens: Buffer.byteLength(text) - found.dataCharacters + found.tokens + found.audioTokens,
    audioTokens: found.audioTokens,
    unbounded: found.unbounded,
  };
}

/** Counts the input of a response with the model's own encoding; null when that is not public. */
export async function countResponsesInput(
  body: JsonObject,
  { model }: CallShape,
): Promise<InputBound | null> {
  if (!hasTokenizer(model)) return null;
  const found = walk(body, model);
  if (found.unbounded !== null) return null;
  for (const part of [body.tools, body.text, body.tool_choice]) {
    if (typeof part === 'object' && part !== null) found.texts.push(JSON.stringify(part));
  }
  const counted = await countTokens(model, found.texts);
  if (counted === null) return null;
  return {
    tokens: counted + found.tokens + found.audioTokens,
    audioTokens: found.audioTokens,
    unbounded: null,
  };
}

function walk(body: JsonObject, model: string): Found {
  const found: Found = {
    texts: [],
    model,
    tokens: TOKENS_PER_REQUEST,
    audioTokens: 0,
    dataCharacters: 0,
    unbounded: elsewhere(body),
  };
  if (Array.isArray(body.tools)) {
    for (const tool of body.tools as readonly unknown[]) {
      const own = isObject(tool) && (tool.type === 'function' || tool.type === 'custom');
      found.tokens += own ? TOKENS_PER_TOOL : TOKENS_PER_HOSTED_TOOL;
    }
  }
  if (body.text !== undefined) found.tokens += TOKENS_PER_TOOL;
  const previous = body.previous_response_id;
  if (typeof previous === 'string') {
    const tokens = rememberedTokens(previous, model);
    if (tokens === null) found.unbounded ??= 'an earlier conversation';
    else found.tokens += tokens;
  }
  for (const items of [body.instructions, body.input]) readItems(items, found);
  return found;
}

/** Names input that is kept at OpenAI, or comes to be while the response is made; or null. */
function elsewhere(body: JsonObject): string | null {
  const given = (value: unknown): boolean => value !== undefined && value !== null;
  if (given(body.prompt)) return 'a stored prompt';
  if (given(body.conversation)) return 'a stored conversation';
  if (given(body.context_management)) return 'a context that is compacted on the way';
  return feedingTools(body.tools);
}

function readItems(items: unknown, found: Found): void {
  if (typeof items === 'string') {
    found.tokens += TOKENS_PER_ITEM;
    found.texts.push(items);
  } else if (Array.isArray(items)) {
    for (const item of items as readonly unknown[]) {
      found.tokens += TOKENS_PER_ITEM;
      if (isObject(item)) readItem(item, found);
      else found.unbounded ??= 'an item that is no object';
    }
  }
}

function readItem(item: JsonObject, found: Found): void {
  const type = item.type ?? (item.role === undefined ? 'item_reference' : 'message');
  if (type === 'image_generation_call') {
    // What a tool has drawn is looked at again; without its data it lies at OpenAI.
    readImage(item, found);
    if (typeof item.result === 'string') found.dataCharacters += item.result.length;
    return;
  }
  if (type === 'item_reference') {
    readReference(item.id, 'an item, given by its id', found);
    return;
  }
  if (!TEXT_ITEMS.has(type)) {
    found.unbounded ??= `an item of type ${JSON.stringify(type)}`;
    return;
  }
  if (type === 'reasoning' && typeof item.encrypted_content !== 'string') {
    // Named by its id only: what was thought lies at OpenAI, and is input again.
    readReference(item.id, 'earlier reasoning, given by its id', found);
  }
  for (const [name, value] of Object.entries(item)) readField(name, value, found);
}

/** An item that lies at OpenAI: it costs what it holds, as far as that is known here. */
function readReference(id: unknown, name: string, found: Found): void {
  const tokens = typeof id === 'string' ? rememberedItem(id, found.model) : null;
  if (tokens === null) found.unbounded ??= name;
  else found.tokens += tokens;
}

function readField(name: string, value: unknown, found: Found): void {
  if (name === 'encrypted_content' && typeof value === 'string') {
    // A cipher is no shorter than its text, and its letters are not what is counted.
    found.tokens += value.length;
    found.dataCharacters += value.length;
  } else if (typeof value === 'string') {
    if (name !== 'type' && name !== 'id' && name !== 'status') found.texts.push(value);
  } else if (name === 'content' || name === 'output' || name === 'summary') {
    const parts: unknown = isObject(value) ? [value] : value;
    if (Array.isArray(parts)) {
      for (const part of parts as readonly unknown[]) readPart(part, found);
    }
  } else if (typeof value === 'object' && value !== null) {
    found.texts.push(JSON.stringify(value));
    found.tokens += TOKENS_PER_PART * (Array.isArray(value) ? value.length : 1);
  }
}

function readPart(part: unknown, found: Found): void {
  found.tokens += TOKENS_PER_PART;
  if (!isObject(part)) {
    if (typeof part === 'string') found.texts.push(part);
    return;
  }
  const { type } = part;
  if (TEXT_PARTS.has(type)) {
    const text = part.text ?? part.refusal;
    if (typeof text === 'string') found.texts.push(text);
  } else if (type === 'input_image' || type === 'computer_screenshot') {
    readImage(part, found);
  } else if (type === 'input_audio' && isObject(part.input_audio)) {
    const { data } = part.input_audio;
    const characters = typeof data === 'string' ? data.length : 0;
    found.audioTokens += Math.ceil((characters * 3) / 4 / BYTES_PER_AUDIO_TOKEN) + 1;
    found.dataCharacters += characters;
  } else if (type === 'input_file') {
    // Of a PDF every page is read twice, as text and as an image, and pages are not counted here.
    found.unbounded ??= 'a file';
  } else if (type === 'stdout' || type === 'stderr' || isShellOutput(part)) {
    found.texts.push(JSON.stringify(part));
  } else {
    found.unbounded ??= `a content part of type ${JSON.stringify(type)}`;
  }
}

/** https://developers.openai.com/api/docs/guides/tools-shell */
function isShellOutput(part: JsonObject): boolean {
  return part.type === undefined && typeof part.stdout === 'string';
}

function readImage(image: JsonObject, found: Found): void {
  found.tokens += inputImageTokens(found.model, image.detail);
  found.dataCharacters += dataUrlCharacters(image);
}
