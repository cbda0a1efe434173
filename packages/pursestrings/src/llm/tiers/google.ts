import type { Tier } from './tier.ts';

/** Batches cost half of the standard price: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22. */
const BATCH: Tier = { name: 'batch', numerator: 1n, denominator: 2n };

/** What the Gemini API's processing tiers cost. */
export function googleTiers(): readonly Tier[] {
  return [BATCH];
}
