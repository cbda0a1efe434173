import { PurseError, StoreError } from '../../errors.ts';
import type { PostgresConnection, Session, SessionQuery } from './connection.ts';
import { type Asked, isUnmigrated, storeFailure } from './failure.ts';
import { checkVersion, migrateSchema } from './schema.ts';
import { untilAborted } from '../until-aborted.ts';

/** Where a database comes from: the caller's client, or a URL that is opened at the first use. */
export interface DatabaseSource {
  readonly open: () => Promise<PostgresConnection>;
  /** It was opened from a URL: the schema is brought up to date, and the connections are closed. */
  readonly own: boolean;
}

/** One schema of one database, shared by the stores of all ledgers in it. */
export class Database {
  readonly schema: string;
  readonly #source: DatabaseSource;
  #ready: Promise<PostgresConnection> | undefined;
  #prepared: PostgresConnection | undefined;
  #opened: PostgresConnection | undefined;
  #closed = false;

  constructor(schema: string, source: DatabaseSource) {
    this.schema = schema;
    this.#source = source;
  }

  /** Calls a function of the schema and reads the JSON that it answers with. */
  async call<T>(
    name: string,
    args: string,
    asked: Asked = 'read',
    signal?: AbortSignal,
  ): Promise<T | null> {
    return this.#guarded(
      asked,
      async (connection) => {
        const text = await connection.query(`SELECT ${this.schema}.${name}(${args})`, signal);
        return text === null ? null : (JSON.parse(text) as T);
      },
      signal,
    );
  }

  /** Calls a function as `call` does, and leaves what goes wrong as the client threw it. */
  async callPlainly(name: string, args: string, signal?: AbortSignal): Promise<string | null> {
    const connection = await this.#connection(signal);
    return connection.query(`SELECT ${this.schema}.${name}(${args})`, signal);
  }

  /** Reads piece by piece on a connection set aside, until the reader has enough. */
  async *stream<T>(
    work: (query: SessionQuery) => AsyncIterable<T>,
    signal?: AbortSignal,
  ): AsyncIterable<T> {
    const connection = await this.#connection(signal);
    let session: Session | undefined;
    let sound = false;
    try {
      session = await connection.session(signal);
      yield* work(session.query);
      sound = true;
    } catch (error) {
      throw this.failure(error, 'read');
    } finally {
      session?.release(sound);
    }
  }

  /** Says what went wrong, and looks at the version again where tables are missing. */
  failure(error: unknown, asked: Asked): unknown {
    if (!isUnmigrated(error)) return storeFailure(error, asked);
    this.#ready = undefined;
    this.#prepared = undefined;
    return new StoreError(
      'STORE_UNAVAILABLE',
      'misconfigured',
      `The Postgres schema ${this.schema} lacks a part of the ledger's tables: call migrate() of pursestrings/stores/postgres`,
      { cause: error },
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.close();
  }

  async #guarded<T>(
    asked: Asked,
    work: (connection: PostgresConnection) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const connection = await this.#connection(signal);
    try {
      return await work(connection);
    } catch (error) {
      throw this.failure(error, asked);
    }
  }

  /** The connection, once the schema was found to be what it should be. */
  async #connection(signal: AbortSignal | undefined): Promise<PostgresConnection> {
    if (this.#closed) {
      throw new StoreError(
        'STORE_UNAVAILABLE',
        'closed',
        'This Postgres store was closed; make another with postgres()',
      );
    }
    if (this.#prepared !== undefined) return this.#prepared;
    const ready = (this.#ready ??= this.#prepare(signal));
    try {
      this.#prepared = await untilAborted(ready, signal);
      return this.#prepared;
    } catch (error) {
      if (this.#ready === ready) this.#ready = undefined;
      // Nothing of what was asked for has been sent yet.
      throw PurseError.isInstance(error) ? error : storeFailure(error, 'read');
    }
  }

  async #prepare(signal: AbortSignal | undefined): Promise<PostgresConnection> {
    this.#opened ??= await this.#source.open();
    const connection = this.#opened;
    if (this.#source.own) await bringUp(connection, this.schema, signal);
    else await checkVersion(connection, this.schema, signal);
    return connection;
  }
}

/** A schema that is up to date is left alone: a role that only spends may open it. */
async function bringUp(
  connection: PostgresConnection,
  schema: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await checkVersion(connection, schema, signal);
  } catch (error) {
    if (!(error instanceof StoreError) || error.failure !== 'misconfigured') throw error;
    await migrateSchema(connection, schema, undefined);
  }
}
