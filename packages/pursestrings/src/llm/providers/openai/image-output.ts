import type { JsonObject } from '../provider.ts';
import { wholeNumber } from '../read-json.ts';

/** Each partial image of a stream costs so many output tokens more. */
const PARTIAL_IMAGE_TOKENS = 100;

/** Sizes are `WIDTHxHEIGHT`; quality and size default to `auto`, which may be the dearest. */
type ByQuality = Readonly<Record<string, number>>;

/**
 * The output tokens of one image, square and else:
 * https://developers.openai.com/api/docs/guides/image-generation#cost-and-latency, 2026-11-22.
 */
const SQUARE: ByQuality = { low: 272, medium: 1_056, high: 4_160 };
const OBLONG: ByQuality = { low: 408, medium: 1_584, high: 6_240 };

/**
 * GPT Image 1.5 is also billed for text that it writes for itself; how much is not documented, so
 * this is an allowance. What the answer says is charged.
 */
const TEXT_TOKENS = 1_000;

/**
 * Image 2 makes images of any size, whose tokens grow with their area by OpenAI's own calculator:
 * https://community.openai.com/t/gpt-image-2-output-pricing-calculator-online-and-in-your-code/1382699
 */
const AXIS: ByQuality = { low: 16, medium: 48, high: 96 };
const MAX_PIXELS = 8_294_400;

/**
 * The most output tokens that each image of a request costs; null where no table is published: from
 * 2.5 on OpenAI publishes prices a token, but not how many tokens an image has.
 */
export function imageTokens(body: JsonObject, model: string): number | null {
  const one = plainTokens(body, model);
  if (one === null) return null;
  return one + PARTIAL_IMAGE_TOKENS * (wholeNumber(body.partial_images) ?? 0);
}

function plainTokens(
  { quality, size, output_format: format }: JsonObject,
  model: string,
): number | null {
  if (format === 'gif' || format === 'svg') return null;
  if (/^gpt-image-2(?:-20|$)/.test(model)) return areaTokens(quality, size);
  if (!/^gpt-image-1(?:-mini|-20|\.5|$)/.test(model)) return null;
  const [width, height] = dimensions(size);
  const table = width !== 0 && width === height ? SQUARE : OBLONG;
  const most = byQuality(table, quality);
  return model.startsWith('gpt-image-1.5') ? most + TEXT_TOKENS : most;
}

function areaTokens(quality: unknown, size: unknown): number {
  const axis = byQuality(AXIS, quality);
  const [width, height] = dimensions(size);
  const pixels = width === 0 ? MAX_PIXELS : width * height;
  const short =
    width === 0 ? axis : Math.round((axis * Math.min(width, height)) / Math.max(width, height));
  return Math.ceil((axis * short * (2_000_000 + pixels)) / 4_000_000);
}

function byQuality(table: ByQuality, quality: unknown): number {
  if (typeof quality === 'string' && Object.hasOwn(table, quality)) return table[quality] ?? 0;
  return Math.max(...Object.values(table));
}

/** Zeros for a size that is left to the model. */
function dimensions(size: unknown): readonly [width: number, height: number] {
  const match = typeof size === 'string' ? /^(\d{1,5})x(\d{1,5})$/.exec(size) : null;
  const width = Number(match?.[1] ?? 0);
  const height = Number(match?.[2] ?? 0);
  return width > 0 && height > 0 ? [width, height] : [0, 0];
}
