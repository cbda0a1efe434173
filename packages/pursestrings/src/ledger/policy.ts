import { InvalidLabelError, InvalidLimitError, InvalidOptionError } from './invalid.ts';
import { type Labels, type LabelSet, labelSet, labelValue } from './labels.ts';
import { compileLimit, type Limit, MAX_LIMITS, resolveLimit, type Rule } from './limit.ts';
import { declareUnits, STANDARD_UNITS, type UnitOptions, type Units, unitsFrom } from './unit.ts';

/** Spends that carry these labels are denied until it is lifted. */
export interface Freeze {
  readonly where: Labels;
  readonly reason?: string;
}

/** What a ledger allows, as its store keeps it: plain data under a revision that counts changes. */
export interface Policy {
  readonly revision: number;
  readonly units: Readonly<Record<string, UnitOptions>>;
  readonly limits: readonly Limit[];
  readonly freezes: readonly Freeze[];
}

/** The policy of a ledger that nobody has written to. */
export const EMPTY_POLICY: Policy = {
  revision: 0,
  units: STANDARD_UNITS,
  limits: [],
  freezes: [],
};

/** The most freezes that may stand at once. */
export const MAX_FREEZES = 10_000;

/** A policy made ready for planning: what a spend's labels match is looked up, not searched. */
export interface Rulebook {
  readonly policy: Policy;
  readonly units: Units;
  readonly rules: readonly Rule[];
  readonly rulesFor: (labels: Labels) => readonly Rule[];
  readonly freezeOn: (labels: Labels) => Freeze | undefined;
}

/**
 * Checks a policy whole and makes it ready.
 *
 * @throws InvalidLimitError or InvalidUnitError for the first thing that is wrong.
 */
export function compilePolicy(policy: Policy): Rulebook {
  const units = unitsFrom(declareUnits({}, policy.units));
  const rules = policy.limits.map((limit, order) => compileLimit(limit, units, order));
  const matching = matcher(rules.map((rule) => ({ item: rule, where: rule.where })));
  const selective = rules.some(({ where }) => where.length > 0);
  const freezing = matcher(
    policy.freezes.map((freeze) => ({
      item: freeze,
      where: Object.keys(freeze.where).map((label) => ({
        label,
        values: new Set([labelValue(freeze.where, label)]),
      })),
    })),
  );
  return {
    policy,
    units,
    rules,
    rulesFor: (labels) => (selective ? inOrder(matching(labels)) : rules),
    freezeOn: (labels) => (policy.freezes.length === 0 ? undefined : freezing(labels)[0]),
  };
}

/** Adds limits by name: one that stands is replaced, the others stay as they are. */
export function withLimits(policy: Policy, limits: readonly Limit[], timeZone: string): Policy {
  const byName = new Map(policy.limits.map((limit) => [limit.name, limit]));
  const added = new Set<string>();
  for (const limit of limits) {
    const resolved = resolveLimit(limit, timeZone);
    if (added.has(resolved.name)) {
      throw new InvalidLimitError(
        resolved.name,
        'name',
        'is given to two limits; each needs its own',
      );
    }
    added.add(resolved.name);
    byName.set(resolved.name, resolved);
  }
  if (byName.size > MAX_LIMITS) {
    throw new InvalidLimitError(
      limits[0]?.name ?? '',
      'name',
      `is one too many: a ledger has at most ${MAX_LIMITS} limits`,
    );
  }
  return { ...policy, limits: [...byName.values()] };
}

/**
 * Takes a limit out of the policy. Its envelopes stay, for the day it comes back.
 *
 * @throws InvalidLimitError when there is no such limit.
 */
export function withoutNamedLimit(policy: Policy, name: string): Policy {
  if (policy.limits.some((limit) => limit.name === name)) return withoutLimit(policy, name);
  throw new InvalidLimitError(
    name,
    'name',
    'is not a limit of this ledger; see limits() for those that are',
  );
}

