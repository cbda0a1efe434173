import type { TotalRecord } from '../../ledger/audit.ts';
import type { LabelSet } from '../../ledger/labels.ts';
import type { ChargeRecord } from '../../ledger/records.ts';
import {
  DAY_SLOT_MS,
  MAX_LABEL_SETS_PER_SLOT,
  SLOT_MS,
  slotOf,
  type Total,
} from '../../ledger/report.ts';
import {
  addAmounts,
  daysWithin,
  newTotal,
  OTHER_SET,
  type RunningTotal,
} from '../running-total.ts';
import type { TotalsQuery } from '../store.ts';

type Slot = Map<string, RunningTotal>;

/** The most label sets that all slots together tell apart. */
const MAX_LABEL_SETS = 500_000;

/** Running totals by quarter-hour and by UTC day, so that a month is read as some thirty slots. */
export class MemoryTotals {
  readonly #quarters = new Map<number, Slot>();
  readonly #days = new Map<number, Slot>();
  readonly #keepMs: number;
  /** How many label sets there are at most, over all slots. */
  #sets = 0;

  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  addCharge(charge: ChargeRecord): void {
    for (const total of this.#totalsFor(charge.labels, charge.atMs)) {
      addAmounts(total, charge.amounts);
      total.charges += 1;
    }
  }

  addDenial(labels: LabelSet, atMs: number): void {
    for (const total of this.#totalsFor(labels, atMs)) total.denials += 1;
  }

  read({ sinceMs, untilMs }: TotalsQuery): readonly Total[] {
    const sums: Slot = new Map();
    const days = daysWithin(sinceMs, untilMs);
    addSlots(sums, this.#quarters, sinceMs, days.sinceMs);
    addSlots(sums, this.#days, days.sinceMs, days.untilMs);
    addSlots(sums, this.#quarters, days.untilMs, untilMs);
    return [...sums.values()];
  }

  /** Every total as it stands. */
  records(): readonly TotalRecord[] {
    return [...recordsOf(this.#quarters, SLOT_MS), ...recordsOf(this.#days, DAY_SLOT_MS)];
  }

  /** Puts a total in, in the place of the one that stands there. */
  put({ startMs, grainMs, labels, amounts, charges, denials }: TotalRecord): void {
    const slot = slotAt(grainMs === DAY_SLOT_MS ? this.#days : this.#quarters, startMs);
    if (!slot.has(labels.key)) this.#sets += 1;
    const copies = amounts.map((amount) => ({ ...amount }));
    slot.set(labels.key, { labels: labels.labels, amounts: copies, charges, denials });
  }

  /**
   * Forgets the slots that are older than the journal, which are the first ones; and where there
   * are too many label sets, tells those of the oldest slots apart no longer.
   */
  forget(nowMs: number): void {
    for (const slots of [this.#quarters, this.#days]) {
      const oldest = slots.keys().next().value;
      if (oldest !== undefined && oldest + DAY_SLOT_MS + this.#keepMs <= nowMs) {
        slots.delete(oldest);
      }
    }
    while (this.#sets > MAX_LABEL_SETS) this.#foldOldest();
  }

  #totalsFor(labels: LabelSet, atMs: number): readonly [RunningTotal, RunningTotal] {
    const quarter = slotAt(this.#quarters, slotOf(atMs));
    const folded = quarter.size >= MAX_LABEL_SETS_PER_SLOT && !quarter.has(labels.key);
    const set = folded ? OTHER_SET : labels;
    const day = slotAt(this.#days, slotOf(atMs, DAY_SLOT_MS));
    if (!quarter.has(set.key)) this.#sets += 1;
    if (!day.has(set.key)) this.#sets += 1;
    return [totalOf(quarter, set), totalOf(day, set)];
  }

  /** Folds half of what there is, from the oldest slots on, so that it is seldom done. */
  #foldOldest(): void {
    this.#sets = 0;
    for (const slots of [this.#quarters, this.#days]) {
      const all = [...slots.values()];
      const sizes = all.reduce((sum, slot) => sum + slot.size, 0);
      let rest = sizes;
      for (const slot of all) {
        if (rest <= sizes / 2) break;
        rest -= slot.size;
        foldSlot(slot);
      }
      this.#sets += all.reduce((sum, slot) => sum + slot.size, 0);
    }
  }
}

function recordsOf(slots: ReadonlyMap<number, Slot>, grainMs: number): TotalRecord[] {
  const records: TotalRecord[] = [];
  for (const [startMs, slot] of slots) {
    for (const [key, { labels, amounts, charges, denials }] of slot) {
      const copies = amounts.map((amount) => ({ ...amount }));
      const set = { labels, key };
      records.push({
        kind: 'total',
        startMs,
        grainMs,
        labels: set,
        amounts: copies,
        charges,
        denials,
      });
    }
  }
  return records;
}

/** Adds all label sets of a slot up under the one that stands for all. */
function foldSlot(slot: Slot): void {
  const sum = newTotal(OTHER_SET.labels);
  for (const { amounts, charges, denials } of slot.values()) {
    addAmounts(sum, amounts);
    sum.charges += charges;
    sum.denials += denials;
  }
  slot.clear();
  slot.set(OTHER_SET.key, sum);
}

function slotAt(slots: Map<number, Slot>, startMs: number): Slot {
  let slot = slots.get(startMs);
  if (slot === undefined) {
    slot = new Map();
    slots.set(startMs, slot);
  }
  return slot;
}

function totalOf(slot: Slot, { labels, key }: LabelSet): RunningTotal {
  let total = slot.get(key);
  if (total === undefined) {
    total = newTotal(labels);
    slot.set(key, total);
  }
  return total;
}

function addSlots(sums: Slot, slots: Map<number, Slot>, sinceMs: number, untilMs: number): void {
  for (const [startMs, slot] of slots) {
    if (startMs < sinceMs || startMs >= untilMs) continue;
    for (const [key, total] of slot) {
      const sum = totalOf(sums, { labels: total.labels, key });
      addAmounts(sum, total.amounts);
      sum.charges += total.charges;
      sum.denials += total.denials;
    }
  }
}
