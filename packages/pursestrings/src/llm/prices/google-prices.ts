import type { ModelPrice as ListedPrice, PriceCalculation } from '@pydantic/genai-prices';

/**
 * A price of the bundled list, with what Google's price page says beyond it.
 * https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22: a search costs USD 14 a thousand from
 * Gemini 3 on, and before it a grounded prompt USD 35 a thousand; what is free of them each day or
 * month is not taken into account, as other processes use it too.
 */
export function withGooglePrices(found: PriceCalculation): ListedPrice {
  const { id } = found.model;
  const prices = found.model_price;
  if (found.provider.id !== 'google' || !id.startsWith('gemini-')) return prices;
  const more: Record<string, ListedPrice[string]> = {
    web_searches_kcount: /^gemini-(?:[12]\.|pro|flash)/.test(id) ? 35 : 14,
  };
  if (ONE_INPUT_PRICE.test(id)) {
    more.input_audio_mtok = prices.input_mtok;
    more.cache_audio_read_mtok = prices.cache_read_mtok;
  }
  // The output of these is speech.
  if (id.endsWith('-tts')) more.output_audio_mtok = prices.output_mtok;
  return { ...more, ...prices };
}

/** Models with one price for text, images, video and audio. */
const ONE_INPUT_PRICE =
  /^gemini-(?:2\.5-pro|3-pro-preview|3\.1-pro-preview|3\.[5-8]-flash(?:-lite)?)$/;
