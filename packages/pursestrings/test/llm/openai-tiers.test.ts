import { describe, expect, it } from 'vitest';

import { calculateCost } from '../../src/llm/index.ts';
import type { Usage } from '../../src/llm/index.ts';
import { steps } from './fixture.ts';

/**
 * Cents for 1,000 million tokens of input, cached input and output in fast mode, which was called
 * priority processing: https://openai.com/api-fast-mode/, 2026-11-22.
 */
const FAST: readonly [string, bigint, bigint, bigint][] = [
  ['gpt-5.6-sol', 800_000n, 80_000n, 4_000_000n],
  ['gpt-5.6-terra', 400_000n, 40_000n, 2_400_000n],
  ['gpt-5.6-luna', 40_000n, 4_000n, 240_000n],
  ['gpt-5.5', 1_250_000n, 125_000n, 7_500_000n],
  ['gpt-5.4', 500_000n, 50_000n, 3_000_000n],
  ['gpt-5.4-mini', 150_000n, 15_000n, 900_000n],
  ['gpt-5.2', 350_000n, 35_000n, 2_800_000n],
  ['gpt-5.1', 250_000n, 25_000n, 2_000_000n],
  ['gpt-5', 250_000n, 25_000n, 2_000_000n],
  ['gpt-5-mini', 45_000n, 4_500n, 360_000n],
  ['gpt-4.1', 350_000n, 87_500n, 1_400_000n],
  ['gpt-4.1-mini', 70_000n, 17_500n, 280_000n],
  ['gpt-4.1-nano', 20_000n, 5_000n, 80_000n],
  ['gpt-4o-2024-11-20', 425_000n, 212_500n, 1_700_000n],
  ['gpt-4o-mini', 25_000n, 12_500n, 100_000n],
  ['o3', 350_000n, 87_500n, 1_400_000n],
  ['o4-mini', 200_000n, 50_000n, 800_000n],
];

/** A million tokens of everything, in steps of 1e-8 USD: a thousandth of the cents times 1e6. */
function million(milliCents: bigint): bigint {
  return milliCents * 1_000n;
}

/** The cost at a tier, a million at a time, so that no long-context rate is reached. */
function cost(model: string, serviceTier: string, usage: Usage): bigint {
  return steps(calculateCost(model, { ...usage, serviceTier }).usd);
}

describe("OpenAI's tiers", () => {
  it.each(FAST)('price %s in fast mode as it is listed', (model, input, cached, output) => {
    for (const tier of ['priority', 'fast']) {
      const tokens = 100_000;
      const read = (inputTokens: number, cachedInputTokens: number, outputTokens: number): bigint =>
        10n * cost(model, tier, { inputTokens, cachedInputTokens, outputTokens });
      expect(read(tokens, 0, 0)).toBe(million(input));
      expect(read(tokens, tokens, 0)).toBe(million(cached));
      expect(read(0, 0, tokens)).toBe(million(output));
    }
  });

  it('halve the price in batches and in flex', () => {
    // gpt-5: $1.25, $0.125 and $10.
    const usage = { inputTokens: 2_000, cachedInputTokens: 1_000, outputTokens: 100 };
    for (const tier of ['batch', 'flex']) {
      expect(2n * cost('gpt-5', tier, usage)).toBe(1_000n * 125n + 12_500n + 100n * 1_000n);
    }
  });

  it('follow the rates of a long context', () => {
    // gpt-5.6-sol from 272,000 tokens in: $16 and $60 in fast mode.
    const usage = { inputTokens: 300_000, outputTokens: 1_000 };
    expect(cost('gpt-5.6-sol', 'priority', usage)).toBe(300_000n * 1_600n + 1_000n * 6_000n);
  });

  it.each(['o3-mini', 'gpt-5-nano', 'gpt-6-sol'])(
    'leave %s without what is not listed',
    (model) => {
      const usage = { inputTokens: 1, outputTokens: 1, serviceTier: 'priority' };
      expect(() => calculateCost(model, usage)).toThrow('service tier');
    },
  );
});
