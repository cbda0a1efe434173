import { StoreError } from './errors.ts';
import { Fifo } from './fifo.ts';
import type { Answer, Applied, Operation } from './ledger/records.ts';
import {
  askUntilAnswered,
  DEFAULT_PATIENCE,
  inTime,
  isUnknown,
  mayAskAgain,
  type Patience,
  pauseMs,
} from './patience.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from './stores/store.ts';

/** The most operations that may wait for the store; past it new ones are refused. */
export const MAX_PENDING = 100_000;

/**
 * A charge so much older than its asking may still be its own: after a failover another server's
 * clock tells the time.
 */
const CLOCK_SLACK_MS = 1000;

/** How many operations in a row may be asked without waiting for the end of a turn. */
const MAX_ASKED_IN_A_ROW = 32;

/** The most operations that go to the store at once, unless the store wants fewer. */
const MAX_BATCH = 1024;

/** Nothing is wrong with the store: more is asked of it at once than this process keeps waiting. */
export class QueueFullError extends StoreError {
  constructor() {
    super(
      'STORE_UNAVAILABLE',
      'overloaded',
      `${MAX_PENDING} operations already wait for the store; spend more slowly, or use more processes`,
      { retryable: true },
    );
  }
}

interface Waiting {
  readonly operation: Operation;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  /** After this it is not asked again, by `performance.now()`. */
  readonly deadlineMs: number;
  /** When it was first asked, by `performance.now()`. */
  askedAtMs: number;
  /** It was asked, and no answer came: it may have happened. */
  lost: boolean;
  /** How many operations on its ids have to be answered before it is asked. */
  blockers: number;
  /** Those that wait for it. */
  followers: Waiting[] | undefined;
}

/**
 * Gathers the operations of one turn of the event loop and hands them to the store as one batch.
 * Of two operations on one id the second is handed over when the first has its answer; a rename is
 * on two ids. A store that gains nothing by batching is asked at once; one that is reached over a
 * network says how large its batches are, and how many of them may wait for their answers.
 *
 * An operation whose answer was lost is asked again with its id, and so happens once. When the
 * patience for that ends, the caller is told whether it may have happened.
 */
export class OperationQueue {
  readonly #store: LedgerStore;
  /** A store inside the process, and one of those that gains nothing by batching. */
  readonly #embedded: EmbeddedStore | undefined;
  readonly #prompt: EmbeddedStore | undefined;
  readonly #applied: (applied: Applied) => void;
  readonly #patience: Patience;
  readonly #batchSize: number;
  readonly #maxInFlight: number;
  /** The last operation on each id that has no answer yet. */
  readonly #last = new Map<string, Waiting>();
  /** Those that were asked in vain, and go first. */
  #again: Waiting[] = [];
  readonly #ready = new Fifo<Waiting>();
  #pending = 0;
  #batchesInFlight = 0;
  #lastBatchSize = 0;
  #askedInARow = 0;
  /** An operation of this very moment was asked at once. */
  #alone = false;
  #scheduled = false;
  /** Askings in a row that failed. */
  #failures = 0;
  #idle: (() => void)[] = [];

  constructor(
    store: LedgerStore,
    applied: (applied: Applied) => void,
    patience: Patience = DEFAULT_PATIENCE,
  ) {
    this.#store = store;
    this.#embedded = isEmbedded(store) ? store : undefined;
    this.#prompt = this.#embedded?.batching === 'none' ? this.#embedded : undefined;
    this.#applied = applied;
    this.#patience = patience;
    this.#batchSize = store.batches?.size ?? MAX_BATCH;
    this.#maxInFlight = store.batches?.inFlight ?? 1;
  }

