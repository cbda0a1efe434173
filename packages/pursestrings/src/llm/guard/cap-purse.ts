import { MAX_ENVELOPE_STEPS, toDecimalText } from '../../ledger/amount.ts';
import type { Limit } from '../../ledger/limit.ts';
import type { Period } from '../../ledger/window.ts';
import { overlayLimits } from '../../overlaid-limits.ts';
import { openPurse, type Purse } from '../../purse.ts';
import type { PurseOptions } from '../../purse-options.ts';
import type { GuardPeriod } from './period.ts';

/** A store of ledgers, as purses are opened on. */
export type LedgerStore = Exclude<PurseOptions['store'], string | undefined>;

/** The label that says which day or month of its guard a spend belongs to. */
export const PERIOD_LABEL = 'period';

/** The names of the limits that carry the caps of guards. */
const CAP_LIMITS: Readonly<Record<GuardPeriod, string>> = {
  daily: 'guard-day',
  monthly: 'guard-month',
};

/**
 * The limit that lets one call at a time hold less than it may cost, whichever process it is in:
 * such a call may pass the cap, and only the last one is to.
 */
export const LAST_LIMIT = 'guard-last';

/** The caps of one kind of guard. */
export interface CapRule {
  readonly capSteps: number;
  readonly period: GuardPeriod;
  readonly timezone: string;
  /** Counted, and never refused. */
  readonly soft: boolean;
}

/** The name of the limit that a rule's caps are tested by. */
export function capLimitName(period: GuardPeriod): string {
  return CAP_LIMITS[period];
}

/**
 * Opens a purse whose calls are tested against the cap of the guard that asks. Caps are terms of
 * the asking: the envelope of a project and period is one, whatever cap each guard gives it, so the
 * limit is laid over the stored policy for this purse only and not written to it.
 *
 * Each project has an envelope a day or month, told apart by the label `period`, because a guard
 * may bring its own clock. The limit's own window is longer, and only there to let envelopes go.
 */
export function openCapPurse(store: LedgerStore, rule: CapRule): Promise<Purse> {
  const per: Period = rule.period === 'daily' ? 'month' : 'year';
  const cap: Limit = {
    name: CAP_LIMITS[rule.period],
    cap: { usd: toDecimalText(Math.min(rule.capSteps, MAX_ENVELOPE_STEPS), 8) },
    per,
    each: ['project', PERIOD_LABEL],
    warnAt: [],
    mode: rule.soft ? 'soft' : 'hard',
  };
  const last: Limit = { name: LAST_LIMIT, cap: { slots: 1 }, each: ['project'] };
  return openPurse({ store: overlayLimits(store, [cap, last], rule.timezone) });
}
