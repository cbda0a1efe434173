import type { Charge } from './charge.ts';
import { ConflictError } from './errors.ts';
import type { Amounts } from './ledger/amount.ts';
import type { Labels } from './ledger/labels.ts';
import type { HoldRecord } from './ledger/records.ts';
import { toDecimals, type Units } from './ledger/unit.ts';

/** States in which somebody has said what became of a hold. */
const SAID: ReadonlySet<string> = new Set(['settled', 'released', 'corrected']);

/** What is said at a settle besides the amounts. */
export interface SettleOptions {
  /** Labels for the journal and the reports, on top of the hold's; they move no envelope. */
  readonly labels?: Labels;
  readonly description?: string;
}

/** What a hold asks of its purse. */
export interface HoldKeeper {
  readonly units: Units;
  settle(record: HoldRecord, actual: Amounts | undefined, options: SettleOptions): Promise<Charge>;
  /** Settles as held, unless somebody has said what became of the hold. */
  settleUnresolved(record: HoldRecord): Promise<void>;
  release(record: HoldRecord): Promise<void>;
  extend(record: HoldRecord, ttlMs: number): Promise<number>;
  /** Watches for what aborts a hold's signal, until the hold is resolved. */
  watch(watched: WatchedHold): void;
  unwatch(watched: WatchedHold): void;
  /** Tells of a failure that no caller can be told of. */
  failed(error: unknown): void;
}

/** A hold whose signal somebody observes. */
export interface WatchedHold {
  readonly id: string;
  readonly labels: Labels;
  readonly expiresAt: Date;
  abort(reason: unknown): void;
}

/**
 * Money set aside before the work. It is resolved exactly once: settled with what was really
 * spent, released, or expired. `await using hold = …` abandons it if nothing settled it, which
 * does what its `ifAbandoned` says.
 *
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 *
 * const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
 * await using hold = await purse.reserve({ usd: 0.4 }, { agent: 'researcher' });
 * await hold.settle({ usd: 0.31 });
 * ```
 */
export class Hold implements AsyncDisposable {
  /** This very call did not take the hold: an earlier one with the same id had. */
  readonly replayed: boolean;
  readonly #record: HoldRecord;
  readonly #keeper: HoldKeeper;
  #expiresAtMs: number;
  #resolved: boolean;
  #underWay: Promise<unknown> | undefined;
  #controller: AbortController | undefined;
  #watched: WatchedHold | undefined;

  /** @internal Purses make holds. */
  constructor(record: HoldRecord, keeper: HoldKeeper, replayed: boolean) {
    this.#record = record;
    this.#keeper = keeper;
    this.#expiresAtMs = record.expiresAtMs;
    this.#resolved = SAID.has(record.state);
    this.replayed = replayed;
  }

  /** The idempotency key: any process that knows it can take the hold up by `purse.hold(id)`. */
  get id(): string {
    return this.#record.id;
  }

  /** What is held, in decimals by unit. */
  get amounts(): Readonly<Record<string, number>> {
    return toDecimals(this.#record.amounts, this.#keeper.units);
  }

  get labels(): Labels {
    return this.#record.labels.labels;
  }

  /** By the store's clock. */
  get expiresAt(): Date {
    return new Date(this.#expiresAtMs);
  }

  /** True once the hold is known here to be settled or released. */
  get resolved(): boolean {
    return this.#resolved;
  }

  /**
   * Aborts when the hold expires or its labels are frozen, within about a second. Looking at it
   * starts the watch; a hold whose signal nobody looks at costs no timer.
   */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (!this.#resolved) this.#startWatch(controller);
    }
    return this.#controller.signal;
  }

  /**
   * Records what was really spent, in full, whatever the caps say by now. Units left out settle as
   * held; without amounts the whole hold is spent. Again with the same amounts: the same charge,
   * marked `replayed`.
   *
   * @throws InvalidAmountError, InvalidLabelError, InvalidOptionError: the hold stays open.
   * @throws ConflictError when other amounts are recorded already.
   * @throws StoreError
   */
  async settle(actual?: Amounts, options: SettleOptions = {}): Promise<Charge> {
    const answer = this.#keeper.settle(this.#record, actual, options);
    this.#underWay = answer;
    const charge = await answer;
    this.#resolve();
    return charge;
  }

  /**
   * Gives the money back. Again, or after the hold expired: nothing happens; if expiry had charged
   * it, the charge is taken back by a correction.
   *
   * @throws ConflictError when it is settled already.
   * @throws StoreError
   */
  async release(): Promise<void> {
    const answer = this.#keeper.release(this.#record);
    this.#underWay = answer;
    await answer;
    this.#resolve();
  }

  /**
   * Keeps the hold open for at least `ttlMs` from now.
   *
   * @throws InvalidOptionError for a duration that is not 1 ms to 400 days.
   * @throws ConflictError when it is resolved, HoldNotFoundError when it is forgotten.
   * @throws StoreError
   */
  async extend(ttlMs: number): Promise<void> {
    this.#expiresAtMs = await this.#keeper.extend(this.#record, ttlMs);
  }

  /** Settles as held, unless something has resolved the hold. */
  async finish(): Promise<void> {
    await this.#underWay?.catch(() => undefined);
    if (this.#resolved) return;
    await this.#keeper.settleUnresolved(this.#record);
    this.#resolve();
  }

  /**
   * Does what `ifAbandoned` says, unless something has resolved the hold. A failure is announced
   * as an `error` event and not thrown, for it must not hide why the work was left; expiry will do
   * the same to the hold a little later.
   */
  async abandon(): Promise<void> {
    await this.#underWay?.catch(() => undefined);
    if (this.#resolved) return;
    try {
      if (this.#record.ifAbandoned === 'charge') await this.finish();
      else await this.release();
    } catch (error) {
      this.#stopWatch();
      // Settled by another object meanwhile: then it was not abandoned.
      if (!ConflictError.isInstance(error)) this.#keeper.failed(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  #resolve(): void {
    this.#resolved = true;
    this.#stopWatch();
  }

  #startWatch(controller: AbortController): void {
    const expiresAt = (): Date => this.expiresAt;
    this.#watched = {
      id: this.id,
      labels: this.labels,
      get expiresAt(): Date {
        return expiresAt();
      },
      abort: (reason) => {
        this.#stopWatch();
        controller.abort(reason);
      },
    };
    this.#keeper.watch(this.#watched);
  }

  #stopWatch(): void {
    if (this.#watched !== undefined) this.#keeper.unwatch(this.#watched);
    this.#watched = undefined;
  }
}
