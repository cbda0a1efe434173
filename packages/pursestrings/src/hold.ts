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

/** How a hold gets another id. */
export interface RenameOptions {
  /**
   * It stays open for at least so long from now, in milliseconds: 1 to 400 days. Default: its time
   * stays as it is.
   */
  readonly ttlMs?: number;
}

/** What a hold asks of its purse. */
export interface HoldKeeper {
  readonly units: Units;
  /** True of a keeper whose holds no store knows of. */
  readonly untracked?: boolean;
  settle(record: HoldRecord, actual: Amounts | undefined, options: SettleOptions): Promise<Charge>;
  /** Settles as held, unless somebody has said what became of the hold. */
  settleUnresolved(record: HoldRecord): Promise<void>;
  release(record: HoldRecord): Promise<void>;
  extend(record: HoldRecord, ttlMs: number): Promise<number>;
  rename(record: HoldRecord, id: string, options: RenameOptions): Promise<Hold>;
  /** The store's time, as well as this process knows it. */
  now(): number;
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

  /** What the spend was said to be when it was reserved. */
  get description(): string | undefined {
    return this.#record.description;
  }

  /** By the store's clock: to learn how long that is from now, ask `remainingMs`. */
  get expiresAt(): Date {
    return new Date(this.#expiresAtMs);
  }

  /**
   * How long the hold still lives, in milliseconds of the store's clock, which this process's own
   * may differ from; 0 when its time has passed. It asks nobody: an `extend` or a resolution by
   * another object is not known here.
   */
  remainingMs(): number {
    return Math.max(0, this.#expiresAtMs - this.#keeper.now());
  }

  /**
   * True when the store could not be reached and the spend was let through all the same, as
   * `onStoreFailure: 'allow'` says: nothing is held, and what is settled is charged later.
   */
  get untracked(): boolean {
    return this.#keeper.untracked === true;
  }

  /** True once the hold is known here to be settled, released or renamed. */
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

  /**
   * Gives the hold another id, for work whose id is known only once it has begun: a provider's
   * batch, a background response. In one step the same money is held under the new id, for the same
   * labels, limits and windows, and the old id stands as released. The money is free at no moment,
   * and no cap, freeze or limit of today is asked.
   *
   * From then on this object is resolved, so that `run` and `await using` leave the money alone, and
   * its signal aborts no more: settle, extend and watch the hold that this answers with. A settle
   * under the old id is a charge of its own, marked `late`.
   *
   * Again with the same id: the same hold, marked `replayed`, with the time that it has by then.
   *
   * @param id 1 to 256 characters, and not the hold's own: that one is kept open by `extend`.
   * @throws InvalidOptionError for an id or a duration that cannot be: the hold stays as it is.
   * @throws ConflictError when this hold is not open, or when the new id stands for another hold or
   *   a charge: nothing changes.
   * @throws HoldNotFoundError when it is forgotten.
   * @throws StoreError
   * @example
   * ```ts
   * import { openPurse } from 'pursestrings';
   *
   * const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
   * await using hold = await purse.reserve({ usd: 4 }, {}, { ifAbandoned: 'charge' });
   * const batch = { id: 'batch_1' }; // what the provider answers
   * await hold.rename(batch.id, { ttlMs: 25 * 3_600_000 });
   *
   * // Later, in whichever process reads the results:
   * const held = await purse.hold(batch.id, { expired: true });
   * await held?.settle({ usd: 2.75 });
   * ```
   */
  async rename(id: string, options: RenameOptions = {}): Promise<Hold> {
    const answer = this.#keeper.rename(this.#record, id, options);
    this.#underWay = answer;
    const renamed = await answer;
    this.#resolve();
    return renamed;
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

  /**
   * Announces a failure that no caller can be told of, as the purse's `error` event.
   *
   * @internal For adapters that must hand on an answer whatever becomes of its charge.
   */
  failed(error: unknown): void {
    this.#keeper.failed(error);
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
