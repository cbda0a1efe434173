import type { Tier } from './tier.ts';

/**
 * What one choice multiplies the standard price of every kind of token by. Choices made together
 * multiply together. Source: https://platform.claude.com/docs/en/about-claude/pricing, 2026-11-22.
 */
interface Modifier {
  readonly name: string;
  readonly models: RegExp;
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** Message batches: half. */
const BATCH: Modifier = { name: 'batch', models: /(?:)/, numerator: 1n, denominator: 2n };

/**
 * Priority capacity is paid for by a contract of one's own, and no list tells its price; a token of
 * it counts as a token: https://platform.claude.com/docs/en/api/service-tiers, 2026-11-22.
 */
const PRIORITY: Modifier = { name: 'priority', models: /(?:)/, numerator: 1n, denominator: 1n };

/**
 * Fast mode: USD 8 and 40 instead of 4 and 20 for Opus 5.5, 10 and 50 instead of 5 and 25 for Opus
 * 5 and 4.8, 16 and 80 instead of 8 and 40 for Fable 5.2; not in batches.
 * https://platform.claude.com/docs/en/build-with-claude/fast-mode, 2026-11-22
 */
const FAST: Modifier = {
  name: 'fast',
  models: /^claude-(?:opus-(?:4-8|5|5-5)|(?:fable|mythos)-5-2)(?:-\d{8})?$/,
  numerator: 2n,
  denominator: 1n,
};

/**
 * Inference in the US only: a tenth more, for Opus 4.6, Sonnet 4.6 and all that came after.
 * https://platform.claude.com/docs/en/manage-claude/data-residency, 2026-11-22
 */
const US: Modifier = {
  name: 'us',
  models: /^claude-(?:opus-4-[6-9]|sonnet-4-[6-9]|(?:opus|sonnet|haiku|fable|mythos)-[5-9])/,
  numerator: 11n,
  denominator: 10n,
};

/** Which choices go together; a tier of several is named in this order. */
const COMBINATIONS: readonly (readonly Modifier[])[] = [
  [BATCH],
  [BATCH, US],
  [PRIORITY],
  [PRIORITY, US],
  [FAST],
  [FAST, US],
  [US],
];

/**
 * What Anthropic's processing tiers cost: batches, priority capacity, fast mode, inference in the
 * US, and what of these goes together.
 */
export function anthropicTiers(model: string): readonly Tier[] {
  return COMBINATIONS.filter((modifiers) =>
    modifiers.every(({ models }) => models.test(model)),
  ).map((modifiers) => ({
    name: modifiers.map(({ name }) => name).join('+'),
    numerator: modifiers.reduce((product, { numerator }) => product * numerator, 1n),
    denominator: modifiers.reduce((product, { denominator }) => product * denominator, 1n),
  }));
}
