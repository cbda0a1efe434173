/** What a model takes and gives at most. */
export interface ModelLimits {
  /** The most tokens of input, or of both together where they share a window. */
  readonly contextWindow?: number;
  /** The most tokens of one answer. */
  readonly maxOutputTokens?: number;
}

/**
 * Limits by name, the first that fits: names of Bedrock and of Vertex AI hold those of the makers.
 *
 * Gemini: https://ai.google.dev/gemini-api/docs/models
 * Claude: https://platform.claude.com/docs/en/about-claude/models/overview (Claude 3.7 with its
 * longest answers, Claude Sonnet 4 and 4.5 without the window that a header asks for)
 * Nova: https://docs.aws.amazon.com/nova/latest/userguide/what-is-nova.html
 * As of 2026-11-22; where sources differ, the largest.
 */
const LIMITS: readonly (readonly [RegExp, ModelLimits])[] = [
  [/gemini-.*-tts/, { contextWindow: 8_192, maxOutputTokens: 16_384 }],
  [/gemini-3-pro-image/, { contextWindow: 65_536, maxOutputTokens: 32_768 }],
  [/gemini-3.*-image/, { contextWindow: 131_072, maxOutputTokens: 32_768 }],
  [/gemini-2\.5-flash-image/, { contextWindow: 65_536, maxOutputTokens: 32_768 }],
  [/gemini-embedding-001/, { contextWindow: 2_048 }],
  [/gemini-embedding-2/, { contextWindow: 8_192 }],
  [/gemini-(?:2\.5|3)/, { contextWindow: 1_048_576, maxOutputTokens: 65_536 }],
  [/gemini-1\.5-pro/, { contextWindow: 2_097_152, maxOutputTokens: 8_192 }],
  [/gemini-(?:2\.0|1\.5)-flash/, { contextWindow: 1_048_576, maxOutputTokens: 8_192 }],
  [
    /claude-(?:fable-|(?:opus|sonnet)-(?:4-[6-9]|[5-9]))/,
    { contextWindow: 1_000_000, maxOutputTokens: 128_000 },
  ],
  [/claude-(?:sonnet-4|opus-4-5|haiku-4-5)/, { contextWindow: 200_000, maxOutputTokens: 64_000 }],
  [/claude-opus-4/, { contextWindow: 200_000, maxOutputTokens: 32_000 }],
  [/claude-3-7-sonnet/, { contextWindow: 200_000, maxOutputTokens: 128_000 }],
  [/claude-3-5-/, { contextWindow: 200_000, maxOutputTokens: 8_192 }],
  [/claude-3-/, { contextWindow: 200_000, maxOutputTokens: 4_096 }],
  [/nova-2-lite/, { contextWindow: 1_000_000, maxOutputTokens: 65_536 }],
  [/nova-(?:lite|pro)-v1/, { contextWindow: 300_000, maxOutputTokens: 10_000 }],
  [/nova-micro-v1/, { contextWindow: 128_000, maxOutputTokens: 10_000 }],
];

/** The limits that a model's maker publishes, as far as they are known here. */
export function limitsOf(model: string): ModelLimits {
  return LIMITS.find(([names]) => names.test(model))?.[1] ?? {};
}
