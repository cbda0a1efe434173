import { onTestFinished } from 'vitest';

import {
  BudgetService,
  type BudgetServiceOptions,
  type UsageBudget,
} from '../../src/agents/index.ts';

/** A configuration that knows some of the keys. */
export function configOf(
  budget: Partial<Record<keyof UsageBudget, unknown>>,
): Map<string, unknown> {
  return new Map(
    Object.entries(budget).map(([key, value]) => [`orchestrator.budget.${key}`, value]),
  );
}

/** A service that is closed with the test. */
export function makeService(
  budget: Partial<Record<keyof UsageBudget, unknown>> = {},
  options: BudgetServiceOptions = {},
): BudgetService {
  const service = new BudgetService(configOf(budget), options);
  onTestFinished(() => service.close());
  return service;
}
