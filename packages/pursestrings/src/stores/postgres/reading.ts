import { carries, labelSetFromKey } from '../../ledger/labels.ts';
import { EMPTY_POLICY, type Policy } from '../../ledger/policy.ts';
import type { ChargeRecord, Envelope, HoldRecord } from '../../ledger/records.ts';
import type { Total } from '../../ledger/report.ts';
import { addAmounts, daysWithin, newTotal, type RunningTotal } from '../running-total.ts';
import {
  type BalancePage,
  type BalanceQuery,
  type HoldQuery,
  type JournalQuery,
  MAX_PAGE_SIZE,
  type Page,
  type TotalsQuery,
} from '../store.ts';
import { groupName, memberOf } from './batch.ts';
import {
  type ChargeRow,
  type EnvelopeRow,
  type HoldRow,
  readCharge,
  readEnvelope,
  readHold,
  readTerms,
  type TermsRow,
} from './rows.ts';
import { literal, literalOrNull, numberArray, pack, textArray } from './text.ts';

/** No time is further off. */
const EVER = 9_000_000_000_000_000;

/** What `read_balances` and `read_envelopes` answer with. */
export interface BalancesText {
  readonly items: readonly EnvelopeRow[] | null;
  readonly now: number;
  readonly revision: number | null;
}

/** What `read_holds` answers with. */
export interface HoldsText {
  readonly items: readonly HoldRow[] | null;
  readonly envelopes: readonly EnvelopeRow[] | null;
  readonly terms: readonly TermsRow[] | null;
}

/** What `read_journal` answers with. */
export interface JournalText {
  readonly items: readonly ChargeRow[];
  readonly next: string | null;
}

/** What `read_totals` answers with. */
export type TotalsText =
  | readonly (readonly [
      labels: string,
      unit: string,
      steps: number,
      charges: number,
      denials: number,
    ])[]
  | null;

/** A call of a function in the schema. */
export interface Call {
  readonly name: string;
  readonly args: string;
}

export function balancesCall(
  ledger: string,
  clockMs: number | undefined,
  query: BalanceQuery,
): Call {
  const name = literal(ledger);
  const clock = clockMs ?? 'NULL';
  if (query.keys !== undefined) {
    const places = query.keys.map(splitKey);
    const groups = textArray(places.map(({ group }) => groupName(group)));
    const members = textArray(places.map(({ member }) => memberOf(member).member));
    return { name: 'read_envelopes', args: `${name},${clock},${groups},${members}` };
  }
  const group = literalOrNull(query.group === undefined ? null : groupName(query.group));
  const [afterGroup, afterMember] = query.after === undefined ? [-1, ''] : readAfter(query.after);
  const args = [name, clock, group, afterGroup, literal(afterMember), pageSize(query)].join(',');
  return { name: 'read_balances', args };
}

export function readBalancePage(text: BalancesText, query: BalanceQuery): BalancePage {
  const rows = text.items ?? [];
  const last = rows.at(-1);
  const more = query.keys === undefined && last !== undefined && rows.length === pageSize(query);
  return {
    items: rows.map(readEnvelope),
    next: more ? JSON.stringify([last[9], last[8]]) : null,
    revision: text.revision ?? 0,
    nowMs: text.now,
  };
}

export function holdsCall(ledger: string, query: HoldQuery): Call {
  return {
    name: 'read_holds',
    args: [
      literal(ledger),
      literalOrNull(query.id === undefined ? null : pack(query.id)),
      true,
      literal(query.after ?? ''),
      pageSize(query),
    ].join(','),
  };
}

export function readHoldPage(text: HoldsText, query: HoldQuery): Page<HoldRecord> {
  const rows = text.items ?? [];
  const last = rows.at(-1);
  const more = query.id === undefined && last !== undefined && rows.length === pageSize(query);
  return { items: readHolds(text), next: more ? last.id : null };
}

