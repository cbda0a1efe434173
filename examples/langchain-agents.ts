/** Agents on LangChain, each with a cap of its own: one that talks too much stops, the other goes on. */
import assert from 'node:assert/strict';
import { ChatOpenAI } from '@langchain/openai';
import { BudgetExceededError, openPurse } from 'pursestrings';
import { meteredFetch } from 'pursestrings/llm';
import { loopbackProvider } from 'pursestrings/testing';

const provider = await loopbackProvider({ ratesUsdPerMillion: { input: 2.5, output: 10 } });
const purse = await openPurse({
  limits: [{ name: 'agent', cap: { usd: 0.004 }, each: ['agent'] }],
});

/** Asks so many questions; answers how many were paid for. */
async function run(agent: string, questions: number): Promise<number> {
  const model = new ChatOpenAI({
    model: 'gpt-4o',
    apiKey: 'sk-of-nobody',
    maxTokens: 40,
    configuration: { baseURL: provider.url, fetch: meteredFetch(purse, { labels: { agent } }) },
  });
  for (let asked = 0; asked < questions; asked += 1) {
    try {
      await model.invoke(`I am ${agent}. What next?`);
    } catch (error) {
      if (BudgetExceededError.from(error) === null) throw error;
      return asked;
    }
  }
  return questions;
}

const [brief, endless] = await Promise.all([run('brief', 3), run('endless', 1_000)]);
assert.equal(brief, 3);
assert.ok(endless > 3 && endless < 1_000);
const { total, rows } = await purse.report({ by: ['agent'] });
assert.equal(total['usd'], Number(provider.bill.usd));
assert.ok(rows.every(({ amounts }) => Number(amounts['usd']) <= 0.004));
await provider.close();
