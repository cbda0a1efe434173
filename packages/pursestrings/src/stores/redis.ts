import type { Clock } from '../clock.ts';
import { InvalidOptionError, StoreError } from '../errors.ts';
import type { LedgerRecord } from '../ledger/audit.ts';
import { EMPTY_POLICY, type Policy } from '../ledger/policy.ts';
import type { Applied, ChargeRecord, HoldRecord, Operation } from '../ledger/records.ts';
import type { Total } from '../ledger/report.ts';
import { operationText, readApplied } from './redis/batch.ts';
import { recordText } from './redis/bulk.ts';
import { checkClient, type RedisClient } from './redis/connection.ts';
import { RedisNotes } from './redis/notes.ts';
import { RedisReader } from './redis/reader.ts';
import { APPLY_SCRIPT } from './redis/scripts/apply.ts';
import { POLICY_SCRIPT, SERVER_SCRIPT } from './redis/scripts/read.ts';
import { WRITE_SCRIPT } from './redis/scripts/write.ts';
import { keysOf, RedisServer, type ReplicaOptions } from './redis/server.ts';
import { RedisSnapshot } from './redis/snapshot.ts';
import { GroundList } from './redis/texts.ts';
import { checkRetention } from './retention.ts';
import type {
  BalancePage,
  BalanceQuery,
  Batches,
  HoldQuery,
  JournalQuery,
  LedgerScope,
  LedgerStore,
  Page,
  Retention,
  TotalsQuery,
} from './store.ts';
import { untilAborted } from './until-aborted.ts';

export type { IoRedisClient, NodeRedisClient, RedisClient } from './redis/connection.ts';
export type { ReplicaOptions } from './redis/server.ts';

/** How a Redis store is made. */
export interface RedisOptions extends Omit<Retention, 'maxCharges'> {
  /**
   * A write is acknowledged when so many replicas have it too (`WAIT`). Default: none, so a failover
   * may lose what was acknowledged in the last moments before it. Not with a pool of connections.
   */
  readonly replicas?: ReplicaOptions;
  /**
   * Whether opening a ledger makes sure that the server evicts nothing (`maxmemory-policy
   * noeviction`). `false` only where the server does not say and you know it. Default true.
   */
  readonly checkEviction?: boolean;
  /**
   * What all keys begin with, so that several systems may share a server: letters, digits, `_`, `-`,
   * `.` and `:`. Default `'purse'`.
   */
  readonly prefix?: string;
  /** The time that the ledger goes by, for tests. Default: the server's own. */
  readonly clock?: Clock;
}

/** The version of what is written under a ledger's keys. */
const SCHEMA = 1;

/** How many operations one script applies at most: more would make the server and us take turns. */
const MAX_BATCH = 32;
const MAX_IN_FLIGHT = 8;

/**
 * Makes a store on a Redis or Valkey server (6.2 or later), a Sentinel group or a Cluster, that many
 * machines may share. A client of the package `redis` or `ioredis` is taken as it is, and stays the
 * caller's to close; a URL is opened with whichever of the two is installed. Each ledger lives on
 * one server of a cluster, under keys that begin with `purse:{ledger}:`.
 *
 * @throws InvalidOptionError for what is neither a client nor a URL, or an option that cannot be meant.
 * @throws StoreError, when a ledger is opened: the server cannot be reached, or evicts keys.
 * @example
 * ```ts no-run
 * import { openPurse } from 'pursestrings';
 * import { redis } from 'pursestrings/stores/redis';
 *
 * const store = redis('redis://localhost:6379', { replicas: { wait: 1 } });
 * const purse = await openPurse({ store, limits: [{ name: 'all', cap: { usd: 10 }, per: 'day' }] });
 * await purse.charge({ usd: 0.25 });
 * await purse.close();
 * await store.close();
 * ```
 */
export function redis(client: RedisClient | string, options: RedisOptions = {}): LedgerStore {
  checkClient(client);
  checkRetention(options);
  const { prefix = 'purse' } = options;
  if (typeof prefix !== 'string' || !/^[A-Za-z0-9_.:-]{1,64}$/.test(prefix)) {
    throw new InvalidOptionError(
      `prefix is ${JSON.stringify(prefix)}; write 1 to 64 letters, digits, '_', '-', '.' or ':'`,
    );
  }
  const { wait = 1, timeoutMs = 1000 } = options.replicas ?? {};
  if (![wait, timeoutMs].every((number) => Number.isSafeInteger(number) && number > 0)) {
    throw new InvalidOptionError(
      `replicas is ${JSON.stringify(options.replicas)}; write { wait: 1, timeoutMs: 1000 }, whole numbers over 0`,
    );
  }
  return new RedisStore('default', options, new RedisServer(client, options.replicas));
}

