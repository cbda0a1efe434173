import type { Tier } from './tier.ts';

/** Batches cost half of the standard price: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22. */
const BATCH: Tier = { name: 'batch', numerator: 1n, denominator: 2n };

/**
 * Flex costs half of the standard price, and priority 1.8 times it: on Gemini 2.5 Pro USD 0.625 and
 * 2.25 for a million of input, 5 and 18 of output, beside 1.25 and 10.
 * https://ai.google.dev/gemini-api/docs/optimization and
 * https://github.com/BerriAI/litellm/pull/23560, 2026-11-22.
 */
const SYNCHRONOUS: readonly Tier[] = [
  { name: 'flex', numerator: 1n, denominator: 2n },
  { name: 'priority', numerator: 9n, denominator: 5n },
];

/** Text models from Gemini 2.5 on; what makes speech or images, and embeddings, are not sold so. */
const SOLD_SYNCHRONOUS = /^gemini-(?:2\.5|3)(?!.*-(?:tts|image|live|native-audio))/;

/** What the Gemini API's processing tiers cost. */
export function googleTiers(model: string): readonly Tier[] {
  return SOLD_SYNCHRONOUS.test(model) ? [BATCH, ...SYNCHRONOUS] : [BATCH];
}
