import { ChatAnthropic } from '@langchain/anthropic';
import { AIMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import type { BaseMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BudgetExceededError } from '../../../src/errors.ts';
import { openAnthropicBench } from '../anthropic-fixture.ts';
import type { AnthropicBench } from '../anthropic-fixture.ts';
import { rejection, until } from '../fixture.ts';
import type { AnthropicPeerOptions } from '../peers/anthropic-peer.ts';

type Fields = NonNullable<ConstructorParameters<typeof ChatAnthropic>[0]>;

function chat(bench: AnthropicBench, more: object = {}): ChatAnthropic {
  const fields: Fields = {
    model: 'claude-haiku-4-5',
    apiKey: 'none',
    maxTokens: 50,
    maxRetries: 0,
    anthropicApiUrl: bench.peer.url,
    clientOptions: { fetch: bench.fetch },
    ...more,
  };
  return new ChatAnthropic(fields);
}

const weather = tool(({ city }: { city: string }) => `rain over ${city}`, {
  name: 'weather',
  description: 'Says what the sky does over a city',
  schema: z.object({ city: z.string() }),
});

async function runAgent(model: ChatAnthropic, streamed: boolean): Promise<BaseMessage[]> {
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

type Bound = ReturnType<ChatAnthropic['bindTools']>;

async function gathered(streaming: ReturnType<Bound['stream']>): Promise<AIMessage> {
  let whole: Awaited<ReturnType<Bound['invoke']>> | undefined;
  for await (const chunk of await streaming) whole = whole?.concat(chunk) ?? chunk;
  return new AIMessage({ content: whole?.text ?? '', tool_calls: whole?.tool_calls ?? [] });
}

function tooled(times: number): NonNullable<AnthropicPeerOptions['answer']> {
  return ({ number }) =>
    number <= times
      ? {
          text: '',
          blocks: [
            { type: 'tool_use', id: `toolu_${number}`, name: 'weather', input: { city: 'Bern' } },
          ],
        }
      : 'It rains in Bern';
}

async function expectExact(bench: AnthropicBench, charges: number): Promise<void> {
  await bench.peer.idle();
  expect(await bench.charges()).toHaveLength(charges);
  expect(bench.peer.billed).toBe(charges);
  expect(await bench.spentSteps()).toBe(bench.peer.steps);
  expect(await bench.heldSteps()).toBe(0n);
}

describe('ChatAnthropic of LangChain', () => {
  it('invokes and streams, and is charged what the provider billed', async () => {
    const usage = {
      input_tokens: 11,
      cache_read_input_tokens: 300,
      cache_creation_input_tokens: 40,
      cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 0 },
      output_tokens: 9,
    };
    const bench = await openAnthropicBench({
      peer: { answer: () => ({ text: 'one two three', usage }) },
    });
    expect((await chat(bench).invoke('Say some words')).text).toBe('one two three');
    // Claude Haiku 4.5 at USD 1, 1.25 written, 0.10 read and 5 out a million, in steps of 1e-8:
    // https://platform.claude.com/docs/en/about-claude/pricing, 2026-11-22.
    const literal = 11n * 100n + 40n * 125n + 300n * 10n + 9n * 500n;
    expect(await bench.spentSteps()).toBe(literal);
    let text = '';
    for await (const chunk of await chat(bench).stream('Say some words')) text += chunk.text;
    expect(text).toBe('one two three');
    expect(await bench.spentSteps()).toBe(2n * literal);
    await expectExact(bench, 2);
  });

  it.each([['invoked', false] as const, ['streamed', true] as const])(
    'runs an agent with tools, %s',
    async (_how, streamed) => {
      const bench = await openAnthropicBench({ peer: { answer: tooled(3) } });
      const messages = await runAgent(chat(bench), streamed);
      expect(messages.at(-1)?.text).toBe('It rains in Bern');
      await expectExact(bench, 4);
    },
  );

  it('pays nothing for a try that failed, and for the retry what it cost', async () => {
    const bench = await openAnthropicBench({
      peer: {
        answer: ({ number }) => (number === 1 ? { status: 529, retryAfterSeconds: 0 } : 'done'),
      },
    });
    await chat(bench, { maxRetries: 2 }).invoke('Say some words');
    expect(bench.peer.requests).toBe(2);
    await expectExact(bench, 1);
  });

  it('pays a try that was cut off, for it may have been billed', async () => {
    const bench = await openAnthropicBench({
      peer: { answer: ({ number }) => (number === 1 ? { cut: 'before-headers' } : 'done') },
    });
    await chat(bench, { maxRetries: 2 }).invoke('Say some words');
    await bench.peer.idle();
    const charges = await bench.charges();
    expect(charges).toHaveLength(2);
    expect(charges[0]?.amounts).toEqual(charges[0]?.held);
    expect(await bench.spentSteps()).toBeGreaterThan(bench.peer.steps);
  });

  it.each([['respond'], ['throw']] as const)(
    'is denied under %s: nothing leaves, and the denial is found',
    async (onDenied) => {
      const bench = await openAnthropicBench({
        limits: [{ name: 'all', cap: { usd: 0.0001 } }],
        meter: { onDenied },
      });
      const model = chat(bench, { maxRetries: onDenied === 'respond' ? 4 : 1 });
      for (const streamed of [false, true]) {
        const denied = BudgetExceededError.from(await rejection(runAgent(model, streamed)));
        expect(denied?.denial).toMatchObject({ limit: 'all', unit: 'usd', cap: 0.0001 });
      }
      expect(bench.peer.requests).toBe(0);
      expect(await bench.charges()).toEqual([]);
    },
  );

  it('stops an agent at the cap of its task, with one clear error', async () => {
    for (const streamed of [false, true]) {
      const bench = await openAnthropicBench({
        limits: [{ name: 'task', cap: { usd: 0.01 }, each: ['task'] }],
        meter: { labels: { task: 't-9' } },
        peer: { answer: tooled(200) },
      });
      const error = await rejection(runAgent(chat(bench, { maxRetries: 3 }), streamed));
      const denied = BudgetExceededError.from(error);
      expect(denied?.denial).toMatchObject({ limit: 'task', labels: { task: 't-9' } });
      expect(String(error)).toContain('task');
      expect(bench.peer.requests).toBeGreaterThan(1);
      await expectExact(bench, bench.peer.requests);
      expect(await bench.spentSteps()).toBeLessThanOrEqual(1_000_000n);
    }
  });

  it('charges the hold of a stream that is left', async () => {
    const bench = await openAnthropicBench({ peer: { answer: () => ({ deltaDelayMs: 5 }) } });
    for await (const chunk of await chat(bench).stream('Say some words')) {
      if (chunk.text !== '') break;
    }
    await until(async () => (await bench.charges()).length > 0);
    await bench.peer.idle();
    expect(await bench.charges()).toHaveLength(1);
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
    expect(await bench.heldSteps()).toBe(0n);
  });
});
