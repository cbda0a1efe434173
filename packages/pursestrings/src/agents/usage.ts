import { type Balance, type BalanceStatus, statusOf } from '../balance.ts';
import {
  AGENT_LIMIT,
  DAY_LIMIT,
  FIRST_TASK_LABEL,
  INPUT_UNIT,
  RUNNING_LIMIT,
  type UsageBudget,
} from './budget.ts';

/** How far the day's tokens are used: judged on the exact ratio, unrounded. */
export type BudgetStatus = BalanceStatus;

/** What an agent has used in its life. */
export interface AgentUsageSummary {
  readonly agentId: string;
  /** The task that its usage was first recorded for; `''` where no task was named. */
  readonly taskId: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Also tokens that came by other ways than `recordUsage`, which tell no directions apart. */
  readonly totalTokens: number;
  /** Of the limit for one agent, with 2 decimals; 100 for a limit of 0. */
  readonly usagePercent: number;
}

/** What all agents use. */
export interface UsageSummary {
  readonly dailyTokensUsed: number;
  readonly dailyTokenLimit: number;
  /** With 2 decimals; 100 for a limit of 0. */
  readonly dailyUsagePercent: number;
  readonly agentUsage: readonly AgentUsageSummary[];
  readonly activeAgents: number;
  readonly maxConcurrentAgents: number;
  readonly budgetStatus: BudgetStatus;
}

/** What may be spawned now. */
export interface SpawnCheck {
  readonly allowed: boolean;
  readonly reason?: string;
}

/** How the budget as a whole stands. */
export interface Standing {
  readonly dayTokens: number;
  readonly running: number;
}

/** What an agent has used. Mutable: it is kept up with the ledger. */
export interface AgentTotals {
  taskId: string;
  input: number;
  output: number;
  total: number;
}

/** What agents have used, by their ids, in the order in which they are first met. */
export type Agents = Map<string, AgentTotals>;

/** All that a summary says. */
export interface Figures extends Standing {
  readonly agents: Agents;
}

/** Puts the balances of a budget's limits together. */
export class FiguresReader {
  dayTokens = 0;
  running = 0;
  readonly agents: Agents = new Map();

  add({ limit, unit, labels, spent, held }: Balance): void {
    if (limit === RUNNING_LIMIT) this.running = held;
    else if (limit === DAY_LIMIT) this.dayTokens = spent;
    else this.#addAgent(labels, limit, unit, spent);
  }

  #addAgent(labels: Balance['labels'], limit: string, unit: string, spent: number): void {
    const { agent = '', [FIRST_TASK_LABEL]: firstTask = '' } = labels;
    // What names no agent is the day's alone.
    if (agent === '') return;
    const totals = this.agents.get(agent) ?? { taskId: '', input: 0, output: 0, total: 0 };
    this.agents.set(agent, totals);
    if (limit === AGENT_LIMIT) totals.total += spent;
    else {
      if (totals.taskId === '') totals.taskId = firstTask;
      totals[unit === INPUT_UNIT ? 'input' : 'output'] += spent;
    }
  }
}

/** Why no agent may be spawned; undefined when one may. Concurrency comes first. */
export function spawnRefusal(
  { dayTokens, running }: Standing,
  budget: UsageBudget,
): string | undefined {
  const { dailyTokenLimit, enforceHardLimits, maxConcurrentAgents } = budget;
  if (running >= maxConcurrentAgents) {
    return `Maximum concurrent agents reached (${maxConcurrentAgents})`;
  }
  if (enforceHardLimits && dayTokens >= dailyTokenLimit) {
    return `Daily token budget exceeded (${dayTokens}/${dailyTokenLimit})`;
  }
  return undefined;
}

/** Why one agent may not be spawned; undefined when it may. */
export function agentRefusal(
  agentId: string,
  tokens: number,
  { enforceHardLimits, perAgentTokenLimit }: UsageBudget,
): string | undefined {
  if (!enforceHardLimits || tokens < perAgentTokenLimit) return undefined;
  return `Agent token budget exceeded for ${agentId} (${tokens}/${perAgentTokenLimit})`;
}

/** Writes a summary that is the reader's own. */
export function summaryOf(
  { dayTokens, running, agents }: Figures,
  budget: UsageBudget,
): UsageSummary {
  const { dailyTokenLimit, maxConcurrentAgents, perAgentTokenLimit } = budget;
  const agentUsage: AgentUsageSummary[] = [];
  for (const [agentId, { taskId, input, output, total }] of agents) {
    agentUsage.push({
      agentId,
      taskId,
      inputTokens: input,
      outputTokens: output,
      totalTokens: total,
      usagePercent: percent(total, perAgentTokenLimit),
    });
  }
  return {
    dailyTokensUsed: dayTokens,
    dailyTokenLimit,
    dailyUsagePercent: percent(dayTokens, dailyTokenLimit),
    agentUsage,
    activeAgents: running,
    maxConcurrentAgents,
    budgetStatus: statusOf(dayTokens, dailyTokenLimit),
  };
}

function percent(used: number, limit: number): number {
  return limit === 0 ? 100 : Math.round((used / limit) * 10_000) / 100;
}
