import { BudgetExceededError, PurseError } from './errors.ts';
import type { WatchedHold } from './hold.ts';
import { frozenDenial } from './denial.ts';
import type { PolicyDesk } from './policy-desk.ts';

/**
 * How often the policy is looked at while somebody observes a hold's signal: so often that, with the
 * way to the store and back, a freeze elsewhere is seen within a second.
 */
const POLL_MS = 900;

/** Aborts the signals of holds that are frozen or expired. It has a timer only while it has holds. */
export class HoldWatch {
  readonly #lookForChanges: () => Promise<void>;
  readonly #desk: PolicyDesk;
  readonly #now: () => number;
  readonly #failed: (error: unknown) => void;
  readonly #holds = new Set<WatchedHold>();
  #timer: NodeJS.Timeout | undefined;
  #polling = false;
  /** The last look failed, and was told of. */
  #blind = false;

  /** `lookForChanges` brings the policy at the desk, and the time, up to date. */
  constructor(
    lookForChanges: () => Promise<void>,
    desk: PolicyDesk,
    now: () => number,
    failed: (error: unknown) => void,
  ) {
    this.#lookForChanges = lookForChanges;
    this.#desk = desk;
    this.#now = now;
    this.#failed = failed;
  }

  add(hold: WatchedHold): void {
    this.#holds.add(hold);
    this.#timer ??= setInterval(() => void this.#poll(), POLL_MS).unref();
    this.check();
  }

  delete(hold: WatchedHold): void {
    this.#holds.delete(hold);
    if (this.#holds.size === 0) this.#stop();
  }

  clear(): void {
    this.#holds.clear();
    this.#stop();
  }

  /** Aborts what is frozen under the policy as known here, or past its time. */
  check(): void {
    const { rulebook } = this.#desk;
    for (const hold of this.#holds) {
      const freeze = rulebook.freezeOn(hold.labels);
      if (freeze !== undefined) {
        hold.abort(new BudgetExceededError([frozenDenial(freeze, [], rulebook.units)]));
      } else if (hold.expiresAt.getTime() <= this.#now()) {
        hold.abort(expired(hold.id));
      }
    }
  }

  /** Aborts the signal of one hold that was found expired. */
  expire(id: string): void {
    if (this.#holds.size === 0) return;
    for (const hold of this.#holds) if (hold.id === id) hold.abort(expired(id));
  }

  async #poll(): Promise<void> {
    // Expiry needs nobody's answer, and a store that does not answer must not keep it.
    this.check();
    if (this.#polling) return;
    this.#polling = true;
    try {
      await this.#lookForChanges();
      this.#blind = false;
    } catch (error) {
      // Told once and not every second, until the store is seen again.
      if (!this.#blind) this.#failed(error);
      this.#blind = true;
    }
    this.#polling = false;
    this.check();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function expired(id: string): PurseError {
  return new PurseError(
    'HOLD_EXPIRED',
    `Hold ${JSON.stringify(id)} has expired; settle it all the same if the work was done`,
  );
}
