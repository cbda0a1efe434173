import type { DatabaseSync } from 'node:sqlite';
import type { LedgerRecord } from '../../ledger/audit.ts';
import type { Book } from '../../ledger/book.ts';
import { stepsOf } from '../../ledger/charge-row.ts';
import { newEnvelope } from '../../ledger/envelope.ts';
import type { LabelSet } from '../../ledger/labels.ts';
import type { Terms } from '../../ledger/limit.ts';
import type { Line } from '../../ledger/plan.ts';
import {
  type ChargeRecord,
  type Envelope,
  type HoldRecord,
  RESOLVED_HOLD_TTL_MS,
} from '../../ledger/records.ts';
import {
  closedEnvelope,
  readCharge,
  readEnvelope,
  readHold,
  readAmounts,
  readPostedLines,
  type References,
  type StoredEnvelope,
  writeAmounts,
  writeLines,
  writePlace,
  writeEnvelopeIds,
} from './rows.ts';
import { prepareStatements, type Statements } from './statements.ts';
import { SqliteTotals } from './totals.ts';

const DAY_MS = 86_400_000;

/**
 * How many old rows one batch forgets at most, unless it brings more of its own; and how long a
 * book then rests when all are gone.
 */
const MAX_FORGOTTEN_PER_BATCH = 256;
const FORGET_EVERY_MS = 60_000;

/** The most envelopes that one spend can open: far more than limits match in practice. */
const MAX_LINES = 1024;

/** Terms that nobody has planned with for so long are forgotten, unless a hold still has them. */
const TERMS_KEPT_DAYS = 450;

/** How many records of each kind stay at hand between batches. */
const MAX_AT_HAND = 65_536;

/**
 * The pages of one ledger in an SQLite file. Within a batch, records are read once and changed in
 * memory; `flush` writes each changed one once. Between batches they stay at hand for as long as
 * no other connection has written.
 */
