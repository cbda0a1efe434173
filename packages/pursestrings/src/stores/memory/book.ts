import type { Book } from '../../ledger/book.ts';
import type { LedgerRecord, TotalRecord } from '../../ledger/audit.ts';
import { stepsOf } from '../../ledger/charge-row.ts';
import { newEnvelope } from '../../ledger/envelope.ts';
import type { LabelSet } from '../../ledger/labels.ts';
import { envelopeGroupOf, envelopeKey, type Line } from '../../ledger/plan.ts';
import {
  type ChargeRecord,
  type Envelope,
  type HoldRecord,
  RESOLVED_HOLD_TTL_MS,
} from '../../ledger/records.ts';
import type { Total } from '../../ledger/report.ts';
import { DueQueue } from './due-queue.ts';
import { Fifo } from '../../fifo.ts';
import { MemoryTotals } from './totals.ts';
import type { BalanceQuery, LedgerScope, Page, Retention, TotalsQuery } from '../store.ts';

const DAY_MS = 86_400_000;

/** How many charges too many may gather before they are folded. */
const MAX_SLACK = 1024;

/** How many old records one `apply` forgets at most, so that none of them waits for long. */
const MAX_FORGOTTEN_PER_APPLY = 256;

/** How long a book rests, by its store's clock, when nothing old is left to be forgotten. */
const FORGET_EVERY_MS = 1000;

/** An envelope that knows which list it stands in. */
interface GroupedEnvelope extends Envelope {
  readonly group: string;
  /** Its place in every list: those that come later have higher ones. */
  readonly place: number;
}

