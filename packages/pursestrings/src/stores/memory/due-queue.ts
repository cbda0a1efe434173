/** An item and the time at which it wants attention. */
interface Entry<T> {
  readonly item: T;
  readonly dueMs: number;
}

/**
 * Items by the time at which they are due: a binary heap. An item that no longer wants attention
 * stays until its time, or until such items outnumber the others and all are swept out at once,
 * so that a queue is never more than twice as long as it needs to be.
 */
export class DueQueue<T> {
  #heap: Entry<T>[] = [];
  #dropped = 0;
  readonly #wants: (item: T, dueMs: number) => boolean;

  /** `wants` tells whether an item put in for a time still wants attention then. */
  constructor(wants: (item: T, dueMs: number) => boolean) {
    this.#wants = wants;
  }

  push(item: T, dueMs: number): void {
    const heap = this.#heap;
    const entry = { item, dueMs };
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((heap[parent] as Entry<T>).dueMs <= dueMs) break;
      heap[index] = heap[parent] as Entry<T>;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Says that one item put in before wants no attention any more. */
  drop(): void {
    this.#dropped += 1;
    if (this.#dropped > 1024 && this.#dropped > this.#heap.length / 2) this.#sweep();
  }

  /** True when some item is due. */
  hasDue(nowMs: number): boolean {
    return this.#nextDue(nowMs) !== undefined;
  }

  /** Takes out the item that has been due the longest, if any is. */
  takeDue(nowMs: number): T | undefined {
    const next = this.#nextDue(nowMs);
    if (next !== undefined) this.#removeFirst();
    return next?.item;
  }

  #nextDue(nowMs: number): Entry<T> | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.dueMs > nowMs) return undefined;
      if (this.#wants(first.item, first.dueMs)) return first;
      this.#removeFirst();
      this.#dropped = Math.max(0, this.#dropped - 1);
    }
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
  }

  /** Puts an entry in at the top and lets it sink to its place. */
  #sink(entry: Entry<T>): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && right.dueMs < (heap[child] as Entry<T>).dueMs) child += 1;
      if ((heap[child] as Entry<T>).dueMs >= entry.dueMs) break;
      heap[index] = heap[child] as Entry<T>;
      index = child;
    }
    heap[index] = entry;
  }

  #sweep(): void {
    const kept = this.#heap.filter(({ item, dueMs }) => this.#wants(item, dueMs));
    this.#heap = kept.sort((a, b) => a.dueMs - b.dueMs);
    this.#dropped = 0;
  }
}
