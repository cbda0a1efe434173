import type { Pieces } from '../../usage.ts';
import { hostOf } from '../hosts.ts';
import { ALWAYS_SEARCHES, previewSearchPiece } from './fields.ts';
import { isObject } from '../provider.ts';
import type { JsonObject } from '../provider.ts';

/**
 * How often a tool that the host runs is taken to be called where nothing says how often it was:
 * hosts document no bound.
 */
const CALLS_OF_A_TOOL = 10;

/** Tools that the caller runs, or that cost no more than their tokens. */
const RUN_BY_CALLER: ReadonlySet<unknown> = new Set(['function', 'custom', undefined]);

/** OpenRouter's plugins that cost no more than their tokens. */
const FREE_PLUGINS: ReadonlySet<unknown> = new Set(['response-healing', 'context-compression']);

/**
 * What a chat completion may be billed by the piece, besides its tokens. Where no price of such a
 * piece is known the call is refused by its name.
 */
export function piecesOf(body: JsonObject, model: string, url: URL | null): Pieces {
  const always = hostOf(url)?.pieces;
  const pieces: Record<string, number> = { ...always };
  // Where every request has its price, that is the price of its search.
  if (always?.requests === undefined && searchesWeb(body, model)) {
    pieces[previewSearchPiece(model)] = 1;
  }
  for (const tool of listOf(body.tools)) {
    if (!isObject(tool) || RUN_BY_CALLER.has(tool.type)) continue;
    // Such as Groq's `browser_search`: https://console.groq.com/docs/browser-search
    pieces[String(tool.type)] = CALLS_OF_A_TOOL;
  }
  for (const plugin of listOf(body.plugins)) {
    if (!isObject(plugin) || plugin.id === 'web' || FREE_PLUGINS.has(plugin.id)) continue;
    pieces[String(plugin.id)] = 1;
  }
  return pieces;
}

/** True when the call searches the web: because it asks to, or because its model always does. */
function searchesWeb(body: JsonObject, model: string): boolean {
  const { web_search_options: options, search_parameters: live } = body;
  if (options !== undefined && options !== null) return true;
  // https://openrouter.ai/docs/features/web-search
  if (ALWAYS_SEARCHES.test(model)) return true;
  if (listOf(body.plugins).some((plugin) => isObject(plugin) && plugin.id === 'web')) return true;
  // https://docs.x.ai/docs/guides/live-search
  return isObject(live) && live.mode !== 'off';
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}
