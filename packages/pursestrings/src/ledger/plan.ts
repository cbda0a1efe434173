import { labelValue, type Labels } from './labels.ts';
import type { Rule, Terms } from './limit.ts';
import { keyPart } from './limit.ts';
import type { Freeze, Rulebook } from './policy.ts';
import type { StepAmounts } from './unit.ts';
import { contains, type Window } from './window.ts';

/** One unit of a spend against one limit that matches it: the envelope it falls in, and how much. */
export interface Line {
  readonly terms: Terms;
  /** The envelope's key in the ledger: its group and its values. */
  readonly key: string;
  /** What the keys of the envelopes of one limit, unit and window begin with. */
  readonly group: string;
  /** The envelope's own labels: the values that the limit's `each` separates. */
  readonly each: readonly string[];
  readonly values: readonly string[];
  readonly window: Window;
  readonly steps: number;
}

/** What a spend would move. */
export interface Plan {
  readonly lines: readonly Line[];
  /** No limit that matches names any of the spend's units (rule 1). */
  readonly uncovered: boolean;
  readonly freeze: Freeze | undefined;
}

/** Plans spends under one policy; it remembers each limit's window until the window ends. */
export type Planner = (amounts: StepAmounts, labels: Labels, nowMs: number) => Plan;

/** Makes the planner of a policy. */
export function planner(rulebook: Rulebook): Planner {
  const pages = rulebook.rules.map((rule) => new RulePage(rule));
  return (amounts, labels, nowMs) => {
    const lines: Line[] = [];
    for (const rule of rulebook.rulesFor(labels)) {
      const page = pages[rule.order] as RulePage;
      for (const cap of rule.caps) {
        for (const amount of amounts) {
          if (amount.unit !== cap.terms.unit) continue;
          lines.push(page.line(cap, labels, amount.steps, nowMs));
        }
      }
    }
    return { lines, uncovered: lines.length === 0, freeze: rulebook.freezeOn(labels) };
  };
}

/** The labels of an envelope, as an object. */
export function envelopeLabels(each: readonly string[], values: readonly string[]): Labels {
  return Object.fromEntries(each.map((label, index) => [label, values[index] ?? '']));
}

/** Writes the group of an envelope: `limit|shape|unit|window`. */
export function envelopeGroup(keyPrefix: string, window: Window): string {
  return `${keyPrefix}${window.key}`;
}

/** Writes the key of an envelope: its group and its values, no part of which can be forged. */
export function envelopeKey(group: string, values: readonly string[]): string {
  let key = group;
  for (const value of values) key += `|${keyPart(value)}`;
  return key;
}

/** A limit with its current window. */
class RulePage {
  readonly #rule: Rule;
  #window: Window;

  constructor(rule: Rule) {
    this.#rule = rule;
    this.#window = rule.findWindow(0);
  }

  line(cap: Rule['caps'][number], labels: Labels, steps: number, nowMs: number): Line {
    if (!contains(this.#window, nowMs)) this.#window = this.#rule.findWindow(nowMs);
    const { each } = this.#rule;
    const values = each.length === 0 ? NO_VALUES : each.map((label) => labelValue(labels, label));
    const group = envelopeGroup(cap.keyPrefix, this.#window);
    const key = envelopeKey(group, values);
    return { terms: cap.terms, key, group, each, values, window: this.#window, steps };
  }
}

const NO_VALUES: readonly string[] = [];
