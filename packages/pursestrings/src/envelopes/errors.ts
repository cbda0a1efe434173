import type { Denial } from '../denial.ts';
import { BudgetExceededError as PurseBudgetExceededError } from '../errors.ts';
import type { BudgetCheckResult, CheckReason, CommitResult } from './types.ts';
import { AMOUNT_UNIT } from './amounts.ts';

/** What a denial calls the reasons of an enforcer. */
const REASONS: Readonly<Record<CheckReason, Denial['reason']>> = {
  within_budget: 'exceeds',
  exceeds_budget: 'exceeds',
  no_envelope: 'uncovered',
  suspended: 'frozen',
};

/**
 * A check or a commit was not permitted: users throw it with what they were answered. It extends the
 * error of this name that `pursestrings` exports, so `instanceof` works with either import.
 *
 * @example
 * ```ts
 * import { BudgetEnforcer, BudgetExceededError } from 'pursestrings/envelopes';
 *
 * const enforcer = new BudgetEnforcer();
 * enforcer.createEnvelope({ category: 'llm', limit: 1, period: 'daily' });
 * const result = enforcer.check('llm', 2);
 * const error = result.permitted ? null : new BudgetExceededError(result);
 * console.log(error?.result.reason, error?.remaining); // exceeds_budget 1
 * ```
 */
export class BudgetExceededError extends PurseBudgetExceededError {
  static override readonly brand: string = 'EnforcerBudgetExceededError';
  /** What was answered. */
  readonly result: BudgetCheckResult | CommitResult;

  constructor(result: BudgetCheckResult | CommitResult) {
    super([denialOf(result)], result.error === undefined ? {} : { cause: result.error });
    this.name = 'BudgetExceededError';
    this.result = result;
  }
}

function denialOf(result: BudgetCheckResult | CommitResult): Denial {
  const { requested, available, reason } = result;
  const { limit = 0, spent = 0, committed = 0 } = 'limit' in result ? result : {};
  return {
    reason: REASONS[reason],
    limit: null,
    unit: AMOUNT_UNIT,
    labels: {},
    cap: limit,
    spent,
    held: committed,
    requested,
    available,
    resetsAt: null,
    message: messageOf(result),
  };
}

function messageOf({
  requested,
  available,
  reason,
  error,
}: BudgetCheckResult | CommitResult): string {
  switch (reason) {
    case 'no_envelope':
      return `Budget exceeded: ${requested} requested, and the category has no envelope; create one.`;
    case 'suspended':
      return error === undefined
        ? `Budget exceeded: ${requested} requested, and the envelope is suspended; resume it first.`
        : `Budget exceeded: ${requested} requested, and nothing is permitted: ${error.message}`;
    default:
      return `Budget exceeded: ${requested} requested, ${available} available.`;
  }
}
