import { InvalidOptionError } from '../errors.ts';
import { MAX_AMOUNT_STEPS } from '../ledger/amount.ts';
import { shown } from '../ledger/invalid.ts';
import type { Limit } from '../ledger/limit.ts';
import type { UnitOptions } from '../ledger/unit.ts';

/** What agents may use. */
export interface UsageBudget {
  /** Tokens of one calendar day. 0 blocks. */
  readonly dailyTokenLimit: number;
  /** Tokens of one agent in its life. 0 blocks. */
  readonly perAgentTokenLimit: number;
  /** How many agents may run at a time. 0 blocks. */
  readonly maxConcurrentAgents: number;
  /** How long a task may take, in minutes. */
  readonly maxTaskDurationMinutes: number;
  /** Whether the token limits refuse, or warn once and let pass. The other two always bind. */
  readonly enforceHardLimits: boolean;
}

/** The budget of a configuration that names nothing. */
export const DEFAULT_BUDGET: UsageBudget = Object.freeze({
  dailyTokenLimit: 10_000_000,
  perAgentTokenLimit: 2_000_000,
  maxConcurrentAgents: 10,
  maxTaskDurationMinutes: 120,
  enforceHardLimits: true,
});

/** Anything that configuration is read from by key: Nest's `ConfigService`, a `Map`. */
export interface BudgetConfig {
  get(key: string): unknown;
}

/** What the keys of the budget begin with. */
const PREFIX = 'orchestrator.budget.';

/** The names of the limits that carry a budget. */
export const RUNNING_LIMIT = 'agents-running';
export const DAY_LIMIT = 'agents-day';
export const AGENT_LIMIT = 'agents-each';
/** Counts the two directions of an agent's tokens, and refuses nothing. */
export const USAGE_LIMIT = 'agents-usage';

export const BUDGET_LIMITS: readonly string[] = [
  RUNNING_LIMIT,
  DAY_LIMIT,
  AGENT_LIMIT,
  USAGE_LIMIT,
];

/** The units that tell the directions of tokens apart. */
export const INPUT_UNIT = 'input_tokens';
export const OUTPUT_UNIT = 'output_tokens';

export const BUDGET_UNITS: Readonly<Record<string, UnitOptions>> = {
  [INPUT_UNIT]: { decimals: 0 },
  [OUTPUT_UNIT]: { decimals: 0 },
};

/** The label of the task that an agent did first. */
export const FIRST_TASK_LABEL = 'first_task';

/**
 * Reads a budget. A key that is not known takes its default; numbers may be written as text, as they
 * are in the environment.
 *
 * @throws InvalidOptionError that names the key, the value and what it must be.
 */
export function readBudget(config: BudgetConfig | undefined): UsageBudget {
  const value = (key: keyof UsageBudget): unknown => {
    const given: unknown = config?.get(`${PREFIX}${key}`);
    return given === undefined || given === null ? DEFAULT_BUDGET[key] : given;
  };
  return {
    dailyTokenLimit: wholeNumber('dailyTokenLimit', value('dailyTokenLimit')),
    perAgentTokenLimit: wholeNumber('perAgentTokenLimit', value('perAgentTokenLimit')),
    maxConcurrentAgents: wholeNumber('maxConcurrentAgents', value('maxConcurrentAgents')),
    maxTaskDurationMinutes: minutes(value('maxTaskDurationMinutes')),
    enforceHardLimits: trueOrFalse(value('enforceHardLimits')),
  };
}

/** The limits that carry a budget, with the day of a time zone. */
export function budgetLimits(budget: UsageBudget, timeZone: string): readonly Limit[] {
  const mode = budget.enforceHardLimits ? 'hard' : 'soft';
  const uncapped = Number.MAX_SAFE_INTEGER;
  return [
    { name: RUNNING_LIMIT, cap: { slots: budget.maxConcurrentAgents } },
    { name: DAY_LIMIT, cap: { tokens: budget.dailyTokenLimit }, per: 'day', mode, timeZone },
    { name: AGENT_LIMIT, cap: { tokens: budget.perAgentTokenLimit }, each: ['agent'], mode },
    {
      name: USAGE_LIMIT,
      cap: { [INPUT_UNIT]: uncapped, [OUTPUT_UNIT]: uncapped },
      each: ['agent', FIRST_TASK_LABEL],
      mode: 'soft',
      warnAt: [],
    },
  ];
}

/** The time zone of this process, which calendar days follow unless another one is named. */
export function processTimeZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC';
}

/** How many tokens a call used. @throws InvalidOptionError for anything but a whole number from 0 */
export function checkedTokens(name: string, tokens: unknown): number {
  if (typeof tokens === 'number' && Number.isInteger(tokens) && tokens >= 0) {
    // Two of them are one amount of the ledger.
    if (tokens <= MAX_AMOUNT_STEPS / 2) return tokens;
  }
  throw new InvalidOptionError(
    `${name} is ${shown(tokens)}; it must be a whole number of tokens, from 0 to ${MAX_AMOUNT_STEPS / 2}`,
  );
}

function wholeNumber(key: keyof UsageBudget, value: unknown): number {
  const number = numberOf(value);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw invalid(key, value, 'a whole number from 0');
}

function minutes(value: unknown): number {
  const number = numberOf(value);
  if (Number.isFinite(number) && number > 0) return number;
  throw invalid('maxTaskDurationMinutes', value, 'a number of minutes over 0');
}

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
}

function trueOrFalse(value: unknown): boolean {
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw invalid('enforceHardLimits', value, 'true or false');
}

function invalid(key: keyof UsageBudget, value: unknown, wanted: string): InvalidOptionError {
  return new InvalidOptionError(`${PREFIX}${key} is ${shown(value)}; it must be ${wanted}`);
}
