import type { ModelPrice } from './price.ts';
import type { TokenRates } from './rates.ts';

/** A price that the bundled list lacks. */
export interface PriceAddition {
  readonly provider: string;
  /** As the charge's `price` label says it. */
  readonly source: string;
  readonly price: ModelPrice;
}

const OPENAI = 'https://developers.openai.com/api/docs';

/**
 * Speech that is billed by the character: USD 15 and 30 for a million.
 * Source: https://platform.openai.com/docs/pricing, 2026-11-22.
 */
function speech(usdPerCharacter: string): PriceAddition {
  return {
    provider: 'openai',
    source: 'https://platform.openai.com/docs/pricing#transcription-and-speech, 2026-11-22',
    price: {
      usdPerMillion: { input: 0, output: 0 },
      usdPerPiece: { characters: usdPerCharacter },
    },
  };
}

function byToken(page: string, usdPerMillion: TokenRates): PriceAddition {
  return { provider: 'openai', source: `${OPENAI}/${page}, 2026-11-22`, price: { usdPerMillion } };
}

/**
 * GPT Image 2.5 and 2.6, in both sizes: text and images in, images out. How many tokens an image
 * has is not published: a book that names `maxOutputTokens` beside these rates says it.
 */
const IMAGES: TokenRates = {
  input: 5,
  cachedInput: '1.25',
  inputImage: 8,
  cachedImage: 2,
  output: 30,
};

const LATER_IMAGE_MODELS: readonly string[] = [
  'gpt-image-2.5-flare',
  'gpt-image-2.5-flare-2026-09-08',
  'gpt-image-2.5-sunburst',
  'gpt-image-2.5-sunburst-2026-09-08',
  'gpt-image-2.6-flare',
  'gpt-image-2.6-sunburst',
];

/** Prices by model name that the bundled list lacks, each with its source. */
export const PRICE_ADDITIONS: ReadonlyMap<string, PriceAddition> = new Map([
  ['tts-1', speech('0.000015')],
  ['tts-1-hd', speech('0.00003')],
  // Snapshots are sold at the price of their model, which the list has.
  ['gpt-4o-mini-tts-2025-12-15', byToken('models/gpt-4o-mini-tts', { input: '0.6', output: 12 })],
  [
    'gpt-4o-mini-transcribe-2025-12-15',
    byToken('models/gpt-4o-mini-transcribe', { input: '1.25', output: 5, inputAudio: 3 }),
  ],
  ...LATER_IMAGE_MODELS.map(
    (model) => [model, byToken('models/gpt-image-2.6-sunburst', IMAGES)] as const,
  ),
]);

/**
 * What OpenAI's hosted tools cost, USD for one call, whatever the model; a container is sold by its
 * memory for 20 minutes. Shorter sessions are billed by the minute since June 2026, but no answer
 * says how long they were, so all of it is charged.
 * Source: https://developers.openai.com/api/docs/pricing#built-in-tools, 2026-11-22.
 */
const OPENAI_TOOLS: ReadonlyMap<string, string> = new Map([
  ['web_searches', '0.01'],
  ['web_search_previews', '0.025'],
  ['file_searches', '0.0025'],
  ['container_sessions_1g', '0.03'],
  ['container_sessions_4g', '0.12'],
  ['container_sessions_16g', '0.48'],
  ['container_sessions_64g', '1.92'],
]);

/** USD for one of what a provider sells by the piece, where the bundled list does not say it. */
export const PIECE_ADDITIONS: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  ['openai', OPENAI_TOOLS],
]);
