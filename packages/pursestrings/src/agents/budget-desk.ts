import type { Agents, Figures, Standing } from './usage.ts';

/** Tokens that an agent used for a task. */
export interface Usage {
  readonly agentId: string;
  readonly taskId: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Where a budget service looks and writes without waiting. */
export interface BudgetDesk {
  /** How many agents were started here although no slot was free: the ledger counts them nowhere. */
  readonly beyond: number;
  /** Settled when the budget's limits are in the ledger. */
  prepared(): Promise<void>;
  /** Settled when there is something to look at. */
  ready(): Promise<void>;
  standing(): Standing;
  /** An agent's tokens in its life. */
  agentTokens(agentId: string): number;
  /** What agents have used. It is only read, and only until something else is done. */
  agents(): Agents;
  /** The task that an agent's usage was first recorded for; undefined for an agent that has none. */
  firstTask(agentId: string): Promise<string | undefined>;
  record(usage: Usage): void;
  started(): void;
  stopped(): void;
  /** Settled when all that was said is in the ledger. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Takes notice of usage in figures that are at hand. */
export function addUsage(
  figures: Pick<Figures, 'agents'> & { dayTokens: number },
  usage: Usage,
): void {
  const { agentId, taskId, inputTokens, outputTokens } = usage;
  const tokens = inputTokens + outputTokens;
  figures.dayTokens += tokens;
  const totals = figures.agents.get(agentId) ?? { taskId, input: 0, output: 0, total: 0 };
  figures.agents.set(agentId, totals);
  if (totals.taskId === '') totals.taskId = taskId;
  totals.input += inputTokens;
  totals.output += outputTokens;
  totals.total += tokens;
}