  /** How many operations have no answer yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Hands an operation over. The answer comes as it is where the store is asked at once. */
  submit(operation: Operation): Answer | Promise<Answer> {
    if (this.#prompt !== undefined) {
      const applied = this.#prompt.applySync([operation]);
      this.#applied(applied);
      return applied.answers[0] as Answer;
    }
    if (this.#pending >= MAX_PENDING) throw new QueueFullError();
    const atOnce = this.#askedAlone(operation);
    if (atOnce !== undefined) return atOnce;
    return new Promise((resolve, reject) => this.#enter(operation, resolve, reject));
  }

  /**
   * Hands operations over as a batch of their own, and at once: a batch is one step of the store's,
   * so that nobody gets between them. None of their ids may be under way.
   */
  async together(operations: readonly Operation[]): Promise<readonly Answer[]> {
    this.#pending += operations.length;
    try {
      const applied = await this.#applyTogether(operations);
      this.#applied(applied);
      return applied.answers;
    } finally {
      this.#pending -= operations.length;
      this.#noteIdle();
    }
  }

  /**
   * Where operations have come one by one, the first of a moment is asked at once: waiting for
   * others would gain nothing. Those that come in the same moment make the next batch. A loop that
   * only spends must not keep timers and sockets from their turn, so that is done so often in a row.
   */
  #askedAlone(operation: Operation): Answer | undefined {
    const busy = this.#alone || this.#pending > 0 || this.#lastBatchSize > 1;
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
      const applied = this.#prompt?.applySync([]) ?? (await this.#applyNothing());
      this.#applied(applied);
      if (applied.expiries.length === 0) return;
    }
  }

  /** Waits until every operation handed over has its answer. */
  async drain(): Promise<void> {
    while (this.#pending > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #applyNothing(): Promise<Applied> {
    if (this.#embedded !== undefined) return this.#store.apply([]);
    return askUntilAnswered((signal) => this.#store.apply([], signal), this.#patience);
  }

  #enter(operation: Operation, resolve: Waiting['resolve'], reject: Waiting['reject']): void {
    const waiting: Waiting = {
      operation,
      resolve,
      reject,
      deadlineMs: performance.now() + this.#patience.retryForMs,
      askedAtMs: Number.NaN,
      lost: false,
      blockers: 0,
      followers: undefined,
    };
    this.#pending += 1;
    this.#follow(waiting, operation.id);
    if (operation.kind === 'rename') this.#follow(waiting, operation.newId);
    if (waiting.blockers > 0) return;
    this.#ready.push(waiting);
    this.#schedule();
  }

  /** Lets an operation wait for the last one on an id, and be the last one from now on. */
  #follow(waiting: Waiting, id: string): void {
    const last = this.#last.get(id);
    this.#last.set(id, waiting);
    if (last === undefined || last === waiting) return;
    waiting.blockers += 1;
    (last.followers ??= []).push(waiting);
  }

  /** An operation has its answer: those that waited for it are free to be asked. */
  #leave(waiting: Waiting): void {
    const { operation, followers } = waiting;
    this.#pending -= 1;
    if (this.#last.get(operation.id) === waiting) this.#last.delete(operation.id);
    if (operation.kind === 'rename' && this.#last.get(operation.newId) === waiting) {
      this.#last.delete(operation.newId);
    }
    for (const follower of followers ?? []) {
      follower.blockers -= 1;
      if (follower.blockers === 0) this.#ready.push(follower);
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#batchesInFlight >= this.#mostInFlight) return;
    this.#scheduled = true;
    if (this.#failures > 0) setTimeout(() => this.#flush(), pauseMs(this.#failures));
    else setImmediate(() => this.#flush());
  }

  /** While the store does not answer, one batch at a time finds out whether it does again. */
  get #mostInFlight(): number {
    return this.#failures > 0 ? 1 : this.#maxInFlight;
  }

  #flush(): void {
    this.#scheduled = false;
    this.#askedInARow = 0;
    while (this.#batchesInFlight < this.#mostInFlight) {
      const batch = this.#takeBatch();
      if (batch.length === 0) break;
      void this.#ask(batch);
    }
    this.#noteIdle();
  }

  #takeBatch(): Waiting[] {
    const batch = this.#again.splice(0, this.#batchSize);
    while (batch.length < this.#batchSize) {
      const waiting = this.#ready.shift();
      if (waiting === undefined) break;
      waiting.askedAtMs = performance.now();
      batch.push(waiting);
    }
    return batch;
  }

  async #ask(batch: readonly Waiting[]): Promise<void> {
    this.#batchesInFlight += 1;
    this.#lastBatchSize = batch.length;
    let applied: Applied | undefined;
    try {
      applied = await this.#apply(batch.map(operationToAsk));
    } catch (error) {
      this.#failed(batch, error);
    }
    this.#batchesInFlight -= 1;
    if (applied !== undefined) this.#answered(batch, applied);
    if (this.#again.length + this.#ready.length > 0) this.#schedule();
    this.#noteIdle();
  }

  #answered(batch: readonly Waiting[], applied: Applied): void {
    this.#failures = 0;
    for (const [index, waiting] of batch.entries()) {
      this.#leave(waiting);
      waiting.resolve(answerTo(waiting, applied.answers[index] as Answer, applied.nowMs));
    }
    this.#applied(applied);
  }

