import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BudgetExceededError } from '../../src/errors.ts';
import type { LoopbackAnswer, LoopbackRequest } from '../../src/testing/loopback-provider.ts';
import { ask, askStreamed, billedSteps, openBench, rejection } from './fixture.ts';

describe("the SDK's helpers for chat", () => {
  it('stream() gathers the answer, and is settled by its usage', async () => {
    const bench = await openBench({ answer: () => 'words that come one by one' });
    let text = '';
    const stream = bench.openai.chat.completions.stream(askStreamed());
    stream.on('content', (delta) => {
      text += delta;
    });
    const final = await stream.finalChatCompletion();
    expect(text).toBe('words that come one by one');
    expect(final.choices[0]?.message.content).toBe(text);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('parse() reads an answer into a type', async () => {
    const bench = await openBench({ answer: () => '{"river":"Aare"}' });
    const river = z.object({ river: z.string() });
    const answer = await bench.openai.chat.completions.parse({
      ...ask(),
      response_format: zodResponseFormat(river, 'river'),
    });
    expect(answer.choices[0]?.message.parsed).toEqual({ river: 'Aare' });
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  /** Asks for the weather as long as nobody has said it twice. */
  function weather({ body }: LoopbackRequest): LoopbackAnswer {
    const messages = body.messages as readonly { readonly role: string }[];
    const told = messages.filter(({ role }) => role === 'tool').length;
    return told >= 2
      ? { content: 'It rains' }
      : { toolCalls: [{ name: 'weather', arguments: '{"city":"Bern"}' }] };
  }

  const tools = [
    zodFunction({
      name: 'weather',
      parameters: z.object({ city: z.string() }),
      function: ({ city }) => `It rains in ${city}`,
    }),
  ];

  it('runTools() is charged for each of its calls', async () => {
    const bench = await openBench({ answer: weather });
    const runner = bench.openai.chat.completions.runTools({ ...ask(), tools });
    expect(await runner.finalContent()).toBe('It rains');
    expect(bench.provider.requests).toBe(3);
    expect(await bench.charges()).toHaveLength(3);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  });

  it('runTools() ends with one error when its task has no more money', async () => {
    const bench = await openBench({
      answer: () => ({ toolCalls: [{ name: 'weather', arguments: '{"city":"Bern"}' }] }),
      limits: [{ name: 'all', cap: { usd: 0.004 }, each: ['task'] }],
      meter: { labels: { task: 't-9' } },
      client: { maxRetries: 3 },
    });
    const runner = bench.openai.chat.completions.runTools(
      { ...ask(), tools },
      { maxChatCompletions: 50 },
    );
    const error = await rejection(runner.finalContent());
    expect(BudgetExceededError.from(error)?.denial).toMatchObject({
      limit: 'all',
      labels: { task: 't-9' },
    });
    expect(bench.provider.requests).toBeGreaterThan(0);
    expect(await bench.charges()).toHaveLength(bench.provider.requests);
    expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
    expect(await bench.spentSteps()).toBeLessThanOrEqual(400_000n);
  });
});
