import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { TotalRecord } from '../../ledger/audit.ts';
import { type LabelSet, labelSetFromKey } from '../../ledger/labels.ts';
import type { ChargeRecord } from '../../ledger/records.ts';
import { DAY_SLOT_MS, MAX_LABEL_SETS_PER_SLOT, slotOf, type Total } from '../../ledger/report.ts';
import {
  addAmounts,
  daysWithin,
  newTotal,
  OTHER_SET,
  type RunningTotal,
} from '../running-total.ts';
import type { TotalsQuery } from '../store.ts';
import { readAmounts, readAmountsList, writeAmounts } from './rows.ts';

/** Quarter-hours and UTC days, as the column `grain` names them. */
const QUARTER = 0;
const DAY = 1;

/** Past so many label sets, denials that wait to be written are counted together. */
const MAX_WAITING_DENIALS = 1000;

/** Slots that stay at hand between batches; older ones are read again when something late comes. */
const MAX_SLOTS_AT_HAND = 4;

interface Slot {
  readonly grain: number;
  readonly startMs: number;
  /** How many label sets the slot has, in the file and not yet written. */
  size: number;
  readonly totals: Map<string, RunningTotal>;
  readonly changed: Set<string>;
}

interface Denials {
  readonly labels: LabelSet;
  readonly atMs: number;
  count: number;
}

/** The running totals of one ledger: changed in memory, written once a batch. */
export class SqliteTotals {
  readonly #ledger: number;
  readonly #slots = new Map<string, Slot>();
  #denials = new Map<string, Denials>();
  #flushed = false;
  readonly #readOne: StatementSync;
  readonly #countSets: StatementSync;
  readonly #write: StatementSync;
  readonly #readSpan: StatementSync;
  readonly #oldest: StatementSync;
  readonly #deleteSlot: StatementSync;