  #apply(operations: readonly Operation[]): Promise<Applied> {
    if (this.#embedded !== undefined) return this.#store.apply(operations);
    const { operationTimeoutMs } = this.#patience;
    return inTime((signal) => this.#store.apply(operations, signal), operationTimeoutMs);
  }

  async #applyTogether(operations: readonly Operation[]): Promise<Applied> {
    if (this.#embedded !== undefined) return this.#store.apply(operations);
    // It may be asked again, and then a fresh id is fresh no more.
    const asked = operations.map(asKnown);
    const askedAtMs = performance.now();
    let askings = 0;
    const ask = (signal: AbortSignal): Promise<Applied> => {
      askings += 1;
      return this.#store.apply(asked, signal);
    };
    const applied = await askUntilAnswered(ask, this.#patience);
    const answers = applied.answers.map((answer, index) => {
      const operation = operations[index] as Operation;
      return answerTo({ operation, lost: askings > 1, askedAtMs }, answer, applied.nowMs);
    });
    return { ...applied, answers };
  }

  /** What may be asked again comes first then, in the order it has. */
  #failed(batch: readonly Waiting[], error: unknown): void {
    if (this.#embedded !== undefined) return this.#rejectAll(batch, error);
    if (isUnknown(error)) for (const waiting of batch) waiting.lost = true;
    if (!mayAskAgain(error)) return this.#rejectAll(batch, error);
    this.#failures += 1;
    const nowMs = performance.now();
    const again = [...batch, ...this.#again];
    this.#again = again.filter(({ deadlineMs }) => deadlineMs > nowMs);
    const overdue = again.filter(({ deadlineMs }) => deadlineMs <= nowMs);
    this.#rejectAll(overdue, error);
    for (let next = this.#ready.first(); next !== undefined; next = this.#ready.first()) {
      if (next.deadlineMs > nowMs) break;
      this.#ready.shift();
      this.#rejectAll([next], notAsked(error));
    }
  }

  #rejectAll(batch: readonly Waiting[], error: unknown): void {
    for (const waiting of batch) {
      this.#leave(waiting);
      waiting.reject(waiting.lost ? outcomeUnknown(waiting.operation.id, error) : error);
    }
  }

  #noteIdle(): void {
    if (this.#pending === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** An operation that was asked before may be known under its id by now. */
function operationToAsk({ operation, lost }: Waiting): Operation {
  return lost ? asKnown(operation) : operation;
}

/** The same operation, whose id may be known. */
function asKnown(operation: Operation): Operation {
  return 'fresh' in operation && operation.fresh ? { ...operation, fresh: false } : operation;
}

/** An operation, whether an asking of it had no answer, and when it was first asked. */
type Asked = Pick<Waiting, 'operation' | 'lost' | 'askedAtMs'>;

/**
 * What was asked again and is said to be a repetition is the first asking come true, unless somebody
 * else's: an id that was made for it is nobody else's, and a charge that is older than the asking is.
 * Clients of a store may ask again by themselves too, after a failover.
 */
function answerTo({ operation, lost, askedAtMs }: Asked, answer: Answer, nowMs: number): Answer {
  if (!('replayed' in answer) || !answer.replayed) return answer;
  // The store's time at the first asking: its time now, less what has passed here since.
  const sinceMs = nowMs - (performance.now() - askedAtMs) - CLOCK_SLACK_MS;
  const made = 'fresh' in operation && operation.fresh;
  const charge = 'charge' in answer ? answer.charge : null;
  const ours = made || (lost && charge !== null && charge.atMs >= sinceMs);
  return ours ? { ...answer, replayed: false } : answer;
}

/** Nobody was asked about this one: the time passed while the store did not answer others. */
function notAsked(cause: unknown): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'unreachable',
    `The store could not be reached for too long, so this was not asked of it and did not happen; try again`,
    { retryable: true, cause },
  );
}

function outcomeUnknown(id: string, cause: unknown): StoreError {
  return new StoreError(
    'OUTCOME_UNKNOWN',
    'unreachable',
    `The store was asked about ${JSON.stringify(id)} and no answer came: it may have happened. ` +
      `Ask again with the same id`,
    { retryable: true, cause },
  );
}
