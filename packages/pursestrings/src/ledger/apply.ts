import {
  actualAmounts,
  type ChargeDraft,
  chargeable,
  chargeRow,
  correctionRow,
  sameReserve,
  sameRow,
  settleRow,
  stepsOf,
} from './charge-row.ts';
import { addHeld, addSpent, crossWarnings, fits, freeHeld } from './envelope.ts';
import type { LabelSet } from './labels.ts';
import type { Terms } from './limit.ts';
import type { Line } from './plan.ts';
import {
  type Answer,
  type ChargeOperation,
  type ChargeRecord,
  CORRECTION_PREFIX,
  type Crossing,
  type Envelope,
  type Expiry,
  type HeldLine,
  type HoldRecord,
  type HoldState,
  type Operation,
  type Posting,
  type ReserveOperation,
  type SettleOperation,
  type Shortfall,
} from './records.ts';
import type { StepAmounts } from './unit.ts';
import { contains } from './window.ts';

/**
 * The pages of a ledger that an operation reads and writes. Memory and SQLite give their own; the
 * arithmetic below is theirs in common. What `find…` and `add…` return is the live record: the
 * ledger changes it in place and then says so.
 */
export interface Book {
  /** The revision of the policy that stands. */
  readonly revision: number;
  findEnvelope(key: string): Envelope | undefined;
  addEnvelope(line: Line): Envelope;
  envelopeChanged(envelope: Envelope): void;
  /** How many envelopes may still be opened. */
  envelopeRoom(): number;
  findHold(id: string): HoldRecord | undefined;
  addHold(hold: HoldRecord): void;
  /** An open hold has a new `expiresAtMs`. */
  holdExtended(hold: HoldRecord): void;
  /** A hold is open no longer. */
  holdResolved(hold: HoldRecord): void;
  /** A resolved hold has a new state. */
  holdRestated(hold: HoldRecord): void;
  findCharge(id: string): ChargeRecord | undefined;
  /** Appends to the journal and adds to the totals of its labels. */
  addCharge(charge: ChargeRecord): void;
  countDenial(labels: LabelSet, nowMs: number): void;
  /** True while a hold past its time is still unresolved. */
  hasDueHolds(nowMs: number): boolean;
}

/** Applies one operation to a ledger, whole or not at all, and says what came of it. */
export function applyOperation(
  operation: Operation,
  book: Book,
  nowMs: number,
  expiries: Expiry[],
): Answer {
  switch (operation.kind) {
    case 'reserve':
      return reserve(operation, book, nowMs, expiries);
    case 'settle':
      return settle(operation, book, nowMs, expiries);
    case 'release':
      return release(operation.id, book, nowMs, expiries);
    case 'extend':
      return extend(operation.id, operation.ttlMs, book, nowMs, expiries);
    case 'charge':
      return charge(operation, book, nowMs);
  }
}

/** Resolves a hold that is past its time: what `ifAbandoned` says happens (rule 5). */
export function expire(hold: HoldRecord, book: Book, nowMs: number): Expiry {
  if (hold.ifAbandoned === 'release') {
    resolve(hold, 'expired', book, nowMs);
    return { hold, charge: null };
  }
  const row = settleRow(hold, { amounts: chargeable(hold, hold.amounts) }, nowMs);
  resolve(hold, 'expired_charged', book, nowMs);
  return { hold, charge: record(row, heldPostings(hold, row.amounts), book) };
}

function reserve(op: ReserveOperation, book: Book, nowMs: number, expiries: Expiry[]): Answer {
  if (!op.fresh) {
    const known = findHold(op.id, book, nowMs, expiries);
    if (known !== undefined) {
      const same = sameReserve(op, known);
      return same ? { kind: 'held', hold: known, replayed: true } : conflict(op.id, known, book);
    }
    const charged = book.findCharge(op.id);
    if (charged !== undefined) return { kind: 'conflict', hold: null, charge: charged };
  }
  if (op.revision !== book.revision) return { kind: 'stale' };
  if (op.refusal !== null) {
    book.countDenial(op.labels, nowMs);
    return { kind: 'denied', reason: op.refusal, shortfalls: [] };
  }
  if (!windowsContain(op.lines, nowMs)) return { kind: 'outside_window' };
  return shortfallAnswer(op, book, nowMs) ?? hold(op, book, nowMs);
}

