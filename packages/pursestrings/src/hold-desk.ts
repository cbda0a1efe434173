import type { Asking } from './asking.ts';
import { type Charge, toCharge } from './charge.ts';
import type { Charging } from './charging.ts';
import { HoldNotFoundError } from './errors.ts';
import type { FailOpen } from './fail-open.ts';
import {
  Hold,
  type HoldKeeper,
  type RenameOptions,
  type SettleOptions,
  type WatchedHold,
} from './hold.ts';
import type { HoldWatch } from './hold-watch.ts';
import type { Amounts } from './ledger/amount.ts';
import { actualAmounts, settleRow } from './ledger/charge-row.ts';
import type { Answer, HoldRecord } from './ledger/records.ts';
import type { Units } from './ledger/unit.ts';
import type { News } from './news.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { refusalOf } from './refusal.ts';
import { knowsUnits } from './spend-amounts.ts';
import {
  type Settlement,
  settlementOf,
  type SpendOperations,
  unheldBy,
} from './spend-operations.ts';
import { checkNewId, checkTtl } from './spend-options.ts';
import type { TrackedHolds } from './untracked-holds.ts';

/** What a desk works with. */
export interface HoldDeskContext {
  readonly asking: Pick<Asking, 'ask'>;
  readonly desk: PolicyDesk;
  readonly operations: SpendOperations;
  readonly charging: Charging;
  readonly news: News;
  readonly watch: HoldWatch;
  /** The store's time, as well as this process knows it. */
  readonly now: () => number;
  /** What to do when the store cannot be reached; undefined to say so and do nothing. */
  readonly failOpen: FailOpen | undefined;
}

/** Carries what becomes of holds to the store: settled, released, extended, renamed. */
export class HoldDesk implements TrackedHolds {
  readonly #context: HoldDeskContext;

  constructor(context: HoldDeskContext) {
    this.#context = context;
  }

  /** The same desk, whose operations are asked in another way. */
  through(ask: Asking['ask']): HoldDesk {
    return new HoldDesk({ ...this.#context, asking: { ask } });
  }

  get units(): Units {
    return this.#context.desk.rulebook.units;
  }

  now(): number {
    return this.#context.now();
  }

  async settle(
    record: HoldRecord,
    actual: Amounts | undefined,
    options: SettleOptions,
  ): Promise<Charge> {
    const { desk, failOpen } = this.#context;
    if (actual !== undefined && !knowsUnits(actual, this.units)) await desk.reload();
    const settlement = settlementOf(record, actual, options, this.units);
    if (failOpen === undefined) return this.#settle(settlement);
    return failOpen.recordOrOwe(
      record.id,
      () => this.#settle(settlement),
      () => this.#unrecorded(settlement),
    );
  }

  async settleUnresolved(record: HoldRecord): Promise<void> {
    const { id, labels } = record;
    await this.#record(id, async () => {
      const whole = { record, said: NONE, labels, description: undefined };
      const answer = await this.#askSettle(whole, true);
      if (answer.kind === 'charged') this.#context.news.charged(answer.charge, answer.replayed);
      else if (answer.kind !== 'resolved') throw refusalOf(id, answer, this.units);
    });
  }

  async release(record: HoldRecord): Promise<void> {
    await this.#record(record.id, () => this.#release(record));
  }

  async releaseIfKnown(record: HoldRecord): Promise<void> {
    await this.#record(record.id, async () => {
      try {
        await this.#release(record);
      } catch (error) {
        if (!HoldNotFoundError.isInstance(error)) throw error;
      }
    });
  }

  async extend(record: HoldRecord, ttlMs: number): Promise<number> {
    checkTtl('ttlMs', ttlMs);
    const { asking } = this.#context;
    const answer = await asking.ask(() => ({ kind: 'extend', id: record.id, ttlMs }));
    if (answer.kind !== 'extended') throw refusalOf(record.id, answer, this.units);
    return answer.expiresAtMs;
  }

  async rename(
    record: HoldRecord,
    id: string,
    { ttlMs }: RenameOptions,
    keeper: HoldKeeper = this,
  ): Promise<Hold> {
    checkNewId(record.id, id);
    if (ttlMs !== undefined) checkTtl('ttlMs', ttlMs);
    const asked = { kind: 'rename', id: record.id, newId: id, ttlMs: ttlMs ?? null } as const;
    const answer = await this.#context.asking.ask(() => asked);
    if (answer.kind === 'held') return new Hold(answer.hold, keeper, answer.replayed);
    // A conflict is about the id that something stands under: this hold's, or the new one.
    const about = answer.kind === 'conflict' ? (answer.hold?.id ?? id) : record.id;
    throw refusalOf(about, answer, this.units);
  }

  watch(hold: WatchedHold): void {
    this.#context.watch.add(hold);
  }

  unwatch(hold: WatchedHold): void {
    this.#context.watch.delete(hold);
  }

  failed(error: unknown): void {
    this.#context.news.failed(error);
  }

  /** Records what became of a hold, or owes it where that is allowed. */
  async #record(id: string, record: () => Promise<void>): Promise<void> {
    const { failOpen } = this.#context;
    if (failOpen === undefined) return record();
    await failOpen.recordOrOwe(id, record, () => undefined);
  }

  async #settle(settlement: Settlement): Promise<Charge> {
    const { charging, news } = this.#context;
    const asking = this.#askSettle(settlement, false);
    const answer = asking instanceof Promise ? await asking : asking;
    if (answer.kind === 'charged') return news.charged(answer.charge, answer.replayed);
    if (answer.kind !== 'unknown_hold') throw refusalOf(settlement.record.id, answer, this.units);
    // Never known, or resolved and forgotten long ago: what was spent is recorded all the same.
    return charging.charge(unheldBy(settlement));
  }

  #askSettle(settlement: Settlement, ifUnresolved: boolean): Answer | Promise<Answer> {
    const { asking, operations } = this.#context;
    return asking.ask((revision) => operations.settle(settlement, ifUnresolved, revision));
  }

  async #release(record: HoldRecord): Promise<void> {
    const { asking, news } = this.#context;
    const answer = await asking.ask(() => ({ kind: 'release', id: record.id }));
    if (answer.kind !== 'released') throw refusalOf(record.id, answer, this.units);
    if (!answer.replayed && answer.charge === null) news.countHold('released');
    if (answer.charge !== null) news.charged(answer.charge, answer.replayed);
  }

  /** What a caller is told of a settle that waits for the store to be back. */
  #unrecorded({ record, said, labels, description }: Settlement): Charge {
    const amounts = actualAmounts(record, said);
    const row = settleRow(record, { amounts, labels, description }, this.now());
    return toCharge({ ...row, late: true }, this.units, false);
  }
}

const NONE: readonly never[] = [];
