import type { JsonObject } from '../provider.ts';

/**
 * The most that one input image can cost, by detail. Tiles: a base and so much for each 512-pixel
 * tile, of which the scaling leaves 8 at most. Patches of 32 pixels: at most 1,536 (2,500 in high
 * detail, 10,000 in the original's), times at most 2.46. From GPT-5.6 on the original's patches
 * have no budget, but images of more than 60 megapixels are refused: 58,594 patches, times 1.2.
 * The last entry is for models not known here.
 * Sources: https://developers.openai.com/api/docs/guides/images-vision#calculating-costs and
 * https://docs.apiyi.com/en/faq/vision-image-too-large, 2026-11-22.
 */
const IMAGE_TOKENS: readonly {
  readonly models: RegExp;
  readonly low: number;
  readonly high: number;
  /** In `original` detail, and in `auto`, which may choose it. */
  readonly most: number;
}[] = [
  { models: /^(ft:)?gpt-4o-mini/, low: 2_833, high: 48_169, most: 48_169 },
  {
    models: /^(ft:)?(gpt-4o|chatgpt-4o|gpt-4\.5|gpt-4-|gpt-4\.1(-20|$))/,
    low: 85,
    high: 1_445,
    most: 1_445,
  },
  {
    models: /^(ft:)?(gpt-5(-20|-chat|-codex|$)|o1(-20|-pro|$)|o3(-20|-pro|$))/,
    low: 85,
    high: 1_445,
    most: 1_445,
  },
  {
    models: /^(ft:)?(gpt-4\.1-|gpt-5-(mini|nano)|o4-mini)/,
    low: 3_779,
    high: 3_779,
    most: 3_779,
  },
  { models: /^(ft:)?gpt-5\.[1-5]/, low: 24_600, high: 24_600, most: 24_600 },
  { models: /^(ft:)?gpt-(5\.|[6-9])/, low: 6_150, high: 6_150, most: 70_313 },
  { models: /(?:)/, low: 70_313, high: 70_313, most: 70_313 },
];

/** The most tokens that an image costs a model, by the detail it is asked for in. */
export function inputImageTokens(model: string, detail: unknown): number {
  const cost = IMAGE_TOKENS.find(({ models }) => models.test(model));
  if (cost === undefined) return 0;
  if (detail === 'low') return cost.low;
  return detail === 'high' ? cost.high : cost.most;
}

/** Characters of an image's data that lie in the body, base64 being a byte a character. */
export function dataUrlCharacters(image: JsonObject): number {
  const { image_url: url } = image;
  return typeof url === 'string' && url.startsWith('data:') ? url.length : 0;
}
