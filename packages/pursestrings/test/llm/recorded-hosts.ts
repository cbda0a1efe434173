/** One host as its documentation records it: what is asked, what it answers, what that costs. */
export interface RecordedHost {
  readonly name: string;
  readonly url: string;
  readonly model: string;
  /** Fields of the request besides model, messages and cap. */
  readonly request?: Readonly<Record<string, unknown>>;
  /** The usage of the answer, or of the chunk that tells it. */
  readonly usage: Readonly<Record<string, unknown>>;
  /** Fields of the answer besides. */
  readonly answer?: Readonly<Record<string, unknown>>;
  /** Where a stream tells the usage: in a chunk of its own, or with the end of the answer. */
  readonly told: 'extra' | 'finish' | 'x_groq';
  /** The stream has to be asked for it. */
  readonly asked: boolean;
  readonly capName: 'max_tokens' | 'max_completion_tokens';
  /** The bill in USD of 1e-12, from rates in the same for one token. */
  readonly picos: bigint;
  readonly provider: string;
}

/**
 * Prices are those of the bundled list, @pydantic/genai-prices 0.1.8, as it stood on 2026-11-22,
 * where no other source is named: the cases show what of an answer is billed, at rates that stand
 * here as literals. They do not show that the list is right.
 *
 * USD 1 for a million tokens is 1,000,000 of 1e-12 USD for one.
 */
const MILLIONTH = 1_000_000n;

