import type { ModelPrice } from './price.ts';

/** A price that the bundled list lacks. */
export interface PriceAddition {
  readonly provider: string;
  /** As the charge's `price` label says it. */
  readonly source: string;
  readonly price: ModelPrice;
}

const OPENAI_SPEECH =
  'https://platform.openai.com/docs/pricing#transcription-and-speech, 2026-11-22';

/**
 * Speech that is billed by the character: USD 15 and 30 for a million.
 * Source: https://platform.openai.com/docs/pricing, 2026-11-22.
 */
function speech(usdPerCharacter: string): PriceAddition {
  return {
    provider: 'openai',
    source: OPENAI_SPEECH,
    price: {
      usdPerMillion: { input: 0, output: 0 },
      usdPerPiece: { characters: usdPerCharacter },
    },
  };
}

/** Prices by model name that the bundled list lacks, each with its source. */
export const PRICE_ADDITIONS: ReadonlyMap<string, PriceAddition> = new Map([
  ['tts-1', speech('0.000015')],
  ['tts-1-hd', speech('0.00003')],
]);
