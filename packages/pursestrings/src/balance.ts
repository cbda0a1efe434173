import { toDecimal } from './ledger/amount.ts';
import { type Labels, labelValue } from './ledger/labels.ts';
import type { Rule, Terms } from './ledger/limit.ts';
import { envelopeGroup, envelopeKey, envelopeLabels } from './ledger/plan.ts';
import type { Rulebook } from './ledger/policy.ts';
import type { Envelope } from './ledger/records.ts';
import type { Units } from './ledger/unit.ts';
import type { Window } from './ledger/window.ts';
import type { BalancePage, BalanceQuery, EmbeddedStore, LedgerStore } from './stores/store.ts';

/** How far an envelope is used: judged on the exact ratio, unrounded. */
export type BalanceStatus = 'within_budget' | 'approaching_limit' | 'at_limit' | 'exceeded';

/** One envelope in its current window. Amounts are decimals of `unit`. */
export interface Balance {
  readonly limit: string;
  readonly unit: string;
  /** The values that the limit's `each` separates. */
  readonly labels: Labels;
  readonly cap: number;
  readonly spent: number;
  readonly held: number;
  /** What a spend may still take: never below 0. */
  readonly available: number;
  /** Spent (of an occupied unit: held) over the cap; 1 for a cap of 0. */
  readonly fraction: number;
  /** `approaching_limit` from 80 %, `at_limit` from 95 %, `exceeded` from 100 %. */
  readonly status: BalanceStatus;
  /** `end` is null for a window that never ends. */
  readonly window: { readonly start: Date; readonly end: Date | null };
}

/** Which balances. */
export interface BalancesQuery {
  /** Only this limit's, or those of each of these. */
  readonly limit?: string | readonly string[];
  /** Only those that a spend with these labels could draw on. */
  readonly labels?: Labels;
}

/** Reads the current balances of a policy's limits. A limit without `each` always has one. */
export async function* readBalances(
  store: LedgerStore,
  rulebook: Rulebook,
  query: BalancesQuery,
  nowMs: number,
): AsyncGenerator<Balance> {
  for (const asked of askedShelves(rulebook, query, nowMs)) {
    let after: string | null = null;
    do {
      const page = await store.readBalances(nextPage(asked, after));
      yield* balancesOn(asked, page.items);
      after = page.next;
    } while (after !== null);
  }
}

/** The same at one moment, as nearly as several readings can be: with the policy's revision in the store. */
export async function readBalancesAtOnce(
  store: LedgerStore,
  rulebook: Rulebook,
  query: BalancesQuery,
  nowMs: number,
): Promise<{ readonly balances: readonly Balance[]; readonly revisions: ReadonlySet<number> }> {
  const revisions = new Set<number>();
  const shelves = [...askedShelves(rulebook, query, nowMs)];
  const lists = await Promise.all(
    shelves.map(async (asked) => {
      const balances: Balance[] = [];
      let after: string | null = null;
      do {
        const page = await store.readBalances(nextPage(asked, after));
        revisions.add(page.revision);
        balances.push(...balancesOn(asked, page.items));
        after = page.next;
      } while (after !== null);
      return balances;
    }),
  );
  return { balances: lists.flat(), revisions };
}

/** The same of a store inside the process. */
export function* readBalancesSync(
  store: EmbeddedStore,
  rulebook: Rulebook,
  query: BalancesQuery,
  nowMs: number,
): Generator<Balance> {
  for (const asked of askedShelves(rulebook, query, nowMs)) {
    let after: string | null = null;
    do {
      const page: BalancePage = store.readBalancesSync(nextPage(asked, after));
      yield* balancesOn(asked, page.items);
      after = page.next;
    } while (after !== null);
  }
}

/** The envelopes of one limit, unit and window that are asked for. */
interface Shelf {
  readonly rule: Rule;
  readonly terms: Terms;
  readonly window: Window;
  readonly query: BalanceQuery;
  readonly labels: Labels;
  readonly units: Units;
}

function* askedShelves(
  { rules, units }: Rulebook,
  { limit, labels = {} }: BalancesQuery,
  nowMs: number,
): Generator<Shelf> {
  for (const rule of rules) {
    if (limit !== undefined && !isNamed(rule.limit.name, limit)) continue;
    if (!couldMatch(rule, labels)) continue;
    const window = rule.findWindow(nowMs);
    for (const { terms, keyPrefix } of rule.caps) {
      const query = balanceQuery(rule, envelopeGroup(keyPrefix, window), labels);
      yield { rule, terms, window, query, labels, units };
    }
  }
}

function isNamed(name: string, asked: string | readonly string[]): boolean {
  return typeof asked === 'string' ? name === asked : asked.includes(name);
}

function nextPage({ query }: Shelf, after: string | null): BalanceQuery {
  return after === null ? query : { ...query, after };
}

function* balancesOn(
  { rule, terms, window, labels, units }: Shelf,
  envelopes: readonly Envelope[],
): Generator<Balance> {
  if (rule.each.length === 0) {
    yield toBalance(terms, [], [], window, envelopes[0], units);
    return;
  }
  for (const envelope of envelopes) {
    if (!drawsOn(rule, envelope, labels)) continue;
    yield toBalance(terms, rule.each, envelope.values, window, envelope, units);
  }
}

/** One envelope when the labels name it whole, else all of its group. */
function balanceQuery(rule: Rule, group: string, labels: Labels): BalanceQuery {
  if (!rule.each.every((label) => Object.hasOwn(labels, label))) return { group };
  return {
    keys: [
      envelopeKey(
        group,
        rule.each.map((label) => labelValue(labels, label)),
      ),
    ],
  };
}

/** True unless the limit asks for another value of a label that is given. */
function couldMatch(rule: Rule, labels: Labels): boolean {
  return rule.where.every(
    ({ label, values }) => !Object.hasOwn(labels, label) || values.has(labelValue(labels, label)),
  );
}

function drawsOn(rule: Rule, envelope: Envelope, labels: Labels): boolean {
  return rule.each.every(
    (label, index) =>
      !Object.hasOwn(labels, label) || labelValue(labels, label) === envelope.values[index],
  );
}

function toBalance(
  terms: Terms,
  each: readonly string[],
  values: readonly string[],
  window: Window,
  envelope: Envelope | undefined,
  units: Units,
): Balance {
  const decimals = units.get(terms.unit)?.decimals ?? 0;
  const { spent = 0, held = 0 } = envelope ?? {};
  const used = terms.occupied ? held : spent;
  return {
    limit: terms.limit,
    unit: terms.unit,
    labels: envelopeLabels(each, values),
    cap: toDecimal(terms.capSteps, decimals),
    spent: toDecimal(spent, decimals),
    held: toDecimal(held, decimals),
    available: toDecimal(Math.max(0, terms.capSteps - spent - held), decimals),
    fraction: terms.capSteps === 0 ? 1 : used / terms.capSteps,
    status: statusOf(used, terms.capSteps),
    window: {
      start: new Date(window.startMs),
      end: window.endMs === null ? null : new Date(window.endMs),
    },
  };
}

/** How far a cap is used, judged on the exact ratio. A cap of 0 is exceeded. */
export function statusOf(usedSteps: number, capSteps: number): BalanceStatus {
  const used = BigInt(usedSteps) * 100n;
  const cap = BigInt(capSteps);
  if (used >= cap * 100n) return 'exceeded';
  if (used >= cap * 95n) return 'at_limit';
  return used >= cap * 80n ? 'approaching_limit' : 'within_budget';
}
