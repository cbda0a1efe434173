import { type Labels, labelValue } from './labels.ts';
import { toDecimal } from './amount.ts';
import type { StepAmounts, Units } from './unit.ts';

/** What was spent under one set of labels in a span of time. */
export interface Total {
  readonly labels: Labels;
  readonly amounts: StepAmounts;
  readonly charges: number;
  readonly denials: number;
}

/** One row of a report: everything spent under these values of the labels asked for. */
export interface ReportRow {
  readonly labels: Labels;
  /** Decimals by unit. */
  readonly amounts: Readonly<Record<string, number>>;
  /** How many charges the journal got. */
  readonly charges: number;
  /** How many spends were refused: counted best effort, unlike all else here. */
  readonly denials: number;
}

/** Spend by labels, from the ledger's running totals: never from the journal. */
export interface Report {
  /** The span asked for, widened to whole quarter-hours. */
  readonly since: Date;
  readonly until: Date;
  readonly rows: readonly ReportRow[];
  /** Decimals by unit, over all rows. */
  readonly total: Readonly<Record<string, number>>;
}

/** The grain of running totals: fine enough for every time zone's midnight. */
export const SLOT_MS: number = 15 * 60_000;

/** The grain that whole days are read in. */
export const DAY_SLOT_MS: number = 86_400_000;

/** The most label sets that a slot tells apart; the others are added up under `OTHER_LABELS`. */
export const MAX_LABEL_SETS_PER_SLOT = 1000;

/** What stands for every label of the spends that a slot had no room to tell apart. */
export const OTHER = '(other)';

/** The labels of what was folded together. */
export const OTHER_LABELS: Labels = { [OTHER]: OTHER };

/** The start of the quarter-hour that contains a time. */
export function slotOf(nowMs: number, slotMs: number = SLOT_MS): number {
  return Math.floor(nowMs / slotMs) * slotMs;
}

/** The end of the last slot that a span of time touches. */
export function slotEnd(untilMs: number, slotMs: number = SLOT_MS): number {
  return Math.ceil(untilMs / slotMs) * slotMs;
}

/** Adds totals up by the values of some labels, ordered by those values. */
export function reportRows(
  totals: readonly Total[],
  by: readonly string[],
  units: Units,
): Pick<Report, 'rows' | 'total'> {
  const groups = new Map<string, Group>();
  const all = new Group({});
  for (const total of totals) {
    const labels = groupLabels(total.labels, by);
    const key = JSON.stringify(by.map((label) => labels[label]));
    const group = groups.get(key) ?? new Group(labels);
    groups.set(key, group);
    group.add(total);
    all.add(total);
  }
  const rows = [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => group.row(units));
  return { rows, total: all.row(units).amounts };
}

function groupLabels(labels: Labels, by: readonly string[]): Labels {
  const folded = labels[OTHER] === OTHER && Object.keys(labels).length === 1;
  return Object.fromEntries(by.map((label) => [label, folded ? OTHER : labelValue(labels, label)]));
}

class Group {
  readonly #labels: Labels;
  readonly #steps = new Map<string, bigint>();
  #charges = 0;
  #denials = 0;

  constructor(labels: Labels) {
    this.#labels = labels;
  }

  add(total: Total): void {
    for (const { unit, steps } of total.amounts) {
      this.#steps.set(unit, (this.#steps.get(unit) ?? 0n) + BigInt(steps));
    }
    this.#charges += total.charges;
    this.#denials += total.denials;
  }

  row(units: Units): ReportRow {
    const amounts = [...this.#steps]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([unit, steps]): [string, number] => [
        unit,
        toDecimal(Number(steps), units.get(unit)?.decimals ?? 0),
      ]);
    return {
      labels: this.#labels,
      amounts: Object.fromEntries(amounts),
      charges: this.#charges,
      denials: this.#denials,
    };
  }
}
