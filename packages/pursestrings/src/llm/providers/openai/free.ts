import { hostOf } from '../hosts.ts';
import type { Route } from '../provider.ts';

/** Routes that take a POST and cost nothing: uploads, and changing what is stored. */
const FREE_POSTS =
  /\/(?:files|uploads(?:\/[^/]+\/\w+)?|chat\/completions\/[^/]+|responses\/(?:[^/]+\/cancel|input_tokens))\/?$/;

/**
 * What OpenAI gives away and others sell by the same name: to moderate, and to store the items of a
 * conversation. Mistral bills moderations by the token, and starts a conversation by running a
 * model: https://platform.openai.com/docs/guides/moderation, https://mistral.ai/pricing and
 * https://docs.mistral.ai/agents/agents, 2026-11-22.
 */
const FREE_AT_OPENAI = /\/(?:moderations|conversations(?:\/[^/]+(?:\/items)?)?)\/?$/;
const OPENAI_HOSTS: ReadonlySet<string> = new Set(['openai', 'azure']);

/**
 * Routes of the hosts that speak OpenAI's formats which cost nothing; what the formats themselves
 * know is asked before.
 */
export function freeRoute(method: string, url: URL): Route | null {
  const host = hostOf(url);
  if (host === null) return null;
  if (host.free === true || method !== 'POST' || FREE_POSTS.test(url.pathname)) return 'free';
  return OPENAI_HOSTS.has(host.name) && FREE_AT_OPENAI.test(url.pathname) ? 'free' : null;
}
