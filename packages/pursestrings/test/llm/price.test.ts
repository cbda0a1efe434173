import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { InvalidAmountError, PriceUnknownError } from '../../src/errors.ts';
import { calculateCost, readUsage } from '../../src/llm/index.ts';
import type { PriceBook, Usage } from '../../src/llm/index.ts';
import { steps } from './fixture.ts';

/**
 * USD per million tokens as OpenAI lists them, 2026-11-22:
 * https://platform.openai.com/docs/pricing. In 1e-4 USD, so whole.
 */
const LISTED = {
  'gpt-4o': { input: 25_000n, cached: 12_500n, output: 100_000n },
  'gpt-4o-mini': { input: 1_500n, cached: 750n, output: 6_000n },
  'gpt-4.1-nano': { input: 1_000n, cached: 250n, output: 4_000n },
  o3: { input: 20_000n, cached: 5_000n, output: 80_000n },
} as const;

/** 1e-4 USD a million tokens is 1e-10 USD a token: a hundredth of a step. */
function ceilSteps(hundredths: bigint): bigint {
  return (hundredths + 99n) / 100n;
}

describe('calculateCost', () => {
  it('agrees with the listed rates, summed in integers, for any usage', () => {
    const names = Object.keys(LISTED) as (keyof typeof LISTED)[];
    const count = fc.nat({ max: 200_000 });
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        count,
        count,
        count,
        (model, fresh, cached, output) => {
          const rates = LISTED[model];
          const cost = calculateCost(model, {
            inputTokens: fresh + cached,
            cachedInputTokens: cached,
            outputTokens: output,
            reasoningTokens: output,
          });
          const exact =
            BigInt(fresh) * rates.input +
            BigInt(cached) * rates.cached +
            BigInt(output) * rates.output;
          expect(steps(cost.usd)).toBe(ceilSteps(exact));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('rounds up once, to 1e-8 USD', () => {
    const prices: PriceBook = { tiny: { usdPerMillion: { input: '0.001', output: '0.0001' } } };
    // 1e-9 and 1e-10 USD a token.
    expect(calculateCost('tiny', { inputTokens: 1, outputTokens: 0 }, { prices }).usd).toBe(1e-8);
    expect(calculateCost('tiny', { inputTokens: 9, outputTokens: 10 }, { prices }).usd).toBe(1e-8);
    expect(calculateCost('tiny', { inputTokens: 9, outputTokens: 11 }, { prices }).usd).toBe(2e-8);
    expect(calculateCost('tiny', { inputTokens: 0, outputTokens: 0 }, { prices }).usd).toBe(0);
  });

  it('prices the tiers of a long context: the whole call, input and output', () => {
    // https://developers.openai.com/api/docs/models/gpt-5.4: from 272,000 tokens in, 2 x input and
    // 1.5 x output.
    const below = calculateCost('gpt-5.4', { inputTokens: 271_999, outputTokens: 1_000 });
    const above = calculateCost('gpt-5.4', { inputTokens: 272_000, outputTokens: 1_000 });
    expect(steps(below.usd)).toBe(271_999n * 250n + 1_000n * 1_500n);
    expect(steps(above.usd)).toBe(272_000n * 500n + 1_000n * 2_250n);
  });

  it('prices audio at its own rates, cache writes dearer than input', () => {
    const audio = {
      inputTokens: 100,
      inputAudioTokens: 60,
      outputTokens: 50,
      outputAudioTokens: 40,
    };
    // gpt-audio: $2.50 and $10 for text, $32 and $64 for audio.
    expect(steps(calculateCost('gpt-audio', audio).usd)).toBe(
      40n * 250n + 60n * 3_200n + 10n * 1_000n + 40n * 6_400n,
    );
    const prices = {
      w: { usdPerMillion: { input: 4, cachedInput: 0.4, cacheWrite: 5, output: 20 } },
    };
    const writes = {
      inputTokens: 100,
      cacheWriteTokens: 30,
      cachedInputTokens: 50,
      outputTokens: 1,
    };
    expect(steps(calculateCost('w', writes, { prices }).usd)).toBe(
      20n * 400n + 30n * 500n + 50n * 40n + 2_000n,
    );
  });

  it('never lets kinds that overlap make a call cheaper', () => {
    const prices = {
      a: { usdPerMillion: { input: 4, cachedInput: 1, inputAudio: 30, output: 20 } },
    };
    const usage = {
      inputTokens: 100,
      inputAudioTokens: 80,
      cachedInputTokens: 90,
      outputTokens: 0,
    };
    expect(steps(calculateCost('a', usage, { prices }).usd)).toBe(80n * 3_000n + 20n * 100n);
  });

  it('knows regional hosts, the hosts of other providers, and says where a price comes from', () => {
    const usage = { inputTokens: 1_000_000, outputTokens: 0 };
    const regional = calculateCost('gpt-4o', usage, {
      url: 'https://eu.api.openai.com/v1/chat/completions',
    });
    expect(regional).toMatchObject({ usd: 2.75, price: 'genai-prices:openai/gpt-4o+10%' });
    const groq = { url: 'https://api.groq.com/openai/v1/chat/completions' };
    expect(calculateCost('llama-3.3-70b-versatile', usage, groq)).toMatchObject({
      provider: 'groq',
    });
    expect(() => calculateCost('gpt-4o', usage, groq)).toThrow(PriceUnknownError);
  });

  it('takes a tier, a search and a window from the book', () => {
    const prices: PriceBook = {
      m: {
        usdPerMillion: { input: 1, output: 1 },
        longContext: { aboveInputTokens: 10, usdPerMillion: { input: 2, output: 3 } },
        serviceTiers: { priority: { input: 5, output: 5 } },
        usdPerPiece: { web_searches: '0.01' },
      },
    };
    const cost = (usage: Usage): bigint => steps(calculateCost('m', usage, { prices }).usd);
    expect(cost({ inputTokens: 10, outputTokens: 1 })).toBe(1_100n);
    expect(cost({ inputTokens: 11, outputTokens: 1 })).toBe(2_500n);
    expect(cost({ inputTokens: 10, outputTokens: 1, serviceTier: 'priority' })).toBe(5_500n);
    expect(cost({ inputTokens: 10, outputTokens: 1, serviceTier: 'flex' })).toBe(1_100n);
    expect(cost({ inputTokens: 10, outputTokens: 1, pieces: { web_searches: 2 } })).toBe(
      2_001_100n,
    );
  });

  it.each<[string, Usage]>([
    ['nobody-knows', { inputTokens: 1, outputTokens: 1 }],
    ['__proto__', { inputTokens: 1, outputTokens: 1 }],
    ['gpt-4o', { inputTokens: 1, outputTokens: 1, outputAudioTokens: 1 }],
    ['gpt-4o', { inputTokens: 1, outputTokens: 1, serviceTier: 'first-class' }],
    ['gpt-4o', { inputTokens: 1, outputTokens: 1, pieces: { unicorns: 1 } }],
  ])('refuses what has no price: %s %o', (model, usage) => {
    expect(() => calculateCost(model, usage, { prices: {} })).toThrow(PriceUnknownError);
  });

  it.each([
    { inputTokens: -1, outputTokens: 0 },
    { inputTokens: Number.NaN, outputTokens: 0 },
    { inputTokens: 1.5, outputTokens: 0 },
    { inputTokens: 10, outputTokens: 0, cachedInputTokens: 11 },
    { inputTokens: 10, outputTokens: 5, reasoningTokens: 6 },
    { prompt_tokens: 10, completion_tokens: -5 },
  ])('refuses the usage %o', (usage) => {
    expect(() => calculateCost('gpt-4o', usage)).toThrow(InvalidAmountError);
  });
});

describe('readUsage', () => {
  const usage = {
    prompt_tokens: 100,
    completion_tokens: 50,
    prompt_tokens_details: { cached_tokens: 40, audio_tokens: 5, cache_write_tokens: 10 },
    completion_tokens_details: { reasoning_tokens: 20, audio_tokens: 3 },
  };
  const read = {
    inputTokens: 100,
    outputTokens: 50,
    cachedInputTokens: 40,
    cacheWriteTokens: 10,
    inputAudioTokens: 5,
    outputAudioTokens: 3,
    reasoningTokens: 20,
  };

  it('reads an answer, a chunk, and the usage alone', () => {
    expect(readUsage({ usage, service_tier: 'flex' })).toEqual({ ...read, serviceTier: 'flex' });
    expect(readUsage({ choices: [], usage })).toEqual(read);
    expect(readUsage(usage)).toEqual(read);
    expect(readUsage({ usage: { ...usage, prompt_tokens_details: null } })?.cachedInputTokens).toBe(
      0,
    );
  });

  it.each([null, undefined, 'x', [], {}, { usage: null }, { usage: { prompt_tokens: 1 } }])(
    'answers null for %o',
    (body) => {
      expect(readUsage(body)).toBeNull();
    },
  );
});
