/**
 * What the store asks of a client. Statements are sent whole, as text, in the simple query protocol:
 * one message, one answer, nothing prepared and nothing kept in the session, so that a pooler that
 * gives each transaction another connection is as good as a connection of one's own.
 */
export interface PostgresConnection {
  /**
   * Runs one statement and answers with the one text in its one row.
   *
   * @param signal Aborts when nobody waits any longer: the connection is dropped if it can be.
   * @throws NotSent when the statement never left, else what the client throws.
   */
  query(statement: string, signal?: AbortSignal): Promise<string | null>;
  /**
   * Sets a connection aside, for statements that belong together.
   *
   * @param signal As for `query`.
   */
  session(signal?: AbortSignal): Promise<Session>;
  /** Ends the connections that the store opened itself. */
  close(): Promise<void>;
}

/** A connection set aside. */
export interface Session {
  readonly query: SessionQuery;
  /** Gives the connection back; one whose state nobody knows is dropped where it can be. */
  release(sound: boolean): void;
}

/** Runs one statement of a session. */
export type SessionQuery = (statement: string) => Promise<string | null>;

/** A statement that never left this process. `cause` says why. */
export class NotSent extends Error {
  override readonly name = 'NotSent';

  constructor(cause: unknown) {
    super('No connection to Postgres could be had', { cause });
  }
}

/** A `Pool` of the package `pg`, as far as the store uses it. */
export interface PgPool {
  connect(): Promise<PgClient>;
  query(statement: string): Promise<unknown>;
  end(): Promise<void>;
  on?(event: 'error', listener: () => void): unknown;
}

/** What `pg` answers a statement with; several statements at once with a list of them. */
export interface PgResult {
  readonly rows: readonly object[];
}

/** A client of a `pg` pool, as far as the store uses it. */
export interface PgClient {
  query(statement: string): Promise<PgResult | readonly PgResult[]>;
  release(destroy?: Error | boolean): void;
  on(event: 'error', listener: () => void): unknown;
  off(event: 'error', listener: () => void): unknown;
}

/** The function that the package `postgres` makes, as far as the store uses it. */
export interface PostgresJs {
  (...args: never[]): unknown;
  unsafe(statement: string): PostgresJsQuery;
  reserve(): Promise<PostgresJsReserved>;
  end(options?: { readonly timeout?: number }): Promise<void>;
}

/** A query of the package `postgres`. */
export type PostgresJsQuery = PromiseLike<readonly object[]>;

/** A connection that the package `postgres` has set aside. */
export interface PostgresJsReserved {
  unsafe(statement: string): PostgresJsQuery;
  release(): void;
}

/** What a store may be made of, besides a URL. */
export type PostgresClient = PgPool | PostgresJs;

/** Recognises a client. Answers null for what is none. */
export function connectionOf(client: unknown, own: boolean): PostgresConnection | null {
  if (typeof client === 'function' && has(client, 'unsafe') && has(client, 'reserve')) {
    return new PostgresJsConnection(client as unknown as PostgresJs, own);
  }
  if (
    typeof client === 'object' &&
    client !== null &&
    has(client, 'connect') &&
    has(client, 'query') &&
    // A single Client of `pg` has these too, and no connections to set aside.
    !has(client, 'escapeLiteral')
  ) {
    return new PgConnection(client as PgPool, own);
  }
  return null;
}

/** Pools that are listened to, each by one listener, however many stores are made of it. */
const heard = new WeakSet<PgPool>();

class PgConnection implements PostgresConnection {
  readonly #pool: PgPool;
  readonly #own: boolean;

  constructor(pool: PgPool, own: boolean) {
    this.#pool = pool;
    this.#own = own;
    if (heard.has(pool)) return;
    heard.add(pool);
    // A connection that breaks while idle is replaced: without a listener Node would end the process.
    pool.on?.('error', ignoreBreak);
  }

  async query(statement: string, signal?: AbortSignal): Promise<string | null> {
    const client = await this.#connect(signal);
    const drop = (): void => dropConnection(client);
    signal?.addEventListener('abort', drop, { once: true });
    let sound = false;
    try {
      const result = await client.query(statement);
      sound = true;
      return textOf(rowsOf(result));
    } catch (error) {
      // The pool keeps a client that only had a statement refused.
      sound = signal?.aborted !== true && isRefusal(error);
      throw error;
    } finally {
      signal?.removeEventListener('abort', drop);
      giveBack(client, sound);
    }
  }

  async session(signal?: AbortSignal): Promise<Session> {
    const client = await this.#connect(signal);
    const drop = (): void => dropConnection(client);
    signal?.addEventListener('abort', drop, { once: true });
    return {
      query: async (statement) => textOf(rowsOf(await client.query(statement))),
      release: (sound) => {
        signal?.removeEventListener('abort', drop);
        giveBack(client, sound);
      },
    };
  }

  async close(): Promise<void> {
    if (this.#own) await this.#pool.end();
  }

  async #connect(signal: AbortSignal | undefined): Promise<PgClient> {
    let client: PgClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw new NotSent(error);
    }
    client.on('error', ignoreBreak);
    if (signal?.aborted !== true) return client;
    giveBack(client, true);
    throw new NotSent(signal.reason);
  }
}

function giveBack(client: PgClient, sound: boolean): void {
  if (sound) client.off('error', ignoreBreak);
  client.release(!sound);
}

/** A connection that breaks while it is set aside fails its query, which tells of it. */
function ignoreBreak(): undefined {
  return undefined;
}

/** Cuts a connection that hangs; its query fails then. The field is pg's own: without it, it waits. */
function dropConnection(client: PgClient): void {
  const { connection } = client as { connection?: { stream?: { destroy?: () => void } } };
  connection?.stream?.destroy?.();
}

class PostgresJsConnection implements PostgresConnection {
  readonly #sql: PostgresJs;
  readonly #own: boolean;

  constructor(sql: PostgresJs, own: boolean) {
    this.#sql = sql;
    this.#own = own;
  }

  async query(statement: string, signal?: AbortSignal): Promise<string | null> {
    if (signal?.aborted === true) throw new NotSent(signal.reason);
    return textOf(await this.#sql.unsafe(statement));
  }

  async session(): Promise<Session> {
    const reserved = await this.#sql.reserve();
    return {
      query: async (statement) => textOf(await reserved.unsafe(statement)),
      release: () => reserved.release(),
    };
  }

  async close(): Promise<void> {
    if (this.#own) await this.#sql.end({ timeout: 5 });
  }
}

function rowsOf(result: PgResult | readonly PgResult[]): readonly object[] {
  return 'rows' in result ? result.rows : (result.at(-1)?.rows ?? []);
}

/** The first column of the first row, whatever it is called. */
function textOf(rows: readonly object[]): string | null {
  const [row] = rows;
  if (row === undefined) return null;
  const [value] = Object.values(row) as (string | number | null | undefined)[];
  return value === null || value === undefined ? null : String(value);
}

/** True for an error that the server sent and that leaves the connection as good as it was. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || !('severity' in error)) return false;
  return error.severity === 'ERROR';
}

function has(value: object, method: string): boolean {
  return method in value && typeof (value as Record<string, unknown>)[method] === 'function';
}
