import { AIMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import type { BaseMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from '@openai/agents';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BudgetExceededError } from '../../../src/errors.ts';
import { purseMiddleware } from '../../../src/llm/ai-sdk/middleware.ts';
import { rejection } from '../fixture.ts';
import { openOpenaiBench } from '../openai-fixture.ts';
import type { OpenaiBench, OpenaiBenchOptions } from '../openai-fixture.ts';
import type { PeerRequest } from '../peers/openai-peer.ts';
import { MAJORS } from './vercel-majors.ts';
import type { Asking } from './vercel-majors.ts';

setTracingDisabled(true);

const schema = z.object({ city: z.string() });
const description = 'Says what the sky does over a city';

function call(number: number): object {
  return {
    type: 'function_call',
    id: `fc_${number}`,
    call_id: `call_${number}`,
    name: 'weather',
    arguments: '{"city":"Bern"}',
    status: 'completed',
  };
}

/** Calls a tool a number of times, then says a word. */
function tooled(times: number): NonNullable<OpenaiBenchOptions['answer']> {
  return ({ body }: PeerRequest) => {
    const input: unknown[] = Array.isArray(body.input) ? body.input : [];
    const done = input.filter((item) => JSON.stringify(item).includes('function_call_output'));
    return done.length < times
      ? { items: [call(done.length + 1)], text: '' }
      : { text: 'It rains in Bern' };
  };
}

/** Ways to ask the responses API in a loop with a tool. */
const WAYS: readonly (readonly [
  string,
  (bench: OpenaiBench, streamed: boolean) => Promise<unknown>,
])[] = [
  ...MAJORS.flatMap((major) =>
    (['fetch', 'middleware'] as const).map(
      (by) =>
        [
          `${major.name} by ${by}`,
          async (bench: OpenaiBench, streamed: boolean): Promise<unknown> => {
            const way: Partial<Asking> =
              by === 'fetch'
                ? { fetch: bench.fetch }
                : { middleware: purseMiddleware(bench.purse, { labels: { task: 't-9' } }) };
            const asking: Asking = {
              url: bench.peer.url,
              api: 'responses',
              tools: true,
              ...way,
            };
            return (await major[streamed ? 'stream' : 'generate'](asking)).text;
          },
        ] as const,
    ),
  ),
  ['the agents of OpenAI', runAgents],
  ['LangChain', runLangChain],
];

async function runAgents(bench: OpenaiBench, streamed: boolean): Promise<unknown> {
  const execute = ({ city }: { city: string }): string => `rain over ${city}`;
  const agent = new Agent({
    name: 'Forecaster',
    model: 'gpt-4o',
    modelSettings: { maxTokens: 50 },
    tools: [tool({ name: 'weather', description, parameters: schema, execute })],
  });
  const modelProvider = new OpenAIProvider({ openAIClient: bench.openai });
  const runner = new Runner({ modelProvider, tracingDisabled: true });
  const maxTurns = 500;
  if (!streamed) return (await runner.run(agent, 'How is the weather?', { maxTurns })).finalOutput;
  const stream = await runner.run(agent, 'How is the weather?', { maxTurns, stream: true });
  for await (const _event of stream);
  await stream.completed;
  return stream.finalOutput;
}

async function runLangChain(bench: OpenaiBench, streamed: boolean): Promise<unknown> {
  const weather = langchainTool(({ city }: { city: string }) => `rain over ${city}`, {
    name: 'weather',
    description,
    schema,
  });
  const model = new ChatOpenAI({
    model: 'gpt-4o',
    apiKey: 'none',
    maxTokens: 50,
    maxRetries: 2,
    useResponsesApi: true,
    configuration: { baseURL: bench.peer.url, fetch: bench.fetch },
  }).bindTools([weather]);
  const messages: BaseMessage[] = [new HumanMessage('How is the weather?')];
  for (;;) {
    let answer: AIMessage | undefined;
    if (streamed) {
      let whole: Awaited<ReturnType<typeof model.invoke>> | undefined;
      for await (const chunk of await model.stream(messages)) whole = whole?.concat(chunk) ?? chunk;
      answer = new AIMessage({ content: whole?.text ?? '', tool_calls: whole?.tool_calls ?? [] });
    } else {
      answer = await model.invoke(messages);
    }
    messages.push(answer);
    if ((answer.tool_calls ?? []).length === 0) return answer.text;
    for (const { id, args } of answer.tool_calls ?? []) {
      const content = await weather.invoke({ city: String(args.city) });
      messages.push(new ToolMessage({ content, tool_call_id: id ?? '' }));
    }
  }
}

describe.each(WAYS)('%s on the responses API', (_name, run) => {
  it.each([['whole', false] as const, ['streamed', true] as const])(
    'costs what is billed in a loop with tools, %s',
    async (_how, streamed) => {
      const bench = await openOpenaiBench({ answer: tooled(3) });
      expect(await run(bench, streamed)).toBe('It rains in Bern');
      await bench.peer.idle();
      expect(bench.peer.billed).toBe(4);
      expect(await bench.charges()).toHaveLength(4);
      expect(await bench.spentSteps()).toBe(bench.peer.steps);
      expect(await bench.heldSteps()).toBe(0n);
    },
  );

  it.each([['whole', false] as const, ['streamed', true] as const])(
    'stops at the cap of its task, with one clear error, %s',
    async (_how, streamed) => {
      const bench = await openOpenaiBench({
        limits: [{ name: 'task', cap: { usd: 0.01 }, each: ['task'] }],
        meter: { labels: { task: 't-9' } },
        answer: tooled(500),
        client: { maxRetries: 3 },
      });
      const error = await rejection(run(bench, streamed));
      const denied = BudgetExceededError.from(error);
      expect(denied?.denial).toMatchObject({ limit: 'task', labels: { task: 't-9' } });
      await bench.peer.idle();
      expect(bench.peer.billed).toBeGreaterThan(1);
      expect(bench.peer.requests).toBe(bench.peer.billed);
      expect(await bench.spentSteps()).toBe(bench.peer.steps);
      expect(await bench.spentSteps()).toBeLessThanOrEqual(1_000_000n);
      expect(await bench.heldSteps()).toBe(0n);
    },
  );
});
