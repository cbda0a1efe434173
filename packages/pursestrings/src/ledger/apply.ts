import { MAX_ENVELOPE_STEPS } from './amount.ts';
import type { Book } from './book.ts';
import {
  actualAmounts,
  type ChargeDraft,
  chargeable,
  chargeRow,
  correctionRow,
  lateCorrectionRow,
  sameReserve,
  sameRow,
  settleRow,
  stepsOf,
} from './charge-row.ts';
import { addHeld, addSpent, crossWarnings, fits, freeHeld } from './envelope.ts';
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
  RENAMED_PREFIX,
  type RenameOperation,
  type ReserveOperation,
  type SettleOperation,
  type Shortfall,
} from './records.ts';
import { contains } from './window.ts';

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
    case 'rename':
      return rename(operation, book, nowMs, expiries);
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
  row.abandoned = true;
  resolve(hold, 'expired_charged', book, nowMs);
  return { hold, charge: record(row, hold.lines, book, hold) };
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
    if (op.tentative !== true) book.countDenial(op.labels, nowMs);
    return { kind: 'denied', reason: op.refusal, shortfalls: [] };
  }
  if (!windowsContain(op.lines, nowMs)) return { kind: 'outside_window' };
  return hold(op, book, nowMs);
}

/** Rule 2: every line is tested before any moves. */
function hold(op: ReserveOperation, book: Book, nowMs: number): Answer {
  const envelopes: (Envelope | undefined)[] = [];
  let shortfalls: Shortfall[] | undefined;
  let missing = 0;
  for (const line of op.lines) {
    const envelope = book.findEnvelope(line);
    envelopes.push(envelope);
    if (envelope === undefined) missing += 1;
    if (fits(line, envelope)) continue;
    shortfalls ??= [];
    shortfalls.push({ line, spent: envelope?.spent ?? 0, held: envelope?.held ?? 0 });
  }
  if (shortfalls !== undefined) return deny('exceeds', shortfalls, op, book, nowMs);
  if (missing > 0 && missing > book.envelopeRoom()) {
    const unopened = op.lines.filter((_, index) => envelopes[index] === undefined);
    const unopenable = unopened.map((line) => ({ line, spent: 0, held: 0 }));
    return deny('too_many_envelopes', unopenable, op, book, nowMs);
  }
  const taken = holdRecord(op, holdLines(op, envelopes, book), nowMs);
  book.addHold(taken);
  return { kind: 'held', hold: taken, replayed: false };
}

/** Nobody is denied by the dead: while holds past their time remain, the answer is to ask again. */
function deny(
  reason: 'exceeds' | 'too_many_envelopes',
  shortfalls: readonly Shortfall[],
  op: ReserveOperation,
  book: Book,
  nowMs: number,
): Answer {
  if (book.hasDueHolds(nowMs)) return { kind: 'again' };
  if (op.tentative !== true) book.countDenial(op.labels, nowMs);
  return { kind: 'denied', reason, shortfalls };
}

/** Moves every line's money into the hold. */
function holdLines(
  op: ReserveOperation,
  envelopes: readonly (Envelope | undefined)[],
  book: Book,
): HeldLine[] {
  return op.lines.map((line, index) => {
    const envelope = envelopes[index] ?? book.addEnvelope(line);
    addHeld(envelope, line.steps);
    book.envelopeChanged(envelope);
    return { terms: line.terms, envelope };
  });
}

function holdRecord(op: ReserveOperation, lines: readonly HeldLine[], nowMs: number): HoldRecord {
  return {
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
    charge: undefined,
  };
}