export class SqliteBook implements Book, References {
  revision = 0;
  readonly totals: SqliteTotals;
  readonly #ledger: number;
  readonly #journalMs: number;
  readonly #maxEnvelopes: number;
  readonly #statements: Statements;
  readonly #envelopes = new Map<string, StoredEnvelope>();
  readonly #envelopesById = new Map<number, StoredEnvelope>();
  readonly #holds = new Map<string, HoldRecord>();
  readonly #terms = new Map<number, Terms>();
  #termsIds = new WeakMap<Terms, { readonly id: number; readonly day: number }>();
  #today = 0;
  readonly #changedEnvelopes = new Set<StoredEnvelope>();
  readonly #newHolds = new Map<string, HoldRecord>();
  readonly #changedHolds = new Map<string, HoldRecord>();
  readonly #newCharges = new Map<string, ChargeRecord>();
  #counted = { envelopes: Number.POSITIVE_INFINITY, sequence: 0 };
  #countKnown = false;
  #envelopesAdded = 0;
  #revisionKnown = false;
  /** No open hold is due before this time. */
  #nextDueMs = Number.NEGATIVE_INFINITY;
  #moreDue = false;
  #forgetAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    database: DatabaseSync,
    ledger: number,
    bounds: { readonly journalMs: number; readonly maxEnvelopes: number },
  ) {
    this.#ledger = ledger;
    this.#journalMs = bounds.journalMs;
    this.#maxEnvelopes = bounds.maxEnvelopes;
    this.#statements = prepareStatements(database);
    this.totals = new SqliteTotals(database, ledger);
  }

  /** Begins a batch, inside its transaction. `foreign`: another connection has written since. */
  begin(foreign: boolean): void {
    if (foreign) this.forgetCache();
    if (!this.#revisionKnown) {
      this.revision = Number(this.#statements.revision.get(this.#ledger)?.['revision']);
      this.#revisionKnown = true;
    }
    this.#envelopesAdded = 0;
    this.#moreDue = false;
  }

  /** This connection has written the policy, which no other connection's writing tells of. */
  policyWritten(): void {
    this.#revisionKnown = false;
  }

  /** Writes everything that the batch changed. Tells whether there was anything. */
  flush(): boolean {
    const nothing =
      this.#changedEnvelopes.size +
        this.#newHolds.size +
        this.#changedHolds.size +
        this.#newCharges.size ===
      0;
    if (nothing) return false;
    this.#writeEnvelopes();
    for (const hold of this.#newHolds.values()) this.#insertHold(hold);
    for (const hold of this.#changedHolds.values()) {
      const { id, state, expiresAtMs, resolvedAtMs } = hold;
      this.#statements.updateHold.run(
        ...attention(hold),
        state,
        expiresAtMs,
        resolvedAtMs,
        this.#ledger,
        id,
      );
    }
    for (const charge of this.#newCharges.values()) this.#insertCharge(charge);
    this.totals.flush();
    return true;
  }

  /** The batch is durable. */
  committed(): void {
    this.totals.committed();
    for (const hold of this.#changedHolds.values())
      if (hold.state !== 'open') this.#holds.delete(hold.id);
    for (const hold of this.#newHolds.values()) {
      if (hold.state === 'open') this.#holds.set(hold.id, hold);
    }
    this.#clearChanges();
    if (this.#envelopes.size > MAX_AT_HAND || this.#holds.size > MAX_AT_HAND) this.forgetCache();
  }

  /** The batch was rolled back, or what is at hand may be out of date. */
  forgetCache(): void {
    this.#envelopes.clear();
    this.#envelopesById.clear();
    this.#holds.clear();
    this.#terms.clear();
    this.#termsIds = new WeakMap();
    this.#clearChanges();
    this.totals.forgetCache();
    this.#revisionKnown = false;
    this.#countKnown = false;
    this.#nextDueMs = Number.NEGATIVE_INFINITY;
  }

  envelope(rowId: number): StoredEnvelope {
    const atHand = this.#envelopesById.get(rowId);
    if (atHand !== undefined) return atHand;
    const row = this.#statements.envelopeById.get(rowId);
    return row === undefined ? closedEnvelope(rowId) : this.#keep(readEnvelope(row));
  }

  terms(termsId: number): Terms {
    let terms = this.#terms.get(termsId);
    if (terms === undefined) {
      const row = this.#statements.termsById.get(termsId);
      terms = JSON.parse(String(row?.['content'])) as Terms;
      this.#terms.set(termsId, terms);
    }
    return terms;
  }

  findEnvelope({ key }: Pick<Line, 'key'>): StoredEnvelope | undefined {
    const atHand = this.#envelopes.get(key);
    if (atHand !== undefined) return atHand;
    const row = this.#statements.envelopeByKey.get(this.#ledger, key);
    return row === undefined ? undefined : this.#keep(readEnvelope(row));
  }

  addEnvelope(line: Line): StoredEnvelope {
    return this.#enter({ ...newEnvelope(line), rowId: 0 });
  }

  #enter(envelope: StoredEnvelope): StoredEnvelope {
    this.#envelopes.set(envelope.key, envelope);
    this.#changedEnvelopes.add(envelope);
    this.#envelopesAdded += 1;
    return envelope;
  }

  envelopeChanged(envelope: Envelope): void {
    this.#changedEnvelopes.add(envelope as StoredEnvelope);
  }

  envelopeRoom(): number {
    // Row numbers are never used twice: they tell how many envelopes there are at the most, and
    // only where that may be too many are they counted.
    const sequence = Number(this.#statements.envelopeSequence.get()?.['seq'] ?? 0);
    const atMost = this.#counted.envelopes + sequence - this.#counted.sequence;
    const tight = atMost + this.#envelopesAdded + MAX_LINES > this.#maxEnvelopes;
    if (tight && (!this.#countKnown || sequence !== this.#counted.sequence)) {
      const envelopes = Number(this.#statements.countEnvelopes.get(this.#ledger)?.['n']);
      this.#counted = { envelopes, sequence };
      this.#countKnown = true;
    }
    const opened = this.#counted.envelopes + sequence - this.#counted.sequence;
    return this.#maxEnvelopes - opened - this.#envelopesAdded;
  }

  findHold(id: string): HoldRecord | undefined {
    const atHand = this.#newHolds.get(id) ?? this.#changedHolds.get(id) ?? this.#holds.get(id);
    if (atHand !== undefined) return atHand;
    const row = this.#statements.hold.get(this.#ledger, id);
    return row === undefined ? undefined : readHold(row, this);
  }

  addHold(hold: HoldRecord): void {
    this.#newHolds.set(hold.id, hold);
    this.#nextDueMs = Math.min(this.#nextDueMs, hold.expiresAtMs);
  }

  holdExtended(hold: HoldRecord): void {
    this.#noteHold(hold);
  }

  holdResolved(hold: HoldRecord): void {
    this.#noteHold(hold);
  }

  holdRestated(hold: HoldRecord): void {
    this.#noteHold(hold);
  }

  findCharge(id: string): ChargeRecord | undefined {
    const added = this.#newCharges.get(id);
    if (added !== undefined) return added;
    const row = this.#statements.charge.get(this.#ledger, id);
    return row === undefined ? undefined : readCharge(row, this);
  }

  addCharge(charge: ChargeRecord): void {
    this.#newCharges.set(charge.id, charge);
    this.totals.addCharge(charge);
  }

  countDenial(labels: LabelSet, nowMs: number): void {
    this.totals.addDenial(labels, nowMs);
  }

  hasDueHolds(): boolean {
    return this.#moreDue;
  }

  /** Writes a record of another ledger as it is. One that was written before is written over. */
  write(record: LedgerRecord): void {
    switch (record.kind) {
      case 'envelope': {
        const { spent, held, pruned, crossed, saturated } = record.envelope;
        const standing = this.findEnvelope(record.envelope);
        if (record.envelope.closed) {
          if (standing?.held === 0) this.#forgetEnvelope(standing.rowId);
          return;
        }
        if (standing === undefined) this.#enter({ ...record.envelope, rowId: 0 });
        else
          this.envelopeChanged(
            Object.assign(standing, { spent, held, pruned, crossed, saturated }),
          );
        return;
      }
      case 'hold': {
        const { hold } = record;
        if (this.findHold(hold.id) !== undefined) {
          this.#statements.deleteHold.run(this.#ledger, hold.id);
        }
        return this.addHold({ ...hold, lines: this.#ownLines(hold.lines), charge: undefined });
      }
      case 'charge': {
        const { charge } = record;
        if (this.findCharge(charge.id) !== undefined) return;
        this.#newCharges.set(charge.id, { ...charge, lines: this.#ownLines(charge.lines) });
        return;
      }
      case 'total':
        this.totals.put(record);
    }
  }

  /** The same lines, to the envelopes of this book. */
  #ownLines<L extends { readonly envelope: Envelope }>(lines: readonly L[]): L[] {
    return lines.flatMap((line) => {
      const envelope = this.findEnvelope(line.envelope);
      return envelope === undefined ? [] : [{ ...line, envelope }];
    });
  }

  /** True when a batch of no operations would have something to do. */
  wantsAttention(nowMs: number): boolean {
    return (
      nowMs >= this.#forgetAtMs || this.#statements.anyDue.get(this.#ledger, nowMs) !== undefined
    );
  }

  /** Takes up the holds that are past their time, the longest overdue first. */
  dueHolds(nowMs: number, atMost: number): readonly HoldRecord[] {
    if (nowMs < this.#nextDueMs) return NO_HOLDS;
    const rows = this.#statements.dueHolds.all(this.#ledger, nowMs, atMost + 1);
    this.#moreDue = rows.length > atMost;
    const next = this.#moreDue ? null : this.#statements.nextDue.get(this.#ledger, nowMs);
    this.#nextDueMs = next === null ? nowMs : Number(next?.['due_at'] ?? Number.POSITIVE_INFINITY);
    return rows
      .slice(0, atMost)
      .map((row) => this.#holds.get(String(row['id'])) ?? readHold(row, this));
  }

  /**
   * Forgets what is past its time, a bounded part of it, before anything else in the batch: more
   * than the batch's operations can add, so that forgetting keeps up with any load.
   */
  forget(nowMs: number, operations: number): void {
    this.#today = Math.floor(nowMs / DAY_MS);
    // A clock that was set back brings the next time nearer again.
    const setBack = this.#forgetAtMs > nowMs + FORGET_EVERY_MS;
    if (nowMs < this.#forgetAtMs && !setBack) return;
    const atMost = Math.max(MAX_FORGOTTEN_PER_BATCH, 2 * operations);
    const more = [
      this.#foldOldCharges(nowMs - this.#journalMs, atMost),
      this.#forgetResolvedHolds(nowMs, atMost),
      this.#forgetClosedEnvelopes(nowMs - DAY_MS, atMost),
      this.totals.deleteOldest(nowMs - this.#journalMs),
    ].some(Boolean);
    this.#statements.deleteOldTerms.run(this.#today - TERMS_KEPT_DAYS);
    this.#forgetAtMs = more ? nowMs : nowMs + FORGET_EVERY_MS;
  }

  #foldOldCharges(beforeMs: number, atMost: number): boolean {
    const rows = this.#statements.oldCharges.all(this.#ledger, beforeMs, atMost);
    for (const row of rows) {
      const amounts = readAmounts(row['amounts']);
      for (const { envelope } of readPostedLines(row['envelopes'], this)) {
        if (envelope.closed || envelope.saturated) continue;
        envelope.pruned += stepsOf(amounts, envelope.unit);
        this.envelopeChanged(envelope);
      }
      this.#statements.deleteCharge.run(Number(row['seq']));
    }
    return rows.length === atMost;
  }

  #forgetResolvedHolds(nowMs: number, atMost: number): boolean {
    const rows = this.#statements.forgettableHolds.all(this.#ledger, nowMs, atMost);
    for (const row of rows) this.#statements.deleteHold.run(this.#ledger, String(row['id']));
    return rows.length === atMost;
  }

  #forgetClosedEnvelopes(beforeMs: number, atMost: number): boolean {
    const rows = this.#statements.closedEnvelopes.all(this.#ledger, beforeMs, atMost);
    for (const row of rows) this.#forgetEnvelope(Number(row['id']));
    return rows.length === atMost;
  }

  #forgetEnvelope(rowId: number): void {
    this.#countKnown = false;
    this.#statements.deleteEnvelope.run(rowId);
    const atHand = this.#envelopesById.get(rowId);
    if (atHand === undefined) return;
    atHand.closed = true;
    this.#changedEnvelopes.delete(atHand);
    this.#envelopes.delete(atHand.key);
    this.#envelopesById.delete(rowId);
  }

  #keep(envelope: StoredEnvelope): StoredEnvelope {
    const standing = this.#envelopes.get(envelope.key);
    if (standing !== undefined) return standing;
    this.#envelopes.set(envelope.key, envelope);
    this.#envelopesById.set(envelope.rowId, envelope);
    return envelope;
  }

  #noteHold(hold: HoldRecord): void {
    if (!this.#newHolds.has(hold.id)) this.#changedHolds.set(hold.id, hold);
  }

  #writeEnvelopes(): void {
    for (const envelope of this.#changedEnvelopes) {
      const { spent, held, pruned } = envelope;
      const crossed = envelope.crossed.length === 0 ? '[]' : JSON.stringify(envelope.crossed);
      const values = [spent, held, pruned, crossed, envelope.saturated ? 1 : 0] as const;
      if (envelope.rowId > 0) {
        this.#statements.updateEnvelope.run(...values, envelope.rowId);
        continue;
      }
      const { key, window } = envelope;
      const place = writePlace(envelope);
      const { lastInsertRowid } = this.#statements.insertEnvelope.run(
        this.#ledger,
        key,
        place,
        window.endMs,
        ...values,
      );
      envelope.rowId = Number(lastInsertRowid);
      this.#envelopesById.set(envelope.rowId, envelope);
    }
  }

  #insertHold(hold: HoldRecord): void {
    this.#statements.insertHold.run(
      this.#ledger,
      hold.id,
      ...attention(hold),
      hold.state,
      hold.expiresAtMs,
      hold.resolvedAtMs,
      writeAmounts(hold.amounts),
      hold.labels.key,
      hold.description ?? null,
      hold.ifAbandoned,
      hold.occupied.length === 0 ? '[]' : JSON.stringify(hold.occupied),
      hold.said,
      writeLines(hold.lines, (terms) => this.#termsId(terms)),
    );
  }

  #insertCharge(charge: ChargeRecord): void {
    this.#statements.insertCharge.run(
      this.#ledger,
      charge.id,
      charge.atMs,
      writeAmounts(charge.amounts),
      charge.labels.key,
      charge.description ?? null,
      charge.held === undefined ? null : writeAmounts(charge.held),
      charge.overrun ? 1 : 0,
      charge.late ? 1 : 0,
      charge.abandoned ? 1 : 0,
      charge.corrects ?? null,
      charge.crossed.length === 0 ? '[]' : JSON.stringify(charge.crossed),
      writeEnvelopeIds(charge.lines),
    );
  }

  /** The number of terms in the file, which is told once a day that they are still in use. */
  #termsId(terms: Terms): number {
    const atHand = this.#termsIds.get(terms);
    if (atHand?.day === this.#today) return atHand.id;
    const content = JSON.stringify(terms);
    const id = Number(this.#statements.useTerms.get(content, this.#today)?.['id']);
    this.#termsIds.set(terms, { id, day: this.#today });
    this.#terms.set(id, terms);
    return id;
  }

  #clearChanges(): void {
    this.#changedEnvelopes.clear();
    this.#newHolds.clear();
    this.#changedHolds.clear();
    this.#newCharges.clear();
  }
}

const NO_HOLDS: readonly HoldRecord[] = [];

/** When a hold's row wants attention: `open`, and its expiry or the end of its memory. */
function attention(hold: HoldRecord): readonly [open: number, dueAtMs: number] {
  if (hold.state === 'open') return [1, hold.expiresAtMs];
  return [0, (hold.resolvedAtMs ?? 0) + RESOLVED_HOLD_TTL_MS];
}
