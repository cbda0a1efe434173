import type { Charge } from './charge.ts';
import type { Hold, HoldKeeper, RenameOptions, SettleOptions, WatchedHold } from './hold.ts';
import type { HoldDesk } from './hold-desk.ts';
import type { Amounts } from './ledger/amount.ts';
import { actualAmounts } from './ledger/charge-row.ts';
import type { HoldRecord } from './ledger/records.ts';
import type { StepAmounts, Units } from './ledger/unit.ts';
import type { Share } from './share.ts';
import { settleSteps } from './spend-amounts.ts';

/** Keeps holds that were cut out of a share: what they do not spend goes back to it. */
export class DrawnHolds implements HoldKeeper {
  readonly #holds: HoldDesk;
  readonly #share: Share;

  constructor(holds: HoldDesk, share: Share) {
    this.#holds = holds;
    this.#share = share;
  }

  get units(): Units {
    return this.#holds.units;
  }

  settle(record: HoldRecord, actual: Amounts | undefined, options: SettleOptions): Promise<Charge> {
    const spent = (): StepAmounts => actualAmounts(record, settleSteps(actual, this.units));
    return this.#resolving(record, spent).settle(record, actual, options);
  }

  settleUnresolved(record: HoldRecord): Promise<void> {
    const spent = (): StepAmounts => actualAmounts(record, NONE);
    return this.#resolving(record, spent).settleUnresolved(record);
  }

  release(record: HoldRecord): Promise<void> {
    return this.#resolving(record, () => NONE).release(record);
  }

  extend(record: HoldRecord, ttlMs: number): Promise<number> {
    return this.#holds.extend(record, ttlMs);
  }

  async rename(record: HoldRecord, id: string, options: RenameOptions): Promise<Hold> {
    const renamed = await this.#holds.rename(record, id, options, this);
    this.#share.renamed(record.id, id);
    return renamed;
  }

  now(): number {
    return this.#holds.now();
  }

  watch(watched: WatchedHold): void {
    this.#holds.watch(watched);
  }

  unwatch(watched: WatchedHold): void {
    this.#holds.unwatch(watched);
  }

  failed(error: unknown): void {
    this.#holds.failed(error);
  }

  /** Resolves a hold together with its share: what it did not spend is free at no moment. */
  #resolving({ id }: HoldRecord, spent: () => StepAmounts): HoldDesk {
    return this.#holds.through((plan) => this.#share.resolve(id, spent(), plan));
  }
}

const NONE: readonly never[] = [];
