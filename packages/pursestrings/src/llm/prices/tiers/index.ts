import { scaledRates } from '../rates.ts';
import type { Rates } from '../rates.ts';
import { anthropicTiers } from './anthropic.ts';
import { googleTiers } from './google.ts';
import { openaiTiers } from './openai.ts';
import type { TiersOf } from './tier.ts';

/** By the price list's name of the provider. */
const TIERS: ReadonlyMap<string, TiersOf> = new Map([
  ['openai', openaiTiers],
  ['azure', openaiTiers],
  ['anthropic', anthropicTiers],
  ['google', googleTiers],
]);

/**
 * The rates of a model's processing tiers, which the bundled price list does not hold: batch, flex,
 * priority and their kin.
 */
export function tierRates(
  provider: string,
  model: string,
  standard: readonly Rates[],
): ReadonlyMap<string, readonly Rates[]> {
  const tiers = TIERS.get(provider)?.(model) ?? [];
  return new Map(
    tiers.map(({ name, numerator, denominator }) => [
      name,
      standard.map((rates) => scaledRates(rates, numerator, denominator)),
    ]),
  );
}
