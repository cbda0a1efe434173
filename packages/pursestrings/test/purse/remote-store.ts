import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from '../../src/index.ts';
import type { LedgerRecord } from '../../src/ledger/audit.ts';
import type { Answer, Applied, Operation } from '../../src/ledger/records.ts';
import type { Batches, EmbeddedStore, LedgerScope, LedgerStore } from '../../src/stores/store.ts';

/** What becomes of one asking on its way. */
export type Fate =
  /** It arrives, and its answer comes back. */
  | 'arrives'
  /** It never leaves: the connection is refused. */
  | 'refused'
  /** It arrives, and its answer is lost. */
  | 'lost'
  /** It is lost on its way, and nobody can tell. */
  | 'cut'
  /** No answer comes, and it arrives long after. */
  | 'hangs';

/** The line between a purse and its store. */
export class Line {
  /** Draws what becomes of the next asking. */
  fate: () => Fate = () => 'arrives';
  /** How long an asking is on its way, one way. */
  delayMs = 0;
  /** Every batch that was handed over, by the ids of its operations. */
  readonly batches: string[][] = [];
  /** How many `apply` were unanswered at the most. */
  mostInFlight = 0;
  /** Askings whose signal aborted. */
  aborted = 0;
  #inFlight = 0;
  #hanging: (() => void)[] = [];

  /** Lets everything that hangs arrive now. */
  letArrive(): void {
    for (const arrive of this.#hanging.splice(0)) arrive();
  }

  async carry<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.#inFlight);
    signal?.addEventListener('abort', () => (this.aborted += 1));
    try {
      return await this.#carry(work);
    } finally {
      this.#inFlight -= 1;
    }
  }

  #travel(): Promise<void> {
    return this.delayMs === 0 ? nextTurn() : sleep(this.delayMs);
  }

  async #carry<T>(work: () => T | Promise<T>): Promise<T> {
    const fate = this.fate();
    if (fate === 'refused') throw refused();
    await this.#travel();
    switch (fate) {
      case 'arrives': {
        const answer = await work();
        await this.#travel();
        return answer;
      }
      case 'lost':
        await work();
        throw lost();
      case 'cut':
        throw lost();
      case 'hangs':
        await new Promise<void>((resolve) => this.#hanging.push(resolve));
        await work();
        throw lost();
    }
  }
}

/**
 * A store that is asked over a line, as one is that runs on another machine: nothing is answered at
 * once, records are copies, and like every such store it looks up ids that are said to be fresh.
 */
export function remoteStore(store: EmbeddedStore, line: Line, batches?: Batches): LedgerStore {
  const { name, ledger } = store;
  return {
    name: `remote ${name}`,
    ledger,
    ...(batches !== undefined && { batches }),
    forLedger: (other) => remoteStore(store.forLedger(other), line, batches),
    apply: (operations, signal) => {
      if (operations.length > 0) line.batches.push(operations.map(({ id }) => id));
      return line.carry(() => copied(store.applySync(operations.map(lookedUp))), signal);
    },
    readBalances: (query) => line.carry(() => store.readBalances(query)),
    readHolds: (query) => line.carry(() => store.readHolds(query)),
    readJournal: (query) => line.carry(() => store.readJournal(query)),
    readTotals: (query) => line.carry(() => store.readTotals(query)),
    readPolicy: () => line.carry(() => store.readPolicy()),
    writePolicy: (policy, revision) => line.carry(() => store.writePolicy(policy, revision)),
    readNote: (key) => line.carry(() => store.readNote(key)),
    writeNote: (key, text, expiresAtMs) =>
      line.carry(() => store.writeNote(key, text, expiresAtMs)),
    readLedger: (scope) => readOver(store, line, scope),
    writeLedger: (records, revision) => line.carry(() => store.writeLedger(records, revision)),
    close: () => store.close(),
  };
}

async function* readOver(
  store: LedgerStore,
  line: Line,
  scope: LedgerScope | undefined,
): AsyncIterable<LedgerRecord> {
  const records = await line.carry(() => Array.fromAsync(store.readLedger(scope)));
  yield* records;
}

function lookedUp(operation: Operation): Operation {
  return 'fresh' in operation ? { ...operation, fresh: false } : operation;
}

function copied({ answers, expiries, nowMs }: Applied): Applied {
  return {
    answers: answers.map(copyOf),
    expiries: expiries.map(({ hold, charge }) => ({ hold: { ...hold }, charge })),
    nowMs,
  };
}

function copyOf(answer: Answer): Answer {
  return 'hold' in answer && answer.hold !== null
    ? { ...answer, hold: { ...answer.hold } }
    : { ...answer };
}

function refused(): StoreError {
  const message = 'The store refused the connection; nothing was sent';
  return new StoreError('STORE_UNAVAILABLE', 'unreachable', message, { retryable: true });
}

function lost(): StoreError {
  const message = 'The connection broke after the operations were sent';
  return new StoreError('OUTCOME_UNKNOWN', 'unreachable', message, { retryable: true });
}
