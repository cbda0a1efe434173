/** The budget of an orchestrator as a Nest module. */
export {
  type AgentSlot,
  type AgentUsageSummary,
  type BudgetConfig,
  type BudgetServiceOptions,
  type BudgetStatus,
  DEFAULT_BUDGET,
  type SpawnCheck,
  type SpawnedAgent,
  type UsageBudget,
  type UsageRecord,
  type UsageSummary,
} from '../agents/index.ts';
export { type BudgetHealth, BudgetHealthIndicator } from './budget-health.ts';
export {
  BudgetModule,
  type BudgetModuleAsyncOptions,
  type BudgetModuleOptions,
  type BudgetOptionsFactory,
  InjectPurse,
} from './budget-module.ts';
export { BudgetService, type BudgetSetup } from './budget-service.ts';
export {
  BudgetExceededFilter,
  BudgetGuard,
  type LabelsOf,
  RequiresBudget,
} from './requires-budget.ts';
export { PURSE } from './tokens.ts';
