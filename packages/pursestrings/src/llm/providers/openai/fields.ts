import type { JsonObject } from '../provider.ts';
import { decoded } from '../read-json.ts';

/**
 * The model of a request, or null. Azure names the deployment in the path, and looks at no other
 * name: `/openai/deployments/{name}/embeddings`.
 * https://learn.microsoft.com/azure/ai-foundry/openai/reference
 */
export function modelOf(body: JsonObject, url: URL | null): string | null {
  const deployment = /\/deployments\/([^/]+)\//.exec(url?.pathname ?? '')?.[1];
  if (deployment !== undefined) return decoded(deployment);
  return typeof body.model === 'string' ? body.model : null;
}

/** Strings in a string or a list; anything else in a list counts as nothing here. */
export function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) return [];
  return (value as readonly unknown[]).filter((each) => typeof each === 'string');
}

/**
 * What a search by OpenAI's older tool is billed as: GPT-4 and its kin pay more for it, and nothing
 * for what it finds; reasoning models pay as for the newer tool.
 * https://developers.openai.com/api/docs/pricing#built-in-tools
 */
export function previewSearchPiece(model: string): string {
  return /^(?:ft:)?(?:gpt-4|chatgpt-4o)/.test(model) ? 'web_search_previews' : 'web_searches';
}

/** Chat models that search the web at every call, and names that make OpenRouter do so. */
export const ALWAYS_SEARCHES: RegExp = /-search-(?:preview|api)|:online$/;
