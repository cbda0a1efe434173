import { hostOf } from './hosts.ts';
import type { Route } from './provider.ts';

/**
 * Routes of OpenAI's API that take a POST and cost nothing: moderations, uploads, and changing what
 * is stored.
 */
const FREE_POSTS =
  /\/(?:moderations|files|uploads(?:\/[^/]+\/\w+)?|chat\/completions\/[^/]+|responses\/(?:[^/]+\/cancel|input_tokens))\/?$/;

/**
 * Routes of the hosts that speak OpenAI's formats which cost nothing; what the formats themselves
 * know is asked before. https://platform.openai.com/docs/guides/moderation
 */
export function freeRoute(method: string, url: URL): Route | null {
  const host = hostOf(url);
  if (host === null) return null;
  return host.free === true || method !== 'POST' || FREE_POSTS.test(url.pathname) ? 'free' : null;
}
