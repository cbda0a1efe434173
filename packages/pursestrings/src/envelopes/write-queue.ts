import { StoreError } from '../errors.ts';
import { Fifo } from '../fifo.ts';

/** The most writes that may wait; past it nothing is permitted until some of them are done. */
const MAX_WAITING = 100_000;

interface Write {
  /** What is written, for people: `a transaction`. */
  readonly what: string;
  readonly run: () => Promise<unknown>;
}

/**
 * Writes to a storage, in order, one at a time, behind the calls that they come from. The first write
 * that fails stops those behind it: they wait until it is tried again.
 */
export class WriteQueue {
  readonly #waiting = new Fifo<Write>();
  #failure: StoreError | null = null;
  #isWriting = false;
  #written: Promise<void> = Promise.resolve();

  /** Why nothing can be written now; `null` when something can. */
  get problem(): StoreError | null {
    if (this.#failure !== null) return this.#failure;
    return this.#waiting.length >= MAX_WAITING ? tooSlow() : null;
  }

  push(what: string, run: () => Promise<unknown>): void {
    this.#waiting.push({ what, run });
    this.#start();
  }

  /** Waits for every write so far. @throws StoreError when one has failed. */
  async flush(): Promise<void> {
    while (this.#isWriting) await this.#written;
    if (this.#failure !== null) throw this.#failure;
  }

  /** Tries the write that failed once more, and then those behind it. @throws StoreError */
  async retry(): Promise<void> {
    this.#failure = null;
    this.#start();
    await this.flush();
  }

  #start(): void {
    if (this.#isWriting || this.#failure !== null) return;
    this.#isWriting = true;
    this.#written = this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    for (let next = this.#waiting.first(); next !== undefined; next = this.#waiting.first()) {
      try {
        await next.run();
      } catch (cause) {
        this.#failure = writeFailed(next.what, cause);
        break;
      }
      this.#waiting.shift();
    }
    this.#isWriting = false;
  }
}

function writeFailed(what: string, cause: unknown): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'unreachable',
    `The storage did not save ${what}, so nothing is permitted any more; mend it, then BudgetEnforcer.open() ` +
      `with the same storage writes what is missing and goes on`,
    { cause, retryable: true },
  );
}

function tooSlow(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'overloaded',
    `${MAX_WAITING} writes wait for the storage, so nothing is permitted until it has caught up; await flush()`,
    { retryable: true },
  );
}
