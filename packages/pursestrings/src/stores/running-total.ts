import { MAX_ENVELOPE_STEPS } from '../ledger/amount.ts';
import type { Labels, LabelSet } from '../ledger/labels.ts';
import { DAY_SLOT_MS, OTHER_LABELS } from '../ledger/report.ts';
import type { StepAmounts } from '../ledger/unit.ts';

/** A total that is still added to. */
export interface RunningTotal {
  readonly labels: Labels;
  readonly amounts: { unit: string; steps: number }[];
  charges: number;
  denials: number;
}

/** The label set of what a slot had no room to tell apart. */
export const OTHER_SET: LabelSet = { labels: OTHER_LABELS, key: JSON.stringify(OTHER_LABELS) };

/** A total of nothing yet. */
export function newTotal(labels: Labels): RunningTotal {
  return { labels, amounts: [], charges: 0, denials: 0 };
}

/** Adds amounts to a total; past 2^53 - 1 it stays there. */
export function addAmounts(total: RunningTotal, amounts: StepAmounts): void {
  for (const { unit, steps } of amounts) {
    const standing = total.amounts.find((amount) => amount.unit === unit);
    if (standing === undefined) total.amounts.push({ unit, steps });
    else standing.steps = Math.min(standing.steps + steps, MAX_ENVELOPE_STEPS);
  }
}

/**
 * The whole UTC days within a span of time: what comes before and after them is read in
 * quarter-hours. A span without a whole day gets an empty one at its end.
 */
export function daysWithin(
  sinceMs: number,
  untilMs: number,
): { readonly sinceMs: number; readonly untilMs: number } {
  const firstMs = Math.ceil(sinceMs / DAY_SLOT_MS) * DAY_SLOT_MS;
  const lastMs = Math.floor(untilMs / DAY_SLOT_MS) * DAY_SLOT_MS;
  return firstMs < lastMs ? { sinceMs: firstMs, untilMs: lastMs } : { sinceMs: untilMs, untilMs };
}
