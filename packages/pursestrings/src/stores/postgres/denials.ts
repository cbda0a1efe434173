import type { Answer, Operation } from '../../ledger/records.ts';
import { slotOf } from '../../ledger/report.ts';
import { OTHER_SET } from '../running-total.ts';
import type { DenialCount } from './batch.ts';

/** Past so many label sets, denials that wait to be written are counted together. */
const MAX_WAITING = 1000;

/**
 * How long they are gathered between two writes. Where caps bind, every batch has refusals, and
 * refusals of one label set are many: counted together they cost the server a row less each.
 */
const GATHERED_MS = 1000;

/** Refusals that wait for something else to be written: alone they are not worth a write. */
export class WaitingDenials {
  #counts = new Map<string, DenialCount>();
  #takenMs = Number.NEGATIVE_INFINITY;

  get any(): boolean {
    return this.#counts.size > 0;
  }

  /** Counts the refusals among the answers to a batch. */
  note(operations: readonly Operation[], answers: readonly Answer[], nowMs: number): void {
    answers.forEach((answer, index) => {
      const operation = operations[index];
      if (answer.kind !== 'denied' || operation?.kind !== 'reserve') return;
      if (operation.tentative === true) return;
      this.#add({ labels: operation.labels.key, atMs: slotOf(nowMs), count: 1 });
    });
  }

  /**
   * Takes all out, to be sent along with a batch; none where others were sent a moment ago.
   *
   * @param flush Takes all out in any case: somebody wants to read them, or the store is closed.
   */
  take(flush: boolean): readonly DenialCount[] {
    const nowMs = performance.now();
    if (!this.any || (!flush && nowMs - this.#takenMs < GATHERED_MS)) return [];
    const counts = [...this.#counts.values()];
    this.#counts = new Map();
    this.#takenMs = nowMs;
    return counts;
  }

  /** Takes those back that were not written. */
  putBack(counts: readonly DenialCount[]): void {
    for (const count of counts) this.#add(count);
  }

  #add({ labels, atMs, count }: DenialCount): void {
    const known = this.#counts.has(`${atMs} ${labels}`);
    const set = known || this.#counts.size < MAX_WAITING ? labels : OTHER_SET.key;
    const key = `${atMs} ${set}`;
    const standing = this.#counts.get(key)?.count ?? 0;
    this.#counts.set(key, { labels: set, atMs, count: standing + count });
  }
}
