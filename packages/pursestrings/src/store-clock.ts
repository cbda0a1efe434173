/**
 * The time of a store that is reached over a network, as well as this process knows it: what the
 * store last said, and how long ago that was. A wall clock here that is wrong, or is set, has no
 * part in it; before the store has said anything, it is all there is.
 */
export class StoreClock {
  #aheadMs: number | undefined;

  /** True once the store has said what time it is. */
  get known(): boolean {
    return this.#aheadMs !== undefined;
  }

  /** The store has just said what time it is. */
  note(nowMs: number): void {
    this.#aheadMs = nowMs - performance.now();
  }

  now(): number {
    return this.#aheadMs === undefined ? Date.now() : Math.floor(performance.now() + this.#aheadMs);
  }
}
