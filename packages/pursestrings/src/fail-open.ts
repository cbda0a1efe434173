import { StoreError } from './errors.ts';
import { QueueFullError } from './operation-queue.ts';
import { inTime, type Patience, pauseMs } from './patience.ts';
import { PatientStore } from './patient-store.ts';
import type { LedgerStore } from './stores/store.ts';

/** The most things that may wait to be recorded until the store is back. */
export const MAX_OWED = 10_000;

/** How many of them are recorded at a time once it is. */
const RECORDED_AT_ONCE = 64;

/** Failures that no waiting mends, or that somebody meant. */
const LASTING: ReadonlySet<string> = new Set([
  'closed',
  'corrupt',
  'misconfigured',
  'newer_schema',
]);

interface Owed {
  readonly id: string;
  readonly record: () => Promise<unknown>;
}

/**
 * What a purse does with `onStoreFailure: 'allow'`: while the store cannot be reached it lets spends
 * through, loudly, and remembers what has to be recorded when the store is back. What it remembers
 * ends with the process.
 */
export class FailOpen {
  readonly #store: LedgerStore;
  readonly #patience: Patience;
  readonly #failed: (error: unknown) => void;
  readonly #owed: Owed[] = [];
  #down = false;
  #closed = false;
  #cause: unknown;
  #probes = 0;
  #timer: NodeJS.Timeout | undefined;
  #recording: Promise<boolean> | undefined;

  constructor(store: LedgerStore, patience: Patience, failed: (error: unknown) => void) {
    this.#store = store;
    this.#patience = patience;
    this.#failed = failed;
  }

  /** The store could not be reached, and has not been reached since. */
  get isDown(): boolean {
    return this.#down;
  }

  /** Why the store could not be reached, the last time that it could not. */
  get cause(): unknown {
    return this.#cause;
  }

  /** How many things wait to be recorded. */
  get owed(): number {
    return this.#owed.length;
  }

  /** Takes notice of an outage. */
  noteDown(error: unknown): void {
    this.#cause = error;
    if (this.#down) return;
    this.#down = true;
    this.#probes = 0;
    process.emitWarning(
      `The ledger ${JSON.stringify(this.#store.ledger)} cannot be reached (${messageOf(error)}), ` +
        `and onStoreFailure is 'allow': spends go through that no limit holds`,
      { type: 'PurseWarning', code: 'PURSE_STORE_UNREACHABLE' },
    );
    this.#probeLater();
  }

  /**
   * Records something, or owes it while the store cannot be reached.
   *
   * @param meanwhile Says what the caller is told before it is recorded.
   * @throws what `record` throws when that is no outage; StoreError when too much is owed already.
   */
  async recordOrOwe<T>(id: string, record: () => Promise<T>, meanwhile: () => T): Promise<T> {
    if (!this.#down) {
      try {
        return await record();
      } catch (error) {
        if (!isOutage(error)) throw error;
        this.noteDown(error);
      }
    }
    if (this.#owed.length >= MAX_OWED) throw owesTooMuch();
    this.#owed.push({ id, record });
    return meanwhile();
  }

  /** Records what is owed, as far as that can be done in the time that a purse is patient. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const deadlineMs = performance.now() + this.#patience.retryForMs;
    while (this.#owed.length > 0 && performance.now() < deadlineMs) {
      if (await this.#recordAll()) break;
      await new Promise((resolve) => void setTimeout(resolve, pauseMs(5)));
    }
    if (this.#owed.length > 0) this.#tellOfLoss();
  }

  /** Once closed, what is owed is told of and never recorded: whoever was told may charge it. */
  #probeLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#probes += 1;
    this.#timer = setTimeout(() => void this.#probe(), pauseMs(this.#probes)).unref();
  }

  async #probe(): Promise<void> {
    try {
      const { operationTimeoutMs } = this.#patience;
      const once = PatientStore.within(this.#store);
      await inTime((signal) => once.readBalances({ keys: [] }, signal), operationTimeoutMs);
      if (!this.#closed) await this.#recordAll();
    } catch {
      // It is still away.
    }
    if (this.#down) this.#probeLater();
  }

  /** Tells whether the store could be reached for all of it. */
  #recordAll(): Promise<boolean> {
    this.#recording ??= this.#recordOwed().finally(() => (this.#recording = undefined));
    return this.#recording;
  }

  async #recordOwed(): Promise<boolean> {
    while (this.#owed.length > 0) {
      const some = this.#owed.slice(0, RECORDED_AT_ONCE);
      const outcomes = await Promise.allSettled(some.map(({ record }) => record()));
      const rest = some.filter((_, index) => isOutage(reasonOf(outcomes[index])));
      this.#owed.splice(0, some.length, ...rest);
      for (const outcome of outcomes) {
        const reason = reasonOf(outcome);
        if (reason !== undefined && !isOutage(reason)) this.#failed(reason);
      }
      if (rest.length > 0) return false;
    }
    this.#down = false;
    return true;
  }

  #tellOfLoss(): void {
    const ids = this.#owed.slice(0, 10).map(({ id }) => JSON.stringify(id));
    const more = this.#owed.length > ids.length ? ', …' : '';
    const message =
      `The purse was closed while its store could not be reached: ${this.#owed.length} settles and ` +
      `releases are not recorded (${ids.join(', ')}${more}). Charge them with purse.charge()`;
    process.emitWarning(message, { type: 'PurseWarning', code: 'PURSE_SPEND_NOT_RECORDED' });
    this.#failed(new StoreError('STORE_UNAVAILABLE', 'unreachable', message));
  }
}

/** True for a failure that says nothing of the spend, only that the store cannot be asked now. */
export function isOutage(error: unknown): boolean {
  return (
    StoreError.isInstance(error) &&
    error.code !== 'STORE_CORRUPT' &&
    !LASTING.has(error.failure) &&
    !(error instanceof QueueFullError)
  );
}

function reasonOf(outcome: PromiseSettledResult<unknown> | undefined): unknown {
  return outcome?.status === 'rejected' ? outcome.reason : undefined;
}

function owesTooMuch(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'overloaded',
    `${MAX_OWED} settles and releases already wait for the store to be back; no more are remembered`,
    { retryable: true },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
