/** An enforcer that is extended, so that every check and every record is counted. */
import { type BudgetCheckResult, BudgetEnforcer, type Transaction } from 'pursestrings/envelopes';

const metrics = new Map<string, number>();
function count(name: string, by = 1): void {
  metrics.set(name, (metrics.get(name) ?? 0) + by);
}

class InstrumentedEnforcer extends BudgetEnforcer {
  override check(category: string, amount: number): BudgetCheckResult {
    const result = super.check(category, amount);
    count(`budget.check.${category}.${result.reason}`);
    return result;
  }

  override record(category: string, amount: number, description?: string): Transaction {
    const transaction = super.record(category, amount, description);
    count(`budget.spent.${category}`, transaction.amount);
    return transaction;
  }
}

const enforcer = new InstrumentedEnforcer();
enforcer.createEnvelope({ category: 'search', limit: 3, period: 'hourly' });
for (let query = 0; query < 5; query += 1) {
  if (enforcer.check('search', 1).permitted) enforcer.record('search', 1, `query ${query}`);
}
console.log(Object.fromEntries(metrics));
// { 'budget.check.search.within_budget': 3, 'budget.spent.search': 3, 'budget.check.search.exceeds_budget': 2 }
