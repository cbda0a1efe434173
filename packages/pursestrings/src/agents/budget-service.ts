import type { Clock } from '../clock.ts';
import type { BalancesQuery } from '../balance.ts';
import { InvalidOptionError, StoreError } from '../errors.ts';
import { shown } from '../ledger/invalid.ts';
import type { Limit } from '../ledger/limit.ts';
import { withLimits, withUnits } from '../ledger/policy.ts';
import { resolveTimeZone } from '../ledger/window.ts';
import { openMemoryPurse } from '../open-embedded.ts';
import type { Purse } from '../purse.ts';
import {
  AGENT_LIMIT,
  BUDGET_LIMITS,
  BUDGET_UNITS,
  type BudgetConfig,
  budgetLimits,
  checkedTokens,
  DAY_LIMIT,
  RUNNING_LIMIT,
  processTimeZone,
  readBudget,
  type UsageBudget,
} from './budget.ts';
import type { BudgetDesk, Usage } from './budget-desk.ts';
import { EmbeddedDesk } from './embedded-desk.ts';
import type { AgentSlot } from './agent-slot.ts';
import { usageAmounts, usageLabels } from './recording.ts';
import { trySpawn } from './run-agent.ts';
import { SharedDesk } from './shared-desk.ts';
import {
  agentRefusal,
  type Figures,
  FiguresReader,
  type SpawnCheck,
  spawnRefusal,
  summaryOf,
  type UsageSummary,
} from './usage.ts';

/** The charges that a service in memory lists; older ones stay counted. */
const CHARGES_KEPT = 10_000;

const MINUTE_MS = 60_000;

/** How a budget service is made. */
export interface BudgetServiceOptions {
  /**
   * The ledger that it counts in: durable on SQLite, one budget for many processes on Redis or
   * Postgres. It stays its owner's to close. Default: one in memory of its own.
   */
  readonly purse?: Purse;
  /** The IANA zone of the calendar day. Default: the process's own. */
  readonly timeZone?: string;
  /** The clock of the ledger that the service makes for itself. A purse has its own. */
  readonly clock?: Clock;
  /** Is told once when a limit that is soft is passed. Default: a warning of the process. */
  readonly warn?: (message: string) => void;
  /** Reads the configuration and opens the ledger when it is first used. Default: at once. */
  readonly deferred?: boolean;
}

/** Usage as it was recorded. */
export interface UsageRecord extends Usage {
  /** ISO time, by the ledger's clock. */
  readonly timestamp: string;
}

/** Whether an agent may run, and the slot it has then. */
export type SpawnedAgent =
  | { readonly allowed: true; readonly slot: AgentSlot }
  | { readonly allowed: false; readonly reason: string };

/**
 * What a fleet of agents may use, and what it has used: tokens of a calendar day and of each agent,
 * agents at a time, minutes of a task.
 *
 * The synchronous methods answer from the ledger itself where it is inside the process. Where it is
 * reached over a network they answer from figures that are at most 250 ms old; `ready()` waits for the
 * first ones. `trySpawn`, `record` and `summary` are exact everywhere.
 *
 * @example
 * ```ts
 * import { BudgetService } from 'pursestrings/agents';
 *
 * const budget = new BudgetService(new Map([['orchestrator.budget.dailyTokenLimit', 1_000]]));
 * budget.recordUsage('agent-1', 'task-1', 500, 300);
 * console.log(budget.canSpawnAgent().allowed); // true
 * console.log(budget.getUsageSummary().budgetStatus); // approaching_limit
 * await budget.close();
 * ```
 */
export class BudgetService implements AsyncDisposable {
  readonly #open: () => Opened;
  #opened: Opened | undefined;
  #closing: Promise<void> | undefined;

  /**
   * @param config Anything with `get(key)`; a key that it does not know takes its default.
   * @throws InvalidOptionError for a value that cannot be meant; StoreError
   */
  constructor(config?: BudgetConfig, options: BudgetServiceOptions = {}) {
    this.#open = () => openBudget(config, options);
    // A container may make its objects before its configuration is there.
    if (options.deferred !== true) void this.#parts;
  }

  /** The ledger that it counts in. */
  get purse(): Purse {
    return this.#parts.purse;
  }

  /**
   * Waits until the synchronous methods have something to answer from. Where the ledger is inside the
   * process they have it from the start.
   *
   * @throws StoreError when the ledger cannot be read.
   */
  async ready(): Promise<void> {
    await this.#desk.ready();
  }

