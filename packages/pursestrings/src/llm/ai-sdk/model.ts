/** A model of the AI SDK, in the terms of the price list. */
export interface NamedModel {
  /** Whose server answers: as `hostOf` or the AI SDK names it. */
  readonly host: string;
  /** An address of that server, by which prices are found; null when it is not known. */
  readonly url: string | null;
  readonly model: string;
}

/**
 * The AI SDK's names of providers, of which what follows a dot is the kind of API, and where their
 * servers are. https://ai-sdk.dev/providers/ai-sdk-providers
 */
const SERVERS: readonly (readonly [provider: RegExp, host: string, url: string])[] = [
  [/^openai(?:\.|$)/, 'openai', 'https://api.openai.com/v1'],
  [/^azure/, 'azure', 'https://resource.openai.azure.com'],
  [/^(?:google[.-]?)?vertex(?:\.|$)/i, 'google', 'https://aiplatform.googleapis.com'],
  [/^google(?:\.|$)/, 'google', 'https://generativelanguage.googleapis.com'],
  [/^anthropic(?:\.|$)/, 'anthropic', 'https://api.anthropic.com'],
  [/^(?:amazon-)?bedrock(?:\.|$)/, 'aws', 'https://bedrock-runtime.us-east-1.amazonaws.com'],
  [/^mistral(?:\.|$)/, 'mistral', 'https://api.mistral.ai/v1'],
  [/^deepseek(?:\.|$)/, 'deepseek', 'https://api.deepseek.com'],
  [/^xai(?:\.|$)/, 'x-ai', 'https://api.x.ai/v1'],
  [/^groq(?:\.|$)/, 'groq', 'https://api.groq.com/openai/v1'],
  [/^together(?:ai)?(?:\.|$)/, 'together', 'https://api.together.xyz/v1'],
  [/^openrouter(?:\.|$)/, 'openrouter', 'https://openrouter.ai/api/v1'],
  [/^ollama(?:\.|$)/, 'ollama', 'http://localhost:11434'],
  [/^cohere(?:\.|$)/, 'cohere', 'https://api.cohere.com'],
  [/^fireworks(?:\.|$)/, 'fireworks', 'https://api.fireworks.ai/inference/v1'],
  [/^perplexity(?:\.|$)/, 'perplexity', 'https://api.perplexity.ai'],
  [/^cerebras(?:\.|$)/, 'cerebras', 'https://api.cerebras.ai/v1'],
];

/**
 * Names a model of the AI SDK. The AI Gateway's ids say the provider first, `openai/gpt-4o`, and
 * have that provider's price; what the gateway says a call cost comes before it.
 * https://ai-sdk.dev/providers/ai-sdk-providers/ai-gateway
 */
export function namedModel(provider: string, modelId: string): NamedModel {
  const slash = modelId.indexOf('/');
  if (provider === 'gateway' && slash > 0) {
    const through = namedModel(modelId.slice(0, slash), modelId.slice(slash + 1));
    return through.url === null ? { host: provider, url: null, model: modelId } : through;
  }
  const known = SERVERS.find(([name]) => name.test(provider));
  if (known !== undefined) return { host: known[1], url: known[2], model: modelId };
  return { host: provider.split('.', 1)[0] ?? provider, url: null, model: modelId };
}
