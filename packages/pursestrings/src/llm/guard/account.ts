import type { Denial } from '../../denial.ts';
import type { Labels } from '../../ledger/labels.ts';
import type { GuardPeriod, PeriodSpan } from './period.ts';

/** A call for which money is to be held. */
export interface HoldRequest {
  readonly project: string;
  readonly feature: string;
  readonly model: string;
  readonly span: PeriodSpan;
  readonly period: GuardPeriod;
  readonly timezone: string;
  /** Null: only the limits that stand already. `Infinity`: none. */
  readonly capUsd: number | null;
  /** What the call may cost; null when nobody knows. */
  readonly usd: number | null;
  readonly tokens: number;
  /**
   * True: all of it must fit. False: anything that is left will do, and is held if it is less than
   * the estimate.
   */
  readonly whole: boolean;
}

/** Money held for one call. */
export interface GuardHold {
  readonly heldUsd: number;
  /** Records what the call cost, and answers with the spend of the project in the period. */
  settle(spent: Spent): Promise<number>;
  /** Gives the money back. */
  release(): Promise<void>;
}

/** What a call cost. */
export interface Spent {
  readonly usd: number;
  readonly tokens: number;
  readonly labels: Labels;
}

/** Why a call gets no money. */
export interface Refusal {
  readonly denials: readonly [Denial, ...(readonly Denial[])];
  readonly spentUsd: number;
  readonly capUsd: number;
}

/** What a request for a hold came to. */
export type HoldAnswer =
  | { readonly ok: true; readonly hold: GuardHold }
  | { readonly ok: false; readonly refusal: Refusal };

/** Where the money of guards is held and recorded: a purse, or a store that can only add. */
export interface Account {
  /** Tests the cap and holds, in one atomic step. */
  hold(request: HoldRequest): Promise<HoldAnswer>;
  /** Holds whatever the cap says, for a call that goes ahead all the same. */
  holdAnyway(request: HoldRequest): Promise<GuardHold>;
  /** USD of a project in the period of a key, by feature. */
  report(project: string, key: string): Promise<Record<string, number>>;
  /** USD that a project has spent in the period of a key. */
  total(project: string, key: string): Promise<number>;
}

/** A report that no name of a feature can disturb. */
export function reportOf(rows: Iterable<readonly [string, number]>): Record<string, number> {
  const report: Record<string, number> = {};
  for (const [feature, usd] of rows) {
    Object.defineProperty(report, feature, {
      value: usd,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return report;
}
