/**
 * How much of what bare Maps can do is left with an enforcer around them?
 *
 * One turn is a hundred times check and record, each on one of ten categories, with the newest 10,000
 * transactions kept. The raw side answers with the same objects, makes the same ids and finds a
 * transaction by its id, in a Map; a ring tells it which is the oldest, for a Map is slow to say. It
 * holds no ledger, checks nothing that it is given and cannot be shared.
 */
import { BudgetEnforcer, type BudgetCheckResult, type Transaction } from 'pursestrings/envelopes';
import { uuidv7 } from 'uuidv7';
import { compare, type Contender, printRatio } from './harness.ts';

const CATEGORIES = Array.from({ length: 10 }, (_, index) => `category-${index}`);
const MAX_TRANSACTIONS = 10_000;
const DAY_MS = 86_400_000;
const SPENDS_PER_TURN = 100;

interface Enforcing {
  check(category: string, amount: number): BudgetCheckResult;
  record(category: string, amount: number): Transaction;
}

function contender(name: string, make: () => Enforcing): Contender {
  return {
    name,
    open: async () => {
      const enforcer = make();
      return {
        lifecycle: async () => {
          for (let count = 0; count < SPENDS_PER_TURN; count += 1) {
            const category = CATEGORIES[count % CATEGORIES.length] as string;
            if (!enforcer.check(category, 0.01).permitted) throw new Error('denied');
            enforcer.record(category, 0.0001);
          }
        },
        close: async () => undefined,
      };
    },
  };
}

interface RawEnvelope {
  readonly id: string;
  readonly limit: number;
  spent: number;
  committed: number;
  startMs: number;
}

class RawEnforcer implements Enforcing {
  readonly #envelopes = new Map<string, RawEnvelope>();
  readonly #transactions = new Map<string, Transaction>();
  readonly #ring: string[] = [];
  #turn = 0;

  constructor() {
    for (const category of CATEGORIES) {
      const envelope = { id: uuidv7(), limit: 1e6, spent: 0, committed: 0, startMs: Date.now() };
      this.#envelopes.set(category, envelope);
    }
  }

  check(category: string, amount: number): BudgetCheckResult {
    const { limit, spent, committed } = this.#envelope(category);
    const available = Math.max(0, limit - spent - committed);
    const permitted = amount <= available;
    const reason = permitted ? 'within_budget' : 'exceeds_budget';
    return { permitted, available, requested: amount, limit, spent, committed, reason };
  }

  record(category: string, amount: number): Transaction {
    const envelope = this.#envelope(category);
    const id = uuidv7();
    const transaction = { id, category, amount, timestamp: new Date(), envelopeId: envelope.id };
    envelope.spent += amount;
    this.#transactions.set(id, transaction);
    const place = this.#turn % MAX_TRANSACTIONS;
    const oldest = this.#ring[place];
    if (oldest !== undefined) this.#transactions.delete(oldest);
    this.#ring[place] = id;
    this.#turn += 1;
    return { ...transaction };
  }

  #envelope(category: string): RawEnvelope {
    const envelope = this.#envelopes.get(category);
    if (envelope === undefined) throw new Error('no envelope');
    const periods = Math.floor((Date.now() - envelope.startMs) / DAY_MS);
    if (periods > 0) {
      envelope.spent = 0;
      envelope.startMs += periods * DAY_MS;
    }
    return envelope;
  }
}

const ours = contender('enforcer', () => {
  const enforcer = new BudgetEnforcer({ maxTransactions: MAX_TRANSACTIONS });
  for (const category of CATEGORIES) {
    enforcer.createEnvelope({ category, limit: 1e6, period: 'daily' });
  }
  return enforcer;
});
const raw = contender('bare Maps', () => new RawEnforcer());

const result = await compare(ours, raw, { inFlight: 1, rounds: 5, durationMs: 1000 });
printRatio(`envelopes, ${SPENDS_PER_TURN} x check + record`, result, 0.4);
