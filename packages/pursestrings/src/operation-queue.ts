import { StoreError } from './errors.ts';
import type { Answer, Applied, Operation } from './ledger/records.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from './stores/store.ts';

/** The most operations that may wait for the store; past it new ones are refused. */
export const MAX_PENDING = 100_000;

/** How many operations in a row may be asked without waiting for the end of a turn. */
const MAX_ASKED_IN_A_ROW = 32;

/** The most operations that go to the store at once. */
const MAX_BATCH = 1024;

interface Waiting {
  readonly operation: Operation;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gathers the operations of one turn of the event loop and hands them to the store as one batch,
 * one batch at a time. Two operations on one id never share a batch, and a rename is on two. A
 * store that gains nothing by batching is asked at once.
 */
export class OperationQueue {
  readonly #store: LedgerStore;
  /** A store inside the process, and one of those that gains nothing by batching. */
  readonly #embedded: EmbeddedStore | undefined;
  readonly #prompt: EmbeddedStore | undefined;
  readonly #applied: (applied: Applied) => void;
  #waiting: Waiting[] = [];
  #inFlight = 0;
  #lastBatchSize = 0;
  #askedInARow = 0;
  /** An operation of this very moment was asked at once. */
  #alone = false;
  #scheduled = false;
  #idle: (() => void)[] = [];

  constructor(store: LedgerStore, applied: (applied: Applied) => void) {
    this.#store = store;
    this.#embedded = isEmbedded(store) ? store : undefined;
    this.#prompt = this.#embedded?.batching === 'none' ? this.#embedded : undefined;
    this.#applied = applied;
  }

  /** How many operations have no answer yet. */
  get pending(): number {
    return this.#waiting.length + this.#inFlight;
  }

  /** Hands an operation over. The answer comes as it is where the store is asked at once. */
  submit(operation: Operation): Answer | Promise<Answer> {
    if (this.#prompt !== undefined) {
      const applied = this.#prompt.applySync([operation]);
      this.#applied(applied);
      return applied.answers[0] as Answer;
    }
    if (this.pending >= MAX_PENDING) {
      throw new StoreError(
        'STORE_UNAVAILABLE',
        'overloaded',
        `${MAX_PENDING} operations already wait for the store; spend more slowly, or use more processes`,
        { retryable: true },
      );
    }
    const atOnce = this.#askedAlone(operation);
    if (atOnce !== undefined) return atOnce;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operation, resolve, reject });
      this.#schedule();
    });
  }

  /**
   * Where operations have come one by one, the first of a moment is asked at once: waiting for
   * others would gain nothing. Those that come in the same moment make the next batch. A loop that
   * only spends must not keep timers and sockets from their turn, so that is done so often in a row.
   */
  #askedAlone(operation: Operation): Answer | undefined {
    const busy = this.#alone || this.pending > 0 || this.#lastBatchSize > 1;
    if (this.#embedded === undefined || busy) return undefined;
    if (this.#askedInARow >= MAX_ASKED_IN_A_ROW) return undefined;
    const applied = this.#embedded.applyAtOnce([operation]);
    if (applied === null) return undefined;
    this.#askedInARow += 1;
    this.#alone = true;
    queueMicrotask(() => (this.#alone = false));
    this.#applied(applied);
    return applied.answers[0];
  }

  /** Resolves holds that are past their time, until none is left. */
  async resolveDue(): Promise<void> {
    for (;;) {
      const applied = this.#prompt?.applySync([]) ?? (await this.#store.apply([]));
      this.#applied(applied);
      if (applied.expiries.length === 0) return;
    }
  }

  /** Waits until every operation handed over has its answer. */
  async drain(): Promise<void> {
    while (this.pending > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight > 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#askedInARow = 0;
      void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const batch = this.#takeBatch();
    this.#inFlight = batch.length;
    this.#lastBatchSize = batch.length;
    try {
      const applied = await this.#store.apply(batch.map(({ operation }) => operation));
      this.#inFlight = 0;
      batch.forEach(({ resolve }, index) => resolve(applied.answers[index] as Answer));
      this.#applied(applied);
    } catch (error) {
      this.#inFlight = 0;
      for (const { reject } of batch) reject(error);
    }
    if (this.#waiting.length > 0) this.#schedule();
    else for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Takes operations in their order; one whose ids are not all free waits for the next batch. */
  #takeBatch(): Waiting[] {
    const ids = new Set<string>();
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    let taken = 0;
    for (const waiting of this.#waiting) {
      if (batch.length === MAX_BATCH) break;
      taken += 1;
      const { operation } = waiting;
      const newId = operation.kind === 'rename' ? operation.newId : operation.id;
      if (ids.has(operation.id) || ids.has(newId)) later.push(waiting);
      else batch.push(waiting);
      ids.add(operation.id).add(newId);
    }
    const rest = this.#waiting.slice(taken);
    this.#waiting = later.length === 0 ? rest : [...later, ...rest];
    return batch;
  }
}