function settle(op: SettleOperation, book: Book, nowMs: number, expiries: Expiry[]): Answer {
  const known = findHold(op.id, book, nowMs, expiries);
  if (known === undefined) return { kind: 'unknown_hold' };
  if (op.ifUnresolved && known.state !== 'open' && known.state !== 'expired') {
    return { kind: 'resolved', state: known.state };
  }
  const amounts = actualAmounts(known, op.amounts);
  const actual = { amounts, labels: op.labels, description: op.description };
  const wasCharged = known.state === 'expired_charged' || known.state === 'corrected';
  const row = wasCharged ? correctionRow(known, actual, nowMs) : settleRow(known, actual, nowMs);
  if (known.state === 'settled' || known.state === 'corrected') {
    const recorded = book.findCharge(row.id);
    const same = recorded !== undefined && sameRow(recorded, row);
    return same
      ? { kind: 'charged', charge: recorded, replayed: true }
      : conflict(op.id, known, book);
  }
  const outdated = outdatedPlan(op, book, nowMs);
  if (outdated !== undefined) return outdated;
  if (known.state === 'open') resolve(known, 'settled', book, nowMs);
  else restate(known, wasCharged ? 'corrected' : 'settled', book);
  const lines =
    op.lines.length === 0 ? known.lines : [...known.lines, ...openLines(op.lines, book)];
  return {
    kind: 'charged',
    charge: record(row, lines, book, wasCharged ? undefined : known),
    replayed: false,
  };
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
  const charge = record(row, known.lines, book, undefined);
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

/** What is held stays held in the same envelopes: no balance moves, so none is free in between. */
function rename(op: RenameOperation, book: Book, nowMs: number, expiries: Expiry[]): Answer {
  const known = findHold(op.id, book, nowMs, expiries);
  const standing = findHold(op.newId, book, nowMs, expiries);
  const said = `${RENAMED_PREFIX}${op.id}`;
  // A hold that is open was not renamed: what stands then came from another one of its id.
  if (standing?.said === said && known?.state !== 'open') {
    return { kind: 'held', hold: standing, replayed: true };
  }
  if (known === undefined) return { kind: 'unknown_hold' };
  if (known.state !== 'open') return conflict(op.id, known, book);
  if (standing !== undefined) return conflict(op.newId, standing, book);
  const charged = book.findCharge(op.newId);
  if (charged !== undefined) return { kind: 'conflict', hold: null, charge: charged };
  const expiresAtMs = Math.max(known.expiresAtMs, nowMs + (op.ttlMs ?? 0));
  const renamed: HoldRecord = { ...known, id: op.newId, said, expiresAtMs };
  close(known, 'released', book, nowMs);
  book.addHold(renamed);
  return { kind: 'held', hold: renamed, replayed: false };
}

function charge(op: ChargeOperation, book: Book, nowMs: number): Answer {
  const row = chargeRow(op.id, op, op.late, nowMs);
  if (!op.fresh) {
    const standing = book.findHold(op.id);
    if (standing !== undefined) return conflict(op.id, standing, book);
    const recorded = book.findCharge(op.id);
    if (recorded !== undefined) return chargeAgain(op, row, recorded, book);
  }
  const outdated = outdatedPlan(op, book, nowMs);
  if (outdated !== undefined) return outdated;
  return {
    kind: 'charged',
    charge: record(row, openLines(op.lines, book), book, undefined),
    replayed: false,
  };
}

/** A charge under an id that the journal knows: a replay, a conflict, or the truth about an abandoned hold. */
function chargeAgain(
  op: ChargeOperation,
  row: ChargeDraft,
  recorded: ChargeRecord,
  book: Book,
): Answer {
  if (sameRow(recorded, row)) return { kind: 'charged', charge: recorded, replayed: true };
  if (!op.late || !recorded.abandoned) return { kind: 'conflict', hold: null, charge: recorded };
  const correction = lateCorrectionRow(recorded, row);
  const corrected = book.findCharge(correction.id);
  if (corrected !== undefined) {
    return sameRow(corrected, correction)
      ? { kind: 'charged', charge: corrected, replayed: true }
      : { kind: 'conflict', hold: null, charge: corrected };
  }
  // The terms of that time are gone with the hold: what it was posted to is set right, silently.
  const lines = recorded.lines.map(({ envelope }) => ({ envelope, terms: termless(envelope) }));
  return { kind: 'charged', charge: record(correction, lines, book, undefined), replayed: false };
}

function termless({ limit, unit }: Envelope): Terms {
  return { limit, unit, capSteps: MAX_ENVELOPE_STEPS, soft: true, occupied: false, warn: [] };
}

/** A plan is made anew when the policy or the window it was made for is not the one that stands. */
function outdatedPlan(
  op: SettleOperation | ChargeOperation,
  book: Book,
  nowMs: number,
): Answer | undefined {
  if (op.revision !== null && op.revision !== book.revision) return { kind: 'stale' };
  return windowsContain(op.lines, nowMs) ? undefined : { kind: 'outside_window' };
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
  for (const { envelope } of known.lines) {
    freeHeld(envelope, stepsOf(known.amounts, envelope.unit));
    book.envelopeChanged(envelope);
  }
  close(known, state, book, nowMs);
}

function close(known: HoldRecord, state: HoldState, book: Book, nowMs: number): void {
  known.state = state;
  known.resolvedAtMs = nowMs;
  book.holdResolved(known);
}

/** Marks a hold whose truth came after it was resolved; its money has been freed before. */
function restate(known: HoldRecord, state: HoldState, book: Book): void {
  known.state = state;
  book.holdRestated(known);
}

/** Posts a charge to its envelopes, marks what it passed and crossed, and writes its row. */
function record(
  row: ChargeDraft,
  lines: readonly HeldLine[],
  book: Book,
  hold: HoldRecord | undefined,
): ChargeRecord {
  let crossed: Crossing[] | undefined;
  for (const { envelope, terms } of lines) {
    const steps = stepsOf(row.amounts, envelope.unit);
    if (steps === 0 || envelope.closed) continue;
    addSpent(envelope, steps);
    if (steps > 0) {
      row.overrun ||= envelope.spent > terms.capSteps || envelope.saturated;
      crossed = crossWarnings(envelope, terms, crossed);
    }
    book.envelopeChanged(envelope);
  }
  if (crossed !== undefined) row.crossed = crossed;
  row.lines = lines;
  if (hold !== undefined) hold.charge = row;
  book.addCharge(row, hold);
  return row;
}

/** Finds or opens the envelopes of a spend that was not held. */
function openLines(lines: readonly Line[], book: Book): HeldLine[] {
  return lines.map((line) => ({
    terms: line.terms,
    envelope: book.findEnvelope(line) ?? book.addEnvelope(line),
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
