/** Parallel streams under one daily cap, some of them left early; the ledger is never below the bill. */
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { withLabels } from 'pursestrings';
import { BudgetExceededError, guard, spendReport } from 'pursestrings/guard';
import { loopbackProvider } from 'pursestrings/testing';

const CAP_USD = 0.01;

const provider = await loopbackProvider({ ratesUsdPerMillion: { input: 2.5, output: 10 } });
const openai = new OpenAI({ apiKey: 'sk-of-nobody', baseURL: provider.url });
const ai = guard(openai, { project: 'my-app', dailyCapUSD: CAP_USD });

async function read(feature: string, leavesEarly: boolean): Promise<'done' | 'refused'> {
  const request = {
    model: 'gpt-4o',
    max_tokens: 50,
    messages: [{ role: 'user' as const, content: 'Name some rivers.' }],
    stream: true as const,
  };
  try {
    const stream = await withLabels({ feature }, () => ai.chat.completions.create(request));
    for await (const chunk of stream) {
      if (leavesEarly && chunk.choices.length > 0) break;
    }
    return 'done';
  } catch (error) {
    if (error instanceof BudgetExceededError) return 'refused';
    throw error;
  }
}

const calls = Array.from({ length: 60 }, (_, index) =>
  read(index % 2 === 0 ? 'chat' : 'summarize', index % 3 === 0),
);
const ends = await Promise.all(calls);
await provider.idle();

const report = await spendReport('my-app');
const spent = Math.round(((report['chat'] ?? 0) + (report['summarize'] ?? 0)) * 1e8) / 1e8;
assert.ok(ends.includes('refused'));
assert.ok(spent <= CAP_USD);
assert.ok(spent >= Number(provider.bill.usd));
await provider.close();
