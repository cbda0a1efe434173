/**
 * Agents that were started although no slot was free: the ledger counts them nowhere. Each is counted
 * until it is stopped, or until it must have ended, as one that has a slot is.
 */
export class BeyondCap {
  /** When they must have ended, by one clock: all may run equally long, so the oldest come first. */
  #endsAtMs: number[] = [];

  add(endsAtMs: number): void {
    this.#endsAtMs.push(endsAtMs);
  }

  /** Takes one off. @returns false when there is none. */
  remove(nowMs: number): boolean {
    if (this.countAt(nowMs) === 0) return false;
    this.#endsAtMs.pop();
    return true;
  }

  countAt(nowMs: number): number {
    while (this.#endsAtMs[0] !== undefined && this.#endsAtMs[0] <= nowMs) this.#endsAtMs.shift();
    return this.#endsAtMs.length;
  }

  clear(): void {
    this.#endsAtMs = [];
  }
}
