import { contended, MAX_PLANS } from '../asking.ts';
import type { EmbeddedSpending, Looked } from '../embedded-spending.ts';
import { InvalidOptionError } from '../errors.ts';
import { toDecimal } from '../ledger/amount.ts';
import type { Rulebook } from '../ledger/policy.ts';
import type { Standing } from '../spend-check.ts';
import { asFarAsCounted, decimalsOf, spendIn } from './amounts.ts';
import { type EnvelopeRule, envelopeRuleOf } from './envelope-limit.ts';
import type { SpendingEnvelope } from './types.ts';

/** An envelope, and what a spend from it would draw on. */
export interface Seen {
  readonly envelope: EnvelopeRule;
  /** Its own balance; others are of limits that were set beside it. */
  readonly own: Standing;
  readonly looked: Looked;
}

/** The envelopes of a ledger by their categories, as the policy has them. */
export class EnvelopeShelf {
  readonly #spending: EmbeddedSpending;
  readonly #isShared: boolean;
  #readFrom: Rulebook | null = null;
  #byCategory: ReadonlyMap<string, EnvelopeRule> = new Map();

  /** @param isShared Others may change the policy too, so that it is looked at again at every call. */
  constructor(spending: EmbeddedSpending, isShared: boolean) {
    this.#spending = spending;
    this.#isShared = isShared;
  }

  find(category: string): EnvelopeRule | null {
    return this.#current().get(category) ?? null;
  }

  /** @throws InvalidOptionError for a category that has no envelope. */
  require(category: string): EnvelopeRule {
    return this.find(category) ?? throwUnknown(category);
  }

  all(): EnvelopeRule[] {
    return [...this.#current().values()];
  }

  /** Looks at an envelope; `null` when the category has none. */
  look(category: string, amount: number): Seen | null {
    for (let attempt = 0; attempt < MAX_PLANS; attempt += 1) {
      const envelope = this.find(category);
      if (envelope === null) return null;
      const asked = spendIn(envelope.unit, asFarAsCounted(amount, envelope.unit));
      const looked = this.#spending.lookAt(asked, envelope.labels);
      const own = looked.standings.find(({ line }) => line.terms.limit === envelope.limitName);
      // Without it, the envelope was replaced by another process since it was found.
      if (own !== undefined) return { envelope, own, looked };
    }
    throw contended();
  }

  /** @throws InvalidOptionError for a category that has no envelope. */
  requireSeen(category: string): Seen {
    return this.look(category, 0) ?? throwUnknown(category);
  }

  /** An envelope as it stands in its current period: a copy. */
  describe({ envelope, own }: Seen): SpendingEnvelope {
    const { id, category, limit, period, sinceMs, labels } = envelope;
    const startMs = period === 'total' ? sinceMs : own.line.window.startMs;
    return {
      id,
      category,
      limit,
      period,
      spent: decimalIn(own.spent, envelope),
      committed: decimalIn(own.held, envelope),
      periodStart: new Date(startMs),
      suspended: this.#spending.rulebook.freezeOn(labels.labels) !== undefined,
    };
  }

  #current(): ReadonlyMap<string, EnvelopeRule> {
    if (this.#isShared) this.#spending.refresh();
    const { rulebook } = this.#spending;
    if (rulebook !== this.#readFrom) {
      const rules = rulebook.rules.map(envelopeRuleOf).filter((rule) => rule !== null);
      this.#byCategory = new Map(rules.map((rule) => [rule.category, rule]));
      this.#readFrom = rulebook;
    }
    return this.#byCategory;
  }
}

/** What may still be spent, as decimals: the least that any of some balances has left. */
export function availableIn(
  standings: readonly {
    readonly line: Pick<Standing['line'], 'terms'>;
    readonly spent: number;
    readonly held: number;
  }[],
): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { line, spent, held } of standings) {
    const { capSteps, soft, unit } = line.terms;
    if (soft) continue;
    least = Math.min(least, toDecimal(Math.max(0, capSteps - spent - held), decimalsOf(unit)));
  }
  return least;
}

/** Steps of an envelope as a decimal. */
export function decimalIn(steps: number, { unit }: Pick<EnvelopeRule, 'unit'>): number {
  return toDecimal(steps, decimalsOf(unit));
}

function throwUnknown(category: string): never {
  throw new InvalidOptionError(
    `Category ${JSON.stringify(category)} has no envelope; create one with createEnvelope()`,
  );
}