  constructor(database: DatabaseSync, ledger: number) {
    this.#ledger = ledger;
    const slot = 'FROM purse_totals WHERE ledger = ? AND grain = ? AND slot = ?';
    this.#readOne = database.prepare(`SELECT amounts, charges, denials ${slot} AND labels = ?`);
    this.#countSets = database.prepare(`SELECT count(*) AS n ${slot}`);
    this.#write = database.prepare(
      'INSERT OR REPLACE INTO purse_totals VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#readSpan = database.prepare(
      `SELECT labels, group_concat(amounts) AS amounts, sum(charges) AS charges, sum(denials) AS denials
       FROM purse_totals WHERE ledger = ? AND grain = ? AND slot >= ? AND slot < ? GROUP BY labels`,
    );
    this.#oldest = database.prepare(
      'SELECT min(slot) AS slot FROM purse_totals WHERE ledger = ? AND grain = ?',
    );
    this.#deleteSlot = database.prepare(`DELETE ${slot}`);
  }

  addCharge(charge: ChargeRecord): void {
    for (const total of this.#totalsFor(charge.labels, charge.atMs)) {
      addAmounts(total, charge.amounts);
      total.charges += 1;
    }
  }

  /** Puts a total in, in the place of the one that stands there. */
  put({ startMs, grainMs, labels, amounts, charges, denials }: TotalRecord): void {
    const slot = this.#slot(grainMs === DAY_SLOT_MS ? DAY : QUARTER, startMs);
    if (this.#find(slot, labels) === undefined) slot.size += 1;
    const copies = amounts.map((amount) => ({ ...amount }));
    slot.totals.set(labels.key, { labels: labels.labels, amounts: copies, charges, denials });
    slot.changed.add(labels.key);
  }

  /** Counts a denial, to be written with the next thing that is. */
  addDenial(labels: LabelSet, atMs: number): void {
    const slotMs = slotOf(atMs);
    const full = this.#denials.size >= MAX_WAITING_DENIALS;
    const set = full && !this.#denials.has(`${slotMs} ${labels.key}`) ? OTHER_SET : labels;
    const key = `${slotMs} ${set.key}`;
    const standing = this.#denials.get(key) ?? { labels: set, atMs, count: 0 };
    standing.count += 1;
    this.#denials.set(key, standing);
  }

  get hasDenials(): boolean {
    return this.#denials.size > 0;
  }

  /** Writes what has changed since the last time. */
  flush(): void {
    for (const { labels, atMs, count } of this.#denials.values()) {
      for (const total of this.#totalsFor(labels, atMs)) total.denials += count;
    }
    for (const { grain, startMs, totals, changed } of this.#slots.values()) {
      for (const key of changed) {
        const { amounts, charges, denials } = totals.get(key) as RunningTotal;
        this.#write.run(this.#ledger, grain, startMs, key, writeAmounts(amounts), charges, denials);
      }
      changed.clear();
    }
    this.#flushed = true;
  }

  /** What was flushed, if anything was, is durable: its denials need not be written again. */
  committed(): void {
    if (!this.#flushed) return;
    this.#flushed = false;
    if (this.#denials.size > 0) this.#denials = new Map();
    for (const key of this.#slots.keys()) {
      if (this.#slots.size <= MAX_SLOTS_AT_HAND) return;
      this.#slots.delete(key);
    }
  }

  /** Another process wrote, or a batch failed: nothing at hand is known to be true. */
  forgetCache(): void {
    this.#flushed = false;
    this.#slots.clear();
  }

  read({ sinceMs, untilMs }: TotalsQuery): readonly Total[] {
    const sums = new Map<string, RunningTotal>();
    const days = daysWithin(sinceMs, untilMs);
    this.#addSpan(sums, QUARTER, sinceMs, days.sinceMs);
    this.#addSpan(sums, DAY, days.sinceMs, days.untilMs);
    this.#addSpan(sums, QUARTER, days.untilMs, untilMs);
    return [...sums.values()];
  }

  /** Deletes the oldest slot of each grain when it lies before a time. Tells whether one did. */
  deleteOldest(beforeMs: number): boolean {
    let deleted = false;
    for (const grain of [QUARTER, DAY]) {
      const slot = this.#oldest.get(this.#ledger, grain)?.['slot'];
      if (typeof slot !== 'number' || slot + DAY_SLOT_MS > beforeMs) continue;
      this.#deleteSlot.run(this.#ledger, grain, slot);
      this.#slots.delete(`${grain} ${slot}`);
      deleted = true;
    }
    return deleted;
  }

  #totalsFor(labels: LabelSet, atMs: number): readonly [RunningTotal, RunningTotal] {
    const quarter = this.#slot(QUARTER, slotOf(atMs));
    const known = this.#find(quarter, labels);
    const set = known === undefined && quarter.size >= MAX_LABEL_SETS_PER_SLOT ? OTHER_SET : labels;
    return [
      this.#total(quarter, set),
      this.#total(this.#slot(DAY, slotOf(atMs, DAY_SLOT_MS)), set),
    ];
  }

  #total(slot: Slot, set: LabelSet): RunningTotal {
    let total = this.#find(slot, set);
    if (total === undefined) {
      total = newTotal(set.labels);
      slot.totals.set(set.key, total);
      slot.size += 1;
    }
    slot.changed.add(set.key);
    return total;
  }

  #find(slot: Slot, set: LabelSet): RunningTotal | undefined {
    const atHand = slot.totals.get(set.key);
    if (atHand !== undefined || slot.size === slot.totals.size) return atHand;
    const row = this.#readOne.get(this.#ledger, slot.grain, slot.startMs, set.key);
    if (row === undefined) return undefined;
    const total: RunningTotal = {
      labels: set.labels,
      amounts: [...readAmounts(row['amounts'])],
      charges: Number(row['charges']),
      denials: Number(row['denials']),
    };
    slot.totals.set(set.key, total);
    return total;
  }

  #slot(grain: number, startMs: number): Slot {
    const key = `${grain} ${startMs}`;
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      const size = Number(this.#countSets.get(this.#ledger, grain, startMs)?.['n']);
      slot = { grain, startMs, size, totals: new Map(), changed: new Set() };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #addSpan(sums: Map<string, RunningTotal>, grain: number, sinceMs: number, untilMs: number): void {
    if (sinceMs >= untilMs) return;
    for (const row of this.#readSpan.all(this.#ledger, grain, sinceMs, untilMs)) {
      const key = String(row['labels']);
      let sum = sums.get(key);
      if (sum === undefined) {
        sum = newTotal(labelSetFromKey(key).labels);
        sums.set(key, sum);
      }
      for (const amounts of readAmountsList(row['amounts'])) addAmounts(sum, amounts);
      sum.charges += Number(row['charges']);
      sum.denials += Number(row['denials']);
    }
  }
}
