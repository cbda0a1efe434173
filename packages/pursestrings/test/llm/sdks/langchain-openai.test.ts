import { AIMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import type { BaseMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BudgetExceededError } from '../../../src/errors.ts';
import { billedSteps, openBench, rejection, STEPS, until } from '../fixture.ts';
import type { Bench, BenchOptions } from '../fixture.ts';

function chat(bench: Bench, more: ConstructorParameters<typeof ChatOpenAI>[0] = {}): ChatOpenAI {
  return new ChatOpenAI({
    model: 'gpt-4o',
    apiKey: 'none',
    maxTokens: 50,
    maxRetries: 0,
    configuration: { baseURL: bench.provider.url, fetch: bench.fetch },
    ...more,
  });
}

const weather = tool(({ city }: { city: string }) => `rain over ${city}`, {
  name: 'weather',
  description: 'Says what the sky does over a city',
  schema: z.object({ city: z.string() }),
});

/** Asks and runs tools until the model answers in words. */
async function runAgent(model: ChatOpenAI, streamed: boolean): Promise<BaseMessage[]> {
  const bound = model.bindTools([weather]);
  const messages: BaseMessage[] = [new HumanMessage('How is the weather in Bern?')];
  for (;;) {
    const answer = streamed ? await gathered(bound.stream(messages)) : await bound.invoke(messages);
    messages.push(answer);
    const calls = answer.tool_calls ?? [];
    if (calls.length === 0) return messages;
    for (const call of calls) {
      const content = await weather.invoke({ city: String(call.args.city) });
      messages.push(new ToolMessage({ content, tool_call_id: call.id ?? '' }));
    }
  }
}

async function gathered(
  streaming: ReturnType<ReturnType<ChatOpenAI['bindTools']>['stream']>,
): Promise<AIMessage> {
  let whole: Awaited<ReturnType<ReturnType<ChatOpenAI['bindTools']>['invoke']>> | undefined;
  for await (const chunk of await streaming) whole = whole?.concat(chunk) ?? chunk;
  return new AIMessage({ content: whole?.content ?? '', tool_calls: whole?.tool_calls ?? [] });
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

describe('ChatOpenAI of LangChain', () => {
  it('invokes and streams, and is charged what the provider billed', async () => {
    const bench = await openBench({
      answer: () => ({ content: 'one two three', cachedTokens: 4, reasoningTokens: 7 }),
    });
    const answer = await chat(bench).invoke('Say some words');
    expect(answer.content).toBe('one two three');
    const literal = 6n * STEPS.input + 4n * STEPS.cachedInput + 10n * STEPS.output;
    expect(await bench.spentSteps()).toBe(literal);
    let text = '';
    for await (const chunk of await chat(bench).stream('Say some words')) text += chunk.text;
    expect(text).toBe('one two three');
    expect(await bench.spentSteps()).toBe(2n * literal);
    await expectExact(bench, 2);
  });

  it('keeps the labels of its fetch', async () => {
    const bench = await openBench({ meter: { labels: { agent: 'a1' } } });
    await chat(bench).invoke('Say some words');
    expect((await bench.charges())[0]?.labels).toMatchObject({ agent: 'a1', model: 'gpt-4o' });
  });

  it.each([['invoked', false] as const, ['streamed', true] as const])(
    'runs an agent with tools, %s',
    async (_how, streamed) => {
      const bench = await openBench({ answer: tooled(3) });
      const messages = await runAgent(chat(bench), streamed);
      expect(messages.at(-1)?.text).toBe('It rains in Bern');
      await expectExact(bench, 4);
    },
  );

  it('batches, each input a call', async () => {
    const bench = await openBench();
    await chat(bench).batch(['one', 'two', 'three']);
    await expectExact(bench, 3);
  });

  it('pays nothing for a try that failed, and for the retry what it cost', async () => {
    const bench = await openBench({
      answer: ({ number }) => (number === 1 ? { status: 500, retryAfterSeconds: 0 } : 'done'),
    });
    await chat(bench, { maxRetries: 2 }).invoke('Say some words');
    expect(bench.provider.requests).toBe(2);
    await expectExact(bench, 1);
  });

  it('pays a try that was cut off, for it may have been billed', async () => {
    const bench = await openBench({
      answer: ({ number }) => (number === 1 ? { cut: 'before-headers' } : 'done'),
    });
    await chat(bench, { maxRetries: 2 }).invoke('Say some words');
    await bench.provider.idle();
    const charges = await bench.charges();
    expect(charges).toHaveLength(2);
    expect(charges[0]?.amounts).toEqual(charges[0]?.held);
    expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
  });

  it.each([['respond'], ['throw']] as const)(
    'is denied under %s: nothing leaves, and the denial is found',
    async (onDenied) => {
      const bench = await openBench({
        limits: [{ name: 'all', cap: { usd: 0.0001 } }],
        meter: { onDenied },
      });
      let denials = 0;
      bench.purse.on('denied', () => {
        denials += 1;
      });
      const model = chat(bench, { maxRetries: onDenied === 'respond' ? 4 : 1 });
      for (const streamed of [false, true]) {
        const denied = BudgetExceededError.from(await rejection(runAgent(model, streamed)));
        expect(denied?.denial).toMatchObject({ limit: 'all', unit: 'usd', cap: 0.0001 });
      }
      // What is thrown looks like a failed connection, which LangChain tries again; it is denied again.
      expect(denials).toBe(onDenied === 'respond' ? 2 : 4);
      expect(bench.provider.requests).toBe(0);
      expect(await bench.charges()).toEqual([]);
    },
  );

  it('stops an agent at the cap of its task, with one clear error', async () => {
    for (const streamed of [false, true]) {
      const bench = await openBench({
        limits: [{ name: 'task', cap: { usd: 0.003 }, each: ['task'] }],
        meter: { labels: { task: 't-9' } },
        answer: tooled(100),
      });
      const error = await rejection(runAgent(chat(bench, { maxRetries: 3 }), streamed));
      const denied = BudgetExceededError.from(error);
      expect(denied?.denial).toMatchObject({ limit: 'task', labels: { task: 't-9' } });
      expect(String(error)).toContain('task');
      expect(bench.provider.requests).toBeGreaterThan(1);
      await expectExact(bench, bench.provider.requests);
      expect(await bench.spentSteps()).toBeLessThanOrEqual(300_000n);
    }
  });

  it('charges the hold of a stream that is left', async () => {
    const bench = await openBench({ answer: () => ({ chunkDelayMs: 5 }) });
    for await (const chunk of await chat(bench).stream('Say some words')) {
      if (chunk.text !== '') break;
    }
    await until(async () => (await bench.charges()).length > 0);
    await bench.provider.idle();
    const [charge] = await bench.charges();
    expect(charge?.amounts).toEqual(charge?.held);
    expect(await bench.spentSteps()).toBeGreaterThan(billedSteps(bench.provider));
  });
});
