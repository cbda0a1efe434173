import type { LabelSet } from '../../ledger/labels.ts';
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

type Slot = Map<string, RunningTotal>;

/** Running totals by quarter-hour and by UTC day, so that a month is read as some thirty slots. */
export class MemoryTotals {
  readonly #quarters = new Map<number, Slot>();
  readonly #days = new Map<number, Slot>();
  readonly #keepMs: number;

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

  /** Forgets the slots that are older than the journal, which are the first ones. */
  forget(nowMs: number): void {
    for (const slots of [this.#quarters, this.#days]) {
      const oldest = slots.keys().next().value;
      if (oldest !== undefined && oldest + DAY_SLOT_MS + this.#keepMs <= nowMs)
        slots.delete(oldest);
    }
  }

  #totalsFor(labels: LabelSet, atMs: number): readonly [RunningTotal, RunningTotal] {
    const quarter = slotAt(this.#quarters, slotOf(atMs));
    const folded = quarter.size >= MAX_LABEL_SETS_PER_SLOT && !quarter.has(labels.key);
    const set = folded ? OTHER_SET : labels;
    return [totalOf(quarter, set), totalOf(slotAt(this.#days, slotOf(atMs, DAY_SLOT_MS)), set)];
  }
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
