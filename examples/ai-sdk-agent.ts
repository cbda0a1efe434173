/** An agent of the AI SDK runs its tools under a cap for its task, and stops there with one error. */
import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { stepCountIs, streamText, tool, wrapLanguageModel } from 'ai';
import { BudgetExceededError, openPurse } from 'pursestrings';
import { purseMiddleware } from 'pursestrings/llm';
import { loopbackProvider } from 'pursestrings/testing';
import { z } from 'zod';

const provider = await loopbackProvider({
  ratesUsdPerMillion: { input: 2.5, output: 10 },
  // It never has enough.
  answer: () => ({ toolCalls: [{ name: 'look', arguments: '{"where":"under the sofa"}' }] }),
});
const purse = await openPurse({ limits: [{ name: 'task', cap: { usd: 0.005 }, each: ['task'] }] });
const openai = createOpenAI({ apiKey: 'sk-of-nobody', baseURL: provider.url });
const model = wrapLanguageModel({
  model: openai.chat('gpt-4o'),
  middleware: purseMiddleware(purse, { labels: { task: 'find-the-keys' } }),
});

const { fullStream } = streamText({
  model,
  maxOutputTokens: 40,
  prompt: 'Where are my keys?',
  tools: {
    look: tool({
      inputSchema: z.object({ where: z.string() }),
      execute: async ({ where }) => `Nothing ${where}.`,
    }),
  },
  stopWhen: stepCountIs(1_000),
  onError: () => undefined,
});
let denied: BudgetExceededError | null = null;
for await (const part of fullStream) {
  if (part.type === 'error') denied = BudgetExceededError.from(part.error);
}

assert.equal(denied?.denial.limit, 'task');
const { total } = await purse.report();
assert.equal(total['usd'], Number(provider.bill.usd));
assert.ok(Number(total['usd']) <= 0.005);
await provider.close();
