import type { Pieces } from '../usage.ts';

/** A company's servers, and how they depart from the wire formats they speak. */
export interface Host {
  /** As the charge's `provider` label says it when the price list does not know the host. */
  readonly name: string;
  readonly owns: RegExp;
  /** Nothing here costs money. */
  readonly free?: true;
  /** Models by these names cost nothing here. */
  readonly freeModels?: RegExp;
  /** The most tokens that any model here reads and writes together. */
  readonly contextWindow?: number;
  /** The name that a chat completion's output cap goes by here. Default: `max_completion_tokens`. */
  readonly capName?: 'max_tokens';
  /** Streams end with their usage unasked, and the asking is not understood, or does nothing. */
  readonly usageUnasked?: true;
  /** What every call is billed by the piece. */
  readonly pieces?: Pieces;
}

/**
 * The hosts that are known, each by the host name and port of its URLs. On them a spending route
 * that nothing recognises is refused. What is known of them was read on 2026-11-22:
 *
 * - Mistral answers 422 to a field it does not know, such as `max_completion_tokens`:
 *   https://github.com/editor-code-assistant/eca/issues/231
 * - DeepSeek has dearer hours, and its thinking counts against the cap:
 *   https://api-docs.deepseek.com/quick_start/pricing,
 *   https://github.com/BerriAI/litellm-docs/pull/559
 * - xAI counts reasoning beside the completion; the cap bounded both together where both were seen:
 *   https://github.com/UKGovernmentBEIS/inspect_ai/issues/5528,
 *   https://github.com/evalstate/fast-agent/pull/276
 * - Together tells the usage with the end of a stream: https://github.com/mlflow/mlflow/pull/11557
 * - OpenRouter always tells the usage: https://openrouter.ai/docs/use-cases/usage-accounting
 * - Perplexity bills each request besides its tokens, as the price list has it. Its chat completions
 *   are said to have ended: https://docs.stigg.io/documentation/ai-agents/providers/perplexity
 * - Ollama runs on the caller's machine; the longest window it opens by itself is 256k:
 *   https://docs.ollama.com/context-length
 */
export const HOSTS: readonly Host[] = [
  { name: 'openai', owns: /^(?:[a-z]{2,3}\.)?api\.openai\.com$/ },
  { name: 'anthropic', owns: /^api\.anthropic\.com$/ },
  { name: 'google', owns: /^(?:generativelanguage|(?:[a-z0-9-]+-)?aiplatform)\.googleapis\.com$/ },
  {
    name: 'aws',
    owns: /^bedrock(?:-agent)?-runtime(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/,
  },
  {
    name: 'azure',
    owns: /(?:^|\.)(?:openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)$/,
  },
  { name: 'mistral', owns: /^api\.mistral\.ai$/, capName: 'max_tokens', usageUnasked: true },
  { name: 'deepseek', owns: /^api\.deepseek\.com$/, capName: 'max_tokens' },
  { name: 'x-ai', owns: /^(?:[a-z0-9-]+\.)?api\.x\.ai$/ },
  { name: 'groq', owns: /^api\.groq\.com$/ },
  { name: 'together', owns: /^api\.together\.(?:xyz|ai)$/, capName: 'max_tokens' },
  {
    name: 'openrouter',
    owns: /^(?:api\.|www\.)?openrouter\.ai$/,
    capName: 'max_tokens',
    usageUnasked: true,
    freeModels: /:free$/,
  },
  {
    name: 'perplexity',
    owns: /^api\.perplexity\.ai$/,
    capName: 'max_tokens',
    usageUnasked: true,
    pieces: { requests: 1 },
  },
  {
    name: 'ollama',
    owns: /:11434$/,
    capName: 'max_tokens',
    free: true,
    contextWindow: 262_144,
  },
];

/** Finds whose server a URL is of, or null. */
export function hostOf(url: URL | null): Host | null {
  if (url === null) return null;
  // A name that ends in a dot is the same name: https://www.rfc-editor.org/rfc/rfc1034#section-3.1
  const host = url.host.replace(/\.(?=$|:)/, '');
  return HOSTS.find(({ owns }) => owns.test(host)) ?? null;
}
