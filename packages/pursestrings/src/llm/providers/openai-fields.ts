import type { JsonObject } from './provider.ts';

/**
 * The model of a request, or null. Azure names the deployment in the path, and looks at no other
 * name: `/openai/deployments/{name}/embeddings`.
 * https://learn.microsoft.com/azure/ai-foundry/openai/reference
 */
export function modelOf(body: JsonObject, url: URL | null): string | null {
  const deployment = /\/deployments\/([^/]+)\//.exec(url?.pathname ?? '')?.[1];
  if (deployment !== undefined) return decodeURIComponent(deployment);
  return typeof body.model === 'string' ? body.model : null;
}

/** A whole number from 1, also where a form writes it as text; or null. */
export function wholeNumber(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number > 0 ? number : null;
}

/** Strings in a string or a list; anything else in a list counts as nothing here. */
export function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) return [];
  return (value as readonly unknown[]).filter((each) => typeof each === 'string');
}
