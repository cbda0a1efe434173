import { Inject, Injectable } from '@nestjs/common';
import type { BudgetStatus } from '../agents/index.ts';
import { BudgetService } from './budget-service.ts';

/** How the ledger is, in the form of a health indicator's result. */
export interface BudgetHealth {
  /** `down` when the ledger does not answer. A budget that is used up is no illness. */
  readonly status: 'up' | 'down';
  readonly store: string;
  readonly latencyMs: number;
  /** How far the day's tokens are used, where the ledger answers. */
  readonly budgetStatus?: BudgetStatus;
  /** Why it is down. */
  readonly message?: string;
}

/**
 * A health indicator for `@nestjs/terminus`.
 *
 * @example
 * ```ts
 * import type { HealthCheckService } from '@nestjs/terminus';
 * import type { BudgetHealthIndicator } from 'pursestrings/nestjs';
 *
 * function check(health: HealthCheckService, budget: BudgetHealthIndicator) {
 *   return health.check([() => budget.isHealthy('budget')]);
 * }
 * ```
 */
export class BudgetHealthIndicator {
  readonly #budget: BudgetService;

  constructor(budget: BudgetService) {
    this.#budget = budget;
  }

  /** Asks the ledger, in bounded time. It does not throw when the ledger fails. */
  async isHealthy<const Key extends string>(key: Key): Promise<Record<Key, BudgetHealth>> {
    const { ok, store, latencyMs, error } = await this.#budget.purse.health();
    const health: BudgetHealth = ok
      ? { status: 'up', store, latencyMs, ...this.#standing() }
      : { status: 'down', store, latencyMs, ...(error && { message: error.message }) };
    return { [key]: health } as Record<Key, BudgetHealth>;
  }

  #standing(): { readonly budgetStatus?: BudgetStatus } {
    try {
      return { budgetStatus: this.#budget.getUsageSummary().budgetStatus };
    } catch {
      // The ledger answers, and the figures are being read again.
      return {};
    }
  }
}

Injectable()(BudgetHealthIndicator);
Inject(BudgetService)(BudgetHealthIndicator, undefined, 0);
