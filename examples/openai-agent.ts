/** Agents on the official OpenAI SDK, in parallel, stop at the cap; the ledger equals the bill. */
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { BudgetExceededError, openPurse } from 'pursestrings';
import { meteredFetch } from 'pursestrings/llm';
import { loopbackProvider } from 'pursestrings/testing';

const provider = await loopbackProvider({ ratesUsdPerMillion: { input: 2.5, output: 10 } });
const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 0.01 } }] });

async function agent(name: string): Promise<void> {
  const fetch = meteredFetch(purse, { labels: { agent: name } });
  const openai = new OpenAI({ apiKey: 'sk-of-nobody', baseURL: provider.url, fetch });
  for (;;) {
    try {
      await openai.chat.completions.create({
        model: 'gpt-4o',
        max_completion_tokens: 40,
        messages: [{ role: 'user', content: `I am ${name}. What next?` }],
      });
    } catch (error) {
      if (BudgetExceededError.from(error) === null) throw error;
      return;
    }
  }
}

await Promise.all(['a1', 'a2', 'a3', 'a4', 'a5'].map(agent));
const { total } = await purse.report();
assert.equal(total['usd'], Number(provider.bill.usd));
assert.ok(Number(total['usd']) <= 0.01);
await provider.close();
