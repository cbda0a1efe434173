import type { Pieces } from '../../usage.ts';
import { previewSearchPiece } from './fields.ts';
import { isObject } from '../provider.ts';
import type { JsonObject } from '../provider.ts';

/**
 * How many calls of hosted tools are held for when the request names no `max_tool_calls`: OpenAI
 * documents no limit. Deep research models call hundreds of times. More are charged in full.
 * https://developers.openai.com/api/docs/guides/deep-research
 */
const TOOL_CALLS = 50;
const RESEARCH_TOOL_CALLS = 500;

/** The most calls of hosted tools that a response is held for. */
export function toolCallBound(
  model: string,
  said: number | null,
  outputCap: number | null,
): number {
  const assumed = /deep-research/.test(model) ? RESEARCH_TOOL_CALLS : TOOL_CALLS;
  // Each call is written by the model, in one token at the least.
  return Math.min(said ?? assumed, outputCap ?? assumed);
}

/** Tools that run elsewhere, or at the caller's; their calls cost nothing by themselves. */
const FREE_TOOLS: ReadonlySet<unknown> = new Set([
  'function',
  'custom',
  'namespace',
  'mcp',
  'computer',
  'computer_use',
  'computer_use_preview',
  'local_shell',
  'apply_patch',
  'tool_search',
  'programmatic_tool_calling',
]);

/** Tools whose results OpenAI puts into the model's input; nobody knows how long they are. */
const FEEDING_TOOL = /^(?:web_search|file_search|code_interpreter|shell|image_generation|mcp)/;

const MEMORY_LIMITS: readonly string[] = ['1g', '4g', '16g', '64g'];

/** Names the hosted tools whose results become input, or null. */
export function feedingTools(tools: unknown): string | null {
  for (const tool of listOf(tools)) {
    const { type } = tool;
    if (typeof type !== 'string' || isLocalShell(tool)) continue;
    if (FEEDING_TOOL.test(type) || !FREE_TOOLS.has(type)) return `the results of \`${type}\``;
  }
  return null;
}

/**
 * What hosted tools may be billed for, by the names of prices, at so many calls. A tool that is not
 * known gives its own name, which has no price until the user gives it one.
 * https://developers.openai.com/api/docs/pricing#built-in-tools
 */
export function toolPieces(tools: unknown, model: string, calls: number): Pieces {
  const pieces: Record<string, number> = {};
  for (const tool of listOf(tools)) {
    const { type } = tool;
    if (FREE_TOOLS.has(type) || isLocalShell(tool)) continue;
    const name = pieceOf(tool, model);
    pieces[name] = name.startsWith('container_sessions') ? 1 : calls;
  }
  return pieces;
}

function pieceOf(tool: JsonObject, model: string): string {
  const type = String(tool.type);
  if (type.startsWith('web_search_preview')) return previewSearchPiece(model);
  if (type.startsWith('web_search')) return 'web_searches';
  if (type === 'file_search') return 'file_searches';
  if (type === 'image_generation') return 'image_generations';
  if (type === 'code_interpreter') return containerPiece(tool.container, 'auto');
  if (type === 'shell') return containerPiece(tool.environment, 'container_auto');
  return type;
}

/**
 * A container that the request makes is sold by its memory. One that somebody made before is named
 * by its id, and its memory is not: only the user can say what it costs here.
 */
function containerPiece(container: unknown, made: string): string {
  if (!isObject(container) || container.type !== made) return 'container_sessions';
  const memory = MEMORY_LIMITS.find((limit) => limit === (container.memory_limit ?? '1g'));
  return memory === undefined ? 'container_sessions' : `container_sessions_${memory}`;
}

/** Shell commands that the caller runs. */
function isLocalShell({ type, environment }: JsonObject): boolean {
  return type === 'shell' && (!isObject(environment) || environment.type === 'local');
}

/**
 * What a response's items were billed for, of the pieces that its tools may be billed for: every
 * one of them is named, so that nothing is charged at its bound. Of a web search only searching
 * costs, not opening a page: https://developers.openai.com/api/docs/guides/tools-web-search
 */
export function usedPieces(output: unknown, bound: Pieces): Pieces {
  const items = listOf(output);
  const count = (type: string): number => items.filter((item) => item.type === type).length;
  const searches = items.filter(isSearch).length;
  const used: Record<string, number> = {};
  for (const [name, most] of Object.entries(bound)) {
    if (name === 'web_searches' || name === 'web_search_previews') used[name] = searches;
    else if (name === 'file_searches') used[name] = count('file_search_call');
    else if (name === 'image_generations') used[name] = count('image_generation_call');
    else if (name.startsWith('container_sessions')) used[name] = Math.max(1, containers(items));
    else used[name] = count(`${name}_call`) || most;
  }
  return used;
}

const READING_ACTIONS: ReadonlySet<unknown> = new Set(['open_page', 'find_in_page', 'find']);

/** True for a call of the web search that searched; one that does not say is taken for one. */
function isSearch({ type, action }: JsonObject): boolean {
  if (type !== 'web_search_call') return false;
  return !isObject(action) || !READING_ACTIONS.has(action.type);
}

/** How many containers ran; one may be made and billed without being called. */
function containers(items: readonly JsonObject[]): number {
  const ids = items.map(({ container_id: id, environment }) =>
    typeof id === 'string' ? id : isObject(environment) ? environment.container_id : undefined,
  );
  return new Set(ids.filter((id) => typeof id === 'string')).size;
}

function listOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? (value as readonly unknown[]).filter(isObject) : [];
}