  /**
   * Counts tokens for the agent and the day. It is never refused by a limit.
   *
   * On a shared store it is written a moment later; `flush()` waits for that, and `record` is written
   * when it answers.
   *
   * @throws InvalidOptionError for counts that are not whole numbers from 0, and ids that are no text:
   *   nothing was counted. StoreError
   */
  recordUsage(agentId: string, taskId: string, inputTokens: number, outputTokens: number): void {
    this.#desk.record(checkedUsage(agentId, taskId, inputTokens, outputTokens));
  }

  /** The same, written when it answers. @throws InvalidOptionError, StoreError */
  async record(
    agentId: string,
    taskId: string,
    inputTokens: number,
    outputTokens: number,
  ): Promise<UsageRecord> {
    const usage = checkedUsage(agentId, taskId, inputTokens, outputTokens);
    await this.#desk.prepared();
    const first = (await this.#desk.firstTask(agentId)) ?? taskId;
    const charge = await this.purse.charge(usageAmounts(usage), usageLabels(usage, first));
    return { ...usage, timestamp: charge.at.toISOString() };
  }

  /**
   * Says whether an agent may be spawned now: not when as many run as may, and, with hard limits, not
   * when the day's tokens are used up. It takes nothing: between this and `agentStarted` others may
   * ask too. `trySpawn` is both in one step.
   */
  canSpawnAgent(): SpawnCheck {
    let reason: string | undefined;
    try {
      reason = spawnRefusal(this.#desk.standing(), this.#budget);
    } catch (error) {
      // What is not known does not allow anything.
      if (!StoreError.isInstance(error)) throw error;
      reason = error.message;
    }
    return reason === undefined ? { allowed: true } : { allowed: false, reason };
  }

  /**
   * Takes a slot for an agent if it may be spawned, in one step for all who ask anywhere. The slot
   * comes back by `slot.stop()`, by itself when this process dies, and when the task has taken
   * `maxTaskDurationMinutes`: then its signal aborts, and the journal says so.
   *
   * @throws InvalidOptionError, StoreError
   */
  async trySpawn(options: {
    readonly agentId: string;
    readonly taskId?: string;
  }): Promise<SpawnedAgent> {
    const { agentId, taskId } = options;
    checkText('agentId', agentId);
    if (taskId !== undefined) checkText('taskId', taskId, true);
    await this.#desk.prepared();
    const refused = await this.#refusal(agentId);
    if (refused !== undefined) return { allowed: false, reason: refused };
    const spawned = await trySpawn(this.purse, {
      agent: agentId,
      ...(taskId !== undefined && taskId !== '' && { task: taskId }),
      maxDurationMs: maxTaskMs(this.#budget),
    });
    if (spawned.allowed) return spawned;
    return { allowed: false, reason: spawned.reason };
  }

  /**
   * Says whether an agent has used what one agent may, in its life.
   *
   * @throws StoreError when the figures of a shared ledger are too old to be used.
   */
  isAgentOverBudget(agentId: string): { overBudget: boolean; totalTokens: number } {
    const totalTokens = this.#desk.agentTokens(agentId);
    return { overBudget: totalTokens >= this.#budget.perAgentTokenLimit, totalTokens };
  }

  /**
   * Counts one more agent that runs. It comes off by `agentStopped`, by itself when this process dies,
   * and after `maxTaskDurationMinutes` when nobody says that it has stopped.
   */
  agentStarted(): void {
    this.#desk.started();
  }

  /** Counts one less of those that `agentStarted` counted here; never below zero. */
  agentStopped(): void {
    this.#desk.stopped();
  }

  /**
   * What is used, by the day and by each agent. It is the caller's own.
   *
   * @throws StoreError when the figures of a shared ledger are too old to be used.
   */
  getUsageSummary(): UsageSummary {
    const agents = this.#desk.agents();
    return summaryOf({ ...this.#desk.standing(), agents }, this.#budget);
  }

  /** The same, read now. @throws StoreError */
  async summary(): Promise<UsageSummary> {
    await this.#desk.prepared();
    await this.#desk.flush();
    return summaryOf(await this.#figures({ limit: BUDGET_LIMITS }), this.#budget);
  }

  /** A copy of the configuration. */
  getBudget(): UsageBudget {
    return { ...this.#budget };
  }

  /** Waits until all that was recorded is in the ledger. @throws StoreError */
  async flush(): Promise<void> {
    await this.#desk.flush();
  }

  /** Writes what waits, gives the slots back and ends the service. A purse that was given stays open. */
  close(): Promise<void> {
    this.#closing ??= this.#opened?.close() ?? Promise.resolve();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #refusal(agentId: string): Promise<string | undefined> {
    const limit = [RUNNING_LIMIT, DAY_LIMIT, AGENT_LIMIT];
    const figures = await this.#figures({ limit, labels: { agent: agentId } });
    const total = figures.agents.get(agentId)?.total ?? 0;
    return spawnRefusal(figures, this.#budget) ?? agentRefusal(agentId, total, this.#budget);
  }

  async #figures(query: BalancesQuery): Promise<Figures> {
    const reader = new FiguresReader();
    for await (const balance of this.purse.balances(query)) reader.add(balance);
    reader.running += this.#desk.beyond;
    return reader;
  }

  get #parts(): Opened {
    if (this.#closing !== undefined) throw serviceClosed();
    this.#opened ??= this.#open();
    return this.#opened;
  }

  get #desk(): BudgetDesk {
    return this.#parts.desk;
  }

  get #budget(): UsageBudget {
    return this.#parts.budget;
  }
}

/** What a service works with. */
interface Opened {
  readonly budget: UsageBudget;
  readonly purse: Purse;
  readonly desk: BudgetDesk;
  readonly close: () => Promise<void>;
}

function openBudget(config: BudgetConfig | undefined, options: BudgetServiceOptions): Opened {
  const budget = readBudget(config);
  const limits = budgetLimits(budget, checkedZone(options.timeZone));
  const purse = options.purse ?? ownPurse(options);
  const desk = deskOf(purse, limits, maxTaskMs(budget));
  const warn = options.warn ?? ((message) => process.emitWarning(message, 'BudgetWarning'));
  const unlisten = purse.on('threshold', ({ limit, fraction, charge }) => {
    if (fraction === 1) warnOf(limit, charge.labels['agent'] ?? '', budget, warn);
  });
  const close = async (): Promise<void> => {
    unlisten();
    try {
      await desk.close();
    } finally {
      if (options.purse === undefined) await purse.close();
    }
  };
  return { budget, purse, desk, close };
}

/** How long a task may take: at least the one millisecond that can be timed. */
function maxTaskMs({ maxTaskDurationMinutes }: UsageBudget): number {
  return Math.max(1, maxTaskDurationMinutes * MINUTE_MS);
}

function ownPurse({ clock }: BudgetServiceOptions): Purse {
  return openMemoryPurse({
    ...(clock !== undefined && { clock }),
    retention: { maxCharges: CHARGES_KEPT },
  });
}

function deskOf(purse: Purse, limits: readonly Limit[], maxTaskMs: number): BudgetDesk {
  const spending = purse.backstage.synchronous;
  if (spending === null) {
    return new SharedDesk(purse, () => purse.backstage.adopt(BUDGET_UNITS, limits), maxTaskMs);
  }
  spending.changePolicy((policy) =>
    withLimits(withUnits(policy, BUDGET_UNITS), limits, processTimeZone()),
  );
  return new EmbeddedDesk(purse, spending, maxTaskMs);
}

/** Tells of a soft limit that has been passed: the ledger says so once a window. */
function warnOf(
  limit: string,
  agentId: string,
  { dailyTokenLimit, enforceHardLimits, perAgentTokenLimit }: UsageBudget,
  warn: (message: string) => void,
): void {
  if (enforceHardLimits) return;
  if (limit === DAY_LIMIT) {
    warn(`Daily token budget of ${dailyTokenLimit} is used up; it is soft, and lets pass`);
  }
  if (limit === AGENT_LIMIT) {
    warn(
      `Agent ${agentId} has used up its token budget of ${perAgentTokenLimit}; it is soft, and lets pass`,
    );
  }
}

function serviceClosed(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'closed',
    'This budget service is closed; make another one',
  );
}

function checkedUsage(
  agentId: unknown,
  taskId: unknown,
  inputTokens: unknown,
  outputTokens: unknown,
): Usage {
  return {
    agentId: checkText('agentId', agentId),
    taskId: checkText('taskId', taskId, true),
    inputTokens: checkedTokens('inputTokens', inputTokens),
    outputTokens: checkedTokens('outputTokens', outputTokens),
  };
}

function checkText(name: string, text: unknown, mayBeEmpty = false): string {
  if (typeof text === 'string' && (mayBeEmpty || text !== '')) return text;
  throw new InvalidOptionError(`${name} is ${shown(text)}; it must be text that names one`);
}

function checkedZone(timeZone: string | undefined): string {
  if (timeZone === undefined) return processTimeZone();
  try {
    return resolveTimeZone(timeZone);
  } catch {
    throw new InvalidOptionError(
      `timeZone is ${shown(timeZone)}, which is no IANA time zone, such as 'Europe/Berlin'`,
    );
  }
}
