import type { Tier } from './tier.ts';

/**
 * Message batches cost half of the standard price:
 * https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing, 2026-11-22.
 */
const BATCH: Tier = { name: 'batch', numerator: 1n, denominator: 2n };

/** What Anthropic's processing tiers cost. */
export function anthropicTiers(): readonly Tier[] {
  return [BATCH];
}
