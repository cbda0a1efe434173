/** A company's servers, and how they depart from the wire formats they speak. */
export interface Host {
  /** As the charge's `provider` label says it when the price list does not know the host. */
  readonly name: string;
  readonly owns: RegExp;
  /** Nothing here costs money. */
  readonly free?: true;
  /** The name that a chat completion's output cap goes by here. Default: `max_completion_tokens`. */
  readonly capName?: 'max_tokens';
  /** Streams end with their usage unasked, and the asking is not understood. */
  readonly usageUnasked?: true;
  /** The cap bounds what is seen of an answer, not the reasoning before it. */
  readonly reasoningUncapped?: true;
}

/**
 * The hosts that are known, each by the host name and port of its URLs. On them a spending route
 * that nothing recognises is refused.
 */
export const HOSTS: readonly Host[] = [
  { name: 'openai', owns: /^(?:[a-z]{2,3}\.)?api\.openai\.com$/ },
  { name: 'anthropic', owns: /^api\.anthropic\.com$/ },
  { name: 'google', owns: /^(?:generativelanguage|(?:[a-z0-9-]+-)?aiplatform)\.googleapis\.com$/ },
  { name: 'aws', owns: /^bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/ },
  {
    name: 'azure',
    owns: /(?:^|\.)(?:openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)$/,
  },
  { name: 'mistral', owns: /^api\.mistral\.ai$/, capName: 'max_tokens', usageUnasked: true },
  { name: 'deepseek', owns: /^api\.deepseek\.com$/, capName: 'max_tokens' },
  { name: 'x-ai', owns: /^api\.x\.ai$/ },
  { name: 'groq', owns: /^api\.groq\.com$/ },
  { name: 'together', owns: /^api\.together\.(?:xyz|ai)$/, capName: 'max_tokens' },
  { name: 'openrouter', owns: /^(?:api\.)?openrouter\.ai$/, capName: 'max_tokens' },
  { name: 'ollama', owns: /:11434$/, capName: 'max_tokens', free: true },
];

/** Finds whose server a URL is of, or null. */
export function hostOf(url: URL | null): Host | null {
  if (url === null) return null;
  const { host } = url;
  return HOSTS.find(({ owns }) => owns.test(host)) ?? null;
}
