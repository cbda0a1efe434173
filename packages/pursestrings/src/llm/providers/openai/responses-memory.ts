import { isObject } from '../provider.ts';
import type { JsonObject } from '../provider.ts';

/** So many responses, and so many items, are remembered; then the oldest is forgotten. */
const MAX_RESPONSES = 10_000;
const MAX_ITEMS = 50_000;

/** What a later response that builds on this one will read again. */
interface Remembered {
  readonly model: string;
  /** All tokens of the response: its input, and what it wrote. Null until it has ended. */
  readonly tokens: number | null;
}

/** What a later request reads again that gives an item by its id. */
interface RememberedItem {
  /** Who wrote it: another model may count in other tokens. */
  readonly model: string;
  /** The most tokens it holds in the model's own count; null when only its bytes are known. */
  readonly tokens: number | null;
  /** Its bytes, which bound its tokens in every count; null when it does not show all it holds. */
  readonly bytes: number | null;
}

/**
 * How long the conversations are that went through this process, by the id of their last response,
 * and how long their parts are, by their own ids. A request that names `previous_response_id`, or
 * refers to an item, is billed for all of it again, and says nothing of its length. This is the one
 * thing that providers keep between calls: it only ever makes an estimate closer, what is not known
 * here is held at the model's whole context window, and what is charged never comes from here.
 * https://developers.openai.com/api/docs/guides/conversation-state
 */
const conversations = new Map<string, Remembered>();
const items = new Map<string, RememberedItem>();

/** Remembers what a response has read and written, under the model's name in its request. */
export function rememberResponse(id: string, model: string, tokens: number | null): void {
  keep(conversations, id, { model, tokens }, MAX_RESPONSES);
}

/**
 * The most tokens of a conversation that ends in a response; null when that is not known, or when
 * another model wrote it, which may count in other tokens.
 */
export function rememberedTokens(id: string, model: string): number | null {
  const known = conversations.get(id);
  return known?.model === model ? known.tokens : null;
}

/** The name that a request gave the model of a response, or null when it is not known here. */
export function rememberedModel(id: string): string | null {
  return conversations.get(id)?.model ?? null;
}

/** Items that the model writes, and that are text to it: none is longer than all that it wrote. */
const WRITTEN: ReadonlySet<unknown> = new Set([
  'message',
  'reasoning',
  'function_call',
  'custom_tool_call',
  'computer_call',
  'local_shell_call',
  'apply_patch_call',
  'mcp_approval_request',
]);

/** Items that show all of what somebody else wrote. What a search has found, none shows. */
const SHOWN: ReadonlySet<unknown> = new Set(['mcp_call', 'mcp_list_tools']);

/**
 * Remembers how long the items of a response are at most. `outputTokens` is what it wrote in all;
 * null when that is not known.
 */
export function rememberItems(output: unknown, model: string, outputTokens: number | null): void {
  if (!Array.isArray(output)) return;
  for (const item of output as readonly unknown[]) {
    if (!isObject(item) || typeof item.id !== 'string') continue;
    const size = sizeOf(item, outputTokens);
    if (size === null) continue;
    // Some servers give the same id again: then the longest counts.
    const known = items.get(item.id);
    const bytes = most(known?.bytes, size.bytes);
    const same = known === undefined || known.model === model;
    keep(items, item.id, { model, bytes, tokens: same ? most(known?.tokens, size.tokens) : null });
  }
}

/** The most tokens of an item that a model is given by its id; null when that is not known. */
export function rememberedItem(id: string, model: string): number | null {
  const known = items.get(id);
  if (known === undefined) return null;
  const tokens = known.model === model ? known.tokens : null;
  return tokens === null || known.bytes === null
    ? (tokens ?? known.bytes)
    : Math.min(tokens, known.bytes);
}

function sizeOf(
  item: JsonObject,
  outputTokens: number | null,
): Pick<RememberedItem, 'tokens' | 'bytes'> | null {
  const { type } = item;
  if (!SHOWN.has(type) && !WRITTEN.has(type)) return null;
  if (type === 'message' && item.role !== 'assistant') return null;
  const bytes = Buffer.byteLength(JSON.stringify(item));
  if (SHOWN.has(type)) return { tokens: null, bytes };
  // Of what was thought, at most a summary is shown, or a cipher.
  const hidden = type === 'reasoning' && typeof item.encrypted_content !== 'string';
  return { tokens: outputTokens, bytes: hidden ? null : bytes };
}

/** The larger of two sizes; null where one of them is not known. */
function most(before: number | null | undefined, now: number | null): number | null {
  if (before === undefined) return now;
  return before === null || now === null ? null : Math.max(before, now);
}

function keep<T>(memory: Map<string, T>, id: string, value: T, most: number = MAX_ITEMS): void {
  memory.delete(id);
  memory.set(id, value);
  if (memory.size <= most) return;
  const [oldest] = memory.keys();
  if (oldest !== undefined) memory.delete(oldest);
}
