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
  /** Ends what the old envelope holds, and takes over what was still spent in it meanwhile. */
  readonly finish: () => void;
  /** Gives the commits back to the old envelope: the policy does not lead to the new one. */
  readonly undo: () => void;
}

/**
 * Lets an envelope of another shape (another period, id or unit) take over what is spent and
 * committed in the one that stands. It is written before the policy leads to it, so that at no
 * moment, and in no crash, does the cap begin anew.
 *
 * @returns the commits that it took over, and what is left to be done when the policy leads to it, or
 *   does not.
 */
export function carryOver(
  spending: EmbeddedSpending,
  standing: EnvelopeRule,
  next: Limit,
): Carried {
  const rule = ruleOf(next, spending);
  const nowMs = spending.now();
  const from = spending.envelopeIn(standing.rule, nowMs);
  if (from === null) return { holds: [], finish: nothing, undo: nothing };
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
  spending.write([{ kind: 'envelope', envelope: into }, ...holdRecords(holds)]);
  return {
    holds,
    finish: () => {
      const left = spending.envelopeIn(standing.rule, nowMs) ?? from;
      const late = convert(left.spent - from.spent);
      const taken = spending.envelopeIn(rule.rule, nowMs) ?? into;
      const { spent, pruned } = taken;
      spending.write([
        { kind: 'envelope', envelope: { ...left, held: 0 } },
        { kind: 'envelope', envelope: { ...taken, spent: spent + late, pruned: pruned + late } },
      ]);
    },
    undo: () => spending.write(holdRecords(held)),
  };
}

function nothing(): void {}

function holdRecords(holds: readonly HoldRecord[]): LedgerRecord[] {
  return holds.map((hold) => ({ kind: 'hold', hold }));
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
