import { contended, MAX_PLANS } from './asking.ts';
import { type Denial, frozenDenial, shortfallDenials, uncoveredDenial } from './denial.ts';
import { fits } from './ledger/envelope.ts';
import type { Labels } from './ledger/labels.ts';
import type { Line, Plan } from './ledger/plan.ts';
import type { Envelope, Shortfall } from './ledger/records.ts';
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
    else if (coversNow(plan, page)) {
      const spend = { asked, labels, plan, uncovered: isUncovered(plan) };
      return denialsBy(spend, standingsOf(plan.lines, page), units);
    }
  }
  throw contended();
}

/** A spend that is looked at and not made. */
interface LookedAt {
  readonly asked: StepAmounts;
  readonly labels: Labels;
  readonly plan: Plan;
  /** No limit covers it, and that is denied. */
  readonly uncovered: boolean;
}

const NONE: readonly never[] = [];

/** One line of a spend, and what its envelope holds. */
export type Standing = Shortfall;

/** True when a plan was made for the time at which balances were read. */
export function coversNow({ lines }: Plan, { nowMs }: BalancePage): boolean {
  return lines.every(({ window }) => contains(window, nowMs));
}

/** What a reserve would be denied by, as its envelopes stand. */
export function denialsBy(
  { asked, labels, plan, uncovered }: LookedAt,
  standings: readonly Standing[],
  units: Units,
): readonly Denial[] {
  if (plan.freeze !== undefined) return [frozenDenial(plan.freeze, asked, units)];
  if (uncovered) return [uncoveredDenial(labels, asked, units)];
  const isShort = (standing: Standing): boolean => !fits(standing.line, standing);
  if (!standings.some(isShort)) return NONE;
  return shortfallDenials('exceeds', standings.filter(isShort), units);
}

/** What the envelopes of some lines hold. */
export function standingsOf(lines: readonly Line[], page: BalancePage): readonly Standing[] {
  const [only] = lines;
  if (lines.length === 1 && only !== undefined) return [standingOf(only, page.items[0])];
  const envelopes = new Map(page.items.map((envelope) => [envelope.key, envelope]));
  return lines.map((line) => standingOf(line, envelopes.get(line.key)));
}

function standingOf(line: Line, envelope: Envelope | undefined): Standing {
  return { line, spent: envelope?.spent ?? 0, held: envelope?.held ?? 0 };
}
