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
    let lines = NO_LINES;
    for (const rule of rulebook.rulesFor(labels)) {
      lines = (pages[rule.order] as RulePage).addLines(lines, amounts, labels, nowMs);
    }
    return { lines, uncovered: lines.length === 0, freeze: rulebook.freezeOn(labels) };
  };
}

/**
 * Joins the plan of a spend with those it has for others who pay too: their envelopes are added,
 * each once. Occupied units are no money, and are taken by the one who works.
 */
export function joinPlans(own: Plan, others: readonly Plan[]): Plan {
  const lines = new Map(own.lines.map((line) => [line.key, line]));
  for (const line of others.flatMap((other) => other.lines)) {
    if (!line.terms.occupied && !lines.has(line.key)) lines.set(line.key, line);
  }
  const freeze = own.freeze ?? others.find((other) => other.freeze !== undefined)?.freeze;
  return { lines: [...lines.values()], uncovered: lines.size === 0, freeze };
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

/** The group of an envelope that stands: its key without its values. */
export function envelopeGroupOf({
  key,
  values,
}: {
  readonly key: string;
  readonly values: readonly string[];
}): string {
  return key.slice(0, key.length - envelopeKey('', values).length);
}

/** A line; its key is written when somebody asks for it. */
class PlannedLine implements Line {
  readonly terms: Terms;
  readonly group: string;
  readonly each: readonly string[];
  readonly values: readonly string[];
  readonly window: Window;
  readonly steps: number;

  constructor(
    terms: Terms,
    group: string,
    each: readonly string[],
    values: readonly string[],
    window: Window,
    steps: number,
  ) {
    this.terms = terms;
    this.group = group;
    this.each = each;
    this.values = values;
    this.window = window;
    this.steps = steps;
  }

  get key(): string {
    return envelopeKey(this.group, this.values);
  }
}

/** A limit with its current window, and the groups of its envelopes in that window. */
class RulePage {
  readonly #rule: Rule;
  #window: Window = NO_WINDOW;
  #groups: readonly string[] = [];

  constructor(rule: Rule) {
    this.#rule = rule;
  }

  /** Adds the lines of a spend under this limit. Answers with all of them. */
  addLines(lines: Line[], amounts: StepAmounts, labels: Labels, nowMs: number): Line[] {
    const { each, caps } = this.#rule;
    let all = lines;
    const window = this.#windowAt(nowMs);
    let values: readonly string[] | undefined;
    for (let index = 0; index < caps.length; index += 1) {
      const { terms } = caps[index] as Rule['caps'][number];
      for (const { unit, steps } of amounts) {
        if (unit !== terms.unit) continue;
        values ??= each.length === 0 ? NO_VALUES : each.map((label) => labelValue(labels, label));
        const group = this.#groups[index] as string;
        const line = new PlannedLine(terms, group, each, values, window, steps);
        // An empty list that is pushed to makes room for seventeen, and most plans have one line.
        if (all === NO_LINES) all = [line];
        else all.push(line);
      }
    }
    return all;
  }

  #windowAt(nowMs: number): Window {
    if (!contains(this.#window, nowMs)) {
      this.#window = this.#rule.findWindow(nowMs);
      this.#groups = this.#groupsIn(this.#window);
    }
    return this.#window;
  }

  #groupsIn(window: Window): readonly string[] {
    return this.#rule.caps.map(({ keyPrefix }) => envelopeGroup(keyPrefix, window));
  }
}

/** Stands for a window not looked for yet: it contains no time. */
const NO_WINDOW: Window = { key: '', startMs: 0, endMs: 0 };

const NO_VALUES: readonly string[] = [];

const NO_LINES: Line[] = [];
