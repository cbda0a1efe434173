import type { Tier } from './tier.ts';

/**
 * Batch and flex processing cost half of the standard price:
 * https://developers.openai.com/api/docs/pricing, 2026-11-22.
 */
const HALVES: readonly Tier[] = [
  { name: 'batch', numerator: 1n, denominator: 2n },
  { name: 'flex', numerator: 1n, denominator: 2n },
];

/**
 * What fast mode, once called priority processing, costs beside the standard price: cents for a
 * million tokens of input, which cached input and output follow. A model that is not listed is not
 * sold so, or nobody here knows at what price.
 *
 * Source: https://openai.com/api-fast-mode/, 2026-11-22; of GPT-6 the models' own pages and
 * https://vercel.com/ai-gateway/models/gpt-6-astra-fast.md; of GPT-5.3 Codex
 * https://developers.openai.com/api/docs/pricing.
 */
const FAST_CENTS: ReadonlyMap<string, readonly [standard: bigint, fast: bigint]> = new Map([
  ['gpt-6-astra', [1_000n, 2_000n]],
  ['gpt-6.1-sol', [200n, 400n]],
  ['gpt-5.6-sol', [400n, 800n]],
  ['gpt-5.6-terra', [200n, 400n]],
  ['gpt-5.6-luna', [20n, 40n]],
  ['gpt-5.5', [500n, 1_250n]],
  ['gpt-5.4', [250n, 500n]],
  ['gpt-5.4-mini', [75n, 150n]],
  ['gpt-5.3-codex', [175n, 350n]],
  ['gpt-5.2', [175n, 350n]],
  ['gpt-5.1', [125n, 250n]],
  ['gpt-5', [125n, 250n]],
  ['gpt-5-mini', [25n, 45n]],
  ['gpt-4.1', [200n, 350n]],
  ['gpt-4.1-mini', [40n, 70n]],
  ['gpt-4.1-nano', [10n, 20n]],
  ['gpt-4o', [250n, 425n]],
  ['gpt-4o-2024-05-13', [500n, 875n]],
  ['gpt-4o-mini', [15n, 25n]],
  ['o3', [200n, 350n]],
  ['o4-mini', [110n, 200n]],
]);

/** Answers of GPT-6 say `fast`, all others `priority`: they are one. */
const FAST_NAMES: readonly string[] = ['priority', 'fast'];

/** What OpenAI's processing tiers cost, by the price list's name of the model. */
export function openaiTiers(model: string): readonly Tier[] {
  const cents = FAST_CENTS.get(model);
  if (cents === undefined) return HALVES;
  const [denominator, numerator] = cents;
  return [...HALVES, ...FAST_NAMES.map((name) => ({ name, numerator, denominator }))];
}