/** Rule 2's test on every line, before any moves. */
function shortfallAnswer(op: ReserveOperation, book: Book, nowMs: number): Answer | undefined {
  let shortfalls: Shortfall[] | undefined;
  let missing = 0;
  for (const line of op.lines) {
    const envelope = book.findEnvelope(line.key);
    if (envelope === undefined) missing += 1;
    if (fits(line, envelope)) continue;
    shortfalls ??= [];
    shortfalls.push({ line, spent: envelope?.spent ?? 0, held: envelope?.held ?? 0 });
  }
  if (shortfalls === undefined && (missing === 0 || missing <= book.envelopeRoom()))
    return undefined;
  if (book.hasDueHolds(nowMs)) return { kind: 'again' };
  book.countDenial(op.labels, nowMs);
  if (shortfalls !== undefined) return { kind: 'denied', reason: 'exceeds', shortfalls };
  const unopened = op.lines.filter((line) => book.findEnvelope(line.key) === undefined);
  return {
    kind: 'denied',
    reason: 'too_many_envelopes',
    shortfalls: unopened.map((line) => ({ line, spent: 0, held: 0 })),
  };
}

function hold(op: ReserveOperation, book: Book, nowMs: number): Answer {
  const lines: HeldLine[] = [];
  for (const line of op.lines) {
    const envelope = book.findEnvelope(line.key) ?? book.addEnvelope(line);
    addHeld(envelope, line.steps);
    book.envelopeChanged(envelope);
    lines.push({ terms: line.terms, envelope, steps: line.steps });
  }
  const taken: HoldRecord = {
    id: op.id,
    amounts: op.amounts,
    labels: op.labels,
    description: op.description,
    ifAbandoned: op.ifAbandoned,
    occupied: op.occupied,
    said: op.said,
    lines,
    expiresAtMs: nowMs + op.ttlMs,
    state: 'open',
    resolvedAtMs: null,
  };
  book.addHold(taken);
  return { kind: 'held', hold: taken, replayed: false };
}

function settle(op: SettleOperation, book: Book, nowMs: number, expiries: Expiry[]): Answer {
  const known = findHold(op.id, book, nowMs, expiries);
  if (known === undefined) return { kind: 'unknown_hold' };
  const actual = { ...op, amounts: actualAmounts(known, op.amounts) };
  const wasCharged = known.state === 'expired_charged' || known.state === 'corrected';
  const row = wasCharged ? correctionRow(known, actual, nowMs) : settleRow(known, actual, nowMs);
  if (known.state === 'settled' || known.state === 'corrected') {
    const recorded = book.findCharge(row.id);
    const same = recorded !== undefined && sameRow(recorded, row);
    return same
      ? { kind: 'charged', charge: recorded, replayed: true }
      : conflict(op.id, known, book);
  }
  if (!windowsContain(op.lines, nowMs)) return { kind: 'outside_window' };
  if (known.state === 'open') resolve(known, 'settled', book, nowMs);
  else restate(known, wasCharged ? 'corrected' : 'settled', book);
  const postings = heldPostings(known, row.amounts);
  if (op.lines.length > 0) postings.push(...linePostings(op.lines, book));
  return { kind: 'charged', charge: record(row, postings, book), replayed: false };
}

function release(id: string, book: Book, nowMs: number, expiries: Expiry[]): Answer {
  const known = findHold(id, book, nowMs, expiries);
  if (known === undefined) return { kind: 'unknown_hold' };
  switch (known.state) {
    case 'open':
      resolve(known, 'released', book, nowMs);
      return { kind: 'released', charge: null, replayed: false };
    case 'released':
    case 'expired':
      return { kind: 'released', charge: null, replayed: true };
    case 'settled':
      return conflict(id, known, book);
    case 'expired_charged':
    case 'corrected':
      return takeBack(known, book, nowMs);
  }
}

/** A release after the hold was charged as abandoned: the truth is that nothing was spent. */
function takeBack(known: HoldRecord, book: Book, nowMs: number): Answer {
  const row = correctionRow(known, { amounts: [] }, nowMs);
  if (known.state === 'corrected') {
    const recorded = book.findCharge(row.id);
    const same = recorded !== undefined && sameRow(recorded, row);
    return same
      ? { kind: 'released', charge: recorded, replayed: true }
      : conflict(known.id, known, book);
  }
  restate(known, 'corrected', book);
  const charge = record(row, heldPostings(known, row.amounts), book);
  return { kind: 'released', charge, replayed: false };
}

