import { toDecimal, toDecimalText } from './ledger/amount.ts';
import type { Labels } from './ledger/labels.ts';
import { envelopeLabels, type Line } from './ledger/plan.ts';
import type { Freeze } from './ledger/policy.ts';
import type { Shortfall } from './ledger/records.ts';
import type { StepAmount, StepAmounts, Unit, Units } from './ledger/unit.ts';

/** A refusal, as data: which envelope, how much was asked, what is left and when it resets. */
export interface Denial {
  /**
   * `exceeds`: it does not fit what is left. `frozen`: these labels are frozen. `uncovered`: no
   * limit names any of its units. `too_many_envelopes`: it needs a new envelope and the store has
   * as many as it may.
   */
  readonly reason: 'exceeds' | 'frozen' | 'uncovered' | 'too_many_envelopes';
  /** The limit that denied; `null` where it was no limit. */
  readonly limit: string | null;
  readonly unit: string;
  /** The labels of the envelope, of the freeze, or of the uncovered spend. */
  readonly labels: Labels;
  /** Decimals of the unit, like the four that follow. 0 where no limit denied. */
  readonly cap: number;
  readonly spent: number;
  readonly held: number;
  readonly requested: number;
  /** What is left: never below 0. */
  readonly available: number;
  /** When the window ends; `null` when it never does, or no limit denied. */
  readonly resetsAt: Date | null;
  /** The refusal in one sentence. */
  readonly message: string;
}

/** What was refused, and why: one denial at least. */
export type Denials = readonly [Denial, ...(readonly Denial[])];

/** Says which lines of a spend did not fit. */
export function shortfallDenials(
  reason: 'exceeds' | 'too_many_envelopes',
  shortfalls: readonly Shortfall[],
  units: Units,
): readonly Denial[] {
  return shortfalls.map((shortfall) => shortfallDenial(reason, shortfall, units));
}

/** Says that a spend's labels are frozen. */
export function frozenDenial(
  freeze: Freeze | undefined,
  amounts: StepAmounts,
  units: Units,
): Denial {
  const where = describeLabels(freeze?.where ?? {});
  const why = freeze?.reason === undefined ? '' : `: ${freeze.reason}`;
  return policyDenial(
    'frozen',
    freeze?.where ?? {},
    amounts,
    units,
    `Spending is frozen for ${where}${why}.`,
  );
}

/** Says that no limit covers a spend. */
export function uncoveredDenial(labels: Labels, amounts: StepAmounts, units: Units): Denial {
  const asked = amounts.map(({ unit }) => unit).join(' or ');
  const message =
    `No limit covers ${asked} for ${describeLabels(labels)}: set one that names the unit, ` +
    `or open the purse with uncovered: 'allow'.`;
  return policyDenial('uncovered', labels, amounts, units, message);
}

/** Says that a spend is more than what a share of somebody's money has left. */
export function shareDenial(
  labels: Labels,
  asked: {
    readonly unit: string;
    readonly sizeSteps: number;
    readonly leftSteps: number;
    readonly steps: number;
  },
  units: Units,
): Denial {
  const decimals = units.get(asked.unit)?.decimals ?? 0;
  const leftSteps = Math.max(0, asked.leftSteps);
  const left = `${toDecimalText(leftSteps, decimals)} of ${toDecimalText(asked.sizeSteps, decimals)}`;
  const whose = describeLabels(labels);
  return {
    reason: 'exceeds',
    limit: SHARE_LIMIT,
    unit: asked.unit,
    labels,
    cap: toDecimal(asked.sizeSteps, decimals),
    spent: toDecimal(asked.sizeSteps - leftSteps, decimals),
    held: 0,
    requested: toDecimal(asked.steps, decimals),
    available: toDecimal(leftSteps, decimals),
    resetsAt: null,
    message:
      `The share of ${whose}: ${toDecimalText(asked.steps, decimals)} ${asked.unit} asked, ` +
      `${left} left; give the run a larger share.`,
  };
}

/** What the share of a run is called among limits. */
const SHARE_LIMIT = 'share';

/** Writes labels for people: `agent=a1, task=t9`, or `every spend` for none. */
export function describeLabels(labels: Labels): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}=${value === '' ? "''" : value}`,
  );
  return parts.length === 0 ? 'every spend' : parts.join(', ');
}

function shortfallDenial(
  reason: 'exceeds' | 'too_many_envelopes',
  { line, spent, held }: Shortfall,
  units: Units,
): Denial {
  const { terms, window } = line;
  const decimals = units.get(terms.unit)?.decimals ?? 0;
  const availableSteps = Math.max(0, terms.capSteps - spent - held);
  return {
    reason,
    limit: terms.limit,
    unit: terms.unit,
    labels: envelopeLabels(line.each, line.values),
    cap: toDecimal(terms.capSteps, decimals),
    spent: toDecimal(spent, decimals),
    held: toDecimal(held, decimals),
    requested: toDecimal(line.steps, decimals),
    available: toDecimal(availableSteps, decimals),
    resetsAt: window.endMs === null ? null : new Date(window.endMs),
    message:
      reason === 'exceeds'
        ? exceedsMessage(line, availableSteps, decimals)
        : `Limit ${JSON.stringify(terms.limit)} needs a new envelope for ${envelopeName(line)}, and the store ` +
          `already has as many as it may; raise maxEnvelopes, or separate by a label with fewer values.`,
  };
}

function exceedsMessage(line: Line, availableSteps: number, decimals: number): string {
  const { terms, window } = line;
  const asked = `${toDecimalText(line.steps, decimals)} ${terms.unit}`;
  const left = `${toDecimalText(availableSteps, decimals)} of ${toDecimalText(terms.capSteps, decimals)}`;
  const resets =
    window.endMs === null
      ? 'it never resets'
      : `it resets at ${new Date(window.endMs).toISOString()}`;
  const whose = line.each.length === 0 ? '' : ` for ${envelopeName(line)}`;
  return `Limit ${JSON.stringify(terms.limit)}${whose}: ${asked} asked, ${left} left; ${resets}.`;
}

function envelopeName(line: Line): string {
  return describeLabels(envelopeLabels(line.each, line.values));
}

function policyDenial(
  reason: 'frozen' | 'uncovered',
  labels: Labels,
  amounts: StepAmounts,
  units: Units,
  message: string,
): Denial {
  const { unit, steps }: StepAmount = amounts[0] ?? { unit: '', steps: 0 };
  const known: Unit | undefined = units.get(unit);
  return {
    reason,
    limit: null,
    unit,
    labels,
    cap: 0,
    spent: 0,
    held: 0,
    requested: toDecimal(steps, known?.decimals ?? 0),
    available: 0,
    resetsAt: null,
    message,
  };
}
