import type { Tier } from './tier.ts';

/**
 * Batch and flex processing cost half of the standard price:
 * https://platform.openai.com/docs/pricing, 2026-11-22.
 */
const HALVES: readonly Tier[] = [
  { name: 'batch', numerator: 1n, denominator: 2n },
  { name: 'flex', numerator: 1n, denominator: 2n },
];

/** What OpenAI's processing tiers cost. */
export function openaiTiers(): readonly Tier[] {
  return HALVES;
}