class RedisStore implements LedgerStore {
  readonly name = 'redis';
  readonly batches: Batches = { size: MAX_BATCH, inFlight: MAX_IN_FLIGHT };
  readonly ledger: string;
  readonly #options: RedisOptions;
  readonly #server: RedisServer;
  readonly #keys: readonly string[];
  readonly #reader: RedisReader;
  readonly #notes: RedisNotes;
  readonly #retention: readonly [journalMs: string, maxEnvelopes: string];
  #open = false;
  #looking: Promise<void> | undefined;

  constructor(ledger: string, options: RedisOptions, server: RedisServer) {
    this.ledger = ledger;
    this.#options = options;
    this.#server = server;
    this.#keys = keysOf(options.prefix ?? 'purse', ledger);
    this.#reader = new RedisReader(server, this.#keys);
    this.#notes = new RedisNotes(server, this.#keys, options.clock);
    const { journalDays = 400, maxEnvelopes = 1_000_000 } = options;
    this.#retention = [String(journalDays * 86_400_000), String(maxEnvelopes)];
  }

  forLedger(ledger: string): LedgerStore {
    return new RedisStore(ledger, this.#options, this.#server);
  }

  async apply(operations: readonly Operation[], signal?: AbortSignal): Promise<Applied> {
    await this.#opened(signal);
    if (operations.length === 0) return this.#applyNothing(signal);
    if (operations.length <= MAX_BATCH) return this.#applyBatch(operations, signal);
    const batches: Promise<Applied>[] = [];
    for (let from = 0; from < operations.length; from += MAX_BATCH) {
      batches.push(this.#applyBatch(operations.slice(from, from + MAX_BATCH), signal));
    }
    return joined(await Promise.allSettled(batches));
  }

  async readBalances(query: BalanceQuery, signal?: AbortSignal): Promise<BalancePage> {
    await this.#opened(signal);
    const nowMs = this.#options.clock?.now();
    return this.#reader.until(signal).balances(query, nowMs === undefined ? '' : String(nowMs));
  }

  async readHolds(query: HoldQuery, signal?: AbortSignal): Promise<Page<HoldRecord>> {
    await this.#opened(signal);
    return this.#reader.until(signal).holds(query);
  }

  async readJournal(query: JournalQuery, signal?: AbortSignal): Promise<Page<ChargeRecord>> {
    await this.#opened(signal);
    return this.#reader.until(signal).journal(query);
  }

  async readTotals(query: TotalsQuery, signal?: AbortSignal): Promise<readonly Total[]> {
    await this.#opened(signal);
    return this.#reader.until(signal).totals(query);
  }

  async *readLedger(
    scope: LedgerScope = 'balances',
    signal?: AbortSignal,
  ): AsyncIterable<LedgerRecord> {
    await this.#opened(signal);
    yield* new RedisSnapshot(this.#server, this.#keys, this.#reader, signal).records(scope);
  }

  async writeLedger(
    records: readonly LedgerRecord[],
    revision: number,
    signal?: AbortSignal,
  ): Promise<boolean> {
    await this.#opened(signal);
    const grounds = new GroundList();
    const texts = records.map((record) => recordText(record, grounds));
    const args = [...this.#header(grounds), String(revision), ...texts];
    return (await this.#server.write(WRITE_SCRIPT, this.#keys, args, signal)) === 1;
  }

  async readPolicy(signal?: AbortSignal): Promise<Policy> {
    await this.#opened(signal);
    return readPolicy(await this.#server.read(POLICY_SCRIPT, this.#keys, [], signal));
  }

  async writePolicy(
    policy: Policy,
    expectedRevision: number,
    signal?: AbortSignal,
  ): Promise<Policy> {
    await this.#opened(signal);
    const args = [String(expectedRevision), JSON.stringify(policy)];
    return readPolicy(await this.#server.write(POLICY_SCRIPT, this.#keys, args, signal));
  }

  async readNote(key: string, signal?: AbortSignal): Promise<string | null> {
    await this.#opened(signal);
    return this.#notes.read(key, signal);
  }

  async writeNote(
    key: string,
    text: string | null,
    expiresAtMs: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#opened(signal);
    await this.#notes.write(key, text, expiresAtMs, signal);
  }

  /** Closes the connection, for every ledger of this store, unless the caller opened it. */
  close(): Promise<void> {
    return this.#server.close();
  }

  /** Resolves what is due. A ledger that cannot be written to stands as it was left, to be read. */
  async #applyNothing(signal: AbortSignal | undefined): Promise<Applied> {
    try {
      return await this.#applyBatch([], signal);
    } catch (error) {
      if (!StoreError.isInstance(error) || !UNWRITABLE.has(error.failure)) throw error;
      const { nowMs } = await this.readBalances({ keys: [] }, signal);
      return { answers: [], expiries: [], nowMs };
    }
  }

  async #applyBatch(
    operations: readonly Operation[],
    signal: AbortSignal | undefined,
  ): Promise<Applied> {
    const grounds = new GroundList();
    const texts = operations.map((operation) => operationText(operation, grounds));
    const args = [...this.#header(grounds), ...texts];
    const answer = await this.#server.write(APPLY_SCRIPT, this.#keys, args, signal);
    return readApplied(String(answer), operations);
  }

  /** What every script that writes is told first: see `scripts/book.ts`. */
  #header(grounds: GroundList): readonly string[] {
    const now = String(this.#options.clock?.now() ?? '');
    // Something is written each time where WAIT is to mean something.
    const touch = this.#server.waits ? '1' : '0';
    return [now, ...this.#retention, touch, ...grounds.texts()];
  }

  /** Makes sure, once, that the server keeps what it is given and that we can read what it has. */
  #opened(signal?: AbortSignal): Promise<void> | undefined {
    return this.#open ? undefined : this.#waitToOpen(signal);
  }

  /** A look that failed, or that hangs, is nobody else's: the next one who comes looks again. */
  async #waitToOpen(signal: AbortSignal | undefined): Promise<void> {
    const looking = (this.#looking ??= this.#look(signal));
    try {
      await untilAborted(looking, signal);
      this.#open = true;
    } finally {
      if (this.#looking === looking) this.#looking = undefined;
    }
  }

  async #look(signal: AbortSignal | undefined): Promise<void> {
    if (this.#options.checkEviction === false) return;
    const answer = await this.#server.read(SERVER_SCRIPT, this.#keys, [], signal);
    const [memory, schema] = answer as [string, string];
    checkEviction(memory);
    if (Number(schema) > SCHEMA) throw newerSchema(this.ledger, schema);
  }
}

/** Failures of a server that may still be read. */
const UNWRITABLE: ReadonlySet<string> = new Set(['full', 'io']);

/** Puts the answers to parts of a batch together; a part that failed leaves the whole unknown. */
function joined(parts: readonly PromiseSettledResult<Applied>[]): Applied {
  const done = parts.flatMap((part) => (part.status === 'fulfilled' ? [part.value] : []));
  const failed = parts.find((part) => part.status === 'rejected');
  if (failed !== undefined) {
    const cause: unknown = failed.reason;
    if (done.length === 0 && parts.length === 1) throw cause;
    throw new StoreError(
      'OUTCOME_UNKNOWN',
      'unreachable',
      'A part of the batch failed, and others may have been written; ask again with the same ids',
      { retryable: StoreError.isInstance(cause) && cause.retryable, cause },
    );
  }
  return {
    answers: done.flatMap(({ answers }) => answers),
    expiries: done.flatMap(({ expiries }) => expiries),
    nowMs: done.at(-1)?.nowMs ?? 0,
  };
}

function readPolicy(answer: unknown): Policy {
  const [policy, revision] = answer as readonly [string, string];
  if (policy === '') return { ...EMPTY_POLICY, revision: Number(revision) };
  return { ...(JSON.parse(policy) as Policy), revision: Number(revision) };
}

function checkEviction(memory: string): void {
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1];
  if (policy === 'noeviction') return;
  throw new StoreError(
    'STORE_UNAVAILABLE',
    'misconfigured',
    policy === undefined
      ? 'The Redis server does not say whether it evicts keys; make sure that maxmemory-policy is noeviction, then open with checkEviction: false'
      : `The Redis server's maxmemory-policy is ${policy}, which may throw balances away; run CONFIG SET maxmemory-policy noeviction, and put it into its configuration`,
  );
}

function newerSchema(ledger: string, schema: string): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'newer_schema',
    `Ledger ${ledger} was written by a newer version (${schema}); this pursestrings knows versions up to ${SCHEMA}; upgrade it`,
  );
}