/** The same where the limit may be gone already. */
export function withoutLimit(policy: Policy, name: string): Policy {
  return { ...policy, limits: policy.limits.filter((limit) => limit.name !== name) };
}

/** Adds units to the policy. */
export function withUnits(policy: Policy, units: Readonly<Record<string, UnitOptions>>): Policy {
  return { ...policy, units: declareUnits(policy.units, units) };
}

/** Freezes spends that carry these labels; `{}` freezes all. */
export function withFreeze(policy: Policy, where: Labels, reason: string | undefined): Policy {
  const { labels, key } = frozenLabels(where);
  const others = policy.freezes.filter((freeze) => labelSet(freeze.where).key !== key);
  if (others.length >= MAX_FREEZES) {
    throw new InvalidOptionError(
      `A ledger has at most ${MAX_FREEZES} freezes; lift one with unfreeze()`,
    );
  }
  return {
    ...policy,
    freezes: [...others, { where: labels, ...(reason !== undefined && { reason }) }],
  };
}

/** Lifts the freeze on exactly these labels. */
export function withoutFreeze(policy: Policy, where: Labels): Policy {
  const { key } = frozenLabels(where);
  return {
    ...policy,
    freezes: policy.freezes.filter((freeze) => labelSet(freeze.where).key !== key),
  };
}

/** A label that is `undefined` is a slip here: without it the freeze would be on more, even on all. */
function frozenLabels(where: Labels): LabelSet {
  const set = labelSet(where);
  const missing = Object.keys(where).find((label) => !Object.hasOwn(set.labels, label));
  if (missing === undefined) return set;
  throw new InvalidLabelError(
    `Label ${JSON.stringify(missing)} of a freeze is undefined; give it a value, or leave it out`,
  );
}

/** True when two policies say the same, whatever their revisions. */
export function samePolicy(a: Policy, b: Policy): boolean {
  return JSON.stringify({ ...a, revision: 0 }) === JSON.stringify({ ...b, revision: 0 });
}

function inOrder(rules: Rule[]): readonly Rule[] {
  return rules.length > 1 ? rules.sort(byOrder) : rules;
}

function byOrder(a: Rule, b: Rule): number {
  return a.order - b.order;
}

type Condition = { readonly label: string; readonly values: ReadonlySet<string> };

/**
 * Makes a lookup of items by the labels that they ask for. An item is filed under one label that
 * it names, so that the cost of a spend follows what it matches and not how many items there are.
 */
function matcher<T>(
  entries: readonly { readonly item: T; readonly where: readonly Condition[] }[],
): (labels: Labels) => T[] {
  const always: T[] = [];
  const filed = new Map<string, Map<string, { item: T; rest: readonly Condition[] }[]>>();
  for (const { item, where } of entries) {
    const [first, ...rest] = where;
    if (first === undefined) {
      always.push(item);
      continue;
    }
    const byValue =
      filed.get(first.label) ?? new Map<string, { item: T; rest: readonly Condition[] }[]>();
    filed.set(first.label, byValue);
    for (const value of first.values) {
      const list = byValue.get(value) ?? [];
      byValue.set(value, list);
      list.push({ item, rest });
    }
  }
  const shelves = [...filed].map(([label, byValue]) => ({ label, byValue }));
  return (labels) => {
    let found = always.length === 0 ? null : [...always];
    for (const { label, byValue } of shelves) {
      for (const { item, rest } of byValue.get(labelValue(labels, label)) ?? NONE) {
        if (!meets(labels, rest)) continue;
        if (found === null) found = [item];
        else found.push(item);
      }
    }
    return found ?? [];
  };
}

function meets(labels: Labels, conditions: readonly Condition[]): boolean {
  for (const { label, values } of conditions) {
    if (!values.has(labelValue(labels, label))) return false;
  }
  return true;
}

const NONE: readonly never[] = [];
