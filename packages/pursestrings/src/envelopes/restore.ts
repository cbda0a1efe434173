import { MAX_AMOUNT_STEPS, MAX_ENVELOPE_STEPS, toSteps } from '../ledger/amount.ts';
import type { LedgerRecord } from '../ledger/audit.ts';
import { type LabelSet, labelSet } from '../ledger/labels.ts';
import { withFreeze, withLimits } from '../ledger/policy.ts';
import type { ChargeRecord, Envelope, HoldRecord } from '../ledger/records.ts';
import type { Window } from '../ledger/window.ts';
import { checkLimit, decimalsOf, unitFor } from './amounts.ts';
import { envelopeIn } from './carry-over.ts';
import { CATEGORY, ENVELOPE, type EnvelopeRule, limitOf } from './envelope-limit.ts';
import type { EnvelopeLedger } from './envelope-ledger.ts';
import type { StoredBudget } from './storage.ts';
import type { StoredEnvelope } from './stored.ts';
import type { PendingCommit, Transaction } from './types.ts';

/** How what was stored is read. */
export interface RestoreSettings {
  readonly timeZone: string;
  /** How long a commit lives that does not say until when. */
  readonly commitTtlMs: number;
}

/** Brings what a storage holds into an empty ledger: balances, commits and history, as they were. */
export function restore(
  ledger: EnvelopeLedger,
  budget: StoredBudget,
  settings: RestoreSettings,
): void {
  const { spending, shelf } = ledger;
  spending.changePolicy((policy) => {
    let restored = policy;
    for (const stored of budget.envelopes) {
      const { period, periodStart, createdAt = periodStart }: StoredEnvelope = stored;
      checkLimit(stored.limit);
      const sinceMs = (period === 'monthly' ? createdAt : periodStart).getTime();
      const limit = limitOf({ ...stored, sinceMs }, settings.timeZone);
      restored = withLimits(restored, [limit], settings.timeZone);
      const where = limit.where as Readonly<Record<string, string>>;
      if (stored.suspended) restored = withFreeze(restored, where, 'suspended');
    }
    return restored;
  });
  const envelopes = new RestoredEnvelopes(spending.now());
  for (const stored of budget.envelopes) envelopes.add(shelf.require(stored.category), stored);
  const recorded = new Set(budget.transactions.map(({ id }) => id));
  const holds = budget.commits.map((commit): LedgerRecord => {
    // A crash came between its transaction and its end: what it cost is in its envelope already.
    if (recorded.has(commit.id)) return { kind: 'hold', hold: settledHold(commit) };
    const rule = shelf.find(commit.category);
    return { kind: 'hold', hold: openHold(commit, rule, envelopes, settings.commitTtlMs) };
  });
  const charges = budget.transactions
    .toSorted((a, b) => a.timestamp.getTime() - b.timestamp.getTime())
    .map((transaction): LedgerRecord => ({ kind: 'charge', charge: chargeOf(transaction) }));
  spending.write([...envelopes.records(), ...holds, ...charges]);
}

/** The envelopes that hold anything: those of now, and those of commits that began earlier. */
class RestoredEnvelopes {
  readonly #nowMs: number;
  readonly #byKey = new Map<string, Envelope>();

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /**
   * What was spent counts if the period in which it was stored is not over. One that has not begun was
   * begun by a clock that is ahead of this one: it counts now, and when it comes.
   */
  add(rule: EnvelopeRule, stored: StoredEnvelope): void {
    const { findWindow } = rule.rule;
    const window = findWindow(this.#nowMs);
    const spentIn = findWindow(stored.periodStart.getTime());
    const spent = stepsUp(stored.spent, rule.unit, MAX_ENVELOPE_STEPS);
    const isOver = spentIn.startMs < window.startMs;
    this.#in(rule, window, isOver ? 0 : spent);
    if (!isOver) this.#in(rule, spentIn, spent);
  }

  /** The envelope that a commit was taken from; `null` for one that was replaced since. */
  of({ createdAt, envelopeId }: PendingCommit, rule: EnvelopeRule | null): Envelope | null {
    if (rule === null || (envelopeId !== undefined && envelopeId !== rule.id)) return null;
    const isOlder = rule.period === 'total' && createdAt.getTime() < rule.sinceMs;
    return isOlder ? null : this.#in(rule, rule.rule.findWindow(createdAt.getTime()), 0);
  }

  records(): LedgerRecord[] {
    return [...this.#byKey.values()].map((envelope) => ({ kind: 'envelope', envelope }));
  }

  #in(rule: EnvelopeRule, window: Window, spent: number): Envelope {
    const made = envelopeIn(rule, window, spent);
    const standing = this.#byKey.get(made.key) ?? made;
    this.#byKey.set(made.key, standing);
    return standing;
  }
}

function settledHold(commit: PendingCommit): HoldRecord {
  const open = openHold(commit, null, null, 0);
  return { ...open, state: 'settled', resolvedAtMs: commit.createdAt.getTime() };
}

function openHold(
  commit: PendingCommit,
  rule: EnvelopeRule | null,
  envelopes: RestoredEnvelopes | null,
  ttlMs: number,
): HoldRecord {
  const { id, amount, createdAt, expiresAt } = commit;
  const unit = rule?.unit ?? unitFor(amount);
  const steps = stepsUp(amount, unit, MAX_AMOUNT_STEPS);
  const envelope = envelopes?.of(commit, rule) ?? null;
  if (envelope !== null) envelope.held += steps;
  return {
    id,
    amounts: [{ unit, steps }],
    labels: rule !== null && envelope !== null ? rule.labels : labelsOf(commit),
    description: undefined,
    ifAbandoned: 'release',
    occupied: [],
    said: '',
    lines: rule !== null && envelope !== null ? [{ terms: rule.terms, envelope }] : [],
    expiresAtMs: expiresAt?.getTime() ?? createdAt.getTime() + ttlMs,
    state: 'open',
    resolvedAtMs: null,
    charge: undefined,
  };
}

/** History only: what was spent is in the envelopes already. */
function chargeOf(transaction: Transaction): ChargeRecord {
  const { id, amount, timestamp, description } = transaction;
  const unit = unitFor(amount);
  return {
    id,
    atMs: timestamp.getTime(),
    amounts: [{ unit, steps: stepsUp(amount, unit, MAX_AMOUNT_STEPS) }],
    labels: labelsOf(transaction),
    description,
    held: undefined,
    overrun: false,
    late: false,
    abandoned: false,
    corrects: undefined,
    crossed: [],
    lines: [],
  };
}

function labelsOf({ category, envelopeId }: PendingCommit | Transaction): LabelSet {
  return labelSet({
    [CATEGORY]: category,
    ...(envelopeId !== undefined && { [ENVELOPE]: envelopeId }),
  });
}

/** Steps of an amount, as many as can be counted. */
function stepsUp(amount: number, unit: string, most: number): number {
  return Math.min(toSteps(amount, decimalsOf(unit), 'up', Number.POSITIVE_INFINITY), most);
}
