import { openaiChat } from './openai-chat.ts';
import type { Provider, Route } from './provider.ts';

/** Every wire format that is understood, asked in this order. */
export const PROVIDERS: readonly Provider[] = [openaiChat];

/** A route that some provider knows. */
export interface Recognised {
  readonly provider: Provider;
  readonly route: Route;
}

/** Finds who understands a request, or null. */
export function recognise(method: string, url: URL): Recognised | null {
  for (const provider of PROVIDERS) {
    const route = provider.recognise(method, url);
    if (route !== null) return { provider, route };
  }
  return null;
}

/** Paths under which model calls are sold, whoever the host is. */
const SPENDING_PATH: RegExp = new RegExp(
  `/(?:${[
    'completions?',
    'responses',
    'messages',
    'chat',
    'generate',
    'embeddings',
    'rerank',
    'batches',
    'images/\\w+',
    'audio/\\w+',
    'videos',
    'realtime/\\w+',
    'models/[^/]+:\\w+',
    'converse(?:-stream)?',
    'invoke(?:-with-response-stream)?',
  ].join('|')})/?$`,
  'i',
);

/**
 * Why a request that nobody recognised must not go out unmetered, or null when it may: a POST to a
 * provider's own host, or one that looks like a model call, by its path or by a `model` in its
 * JSON.
 */
export function suspicion(method: string, url: URL, body: unknown): string | null {
  if (method !== 'POST') return null;
  const owner = PROVIDERS.find((provider) => provider.ownsHost(url));
  if (owner !== undefined) return `${url.host} is a host of ${owner.name}`;
  if (SPENDING_PATH.test(url.pathname)) return 'its path is one of model calls';
  if (typeof body === 'string' && /"model"\s*:\s*"/.test(body.slice(0, 65_536))) {
    return 'its body names a model';
  }
  return null;
}
