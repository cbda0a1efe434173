import type { Clock } from '../clock.ts';
import type { StoreError } from '../errors.ts';

/** How often an envelope begins anew, counted from its creation; `total` never does. */
export type Period = 'hourly' | 'daily' | 'weekly' | 'monthly' | 'total';

/** What an envelope is to be. */
export interface EnvelopeConfig {
  /** Default: a new UUIDv7. 1 to 1,024 characters. */
  readonly id?: string | undefined;
  /** What the money is for, 1 to 1,024 characters: `'llm-inference'`. One envelope each. */
  readonly category: string;
  /** The most that a period may cost: above 0, at most 9,007,199,254,740.991. */
  readonly limit: number;
  readonly period: Period;
}

/** An envelope as it stands: a copy, which changes nothing when it is changed. */
export interface SpendingEnvelope {
  readonly id: string;
  readonly category: string;
  readonly limit: number;
  readonly period: Period;
  /** What was recorded in this period. */
  spent: number;
  /** What is set aside in this period. */
  committed: number;
  /** When this period began. */
  periodStart: Date;
  suspended: boolean;
}

/**
 * Why a spend is permitted or not. `suspended` is also what is said while a storage is being loaded
 * and after it failed; `error` then says so.
 */
export type CheckReason = 'within_budget' | 'exceeds_budget' | 'no_envelope' | 'suspended';

/** What a check came to. */
export interface BudgetCheckResult {
  readonly permitted: boolean;
  /** What a spend may still take; 0 while the envelope is suspended. */
  readonly available: number;
  readonly requested: number;
  readonly limit: number;
  readonly spent: number;
  readonly committed: number;
  readonly reason: CheckReason;
  /** What keeps the enforcer from permitting anything, where it is the storage. */
  readonly error?: StoreError;
}

/** What a commit came to. */
export interface CommitResult {
  readonly permitted: boolean;
  /** What `release` and `settle` are given; `null` when nothing was set aside. */
  readonly commitId: string | null;
  /** What is left, the commit taken off. */
  readonly available: number;
  readonly requested: number;
  readonly reason: CheckReason;
  /** What keeps the enforcer from permitting anything, where it is the storage. */
  readonly error?: StoreError;
}

/** How a commit is made. */
export interface CommitOptions {
  /** How long it lives, in milliseconds: 1 to 400 days. Default: the enforcer's `commitTtlMs`. */
  readonly ttlMs?: number;
}

/** A commit as a storage keeps it. */
export interface PendingCommit {
  readonly id: string;
  readonly category: string;
  readonly amount: number;
  readonly createdAt: Date;
  /** The envelope that it was taken from. One that was written by others may lack it. */
  readonly envelopeId?: string;
  /** When it gives itself back. One that was written by others may lack it. */
  readonly expiresAt?: Date;
}

/** A recorded spend. */
export interface Transaction {
  readonly id: string;
  readonly category: string;
  readonly amount: number;
  readonly description?: string;
  readonly timestamp: Date;
  readonly envelopeId?: string;
}

/** Which transactions: all that fit every field that is given. Both ends belong to it. */
export interface TransactionFilter {
  readonly category?: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  readonly minAmount?: number | undefined;
  readonly maxAmount?: number | undefined;
}

/** How far an envelope is used. */
export interface BudgetUtilization {
  readonly category: string;
  readonly envelopeId: string;
  readonly limit: number;
  readonly spent: number;
  readonly committed: number;
  readonly available: number;
  /** Spent and committed over the limit, in percent; over 100 when more was recorded. */
  readonly utilizationPercent: number;
  readonly period: Period;
  readonly periodStart: Date;
  readonly suspended: boolean;
}

/** How an enforcer is made. */
export interface BudgetEnforcerConfig {
  /** Enforcers of different namespaces share nothing. Default `'default'`. */
  readonly namespace?: string;
  /** `'sqlite:./envelopes.db'` outlives the process; several may share it. Default `'memory:'`. */
  readonly store?: string;
  /**
   * How long a commit lives that nobody releases or settles, in milliseconds: 1 to 400 days. Then
   * it gives itself back. Default 86,400,000: a day.
   */
  readonly commitTtlMs?: number;
  /**
   * How many transactions `getTransactions` lists at most, in memory: 1 to 10,000,000. Older ones
   * stay counted; a sixteenth more may gather before they go together. Default 100,000. A file keeps
   * 400 days of them.
   */
  readonly maxTransactions?: number;
  /** The IANA zone of calendar months. Default `'UTC'`. */
  readonly timeZone?: string;
  /** The time that periods go by. Default: the process's clock. */
  readonly clock?: Clock;
}
