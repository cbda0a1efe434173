import { describe, expect, it } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import { ask, askStreamed, billedSteps, openBench, rejection } from './fixture.ts';

const WORDS = 'word '.repeat(2_000);

describe('whenTight: clamp', () => {
  it.each(['max_tokens', 'max_completion_tokens'] as const)(
    'lowers `%s` to what the money left affords',
    async (name) => {
      const bench = await openBench({
        limits: [{ name: 'all', cap: { usd: 0.002 } }],
        meter: { whenTight: 'clamp' },
        answer: () => WORDS,
      });
      const answer = await bench.openai.chat.completions.create(
        ask({ max_completion_tokens: undefined, [name]: 4_000 }),
      );
      expect(answer.choices[0]?.finish_reason).toBe('length');
      const sent = bench.provider.lastRequest?.body ?? {};
      expect(sent[name]).toBeGreaterThan(100);
      // $0.002 at $10 a million.
      expect(sent[name]).toBeLessThan(200);
      expect(Object.keys(sent).filter((key) => key.startsWith('max_'))).toEqual([name]);
      expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
      expect(await bench.spentSteps()).toBeLessThanOrEqual(200_000n);
    },
  );

  it('divides what is left among the choices, under the tightest limit of either unit', async () => {
    const bench = await openBench({
      limits: [
        { name: 'all', cap: { usd: 0.01 } },
        { name: 'tokens', cap: { tokens: 400 } },
      ],
      meter: { whenTight: 'clamp' },
      answer: () => WORDS,
    });
    await bench.openai.chat.completions.create(ask({ n: 2, max_completion_tokens: 4_000 }));
    const cap = bench.provider.lastRequest?.body.max_completion_tokens;
    expect(cap).toBeGreaterThan(100);
    expect(cap).toBeLessThan(200);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('sets a cap where there was none, also for a stream', async () => {
    const bench = await openBench({
      limits: [{ name: 'all', cap: { usd: 0.002 } }],
      meter: { whenTight: 'clamp' },
      answer: () => WORDS,
    });
    const open = askStreamed({ max_completion_tokens: undefined });
    for await (const _chunk of await bench.openai.chat.completions.create(open));
    expect(bench.provider.lastRequest?.body.max_completion_tokens).toBeLessThan(200);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('denies below a useful minimum, and where another unit is short', async () => {
    const tight = await openBench({
      limits: [{ name: 'all', cap: { usd: 0.00025 } }],
      meter: { whenTight: 'clamp' },
    });
    const error = await rejection(
      tight.openai.chat.completions.create(ask({ max_completion_tokens: 500 })),
    );
    expect(BudgetExceededError.from(error)?.denial.unit).toBe('usd');
    const calls = await openBench({
      limits: [{ name: 'all', cap: { calls: 0 } }],
      meter: { whenTight: 'clamp' },
    });
    const denied = await rejection(calls.openai.chat.completions.create(ask()));
    expect(BudgetExceededError.from(denied)?.denial.unit).toBe('calls');
    expect(tight.provider.requests + calls.provider.requests).toBe(0);
  });

  it('is not done under `deny`', async () => {
    const bench = await openBench({ limits: [{ name: 'all', cap: { usd: 0.002 } }] });
    const error = await rejection(
      bench.openai.chat.completions.create(ask({ max_completion_tokens: 4_000 })),
    );
    expect(BudgetExceededError.from(error)).not.toBeNull();
    expect(bench.provider.requests).toBe(0);
  });
});

describe('200 calls at once on a cap that affords 20', () => {
  // By its bytes the request costs some $0.00089 at most, so some 22 are admitted at once.
  const cap = 0.02;

  it.each([false, true])(
    'never bill more than is charged, nor more than the cap, streamed: %s',
    async (stream) => {
      const bench = await openBench({
        limits: [
          { name: 'all', cap: { usd: cap } },
          { name: 'agent', cap: { usd: cap }, each: ['agent'] },
        ],
        answer: ({ number }) => ({
          content: WORDS,
          chunkDelayMs: 1,
          ...(number % 4 === 1 ? { cutAfterChunks: 5, cut: 'after-headers' as const } : {}),
        }),
      });
      const outcomes = await Promise.allSettled(
        Array.from({ length: 200 }, async (_, index) => {
          const headers = { 'x-purse-labels': `agent=a${index % 5}` };
          if (!stream) {
            await bench.openai.chat.completions.create(ask(), { headers });
            return;
          }
          const chunks = await bench.openai.chat.completions.create(askStreamed(), { headers });
          let seen = 0;
          for await (const _chunk of chunks) {
            seen += 1;
            if (index % 3 === 0 && seen > 5) break;
          }
        }),
      );
      await bench.provider.idle();
      const denied = outcomes.filter(
        (outcome) => outcome.status === 'rejected' && BudgetExceededError.from(outcome.reason),
      );
      expect(denied.length).toBeGreaterThan(150);
      expect(bench.provider.requests).toBe(200 - denied.length);
      expect(bench.provider.requests).toBeGreaterThanOrEqual(20);
      expect(await bench.heldSteps()).toBe(0n);
      const spent = await bench.spentSteps();
      expect(billedSteps(bench.provider)).toBeLessThanOrEqual(spent);
      expect(spent).toBeLessThanOrEqual(BigInt(cap * 1e8));
      expect(await bench.charges()).toHaveLength(bench.provider.requests);
      expect((await bench.purse.verify()).ok).toBe(true);
    },
  );
});
