import type { Purse } from '../../purse.ts';

/**
 * What a call used, in tokens. `input` holds `cachedInput` and `cacheWrite`, and `output` holds
 * `reasoning`, as OpenAI counts. Parts that are larger than their whole cannot lie inside it: then
 * they are added to it, so that nothing goes unbilled. Fractions count as the next whole token.
 */
export interface Usage {
  // Writable: code for budget-guard adds up estimates in it.
  input: number;
  output: number;
  /** Input that was read from the provider's prompt cache. */
  cachedInput?: number;
  /** Hidden output, billed as output. */
  reasoning?: number;
  /** Input that was written to the provider's prompt cache. Default 0. */
  cacheWrite?: number;
}

/** What a model costs, in USD per 1,000 tokens. */
export interface PriceRow {
  in: number;
  out: number;
  /** Input read from the prompt cache. Default: as `in`. */
  cachedIn?: number;
  /** Input written to the prompt cache. Default: as `in`, and 1.25 times that for Claude. */
  cacheWriteIn?: number;
  /**
   * The most tokens the model writes in an answer, for requests that name no cap. Default: what is
   * known of the model; where nothing is, such a request holds all that is left.
   */
  maxOutputTokens?: number;
  /** The day from which the provider no longer serves the model. Nothing here reads it. */
  retiresOn?: string;
}

/** The arguments of a call, where the client's own type does not say more. */
export interface CallArgs {
  readonly model: string;
  readonly [name: string]: unknown;
}

/** What is said of a call besides its arguments. */
export interface CallTags {
  /** Attributes the cost. Default: the surrounding label `feature`, else `'default'`. */
  readonly feature?: string;
}

/** One call was paid for. */
export interface SpendEvent {
  readonly project: string;
  readonly feature: string;
  readonly model: string;
  /** What the call cost. */
  readonly usd: number;
  /** What the project has spent in the period, this call included. */
  readonly dayTotalUsd: number;
  /** How many calls of this feature and model had failed in a row before this one; absent for 0. */
  readonly retryCount?: number;
}

/** A cap was found used up: told before the call is refused, or goes ahead under `'warn'`. */
export interface ExceededEvent {
  readonly project: string;
  readonly spentUsd: number;
  readonly capUsd: number;
}

/** A call was refused. `args` is the whole request, to keep and to send again. */
export interface RejectedEvent<Args = CallArgs> extends ExceededEvent {
  readonly feature: string;
  readonly model: string;
  readonly args: Args;
  /** What the call was estimated at, where it was. */
  readonly estimatedUsd?: number;
}

/** The period's spend reached a fraction of the cap. */
export interface ThresholdEvent extends ExceededEvent {
  /** The guard's `thresholdFraction`. */
  readonly threshold: number;
}

/** Calls of one feature and model failed again and again. */
export interface RetryStormEvent {
  readonly project: string;
  readonly feature: string;
  readonly model: string;
  readonly consecutiveFailures: number;
}

/**
 * Where totals are kept, under keys. Each method may answer at once or by a promise. Calls through
 * one store object never overlap, so an `add` that reads and then writes is safe within a process;
 * where processes share the store, `add` must be atomic.
 */
export interface SpendStore {
  /** Adds USD to a key, also a negative amount, and answers with the new total. */
  add(key: string, usd: number): number | Promise<number>;
  /** The total of a key; 0 when there is none. */
  get(key: string): number | Promise<number>;
  /** All keys that begin so, with their totals. */
  entries(prefix: string): readonly [string, number][] | Promise<readonly [string, number][]>;
}

/** What to do with a model that nobody knows the price of. */
export type UnknownModelPolicy = 'throw' | 'zero' | PriceRow | ((model: string) => PriceRow);

/** How a client is guarded. */
export interface GuardOptions<Args = CallArgs> {
  /** Groups spend: guards of one project share one cap. 1 to 1,024 characters. */
  readonly project: string;
  /**
   * USD from 0; with `period: 'monthly'` it is the cap of a month. `Infinity` only counts. Needed
   * unless `purse` is given: there it is set as a limit of the purse, before the first call.
   */
  readonly dailyCapUSD?: number;
  /** Default `'daily'`. */
  readonly period?: 'daily' | 'monthly';
  /** The IANA zone whose days and months count. Default `'UTC'`. */
  readonly timezone?: string;
  /** `block` (default) throws before the call; `warn` writes one warning, and the call goes ahead. */
  readonly onCap?: 'block' | 'warn';
  /**
   * Where spend is kept. Default: this process's memory, shared by all guards. A URL such as
   * `'sqlite:./guard.db'` keeps it in a file that processes can share.
   */
  readonly store?: SpendStore | string;
  /** Spend from this purse, under its limits, with the labels project, feature and model. */
  readonly purse?: Purse;
  /** Says what a call will use at most: then a call that may pass the cap is refused. */
  estimateUsage?(args: Args): Usage | Promise<Usage>;
  /** Whose wire format the client speaks; needed only where the client does not show it. */
  readonly provider?: 'openai' | 'anthropic' | 'gemini';
  /** Default `'throw'`: a call of an unknown model is refused before it is paid for. */
  readonly onUnknownModel?: UnknownModelPolicy;
  /**
   * What an answer without a usage costs. `hold` (default): what was held for it. `throw`: the
   * same, and then an UnknownUsageShapeError that carries the answer. `zero`: nothing.
   */
  readonly onMissingUsage?: 'hold' | 'throw' | 'zero';
  readonly onSpend?: (event: SpendEvent) => unknown;
  readonly onExceeded?: (event: ExceededEvent) => unknown;
  readonly onRejected?: (event: RejectedEvent<Args>) => unknown;
  /** Told once a period when spend reaches `thresholdFraction` of the cap. */
  readonly onThreshold?: (event: ThresholdEvent) => unknown;
  /** Over 0, up to 1. Default 0.8. */
  readonly thresholdFraction?: number;
  /** After so many failures in a row of one feature and model `onRetryStorm` is told, once. */
  readonly retryStormThreshold?: number;
  readonly onRetryStorm?: (event: RetryStormEvent) => unknown;
}

/** What tests and adapters change; each is looked up at every call. */
export interface GuardInternals<Answer = unknown> {
  readonly now?: () => Date;
  readonly onSpend?: (event: SpendEvent) => unknown;
  /** Reads the usage of an answer whose shape nobody here knows. */
  readonly usageOf?: (answer: Answer) => Usage | Promise<Usage>;
}

/** What a guard has seen fail. */
export interface RetryStats {
  readonly totalRetries: number;
  readonly retryStorms: number;
}
