import { findProvider } from '@pydantic/genai-prices';
import { describe, expect, it } from 'vitest';

import { InvalidAmountError, InvalidOptionError } from '../../src/ledger/invalid.ts';
import { describePrice, similarModels } from '../../src/llm/prices/describe-price.ts';
import { priceFinder } from '../../src/llm/prices/price-list.ts';
import { exactRates } from '../../src/llm/prices/rates.ts';

describe('describePrice', () => {
  // https://platform.openai.com/docs/pricing, 2026-11-22.
  it('tells the rates of a model, and where they come from', () => {
    expect(describePrice('gpt-4o')).toMatchObject({
      model: 'gpt-4o',
      provider: 'openai',
      source: 'genai-prices:openai/gpt-4o',
      usdPerMillion: { input: '2.5', output: '10', cachedInput: '1.25' },
      longContext: [],
      serviceTiers: {
        batch: [
          {
            aboveInputTokens: 0,
            usdPerMillion: { input: '1.25', output: '5', cachedInput: '0.625' },
          },
        ],
      },
      contextWindow: 128_000,
      maxOutputTokens: null,
    });
  });

  // https://platform.claude.com/docs/en/about-claude/pricing, 2026-11-22.
  it('tells cache writes, long contexts, and what is billed by the piece', () => {
    const price = describePrice('claude-sonnet-4-5');
    expect(price?.usdPerMillion).toEqual({
      input: '3',
      output: '15',
      cachedInput: '0.3',
      cacheWrite: '3.75',
      cacheWrite1h: '6',
    });
    expect(price?.longContext).toEqual([
      {
        aboveInputTokens: 200_000,
        usdPerMillion: {
          input: '6',
          output: '22.5',
          cachedInput: '0.6',
          cacheWrite: '7.5',
          cacheWrite1h: '12',
        },
      },
    ]);
    expect(price?.serviceTiers['batch']?.map((step) => step.usdPerMillion.output)).toEqual([
      '7.5',
      '11.25',
    ]);
    expect(price?.usdPerPiece).toEqual({ web_searches: '0.01' });
  });

  it('tells what has no price by the token', () => {
    // USD 0.006 a minute: https://platform.openai.com/docs/pricing, 2026-11-22.
    expect(describePrice('whisper-1')).toMatchObject({
      usdPerMillion: {},
      serviceTiers: {},
      usdPerPiece: { audio_seconds: '0.0001' },
    });
  });

  it('goes by the host, where it is told one', () => {
    expect(describePrice('text-embedding-3-small')?.provider).toBe('openai');
    const url = 'https://api.openai.com/v1/embeddings';
    // https://platform.openai.com/docs/pricing, 2026-11-22.
    expect(describePrice('text-embedding-3-small', { url })?.usdPerMillion.input).toBe('0.02');
    const regional = describePrice('gpt-4o', { url: 'https://eu.api.openai.com/v1' });
    expect(regional?.usdPerMillion.input).toBe('2.75');
    expect(regional?.source).toBe('genai-prices:openai/gpt-4o+10%');
    expect(() => describePrice('gpt-4o', { url: 'api.openai.com' })).toThrow(InvalidOptionError);
  });

  it('tells the user’s own price before the list, to the last digit', () => {
    const prices = {
      'gpt-4o': {
        usdPerMillion: { input: '0.000000000001', output: 123_456.789, reasoning: 7 },
        longContext: { aboveInputTokens: 1_000, usdPerMillion: { input: 20, output: 100 } },
        serviceTiers: { priority: { input: 1, output: 2 } },
        usdPerPiece: { web_searches: '0.000000000000000001' },
        contextWindow: 5_000,
        maxOutputTokens: 700,
      },
    };
    expect(describePrice('gpt-4o', { prices })).toEqual({
      model: 'gpt-4o',
      provider: 'custom',
      source: 'prices',
      usdPerMillion: {
        input: '0.000000000001',
        output: '123456.789',
        cachedInput: '0.000000000001',
        reasoning: '7',
      },
      longContext: [
        {
          aboveInputTokens: 1_000,
          usdPerMillion: { input: '20', output: '100', cachedInput: '20' },
        },
      ],
      serviceTiers: {
        priority: [
          {
            aboveInputTokens: 0,
            usdPerMillion: { input: '1', output: '2', cachedInput: '1' },
          },
        ],
      },
      usdPerPiece: { web_searches: '0.000000000000000001' },
      contextWindow: 5_000,
      maxOutputTokens: 700,
    });
    const wrong = { mine: { usdPerMillion: { input: -1, output: 1 } } };
    expect(() => describePrice('mine', { prices: wrong })).toThrow(InvalidAmountError);
  });

  it('knows no price, or the ceiling, of a model that nobody knows', () => {
    expect(describePrice('no-such-model')).toBeNull();
    const unknownModel = { usdPerMillion: { input: 0, output: 100 } };
    expect(describePrice('no-such-model', { unknownModel })).toMatchObject({
      source: 'unknownModel',
      usdPerMillion: { input: '0', output: '100' },
    });
  });

  it('leaves out nothing that is not said by the rest', () => {
    const find = priceFinder({});
    const url = 'https://api.openai.com/v1';
    const models = ['openai', 'google', 'anthropic'].flatMap(
      (providerId) => findProvider({ providerId })?.models ?? [],
    );
    let compared = 0;
    for (const { id } of models) {
      for (const where of [null, url]) {
        const price = find(id, where);
        const told = describePrice(id, where === null ? {} : { url: where });
        if (price === null || told === null) {
          expect(told).toBe(price);
          continue;
        }
        const first = { aboveInputTokens: -1, usdPerMillion: told.usdPerMillion };
        const read = [first, ...told.longContext].map((step) =>
          exactRates(step.usdPerMillion, step.aboveInputTokens),
        );
        expect(read).toEqual(price.rates);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(150);
  });
});

describe('similarModels', () => {
  it.each([
    ['gpt4o', 'gpt-4o'],
    ['gtp-4o', 'gpt-4o'],
    ['GPT-4O', 'gpt-4o'],
    ['text-embedding-3-small', 'text-embedding-3-small'],
  ])('finds for %s', (asked, model) => {
    expect(similarModels(asked)[0]).toEqual({
      provider: 'openai',
      model,
      url: 'https://api.openai.com/v1',
    });
  });

  it('finds what begins with the name, and what contains it', () => {
    expect(similarModels('claude-sonnet', 50).map(({ model }) => model)).toContain(
      'claude-sonnet-4-5',
    );
    expect(similarModels('sonnet', 50).map(({ model }) => model)).toContain('claude-sonnet-4-5');
  });

  it('names each once, few, and each with a price at its URL', () => {
    for (const asked of ['claude', 'gpt', 'gemini', 'llama', 'grok', 'o']) {
      const found = similarModels(asked);
      expect(found.length).toBeLessThanOrEqual(5);
      expect(new Set(found.map(({ model }) => model)).size).toBe(found.length);
    }
    const [first] = similarModels('text-embedding-3-small');
    expect(describePrice(first?.model ?? '', { url: first?.url ?? '' })).not.toBeNull();
  });

  it('finds nothing for what is like nothing', () => {
    expect(similarModels('qqqqqqqqqqqqqqqqqq')).toEqual([]);
    expect(similarModels('')).toEqual([]);
  });
});
