import { Agent, Runner, setTracingDisabled, tool } from '@openai/agents';
import { OpenAIProvider } from '@openai/agents';
import { setDefaultOpenAIClient } from '@openai/agents';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BudgetExceededError } from '../../../src/errors.ts';
import { billedSteps, openBench, rejection, until } from '../fixture.ts';
import type { Bench, BenchOptions } from '../fixture.ts';

setTracingDisabled(true);

const weather = tool({
  name: 'weather',
  description: 'Says what the sky does over a city',
  parameters: z.object({ city: z.string() }),
  execute: ({ city }) => `rain over ${city}`,
});

function agent(): Agent {
  return new Agent({
    name: 'Forecaster',
    model: 'gpt-4o',
    instructions: 'Answer in words',
    modelSettings: { maxTokens: 50 },
    tools: [weather],
  });
}

/** Runs agents on the client of the bench, by chat completions, as its provider speaks them. */
function runner(bench: Bench): Runner {
  const modelProvider = new OpenAIProvider({ openAIClient: bench.openai, useResponses: false });
  return new Runner({ modelProvider, tracingDisabled: true });
}

function tooled(times: number): NonNullable<BenchOptions['answer']> {
  return ({ number }) =>
    number <= times
      ? { toolCalls: [{ name: 'weather', arguments: '{"city":"Bern"}' }] }
      : 'It rains in Bern';
}

async function expectExact(bench: Bench, charges: number): Promise<void> {
  await bench.provider.idle();
  expect(await bench.charges()).toHaveLength(charges);
  expect(bench.provider.bill.requests).toBe(charges);
  expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
  expect(await bench.heldSteps()).toBe(0n);
}

async function run(bench: Bench, streamed: boolean): Promise<unknown> {
  const options = { maxTurns: 200 };
  if (!streamed) {
    return (await runner(bench).run(agent(), 'How is the weather?', options)).finalOutput;
  }
  const stream = await runner(bench).run(agent(), 'How is the weather?', {
    ...options,
    stream: true,
  });
  for await (const _event of stream);
  await stream.completed;
  return stream.finalOutput;
}

describe.each([['run', false] as const, ['streamed', true] as const])(
  'the agents of OpenAI, %s',
  (_how, streamed) => {
    it('run a loop with tools, each turn a call', async () => {
      const bench = await openBench({ answer: tooled(3) });
      expect(await run(bench, streamed)).toBe('It rains in Bern');
      await expectExact(bench, 4);
    });

    it('pay nothing for a try that failed, and for the retry what it cost', async () => {
      const bench = await openBench({
        answer: ({ number }) =>
          number === 1 ? { status: 500, retryAfterSeconds: 0 } : 'It rains in Bern',
        client: { maxRetries: 2 },
      });
      expect(await run(bench, streamed)).toBe('It rains in Bern');
      expect(bench.provider.requests).toBe(2);
      await expectExact(bench, 1);
    });

    it('pay a try that was cut off, for it may have been billed', async () => {
      const bench = await openBench({
        answer: ({ number }) => (number === 1 ? { cut: 'before-headers' } : 'It rains in Bern'),
        client: { maxRetries: 1 },
      });
      await run(bench, streamed);
      await bench.provider.idle();
      const charges = await bench.charges();
      expect(charges).toHaveLength(2);
      expect(charges[0]?.amounts).toEqual(charges[0]?.held);
      expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
    });

    it.each([['respond'], ['throw']] as const)(
      'are denied under %s: nothing leaves, and the denial is found',
      async (onDenied) => {
        const bench = await openBench({
          limits: [{ name: 'all', cap: { usd: 0.0001 } }],
          meter: { onDenied },
          client: { maxRetries: onDenied === 'respond' ? 5 : 0 },
        });
        let denials = 0;
        bench.purse.on('denied', () => {
          denials += 1;
        });
        const denied = BudgetExceededError.from(await rejection(run(bench, streamed)));
        expect(denied?.denial).toMatchObject({ limit: 'all', unit: 'usd', cap: 0.0001 });
        expect(denials).toBe(1);
        expect(bench.provider.requests).toBe(0);
        expect(await bench.charges()).toEqual([]);
      },
    );

    it('stop at the cap of their task, with one clear error', async () => {
      const bench = await openBench({
        limits: [{ name: 'task', cap: { usd: 0.003 }, each: ['task'] }],
        meter: { labels: { task: 't-9' } },
        client: { maxRetries: 3 },
        answer: tooled(100),
      });
      const error = await rejection(run(bench, streamed));
      const denied = BudgetExceededError.from(error);
      expect(denied?.denial).toMatchObject({ limit: 'task', labels: { task: 't-9' } });
      expect(bench.provider.requests).toBeGreaterThan(1);
      await expectExact(bench, bench.provider.requests);
      expect(await bench.spentSteps()).toBeLessThanOrEqual(300_000n);
    });
  },
);

describe('the default client of the agents', () => {
  it('is metered by its fetch', async () => {
    const bench = await openBench({ answer: () => 'It rains in Bern' });
    setDefaultOpenAIClient(
      new OpenAI({ apiKey: 'none', baseURL: bench.provider.url, fetch: bench.fetch }),
    );
    const byDefault = new Runner({
      modelProvider: new OpenAIProvider({ useResponses: false }),
      tracingDisabled: true,
    });
    await byDefault.run(agent(), 'How is the weather?');
    await until(async () => (await bench.charges()).length === 1);
    await expectExact(bench, 1);
  });
});