/** Reads holds with the envelopes and terms that came with them. */
export function readHolds(
  { items, envelopes, terms }: HoldsText,
  known?: ReadonlyMap<number, Envelope>,
): readonly HoldRecord[] {
  const references = {
    envelopes: known ?? new Map((envelopes ?? []).map((row) => [row[0], readEnvelope(row)])),
    terms: new Map((terms ?? []).map((row) => [row[0], readTerms(row)])),
  };
  return (items ?? []).map((row) => readHold(row, references));
}

export function journalCall(ledger: string, query: JournalQuery): Call {
  const { sinceMs = -EVER, untilMs = EVER, order = 'newest', labels = {} } = query;
  const newest = order === 'newest';
  const start: readonly [number, number] = newest ? [EVER, Number.MAX_SAFE_INTEGER] : [-EVER, -1];
  const [afterMs = 0, afterSequence = 0] = query.after?.split(' ').map(Number) ?? start;
  const entries = Object.entries(labels).map(
    ([label, value]) => [JSON.stringify(label), value] as const,
  );
  const needles = entries
    .filter(([, value]) => value !== '')
    .map(([label, value]) => `${label}:${JSON.stringify(value)}`);
  const empty = entries.filter(([, value]) => value === '').map(([label]) => label);
  return {
    name: 'read_journal',
    args: [
      literal(ledger),
      sinceMs,
      untilMs,
      newest,
      afterMs,
      afterSequence,
      textArray(needles),
      textArray(empty),
      pageSize(query),
    ].join(','),
  };
}

export function readJournalPage(text: JournalText, query: JournalQuery): Page<ChargeRecord> {
  const { labels = {} } = query;
  const items = text.items.map((row) => readCharge(row));
  return {
    items: items.filter((charge) => carries(charge.labels.labels, labels)),
    next: text.next,
  };
}

export function totalsCall(ledger: string, { sinceMs, untilMs }: TotalsQuery): Call {
  const days = daysWithin(sinceMs, untilMs);
  return {
    name: 'read_totals',
    args: [
      literal(ledger),
      numberArray([0, 1, 0], 'int'),
      numberArray([sinceMs, days.sinceMs, days.untilMs], 'bigint'),
      numberArray([days.sinceMs, days.untilMs, untilMs], 'bigint'),
    ].join(','),
  };
}

export function readTotals(text: TotalsText): readonly Total[] {
  const totals = new Map<string, RunningTotal>();
  for (const [key, unit, steps, charges, denials] of text ?? []) {
    let total = totals.get(key);
    if (total === undefined) {
      total = newTotal(labelSetFromKey(key).labels);
      totals.set(key, total);
    }
    if (unit !== '') addAmounts(total, [{ unit, steps }]);
    total.charges += charges;
    total.denials += denials;
  }
  for (const { amounts } of totals.values()) amounts.sort((a, b) => (a.unit < b.unit ? -1 : 1));
  return [...totals.values()];
}

/** A ledger that nobody has written to has the empty policy. */
export function readPolicy(
  text: { readonly revision: number; readonly policy: string } | null,
): Policy {
  if (text === null || text.policy === '') return EMPTY_POLICY;
  return { ...(JSON.parse(text.policy) as Policy), revision: text.revision };
}

/** The group of a key has six parts: limit, period, conditions, labels, unit and window. */
export function splitKey(key: string): { readonly group: string; readonly member: string } {
  let end = -1;
  for (let part = 0; part < 6; part += 1) {
    end = key.indexOf('|', end + 1);
    if (end < 0) return { group: key, member: '' };
  }
  return { group: key.slice(0, end), member: key.slice(end) };
}

function readAfter(after: string): readonly [group: number, member: string] {
  return JSON.parse(after) as [number, string];
}

export function pageSize(query: { readonly size?: number }): number {
  return Math.min(query.size ?? MAX_PAGE_SIZE, MAX_PAGE_SIZE);
}
