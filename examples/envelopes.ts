/** How a budget enforcer is used: check and record, commit and settle, cheaper calls, and tasks. */
import {
  type BudgetCheckResult,
  BudgetEnforcer,
  BudgetExceededError,
} from 'pursestrings/envelopes';

/** Stands for a model: what an answer costs is known when it is there. */
async function complete(model: string, prompt: string): Promise<{ text: string; cost: number }> {
  return { text: `${model} on ${prompt}`, cost: model === 'large' ? 0.31 : 0.015 };
}

const enforcer = new BudgetEnforcer();
enforcer.createEnvelope({ category: 'llm', limit: 1, period: 'daily' });

// Check, then record what it really cost.
async function checked(prompt: string): Promise<string> {
  const result = enforcer.check('llm', 0.4);
  if (!result.permitted) throw new BudgetExceededError(result);
  const { text, cost } = await complete('large', prompt);
  enforcer.record('llm', cost, prompt.slice(0, 80));
  return text;
}

// Commit, work, release, record: nobody takes the capacity in between.
async function committed(prompt: string): Promise<string> {
  const commit = enforcer.commit('llm', 0.4);
  if (!commit.permitted || commit.commitId === null) throw new BudgetExceededError(commit);
  try {
    const { text, cost } = await complete('large', prompt);
    enforcer.release(commit.commitId);
    enforcer.record('llm', cost, 'completion');
    return text;
  } catch (error) {
    enforcer.release(commit.commitId);
    throw error;
  }
}

// The same with `settle`, which releases and records in one step.
async function settled(prompt: string): Promise<string> {
  const commit = enforcer.commit('llm', 0.4);
  if (!commit.permitted || commit.commitId === null) throw new BudgetExceededError(commit);
  try {
    const { text, cost } = await complete('large', prompt);
    enforcer.settle(commit.commitId, cost, 'completion');
    return text;
  } catch (error) {
    enforcer.release(commit.commitId);
    throw error;
  }
}

// The large model while it fits, then the small one, then what is in the cache.
async function degraded(prompt: string): Promise<string> {
  for (const [model, estimate] of [
    ['large', 0.4],
    ['small', 0.02],
  ] as const) {
    if (!enforcer.check('llm', estimate).permitted) continue;
    const { text, cost } = await complete(model, prompt);
    enforcer.record('llm', cost, model);
    return text;
  }
  return 'from the cache';
}

// A category that nobody made an envelope of fails closed.
function strictly(category: string, amount: number): BudgetCheckResult {
  const result = enforcer.check(category, amount);
  if (result.reason === 'no_envelope') throw new Error(`No budget for ${category}`);
  return result;
}

// One enforcer for each task, with a budget that never begins anew.
function forTask(task: string, limit: number): BudgetEnforcer {
  const own = new BudgetEnforcer({ namespace: task });
  own.createEnvelope({ category: 'llm', limit, period: 'total' });
  return own;
}

console.log(await checked('a question'), await committed('another'));
console.log(await degraded('a third'), '|', enforcer.utilization('llm').available); // small | 0.365
try {
  await settled('a fourth');
} catch (error) {
  if (!(error instanceof BudgetExceededError)) throw error;
  console.log(error.message); // Budget exceeded: 0.4 requested, 0.365 available.
}
enforcer.suspendEnvelope('llm');
console.log(enforcer.check('llm', 0.01).reason); // suspended
enforcer.resumeEnvelope('llm');
try {
  strictly('web', 1);
} catch (error) {
  console.log(String(error)); // Error: No budget for web
}
const task = forTask('task-abc123', 0.25);
task.record('llm', 0.25);
console.log(task.check('llm', 0.01).permitted, enforcer.check('llm', 0.01).permitted); // false true
console.log(enforcer.getTransactions({ category: 'llm', minAmount: 0.1 }).length); // 2
