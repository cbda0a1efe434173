import { expect, it } from 'vitest';

import { limitsOf } from '../../src/llm/prices/model-limits.ts';

it.each([
  // https://ai.google.dev/gemini-api/docs/models, 2026-11-22
  ['gemini-2.5-pro', 1_048_576, 65_536],
  ['gemini-3.1-pro-preview', 1_048_576, 65_536],
  ['gemini-3.5-flash-lite', 1_048_576, 65_536],
  ['gemini-2.5-flash-image', 65_536, 32_768],
  ['gemini-2.5-flash-preview-tts', 8_192, 16_384],
  ['gemini-2.0-flash-001', 1_048_576, 8_192],
  ['gemini-embedding-001', 2_048, undefined],
  // https://platform.claude.com/docs/en/about-claude/models/overview, 2026-11-22
  ['claude-opus-4-1-20250805', 200_000, 32_000],
  ['claude-sonnet-4-20250514', 200_000, 64_000],
  ['claude-opus-4-6', 1_000_000, 128_000],
  ['claude-opus-5-5', 1_000_000, 128_000],
  ['claude-fable-5-1', 1_000_000, 128_000],
  ['eu.anthropic.claude-haiku-4-5-20251001-v1:0', 200_000, 64_000],
  ['anthropic.claude-3-5-haiku-20241022-v1:0', 200_000, 8_192],
  ['anthropic.claude-3-haiku-20240307-v1:0', 200_000, 4_096],
  ['us.amazon.nova-pro-v1:0', 300_000, 10_000],
  ['gpt-4o', undefined, undefined],
])('knows the limits of %s', (model, contextWindow, maxOutputTokens) => {
  const limits = limitsOf(model);
  expect(limits.contextWindow).toBe(contextWindow);
  expect(limits.maxOutputTokens).toBe(maxOutputTokens);
});