/** The pages of one ledger, in memory. */
export class MemoryBook implements Book {
  revision = 0;
  readonly journal: Fifo<ChargeRecord> = new Fifo();
  readonly #envelopes = new Map<string, GroupedEnvelope>();
  /** The same envelopes by group and, within it, by their values: found without writing a key. */
  readonly #groups = new Map<string, Map<string, GroupedEnvelope>>();
  readonly #holds = new Map<string, HoldRecord>();
  /** Charges that are not at hand through their hold. */
  readonly #charges = new Map<string, ChargeRecord>();
  readonly #resolved = new Fifo<HoldRecord>();
  readonly #due = new DueQueue<HoldRecord>(
    (hold, dueMs) => hold.state === 'open' && hold.expiresAtMs === dueMs,
  );
  readonly #closing = new DueQueue<GroupedEnvelope>(() => true);
  readonly #totals: MemoryTotals;
  readonly #journalMs: number;
  readonly #maxCharges: number;
  readonly #slack: number;
  #foldingDown = false;
  #forgetAtMs = Number.NEGATIVE_INFINITY;
  readonly #maxEnvelopes: number;
  #lastPlace = 0;

  constructor(retention: Retention) {
    this.#journalMs = (retention.journalDays ?? 400) * DAY_MS;
    this.#maxCharges = retention.maxCharges ?? 1_000_000;
    this.#slack = Math.min(MAX_SLACK, Math.floor(this.#maxCharges / 16));
    this.#maxEnvelopes = retention.maxEnvelopes ?? 1_000_000;
    this.#totals = new MemoryTotals(this.#journalMs);
  }

  findEnvelope({ group, values }: Line): Envelope | undefined {
    return this.#groups.get(group)?.get(memberKey(values));
  }

  addEnvelope(line: Line): Envelope {
    return this.#enter(newEnvelope(line), line.group);
  }

  #enter(envelope: Envelope, groupKey: string): GroupedEnvelope {
    const { key, values, window } = envelope;
    this.#lastPlace += 1;
    const entered = { ...envelope, group: groupKey, place: this.#lastPlace };
    this.#envelopes.set(key, entered);
    const group = this.#groups.get(groupKey) ?? new Map<string, GroupedEnvelope>();
    this.#groups.set(groupKey, group);
    group.set(memberKey(values), entered);
    if (window.endMs !== null) this.#closing.push(entered, window.endMs + DAY_MS);
    return entered;
  }

  envelopeChanged(): void {
    // Envelopes are changed in place, and here that is all there is to it.
  }

  envelopeRoom(): number {
    return this.#maxEnvelopes - this.#envelopes.size;
  }

  findHold(id: string): HoldRecord | undefined {
    return this.#holds.get(id);
  }

  addHold(hold: HoldRecord): void {
    this.#holds.set(hold.id, hold);
    this.#due.push(hold, hold.expiresAtMs);
  }

  holdExtended(hold: HoldRecord): void {
    this.#due.drop();
    this.#due.push(hold, hold.expiresAtMs);
  }

  holdResolved(hold: HoldRecord): void {
    this.#due.drop();
    this.#resolved.push(hold);
  }

  holdRestated(): void {
    // The hold is changed in place, and is forgotten when it would have been.
  }

  findCharge(id: string): ChargeRecord | undefined {
    return this.#holds.get(id)?.charge ?? this.#charges.get(id);
  }

  addCharge(charge: ChargeRecord, hold: HoldRecord | undefined): void {
    this.journal.push(charge);
    if (hold === undefined) this.#charges.set(charge.id, charge);
    this.#totals.addCharge(charge);
  }

  countDenial(labels: LabelSet, nowMs: number): void {
    this.#totals.addDenial(labels, nowMs);
  }

  hasDueHolds(nowMs: number): boolean {
    return this.#due.hasDue(nowMs);
  }

  takeDueHold(nowMs: number): HoldRecord | undefined {
    return this.#due.takeDue(nowMs);
  }

  /** Forgets what is past its time, a bounded part of it. */
  forget(nowMs: number): void {
    const most = this.#maxCharges + this.#slack;
    const tooMany = this.journal.length > most || this.#resolved.length > most;
    // A clock that was set back brings the next time nearer again.
    const resting = nowMs < this.#forgetAtMs && nowMs + FORGET_EVERY_MS >= this.#forgetAtMs;
    if (resting && !tooMany && !this.#foldingDown) return;
    this.#forgetSome(nowMs);
  }

  #forgetSome(nowMs: number): void {
    this.#foldOldCharges(nowMs);
    let forgotten = 0;
    for (let count = 0; count < MAX_FORGOTTEN_PER_APPLY; count += 1) {
      const oldest = this.#resolved.first();
      if (oldest === undefined) break;
      const expired = (oldest.resolvedAtMs ?? 0) + RESOLVED_HOLD_TTL_MS <= nowMs;
      if (!expired && this.#resolved.length <= this.#maxCharges + this.#slack) break;
      this.#resolved.shift();
      this.#holds.delete(oldest.id);
      if (oldest.charge !== undefined) this.#charges.set(oldest.id, oldest.charge);
      forgotten += 1;
    }
    for (let count = 0; count < MAX_FORGOTTEN_PER_APPLY; count += 1) {
      const closed = this.#closing.takeDue(nowMs);
      if (closed === undefined) break;
      if (closed.held > 0) this.#closing.push(closed, nowMs + DAY_MS);
      else this.#closeEnvelope(closed);
      forgotten += 1;
    }
    this.#totals.forget(nowMs);
    const more = forgotten >= MAX_FORGOTTEN_PER_APPLY || this.#hasOldCharges(nowMs);
    this.#forgetAtMs = more ? nowMs : nowMs + FORGET_EVERY_MS;
  }

  #hasOldCharges(nowMs: number): boolean {
    const oldest = this.journal.first();
    return oldest !== undefined && oldest.atMs + this.#journalMs <= nowMs;
  }

  /** Pages through the envelopes of one group, or looks some up. */
  envelopes(query: BalanceQuery, size: number): Page<Envelope> {
    if (query.keys !== undefined) {
      const found = query.keys.map((key) => this.#envelopes.get(key));
      const isWhole = !found.includes(undefined);
      const items = isWhole ? found : found.filter((envelope) => envelope !== undefined);
      return { items: items as GroupedEnvelope[], next: null };
    }
    const all: ReadonlyMap<string, GroupedEnvelope> =
      query.group === undefined ? this.#envelopes : (this.#groups.get(query.group) ?? new Map());
    const after = Number(query.after ?? 0);
    const rest = all.values().filter(({ place }) => place > after);
    const items = [...rest.take(size)];
    return { items, next: items.length < size ? null : String(items.at(-1)?.place) };
  }

  openHolds(): HoldRecord[] {
    return [...this.#holds.values()].filter((hold) => hold.state === 'open');
  }

  totals(query: TotalsQuery): readonly Total[] {
    return this.#totals.read(query);
  }

  /** Every record as it stands now, whatever happens while the reader reads. */
  snapshot(scope: LedgerScope): Iterable<LedgerRecord> {
    const live = new Set<Envelope>(this.#envelopes.values());
    const envelopes = [...live].map((envelope) => ({ ...envelope }));
    const whole = scope === 'whole';
    const holds = whole ? [...this.openHolds(), ...this.#resolved.toArray()] : this.openHolds();
    const totals = whole ? this.#totals.records() : [];
    const copies = holds.map((hold) => ({ ...hold }));
    return records({ envelopes, holds: copies, charges: this.journal.toArray(), totals }, live);
  }

  /** Writes a record of another ledger as it is. One that was written before is written over. */
  write(record: LedgerRecord): void {
    switch (record.kind) {
      case 'envelope': {
        const { envelope } = record;
        const standing = this.#envelopes.get(envelope.key);
        if (envelope.closed) return this.#forgetEnvelope(standing);
        if (standing === undefined) this.#enter(envelope, envelopeGroupOf(envelope));
        else Object.assign(standing, balanceOf(envelope));
        return;
      }
      case 'hold':
        return this.#writeHold(record.hold);
      case 'charge':
        return this.#writeCharge(record.charge);
      case 'total':
        this.#totals.put(record);
    }
  }

  #forgetEnvelope(standing: GroupedEnvelope | undefined): void {
    if (standing?.held === 0) this.#closeEnvelope(standing);
  }

  #writeHold(hold: HoldRecord): void {
    const lines = this.#ownLines(hold.lines);
    const standing = this.#holds.get(hold.id);
    if (standing !== undefined) {
      Object.assign(standing, hold, { lines, charge: standing.charge });
      return;
    }
    const written = { ...hold, lines, charge: this.#charges.get(hold.id) };
    this.#charges.delete(hold.id);
    this.#holds.set(hold.id, written);
    if (hold.state === 'open') this.#due.push(written, hold.expiresAtMs);
    else this.#resolved.push(written);
  }

  #writeCharge(charge: ChargeRecord): void {
    if (this.findCharge(charge.id) !== undefined) return;
    const written = { ...charge, lines: this.#ownLines(charge.lines) };
    this.journal.push(written);
    const hold = this.#holds.get(charge.id);
    if (hold === undefined) this.#charges.set(charge.id, written);
    else hold.charge = written;
  }

  /** The same lines, to the envelopes of this book. */
  #ownLines<L extends { readonly envelope: Envelope }>(lines: readonly L[]): L[] {
    return lines.flatMap((line) => {
      const envelope = this.#envelopes.get(line.envelope.key);
      return envelope === undefined ? [] : [{ ...line, envelope }];
    });
  }

  /**
   * Folds charges that are past their time, and those that are too many: the latter many at a
   * time, so that most spends have none of it to do.
   */
  #foldOldCharges(nowMs: number): void {
    this.#foldingDown ||= this.journal.length > this.#maxCharges + this.#slack;
    for (let count = 0; count < MAX_FORGOTTEN_PER_APPLY; count += 1) {
      const oldest = this.journal.first();
      if (this.journal.length <= this.#maxCharges) this.#foldingDown = false;
      if (oldest === undefined) return;
      if (oldest.atMs + this.#journalMs > nowMs && !this.#foldingDown) return;
      for (const { envelope } of oldest.lines) {
        if (!envelope.saturated) envelope.pruned += stepsOf(oldest.amounts, envelope.unit);
      }
      this.journal.shift();
      this.#forgetCharge(oldest);
    }
  }

  #forgetCharge(charge: ChargeRecord): void {
    if (this.#charges.delete(charge.id)) return;
    const hold = this.#holds.get(charge.id);
    if (hold?.charge === charge) hold.charge = undefined;
  }

  #closeEnvelope(envelope: GroupedEnvelope): void {
    envelope.closed = true;
    this.#envelopes.delete(envelope.key);
    const group = this.#groups.get(envelope.group);
    group?.delete(memberKey(envelope.values));
    if (group?.size === 0) this.#groups.delete(envelope.group);
  }
}

/** The key of an envelope within its group: mostly the one value that sets it apart. */
function memberKey(values: readonly string[]): string {
  return values.length === 1 ? (values[0] as string) : envelopeKey('', values);
}

/** What of an envelope changes. */
function balanceOf({ spent, held, pruned, crossed, saturated }: Envelope): Partial<Envelope> {
  return { spent, held, pruned, crossed, saturated };
}

interface Snapshot {
  readonly envelopes: readonly Envelope[];
  readonly holds: readonly HoldRecord[];
  readonly charges: readonly ChargeRecord[];
  readonly totals: readonly TotalRecord[];
}

function* records(taken: Snapshot, live: ReadonlySet<Envelope>): Iterable<LedgerRecord> {
  for (const envelope of taken.envelopes) yield { kind: 'envelope', envelope };
  for (const hold of taken.holds) {
    const lines = hold.lines.filter(({ envelope }) => live.has(envelope));
    yield { kind: 'hold', hold: { ...hold, lines } };
  }
  for (const charge of taken.charges) {
    const lines = charge.lines.filter(({ envelope }) => live.has(envelope));
    yield { kind: 'charge', charge: { ...charge, lines } };
  }
  yield* taken.totals;
}