export const RECORDED_HOSTS: readonly RecordedHost[] = [
  {
    // gpt-4o at USD 2.50, 1.25 cached and 10 for a million tokens.
    name: 'Azure, deployment in the path',
    url: 'https://acme.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21',
    model: 'not-looked-at',
    usage: {
      prompt_tokens: 1_200,
      completion_tokens: 80,
      total_tokens: 1_280,
      prompt_tokens_details: { cached_tokens: 1_024, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
    },
    told: 'extra',
    asked: true,
    capName: 'max_completion_tokens',
    picos: 176n * 2_500_000n + 1_024n * 1_250_000n + 80n * 10n * MILLIONTH,
    provider: 'azure',
  },
  {
    name: 'Azure, version 1',
    url: 'https://acme.openai.azure.com/openai/v1/chat/completions',
    model: 'gpt-4o',
    usage: { prompt_tokens: 900, completion_tokens: 50, total_tokens: 950 },
    told: 'extra',
    asked: true,
    capName: 'max_completion_tokens',
    picos: 900n * 2_500_000n + 50n * 10n * MILLIONTH,
    provider: 'azure',
  },
  {
    // mistral-large-2512 at USD 0.50, 0.05 cached and 1.50.
    name: 'Mistral',
    url: 'https://api.mistral.ai/v1/chat/completions',
    model: 'mistral-large-2512',
    usage: {
      prompt_tokens: 700,
      completion_tokens: 120,
      total_tokens: 820,
      num_cached_tokens: 512,
    },
    told: 'finish',
    asked: false,
    capName: 'max_tokens',
    picos: 188n * 500_000n + 512n * 50_000n + 120n * 1_500_000n,
    provider: 'mistral',
  },
  {
    // grok-4-0709 at USD 3, 0.75 cached and 15; the answer was recorded in
    // https://github.com/evalstate/fast-agent/pull/276, 2026-11-22.
    name: 'xAI, reasoning beside the completion',
    url: 'https://api.x.ai/v1/chat/completions',
    model: 'grok-4-0709',
    usage: {
      prompt_tokens: 4_643,
      completion_tokens: 1_187,
      total_tokens: 6_690,
      prompt_tokens_details: {
        text_tokens: 4_643,
        audio_tokens: 0,
        image_tokens: 0,
        cached_tokens: 6,
      },
      completion_tokens_details: {
        reasoning_tokens: 860,
        audio_tokens: 0,
        accepted_prediction_tokens: 0,
        rejected_prediction_tokens: 0,
      },
      num_sources_used: 0,
    },
    told: 'extra',
    asked: true,
    capName: 'max_completion_tokens',
    picos: 4_637n * 3n * MILLIONTH + 6n * 750_000n + (1_187n + 860n) * 15n * MILLIONTH,
    provider: 'x-ai',
  },
  {
    // A tick is 1e-10 USD, and this example stands in https://docs.x.ai/developers/cost-tracking,
    // 2026-11-22.
    name: 'xAI, telling the cost',
    url: 'https://api.x.ai/v1/chat/completions',
    model: 'grok-4-0709',
    usage: {
      prompt_tokens: 199,
      completion_tokens: 1,
      total_tokens: 1_025,
      completion_tokens_details: { reasoning_tokens: 825 },
      cost_in_usd_ticks: 37_756_000,
    },
    told: 'extra',
    asked: true,
    capName: 'max_completion_tokens',
    picos: 37_756_000n * 100n,
    provider: 'x-ai',
  },
  {
    // llama-3.3-70b-versatile at USD 0.59 and 0.79.
    name: 'Groq, JSON and asked',
    url: 'https://api.groq.com/openai/v1/chat/completions',
    model: 'llama-3.3-70b-versatile',
    usage: {
      queue_time: 0.265612444,
      prompt_tokens: 41,
      prompt_time: 0.012792436,
      completion_tokens: 27,
      completion_time: 0.055172062,
      total_tokens: 68,
      total_time: 0.067964498,
    },
    answer: { x_groq: { id: 'req_01' }, service_tier: 'on_demand' },
    told: 'extra',
    asked: true,
    capName: 'max_completion_tokens',
    picos: 41n * 590_000n + 27n * 790_000n,
    provider: 'groq',
  },
  {
    // openai/gpt-oss-120b at USD 0.15 and 0.60, which is Groq's own price by
    // https://github.com/braintrustdata/braintrust-proxy/issues/925, 2026-11-22; 0.075 cached.
    name: 'Groq, under its own name',
    url: 'https://api.groq.com/openai/v1/chat/completions',
    model: 'openai/gpt-oss-120b',
    usage: {
      queue_time: 0.061348671,
      prompt_tokens: 518,
      completion_tokens: 439,
      total_tokens: 957,
      prompt_tokens_details: { cached_tokens: 256 },
      completion_tokens_details: { reasoning_tokens: 200 },
    },
    told: 'x_groq',
    asked: true,
    capName: 'max_completion_tokens',
    picos: 262n * 150_000n + 256n * 75_000n + 439n * 600_000n,
    provider: 'groq',
  },
  {
    // USD 0.88 either way; where the usage stands: https://github.com/mlflow/mlflow/pull/11557.
    name: 'Together',
    url: 'https://api.together.xyz/v1/chat/completions',
    model: 'meta-llama/Llama-3.3-70B-Instruct-Turbo',
    usage: { prompt_tokens: 300, completion_tokens: 200, total_tokens: 500, cached_tokens: 0 },
    told: 'finish',
    asked: true,
    capName: 'max_tokens',
    picos: 500n * 880_000n,
    provider: 'together',
  },
  {
    // https://openrouter.ai/docs/use-cases/usage-accounting, 2026-11-22: the cost stands in the answer.
    name: 'OpenRouter',
    url: 'https://openrouter.ai/api/v1/chat/completions',
    model: 'openai/gpt-4o',
    request: { provider: { sort: 'price' } },
    usage: {
      prompt_tokens: 194,
      completion_tokens: 2,
      total_tokens: 196,
      // The noise of binary arithmetic: 0.00030000000000000003.
      cost: 0.0001 + 0.0002,
      is_byok: false,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      cost_details: {
        upstream_inference_cost: 0.0001 + 0.0002,
        upstream_inference_prompt_cost: 0.00028,
      },
      completion_tokens_details: { reasoning_tokens: 0 },
    },
    answer: { provider: 'Azure' },
    told: 'extra',
    asked: false,
    capName: 'max_tokens',
    picos: 300_000_000n,
    provider: 'openrouter',
  },
  {
    // https://github.com/tailcallhq/forgecode/issues/1641, 2026-11-22.
    name: 'OpenRouter with the key of the caller',
    url: 'https://openrouter.ai/api/v1/chat/completions',
    model: 'openai/gpt-4o',
    usage: {
      prompt_tokens: 9_171,
      completion_tokens: 113,
      total_tokens: 9_284,
      cost: 0.0018,
      is_byok: true,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      cost_details: { upstream_inference_cost: 0.0360795 },
      completion_tokens_details: { reasoning_tokens: 55, image_tokens: 0 },
    },
    told: 'extra',
    asked: false,
    capName: 'max_tokens',
    picos: 1_800_000_000n + 36_079_500_000n,
    provider: 'openrouter',
  },
  {
    name: 'OpenRouter, a free model',
    url: 'https://openrouter.ai/api/v1/chat/completions',
    model: 'deepseek/deepseek-chat-v3-0324:free',
    usage: { prompt_tokens: 20, completion_tokens: 9, total_tokens: 29, cost: 0, is_byok: false },
    told: 'extra',
    asked: false,
    capName: 'max_tokens',
    picos: 0n,
    provider: 'openrouter',
  },
  {
    // The cost stands in the answer.
    name: 'Perplexity',
    url: 'https://api.perplexity.ai/chat/completions',
    model: 'sonar',
    usage: {
      prompt_tokens: 14,
      completion_tokens: 100,
      total_tokens: 114,
      search_context_size: 'low',
      cost: {
        input_tokens_cost: 0.000014,
        output_tokens_cost: 0.0001,
        request_cost: 0.005,
        total_cost: 0.005114,
      },
    },
    told: 'finish',
    asked: false,
    capName: 'max_tokens',
    picos: 5_114_000_000n,
    provider: 'perplexity',
  },
  {
    name: 'Ollama',
    url: 'http://localhost:11434/v1/chat/completions',
    model: 'qwen3:8b',
    usage: { prompt_tokens: 26, completion_tokens: 298, total_tokens: 324 },
    told: 'extra',
    asked: true,
    capName: 'max_tokens',
    picos: 0n,
    provider: 'ollama',
  },
];
