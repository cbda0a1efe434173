import { isObject } from '../provider.ts';
import type { CallShape, InputBound, JsonObject } from '../provider.ts';

/** What frames a request, its messages and their blocks; none of it is documented, all is small. */
const TOKENS_PER_REQUEST = 128;
const TOKENS_PER_MESSAGE = 16;
const TOKENS_PER_BLOCK = 16;

/**
 * Tools come with a prompt of their own: 264 to 804 tokens by the model.
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing, 2026-11-22
 */
const TOOL_PROMPT_TOKENS = 1_024;

/** What frames a tool that the caller defines, and an output schema. */
const TOKENS_PER_DEFINITION = 64;
const TOKENS_PER_SCHEMA = 512;

/**
 * Tools that Anthropic defines and the caller runs. Documented: 325 tokens for bash, 700 for the
 * text editor, 735 and a prompt of 499 for the computer, 4,500 and 6,600 for the toolsets.
 * https://platform.claude.com/docs/en/about-claude/pricing#specific-tool-pricing, 2026-11-22
 */
const CLIENT_TOOLS: readonly (readonly [type: RegExp, tokens: number])[] = [
  [/^bash_\d+$/, 512],
  [/^text_editor_\d+$/, 1_024],
  [/^memory_\d+$/, 2_048],
  [/^computer_\d+$/, 2_048],
  [/^computer_toolset_\d+$/, 6_144],
  [/^browser_toolset_\d+$/, 8_192],
];

/**
 * The most that one image costs: it is billed by patches of 28 pixels, and scaled down before to
 * 1,568 of them, or 4,784 from Claude 4.7 on; a little more is seen on bills.
 * https://platform.claude.com/docs/en/build-with-claude/vision, 2026-11-22
 */
const IMAGE_TOKENS = 5_120;
const OLD_IMAGE_TOKENS = 1_664;
const OLD_IMAGES: RegExp =
  /claude-(?:3|2|instant)|claude-(?:opus|sonnet|haiku)-4(?:$|[-.@](?:[0-6](?!\d)|20\d{6}))/;

/** What a walk over a request finds besides text. */
interface Found {
  tokens: number;
  /** Characters of data that are no text: they are billed by their blocks' own rules. */
  dataCharacters: number;
  unbounded: string | null;
}

/**
 * Bounds the input of a message by its bytes: no byte-level encoding makes more tokens than bytes,
 * and JSON never makes text shorter. Anthropic's encoding is not public, so nothing is counted.
 */
export function boundAnthropicInput(body: JsonObject, shape: CallShape, text: string): InputBound {
  const image = OLD_IMAGES.test(shape.model) ? OLD_IMAGE_TOKENS : IMAGE_TOKENS;
  const found: Found = {
    tokens: TOKENS_PER_REQUEST,
    dataCharacters: 0,
    unbounded: elsewhere(body),
  };
  readTools(listOf(body.tools), found);
  if (isObject(body.output_config) || isObject(body.output_format)) {
    found.tokens += TOKENS_PER_SCHEMA;
  }
  for (const block of listOf(body.system)) readBlock(block, found, image);
  for (const message of listOf(body.messages)) {
    found.tokens += TOKENS_PER_MESSAGE;
    if (!isObject(message)) continue;
    for (const block of listOf(message.content)) readBlock(block, found, image);
  }
  // A request that one model declines is read again by the next.
  const readings = 1 + shape.alternatives.length;
  return {
    tokens: (Buffer.byteLength(text) - found.dataCharacters + found.tokens) * readings,
    audioTokens: 0,
    unbounded: found.unbounded,
  };
}

/** Input that the request does not hold, or null. */
function elsewhere(body: JsonObject): string | null {
  if (listOf(body.mcp_servers).length > 0) return 'the tools of an MCP server';
  if (isObject(body.thread) && body.thread.type !== 'create') return 'an earlier conversation';
  if (isObject(body.container)) return 'a container with skills';
  if (compacts(body)) return 'a context that is made smaller on the way';
  return null;
}

/** True when the server may sum the conversation up on its way, which is a call of its own. */
export function compacts(body: JsonObject): boolean {
  const management = isObject(body.context_management) ? body.context_management : {};
  return listOf(management.edits).some(
    (edit) => isObject(edit) && typeof edit.type === 'string' && edit.type.startsWith('compact'),
  );
}

function readTools(tools: readonly unknown[], found: Found): void {
  if (tools.length > 0) found.tokens += TOOL_PROMPT_TOKENS;
  for (const tool of tools) {
    if (isServerTool(tool)) {
      found.unbounded ??= `the results of the tool ${JSON.stringify(tool.type)}`;
      continue;
    }
    const type = isObject(tool) && typeof tool.type === 'string' ? tool.type : '';
    const known = CLIENT_TOOLS.find(([pattern]) => pattern.test(type));
    found.tokens += known?.[1] ?? TOKENS_PER_DEFINITION;
  }
}

/** True for a tool that the server runs itself, and whose results become input. */
export function isServerTool(tool: unknown): tool is JsonObject & { readonly type: string } {
  return (
    isObject(tool) &&
    typeof tool.type === 'string' &&
    tool.type !== 'custom' &&
    !CLIENT_TOOLS.some(([pattern]) => pattern.test(tool.type as string))
  );
}

/** Blocks lie in messages and in one another. */
function readBlock(block: unknown, found: Found, imageTokens: number): void {
  if (!isObject(block)) return;
  found.tokens += TOKENS_PER_BLOCK;
  if (block.type === 'image') {
    found.tokens += imageTokens;
    if (isObject(block.source)) found.dataCharacters += lengthOf(block.source.data);
  } else if (block.type === 'container_upload') {
    found.unbounded ??= 'a file in a container';
  } else if (isObject(block.source)) {
    readSource(block.source, found, imageTokens);
  }
  for (const inner of listOf(block.content)) readBlock(inner, found, imageTokens);
}

/** The source of a document. Neither its bytes nor its address say how many pages it has. */
function readSource(source: JsonObject, found: Found, imageTokens: number): void {
  if (source.type === 'text') return;
  if (source.type === 'content') {
    for (const inner of listOf(source.content)) readBlock(inner, found, imageTokens);
    return;
  }
  if (source.type === 'base64') found.dataCharacters += lengthOf(source.data);
  found.unbounded ??= `a document given by its ${JSON.stringify(source.type)}`;
}

/** The members of a list, of an object alone, or of nothing. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : isObject(value) ? [value] : [];
}

/** Base64 is written one byte a character, so characters are bytes of the body. */
function lengthOf(data: unknown): number {
  return typeof data === 'string' ? data.length : 0;
}