function extend(id: string, ttlMs: number, book: Book, nowMs: number, expiries: Expiry[]): Answer {
  const known = findHold(id, book, nowMs, expiries);
  if (known === undefined) return { kind: 'unknown_hold' };
  if (known.state !== 'open') return conflict(id, known, book);
  if (nowMs + ttlMs > known.expiresAtMs) {
    known.expiresAtMs = nowMs + ttlMs;
    book.holdExtended(known);
  }
  return { kind: 'extended', expiresAtMs: known.expiresAtMs };
}

function charge(op: ChargeOperation, book: Book, nowMs: number): Answer {
  const row = chargeRow(op.id, op, op.late, nowMs);
  if (!op.fresh) {
    const standing = book.findHold(op.id);
    if (standing !== undefined) return conflict(op.id, standing, book);
    const recorded = book.findCharge(op.id);
    if (recorded !== undefined) {
      return sameRow(recorded, row)
        ? { kind: 'charged', charge: recorded, replayed: true }
        : { kind: 'conflict', hold: null, charge: recorded };
    }
  }
  if (!windowsContain(op.lines, nowMs)) return { kind: 'outside_window' };
  return {
    kind: 'charged',
    charge: record(row, linePostings(op.lines, book), book),
    replayed: false,
  };
}

/** Finds a hold; one that is past its time is resolved first, in the same step. */
function findHold(
  id: string,
  book: Book,
  nowMs: number,
  expiries: Expiry[],
): HoldRecord | undefined {
  const known = book.findHold(id);
  if (known !== undefined && known.state === 'open' && known.expiresAtMs <= nowMs) {
    expiries.push(expire(known, book, nowMs));
  }
  return known;
}

/** Frees an open hold's money in every envelope. */
function resolve(known: HoldRecord, state: HoldState, book: Book, nowMs: number): void {
  for (const { envelope, steps } of known.lines) {
    freeHeld(envelope, steps);
    book.envelopeChanged(envelope);
  }
  known.state = state;
  known.resolvedAtMs = nowMs;
  book.holdResolved(known);
}

/** Marks a hold whose truth came after it was resolved; its money has been freed before. */
function restate(known: HoldRecord, state: HoldState, book: Book): void {
  known.state = state;
  book.holdRestated(known);
}

interface PlannedPosting extends Posting {
  readonly terms: Terms;
}

/** Posts a charge to its envelopes, marks what it passed and crossed, and writes its row. */
function record(row: ChargeDraft, planned: readonly PlannedPosting[], book: Book): ChargeRecord {
  const crossed: Crossing[] = [];
  const postings: Posting[] = [];
  for (const { envelope, steps, terms } of planned) {
    if (steps === 0 || envelope.closed) continue;
    addSpent(envelope, steps);
    postings.push({ envelope, steps });
    if (steps > 0) {
      row.overrun ||= envelope.spent > terms.capSteps || envelope.saturated;
      crossWarnings(envelope, terms, crossed);
    }
    book.envelopeChanged(envelope);
  }
  row.crossed = crossed;
  row.postings = postings;
  book.addCharge(row);
  return row;
}

/** What a hold's own lines get of a charge. */
function heldPostings(known: HoldRecord, amounts: StepAmounts): PlannedPosting[] {
  return known.lines.map(({ envelope, terms }) => ({
    envelope,
    terms,
    steps: stepsOf(amounts, terms.unit),
  }));
}

function linePostings(lines: readonly Line[], book: Book): PlannedPosting[] {
  return lines
    .filter((line) => !line.terms.occupied)
    .map((line) => ({
      envelope: book.findEnvelope(line.key) ?? book.addEnvelope(line),
      terms: line.terms,
      steps: line.steps,
    }));
}

function windowsContain(lines: readonly Line[], nowMs: number): boolean {
  for (const line of lines) if (!contains(line.window, nowMs)) return false;
  return true;
}

function conflict(id: string, known: HoldRecord, book: Book): Answer {
  const corrected =
    known.state === 'corrected' ? book.findCharge(`${CORRECTION_PREFIX}${id}`) : undefined;
  return { kind: 'conflict', hold: known, charge: corrected ?? book.findCharge(id) ?? null };
}
