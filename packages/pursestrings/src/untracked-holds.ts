import type { Charge } from './charge.ts';
import { StoreError } from './errors.ts';
import {
  Hold,
  type HoldKeeper,
  type RenameOptions,
  type SettleOptions,
  type WatchedHold,
} from './hold.ts';
import type { Amounts } from './ledger/amount.ts';
import type { HoldRecord } from './ledger/records.ts';
import type { Units } from './ledger/unit.ts';
import { checkNewId, checkTtl } from './spend-options.ts';

/** What keeps the holds that a store knows of. */
export interface TrackedHolds extends HoldKeeper {
  /** Gives a hold's money back, if the store knows of the hold. */
  releaseIfKnown(record: HoldRecord): Promise<void>;
}

/**
 * Keeps the holds that were admitted without their store. Nothing holds their money: what they
 * really spend is charged, late, as soon as the store can be reached.
 */
export class UntrackedHolds implements HoldKeeper {
  readonly untracked = true;
  readonly #tracked: TrackedHolds;

  constructor(tracked: TrackedHolds) {
    this.#tracked = tracked;
  }

  get units(): Units {
    return this.#tracked.units;
  }

  /** Lets a spend through, and says so. */
  admit(record: HoldRecord, cause: unknown): Hold {
    this.failed(
      new StoreError(
        'STORE_UNAVAILABLE',
        'unreachable',
        `Spend ${JSON.stringify(record.id)} was let through although the ledger cannot be reached: ` +
          `onStoreFailure is 'allow'`,
        { cause, retryable: true },
      ),
    );
    return new Hold(record, this, false);
  }

  /** The store charges what it knows no hold of. */
  settle(record: HoldRecord, actual: Amounts | undefined, options: SettleOptions): Promise<Charge> {
    return this.#tracked.settle(record, actual, options);
  }

  async settleUnresolved(record: HoldRecord): Promise<void> {
    await this.settle(record, undefined, {});
  }

  /** The store may have taken the hold although its answer never came. */
  release(record: HoldRecord): Promise<void> {
    return this.#tracked.releaseIfKnown(record);
  }

  async extend(_: HoldRecord, ttlMs: number): Promise<number> {
    checkTtl('ttlMs', ttlMs);
    return this.now() + ttlMs;
  }

  async rename(record: HoldRecord, id: string, { ttlMs }: RenameOptions): Promise<Hold> {
    checkNewId(record.id, id);
    const expiresAtMs =
      ttlMs === undefined
        ? record.expiresAtMs
        : Math.max(record.expiresAtMs, await this.extend(record, ttlMs));
    await this.release(record);
    return new Hold({ ...record, id, expiresAtMs }, this, false);
  }

  now(): number {
    return this.#tracked.now();
  }

  watch(watched: WatchedHold): void {
    this.#tracked.watch(watched);
  }

  unwatch(watched: WatchedHold): void {
    this.#tracked.unwatch(watched);
  }

  failed(error: unknown): void {
    this.#tracked.failed(error);
  }
}
