import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from '../../errors.ts';
import { isBusy, storeFailure } from './failure.ts';
import { migrate, SCHEMA_VERSION, schemaVersion } from './schema.ts';

/** How a file is opened. */
export interface FileSettings {
  readonly durability: 'full' | 'normal';
  readonly lockTimeoutMs: number;
  readonly maxBytes: number | undefined;
}

/**
 * One connection to a ledger's file. SQLite never waits for a lock in here, for its waiting would
 * stop the event loop: a call that finds the file locked is tried again after a moment, up to
 * `lockTimeoutMs`.
 */
export class SqliteFile {
  readonly path: string;
  readonly #settings: FileSettings;
  #open: Connection | undefined;
  #closed = false;

  constructor(path: string, settings: FileSettings) {
    this.path = path;
    this.#settings = settings;
  }

  /** The connection; the first call opens it and brings its schema up to date. */
  get connection(): Connection {
    if (this.#closed) {
      throw new StoreError(
        'STORE_UNAVAILABLE',
        'closed',
        `The ledger's file ${this.path} was closed here; open it again`,
      );
    }
    this.#open ??= openConnection(this.path, this.#settings);
    return this.#open;
  }

  /** Runs something on the file, again and again while the file is locked. */
  async run<T>(work: (connection: Connection) => T): Promise<T> {
    const deadlineMs = performance.now() + this.#settings.lockTimeoutMs;
    for (let attempt = 0; ; attempt += 1) {
      const outcome = this.#attempt(work, deadlineMs);
      if ('answer' in outcome) return outcome.answer;
      await sleep(pauseMs(attempt));
    }
  }

  /** Runs something on the file once; `null` when the file is locked. */
  runAtOnce<T>(work: (connection: Connection) => T): T | null {
    const outcome = this.#attempt(work, Number.POSITIVE_INFINITY);
    return 'answer' in outcome ? outcome.answer : null;
  }

  /** The same, blocking the thread while it waits. */
  runSync<T>(work: (connection: Connection) => T): T {
    const deadlineMs = performance.now() + this.#settings.lockTimeoutMs;
    for (let attempt = 0; ; attempt += 1) {
      const outcome = this.#attempt(work, deadlineMs);
      if ('answer' in outcome) return outcome.answer;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs(attempt));
    }
  }

  /** Opens a second connection that reads one snapshot, whatever is written meanwhile. */
  openSnapshot(): DatabaseSync {
    void this.connection;
    try {
      return snapshot(this.path);
    } catch (error) {
      throw storeFailure(error, this.path);
    }
  }

  close(): void {
    this.#closed = true;
    this.#open?.database.close();
    this.#open = undefined;
  }

  #attempt<T>(
    work: (connection: Connection) => T,
    deadlineMs: number,
  ): { answer: T } | { locked: true } {
    try {
      return { answer: work(this.connection) };
    } catch (error) {
      if (isBusy(error) && performance.now() < deadlineMs) return { locked: true };
      throw storeFailure(error, this.path);
    }
  }
}

/** An open database with the statements that frame a batch. */
export class Connection {
  readonly database: DatabaseSync;
  readonly #path: string;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #dataVersion: StatementSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, path: string) {
    this.database = database;
    this.#path = path;
    this.#begin = database.prepare('BEGIN IMMEDIATE');
    this.#commit = database.prepare('COMMIT');
    this.#dataVersion = database.prepare('PRAGMA data_version');
  }

  /** The statement of an SQL text, prepared once. */
  statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Changes whenever another connection has written (https://www.sqlite.org/pragma.html#pragma_data_version). */
  get dataVersion(): unknown {
    return this.#dataVersion.get()?.['data_version'];
  }

  /** Runs a transaction: all of it is written, or nothing. */
  transaction<T>(work: () => T): T {
    this.#begin.run();
    let answer: T;
    try {
      answer = work();
    } catch (error) {
      this.#rollback();
      throw error;
    }
    try {
      this.#commit.run();
    } catch (error) {
      this.#rollback();
      throw commitFailure(error, this.#path);
    }
    return answer;
  }

  #rollback(): void {
    if (this.database.isTransaction) this.database.exec('ROLLBACK');
  }
}

/** A commit whose write failed on the disk may or may not be found there later. */
function commitFailure(error: unknown, path: string): unknown {
  const failure = storeFailure(error, path);
  if (!(failure instanceof StoreError) || failure.failure !== 'io') return error;
  return new StoreError(
    'OUTCOME_UNKNOWN',
    'io',
    `The ledger's file ${path} failed while a batch was committed; ask again with the same ids`,
    { cause: error, retryable: true },
  );
}

/** Loaded when a file is opened: importing it is what warns that it is experimental. */
function sqliteModule(): typeof import('node:sqlite') {
  return process.getBuiltinModule('node:sqlite');
}

function openConnection(path: string, settings: FileSettings): Connection {
  const database = new (sqliteModule().DatabaseSync)(path, { timeout: 0 });
  try {
    const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode'];
    if (mode !== 'wal') {
      throw new StoreError(
        'STORE_UNAVAILABLE',
        'misconfigured',
        `The ledger's file ${path} cannot keep a write-ahead log (journal_mode is ${String(mode)}); use a local disk`,
      );
    }
    database.exec(`PRAGMA synchronous = ${settings.durability === 'full' ? 'FULL' : 'NORMAL'}`);
    database.exec('PRAGMA cache_size = -65536');
    if (settings.maxBytes !== undefined) limitSize(database, settings.maxBytes);
    if (schemaVersion(database) !== SCHEMA_VERSION) {
      database.exec('BEGIN IMMEDIATE');
      migrate(database, path);
      database.exec('COMMIT');
    }
    return new Connection(database, path);
  } catch (error) {
    database.close();
    throw error;
  }
}

function snapshot(path: string): DatabaseSync {
  const database = new (sqliteModule().DatabaseSync)(path, { readOnly: true });
  try {
    database.exec('BEGIN');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function limitSize(database: DatabaseSync, maxBytes: number): void {
  const pageSize = Number(database.prepare('PRAGMA page_size').get()?.['page_size']);
  database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxBytes / pageSize))}`);
}

/** Random, so that processes that wait for one lock do not come back in step. */
function pauseMs(attempt: number): number {
  return 0.5 + Math.random() * Math.min(2 + attempt, 15);
}
