import { contended, MAX_PLANS } from './asking.ts';
import { type Denial, frozenDenial, shortfallDenials, uncoveredDenial } from './denial.ts';
import { fits } from './ledger/envelope.ts';
import type { Labels } from './ledger/labels.ts';
import type { Line, Plan } from './ledger/plan.ts';
import type { StepAmounts, Units } from './ledger/unit.ts';
import { contains } from './ledger/window.ts';
import type { PolicyDesk } from './policy-desk.ts';
import type { BalancePage, LedgerStore } from './stores/store.ts';

/** What a check goes by. */
export interface CheckContext {
  readonly store: LedgerStore;
  readonly desk: PolicyDesk;
  /** The store's time, as well as it is known. */
  readonly now: () => number;
  /** Takes notice of the store's time. */
  readonly noteTime: (nowMs: number) => void;
  readonly isUncovered: (plan: Plan) => boolean;
}

/** Says what a reserve would be told now, and changes nothing. */
export async function checkSpend(
  asked: StepAmounts,
  labels: Labels,
  { store, desk, now, noteTime, isUncovered }: CheckContext,
): Promise<readonly Denial[]> {
  for (let count = 0; count < MAX_PLANS; count += 1) {
    const { policy, units } = desk.rulebook;
    const plan = desk.plan(asked, labels, now());
    const page = await store.readBalances({ keys: plan.lines.map(({ key }) => key) });
    noteTime(page.nowMs);
    if (page.revision !== policy.revision) await desk.reload();
    else if (plan.lines.every(({ window }) => contains(window, page.nowMs))) {
      if (plan.freeze !== undefined) return [frozenDenial(plan.freeze, asked, units)];
      if (isUncovered(plan)) return [uncoveredDenial(labels, asked, units)];
      return shortDenials(plan.lines, page, units);
    }
  }
  throw contended();
}

function shortDenials(lines: readonly Line[], page: BalancePage, units: Units): readonly Denial[] {
  const envelopes = new Map(page.items.map((envelope) => [envelope.key, envelope]));
  const shortfalls = lines.flatMap((line) => {
    const { spent, held } = envelopes.get(line.key) ?? { spent: 0, held: 0 };
    return fits(line, { spent, held }) ? [] : [{ line, spent, held }];
  });
  return shortfallDenials('exceeds', shortfalls, units);
}
