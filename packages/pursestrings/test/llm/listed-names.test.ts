import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { priceFinder } from '../../src/llm/prices/price-list.ts';

describe('a name that the list takes for another model', () => {
  it.each([
    // https://openrouter.ai/anthropic/claude-opus-4.6-fast: six times the price, 2026-11-22.
    'anthropic/claude-opus-4.6-fast',
    'claude-opus-4-6-fast',
    'claude-sonnet-5-1',
    'claude-sonnet-5-1-20270101',
    'claude-haiku-4-5-pro',
    // Images and speech are sold at many times the price of text.
    'gemini-3.8-flash-image',
    'gemini-3.8-flash-tts',
    'gemini-3.8-flash-live',
    'gemini-2.5-pro-image-preview',
    'gpt-4.5-preview-audio',
    'deepseek-chat-ultra',
  ])('has no price: %s', (model) => {
    expect(priceFinder({})(model, null)).toBeNull();
  });

  it('has no price on Bedrock', () => {
    const find = priceFinder({});
    const url = (model: string): string =>
      `https://bedrock-runtime.us-east-1.amazonaws.com/model/${model}/converse`;
    for (const model of ['us.anthropic.claude-sonnet-5-1-v1:0', 'us.amazon.nova-lite-pro-v1:0']) {
      expect(find(model, url(model))).toBeNull();
    }
    const known = 'us.anthropic.claude-opus-4-5-20251101-v1:0';
    expect(find(known, url(known))).not.toBeNull();
  });

  it.each([
    ['gpt-4o-2024-08-06', 'openai/gpt-4o'],
    ['gpt-5-pro-2025-10-06', 'openai/gpt-5-pro'],
    ['gpt-audio-1.5', 'openai/gpt-audio'],
    ['gpt-4o-audio-preview-2025-06-03', 'openai/gpt-4o-audio-preview'],
    ['o1-2024-12-17', 'openai/o1'],
    ['ft:gpt-4o-mini-2024-07-18:my-pro-shop:fast:abc', 'openai/ft:gpt-4o-mini'],
    ['claude-sonnet-4-5-20250929', 'anthropic/claude-sonnet-4-5'],
    ['claude-sonnet-4-5@20250929', 'anthropic/claude-sonnet-4-5'],
    ['claude-opus-4-20250514', 'anthropic/claude-opus-4-0'],
    ['claude-sonnet-5-20260901', 'anthropic/claude-sonnet-5'],
    ['gemini-2.0-flash-001', 'google/gemini-2.0-flash'],
    ['gemini-1.5-pro-002', 'google/gemini-1.5-pro'],
    ['gemini-2.5-pro-preview-06-05', 'google/gemini-2.5-pro'],
    ['gemini-2.5-pro-exp-03-25', 'google/gemini-2.5-pro'],
    ['gemini-3.1-pro-preview-customtools', 'google/gemini-3.1-pro-preview'],
    ['gemini-2.5-flash-native-audio-preview-09-2025', 'google/gemini-live-2.5-flash'],
  ])('is not %s', (model, listed) => {
    expect(priceFinder({})(model, null)?.source).toBe(`genai-prices:${listed}`);
  });
});

describe('a price that changes by the hour', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => void vi.useRealTimers());

  /**
   * DeepSeek bills by the hour in which the tokens are made: USD 0.66 for a million of input, twice
   * that from 01:00 to 04:00 UTC. https://api-docs.deepseek.com/quick_start/pricing, 2026-11-22.
   */
  const PLAIN = 660_000_000_000n;
  const PEAK = 1_320_000_000_000n;

  it.each([
    ['2026-11-24T00:40:00Z', PLAIN],
    ['2026-11-24T00:55:00Z', PEAK],
    ['2026-11-24T00:59:59Z', PEAK],
    ['2026-11-24T03:59:59Z', PEAK],
    ['2026-11-24T04:00:01Z', PLAIN],
  ])('is the dearer one for a call that may run into it: %s', (time, rate) => {
    vi.setSystemTime(new Date(time));
    const price = priceFinder({})('deepseek-v4-pro', 'https://api.deepseek.com/chat/completions');
    expect(price?.rates[0]?.input).toBe(rate);
  });

  it('is the dearer one also where it was kept from before', () => {
    const find = priceFinder({});
    const input = (time: string): bigint | null | undefined => {
      vi.setSystemTime(new Date(time));
      return find('deepseek-v4-pro', 'https://api.deepseek.com/chat/completions')?.rates[0]?.input;
    };
    expect(input('2026-11-24T00:49:30Z')).toBe(PLAIN);
    // Kept for a minute; a call of nine minutes still ends before the hour.
    expect(input('2026-11-24T00:50:29Z')).toBe(PLAIN);
    expect(input('2026-11-24T00:50:31Z')).toBe(PEAK);
  });
});
