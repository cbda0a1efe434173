import { InvalidOptionError } from '../errors.ts';
import { toDecimal } from '../ledger/amount.ts';
import { shown } from '../ledger/invalid.ts';
import { type LabelSet, labelSet } from '../ledger/labels.ts';
import type { Limit, Rule, Terms } from '../ledger/limit.ts';
import { newId } from '../new-id.ts';
import { checkLimit, decimalsOf, isUnit, unitFor } from './amounts.ts';
import type { EnvelopeConfig, Period } from './types.ts';

/** What the labels of an envelope's spends are called. */
export const CATEGORY = 'category';
export const ENVELOPE = 'envelope';
const SINCE = 'since';

const MAX_NAME_LENGTH = 1024;

/** The steps of each period, counted from the envelope's creation. */
const EVERY: Readonly<Record<Exclude<Period, 'total'>, string>> = {
  hourly: '1h',
  daily: '1d',
  weekly: '1w',
  monthly: '1mo',
};

/** An envelope to be made. */
export interface EnvelopeDraft {
  readonly id: string;
  readonly category: string;
  readonly limit: number;
  readonly period: Period;
  /** When its first period begins. */
  readonly sinceMs: number;
}

/** An envelope as the policy has it: a limit for the spends that carry its labels. */
export interface EnvelopeRule extends EnvelopeDraft {
  readonly limitName: string;
  readonly unit: string;
  readonly terms: Terms;
  /** The labels of its spends. */
  readonly labels: LabelSet;
  readonly rule: Rule;
}

/** Checks what an envelope is to be. @throws InvalidOptionError, InvalidAmountError */
export function checkConfig(config: EnvelopeConfig): void {
  if (typeof config !== 'object' || config === null) {
    throw new InvalidOptionError(
      `An envelope is ${shown(config)}; write { category: 'llm', limit: 10, period: 'daily' }`,
    );
  }
  checkText('category', config.category);
  if (config.id !== undefined) checkText('id', config.id);
  if (config.period !== 'total' && !Object.hasOwn(EVERY, config.period)) {
    throw new InvalidOptionError(
      `period is ${shown(config.period)}; it must be 'hourly', 'daily', 'weekly', 'monthly' or 'total'`,
    );
  }
  checkLimit(config.limit);
}

/**
 * The limit of an envelope. Its name is its own, so that one that replaces another of the same
 * category, id and moment begins with nothing spent.
 */
export function limitOf(draft: EnvelopeDraft, timeZone: string): Limit {
  const { category, limit, period, sinceMs } = draft;
  const since = new Date(sinceMs).toISOString();
  return {
    name: `${Array.from(category).slice(0, 40).join('')} ${newId()}`,
    cap: { [unitFor(limit)]: limit },
    per: period === 'total' ? 'total' : { every: EVERY[period], from: since },
    where: labelsOf(draft),
    warnAt: [],
    timeZone,
  };
}

/** Reads an envelope back from the policy; `null` for a limit that is none. */
export function envelopeRuleOf(rule: Rule): EnvelopeRule | null {
  const { limit, caps } = rule;
  const category = oneOf(limit, CATEGORY);
  const id = oneOf(limit, ENVELOPE);
  const sinceMs = Date.parse(oneOf(limit, SINCE) ?? '');
  const [first] = caps;
  const period = periodOf(limit);
  if (category === null || id === null || period === null || Number.isNaN(sinceMs)) return null;
  if (first === undefined || !isUnit(first.terms.unit)) return null;
  const { terms } = first;
  const { unit } = terms;
  const cap = toDecimal(terms.capSteps, decimalsOf(unit));
  const draft = { id, category, limit: cap, period, sinceMs };
  return {
    ...draft,
    limitName: limit.name,
    unit,
    terms,
    labels: labelSet(labelsOf(draft)),
    rule,
  };
}

function labelsOf({ category, id, sinceMs }: EnvelopeDraft): Record<string, string> {
  return { [CATEGORY]: category, [ENVELOPE]: id, [SINCE]: new Date(sinceMs).toISOString() };
}

function oneOf({ where }: Limit, label: string): string | null {
  const value = where?.[label];
  return typeof value === 'string' ? value : null;
}

function periodOf({ per = 'total' }: Limit): Period | null {
  if (per === 'total') return 'total';
  if (typeof per !== 'object') return null;
  const found = Object.entries(EVERY).find(([, every]) => every === per.every);
  return (found?.[0] as Period | undefined) ?? null;
}

function checkText(name: string, text: string): void {
  const fits = typeof text === 'string' && text !== '' && text.length <= MAX_NAME_LENGTH;
  if (fits && text.isWellFormed()) return;
  throw new InvalidOptionError(
    `${name} is ${shown(text)}; it must be text of 1 to ${MAX_NAME_LENGTH} characters`,
  );
}
