import type { EmbeddedSpending } from '../embedded-spending.ts';
import { MAX_ENVELOPE_STEPS, toDecimalText, toSteps } from '../ledger/amount.ts';
import type { LedgerRecord } from '../ledger/audit.ts';
import { stepsOf } from '../ledger/charge-row.ts';
import { compileLimit, type Limit } from '../ledger/limit.ts';
import { envelopeGroup } from '../ledger/plan.ts';
import { type Envelope, type HoldRecord, NOTHING_CROSSED } from '../ledger/records.ts';
import type { Window } from '../ledger/window.ts';
import { decimalsOf } from './amounts.ts';
import { type EnvelopeRule, envelopeRuleOf } from './envelope-limit.ts';
import { InvariantError } from '../errors.ts';

/** An envelope of a limit, with what was spent in it and nothing held. */
export function envelopeIn({ rule, terms }: EnvelopeRule, window: Window, spent: number): Envelope {
  const [first] = rule.caps;
  return {
    key: envelopeGroup(first?.keyPrefix ?? '', window),
    limit: terms.limit,
    unit: terms.unit,
    each: [],
    values: [],
    window,
    spent,
    held: 0,
    // What it was spent for is not posted to this envelope, so it counts as folded away.
    pruned: spent,
    crossed: NOTHING_CROSSED,
    saturated: false,
    closed: false,
  };
}

/** Makes an envelope of a limit that is not in the policy yet. */
export function ruleOf(limit: Limit, spending: EmbeddedSpending): EnvelopeRule {
  const rule = envelopeRuleOf(compileLimit(limit, spending.units, 0));
  if (rule === null) throw new InvariantError(`Limit ${limit.name} was made for an envelope`);
  return rule;
}

/** What came of a taking over. */
interface Carried {
  readonly holds: readonly HoldRecord[];
  readonly finish: () => void;
}

/**
 * Lets an envelope of another shape (another period, id or unit) take over what is spent and
 * committed in the one that stands. It is written before the policy leads to it, so that at no
 * moment, and in no crash, does the cap begin anew.
 *
 * @returns the commits that it took over, and what is left to be done when the policy leads to it.
 */
export function carryOver(
  spending: EmbeddedSpending,
  standing: EnvelopeRule,
  next: Limit,
): Carried {
  const rule = ruleOf(next, spending);
  const nowMs = spending.now();
  const from = spending.envelopeIn(standing.rule, nowMs);
  if (from === null) return { holds: [], finish: () => undefined };
  const convert = (steps: number): number => converted(steps, standing.unit, rule.unit);
  const into = envelopeIn(rule, rule.rule.findWindow(nowMs), convert(from.spent));
  const held = [...spending.openHolds()].filter((hold) => isIn(hold, from));
  const holds = held.map((hold): HoldRecord => {
    const steps = convert(stepsOf(hold.amounts, from.unit));
    into.held += steps;
    const lines = [
      ...hold.lines.filter(({ envelope }) => envelope.key !== from.key),
      { terms: rule.terms, envelope: into },
    ];
    const amounts = [{ unit: rule.unit, steps }];
    return { ...hold, amounts, lines, labels: rule.labels };
  });
  const records = holds.map((hold): LedgerRecord => ({ kind: 'hold', hold }));
  spending.write([{ kind: 'envelope', envelope: into }, ...records]);
  const finish = (): void => spending.write([{ kind: 'envelope', envelope: { ...from, held: 0 } }]);
  return { holds, finish };
}

function isIn({ lines }: HoldRecord, { key }: Envelope): boolean {
  return lines.some(({ envelope }) => envelope.key === key);
}

/** Steps of one unit in another: a finer one holds them exactly, a coarser one rounds up. */
function converted(steps: number, from: string, to: string): number {
  if (from === to) return steps;
  const text = toDecimalText(steps, decimalsOf(from));
  const wanted = toSteps(text, decimalsOf(to), 'up', Number.POSITIVE_INFINITY);
  return Math.min(wanted, MAX_ENVELOPE_STEPS);
}
