/** Agents within budget: slots, time limits, shares, and the service that orchestrators know. */
export type { AgentSlot } from './agent-slot.ts';
export { type BudgetConfig, DEFAULT_BUDGET, type UsageBudget } from './budget.ts';
export {
  BudgetService,
  type BudgetServiceOptions,
  type SpawnedAgent,
  type UsageRecord,
} from './budget-service.ts';
export { AgentTimeLimitError } from './errors.ts';
export { type AgentOptions, type AgentRun, runAgent, type Spawned, trySpawn } from './run-agent.ts';
export type { AgentUsageSummary, BudgetStatus, SpawnCheck, UsageSummary } from './usage.ts';
