import type { Clock } from '../clock.ts';
import { InvalidOptionError } from '../errors.ts';
import type { LedgerRecord } from '../ledger/audit.ts';
import type { Policy } from '../ledger/policy.ts';
import type { Applied, ChargeRecord, HoldRecord, Operation } from '../ledger/records.ts';
import type { Total } from '../ledger/report.ts';
import { type AppliedText, readApplied } from './postgres/answers.ts';
import { batchArguments } from './postgres/batch.ts';
import { connectionOf, type PostgresClient } from './postgres/connection.ts';
import { Database, type DatabaseSource } from './postgres/database.ts';
import { WaitingDenials } from './postgres/denials.ts';
import { isCollision, storeFailure } from './postgres/failure.ts';
import { recordsText } from './postgres/moving.ts';
import { noteText, readNoteCall, writeNoteCall } from './postgres/notes.ts';
import { checkUrl, openUrl } from './postgres/open-url.ts';
import {
  balancesCall,
  type BalancesText,
  type Call,
  holdsCall,
  type HoldsText,
  journalCall,
  type JournalText,
  readBalancePage,
  readHoldPage,
  readJournalPage,
  readPolicy,
  readTotals,
  totalsCall,
  type TotalsText,
} from './postgres/reading.ts';
import { checkRole, checkSchema, migrateSchema } from './postgres/schema.ts';
import { readSnapshot } from './postgres/snapshot.ts';
import { literal } from './postgres/text.ts';
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

export type { PgClient, PgPool, PostgresClient, PostgresJs } from './postgres/connection.ts';

/** How a Postgres store is made. */
export interface PostgresOptions extends Omit<Retention, 'maxCharges'> {
  /** The schema that the tables are in: lower-case letters, digits and `_`. Default `'purse'`. */
  readonly schema?: string;
  /**
   * `'on'`: as the server and role are set up; with Postgres's own default an acknowledged operation
   * survives a crash of the server. `'off'`: the last moments before such a crash may be gone
   * (https://www.postgresql.org/docs/15/wal-async-commit.html). Default `'on'`.
   */
  readonly synchronousCommit?: 'on' | 'off';
  /**
   * The time that the ledger goes by, for tests only: processes whose clocks differ would spend in
   * different windows. Default: the server's.
   */
  readonly clock?: Clock;
}

/** How a schema is brought up to date. */
export interface MigrateOptions {
  /** The schema that the tables are in. Default `'purse'`. */
  readonly schema?: string;
  /** A role that stands already, and that may spend and read from now on but change no limit. */
  readonly spender?: string;
}

/** How often a batch is tried that collides with others, before its caller hears of it. */
const MAX_TRIES = 5;

/**
 * Makes a store in a Postgres database (15 or later), which any number of machines may share. The
 * journal keeps 400 days of charges.
 *
 * @param client A `Pool` of the package `pg`, a client of the package `postgres`, or a URL, which is
 *   opened with whichever of the two is installed. A store from a URL brings its schema up to date; on
 *   a client of yours call `migrate` once.
 * @throws InvalidOptionError for a client or an option that cannot be meant.
 * @example
 * ```ts no-run
 * import pg from 'pg';
 * import { openPurse } from 'pursestrings';
 * import { migrate, postgres } from 'pursestrings/stores/postgres';
 *
 * const pool = new pg.Pool({ connectionString: 'postgres://localhost/app' });
 * await migrate(pool);
 * const purse = await openPurse({ store: postgres(pool), limits: [{ name: 'all', cap: { usd: 10 } }] });
 * await purse.charge({ usd: 0.25 });
 * await purse.close();
 * await pool.end();
 * ```
 */
export function postgres(
  client: PostgresClient | string,
  options: PostgresOptions = {},
): LedgerStore {
  const { schema = 'purse', synchronousCommit = 'on' } = options;
  checkSchema(schema);
  checkRetention(options);
  if (synchronousCommit !== 'on' && synchronousCommit !== 'off') {
    throw new InvalidOptionError(
      `synchronousCommit is ${JSON.stringify(synchronousCommit)}; it must be 'on' or 'off'`,
    );
  }
  return new PostgresStore('default', options, new Database(schema, sourceOf(client)), new Map());
}

function sourceOf(client: PostgresClient | string): DatabaseSource {
  if (typeof client === 'string') {
    checkUrl(client);
    return { open: () => openUrl(client), own: true };
  }
  const connection = knownConnection(client);
  return { open: () => Promise.resolve(connection), own: false };
}

/**
 * Makes the tables and functions of the store, or brings them up to date: one transaction, under a
 * lock, so that any number of processes may call it as they start.
 *
 * @throws StoreError `newer_schema` where a later version of this package has been at work.
 * @example
 * ```ts no-run
 * import pg from 'pg';
 * import { migrate } from 'pursestrings/stores/postgres';
 *
 * const pool = new pg.Pool({ connectionString: 'postgres://localhost/app' });
 * await migrate(pool, { schema: 'purse', spender: 'purse_spender' });
 * await pool.end();
 * ```
 */
export async function migrate(
  client: PostgresClient | string,
  options: MigrateOptions = {},
): Promise<void> {
  const { schema = 'purse', spender } = options;
  checkSchema(schema);
  if (spender !== undefined) checkRole(spender);
  const source = sourceOf(client);
  const connection = await source.open();
  try {
    await migrateSchema(connection, schema, spender);
  } catch (error) {
    throw storeFailure(error, 'read');
  } finally {
    if (source.own) await connection.close();
  }
}

function knownConnection(client: unknown): NonNullable<ReturnType<typeof connectionOf>> {
  const connection = connectionOf(client, false);
  if (connection !== null) return connection;
  throw new InvalidOptionError(
    "A Postgres store is made of a Pool of the package 'pg', a client of the package 'postgres', or a URL such as 'postgres://localhost/app'",
  );
}

/** How long a store that is closed waits for the last counts of denials to be written. */
const LAST_COUNTS_MS = 2_000;

class PostgresStore implements LedgerStore {
  readonly name = 'postgres';
  readonly ledger: string;
  readonly batches: Batches = { size: 512, inFlight: 1 };
  readonly #options: PostgresOptions;
  readonly #database: Database;
  readonly #denials: WaitingDenials;
  /** Of all ledgers in this database, for the one that closes it. */
  readonly #waiting: Map<string, WaitingDenials>;

  constructor(
    ledger: string,
    options: PostgresOptions,
    database: Database,
    waiting: Map<string, WaitingDenials>,
  ) {
    this.ledger = ledger;
    this.#options = options;
    this.#database = database;
    this.#waiting = waiting;
    this.#denials = waiting.get(ledger) ?? new WaitingDenials();
    waiting.set(ledger, this.#denials);
  }

  forLedger(ledger: string): LedgerStore {
    return new PostgresStore(ledger, this.#options, this.#database, this.#waiting);
  }

  apply(operations: readonly Operation[], signal?: AbortSignal): Promise<Applied> {
    return this.#apply(operations, false, signal);
  }

  async readBalances(query: BalanceQuery, signal?: AbortSignal): Promise<BalancePage> {
    const call = balancesCall(this.ledger, this.#options.clock?.now(), query);
    const text = await this.#read<BalancesText>(call, signal);
    return readBalancePage(text ?? { items: null, now: 0, revision: null }, query);
  }

  async readHolds(query: HoldQuery, signal?: AbortSignal): Promise<Page<HoldRecord>> {
    const text = await this.#read<HoldsText>(holdsCall(this.ledger, query), signal);
    return readHoldPage(text ?? { items: null, envelopes: null, terms: null }, query);
  }

  async readJournal(query: JournalQuery, signal?: AbortSignal): Promise<Page<ChargeRecord>> {
    const text = await this.#read<JournalText>(journalCall(this.ledger, query), signal);
    return readJournalPage(text ?? { items: [], next: null }, query);
  }

  async readTotals(query: TotalsQuery, signal?: AbortSignal): Promise<readonly Total[]> {
    if (this.#denials.any) await this.#apply([], true, signal);
    const call = totalsCall(this.ledger, query);
    return readTotals(await this.#read<TotalsText & object>(call, signal));
  }

  async *readLedger(
    scope: LedgerScope = 'balances',
    signal?: AbortSignal,
  ): AsyncIterable<LedgerRecord> {
    if (scope === 'whole' && this.#denials.any) await this.#apply([], true, signal);
    yield* this.#database.stream(
      (query) => readSnapshot(query, this.#database.schema, this.ledger, scope),
      signal,
    );
  }

  async writeLedger(
    records: readonly LedgerRecord[],
    revision: number,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const args = `${literal(this.ledger)},${revision},${literal(recordsText(records))}::json`;
    return (await this.#database.call<boolean>('write_ledger', args, 'write', signal)) === true;
  }

  async readPolicy(signal?: AbortSignal): Promise<Policy> {
    return readPolicy(
      await this.#read({ name: 'read_policy', args: literal(this.ledger) }, signal),
    );
  }

  async writePolicy(
    policy: Policy,
    expectedRevision: number,
    signal?: AbortSignal,
  ): Promise<Policy> {
    const args = `${literal(this.ledger)},${literal(JSON.stringify(policy))},${expectedRevision}`;
    return readPolicy(await this.#database.call('write_policy', args, 'write', signal));
  }

  async readNote(key: string, signal?: AbortSignal): Promise<string | null> {
    const call = readNoteCall(this.ledger, this.#options.clock?.now(), key);
    return noteText(await this.#read<string>(call, signal));
  }

  async writeNote(
    key: string,
    text: string | null,
    expiresAtMs: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { clock, synchronousCommit } = this.#options;
    const hasty = synchronousCommit === 'off';
    const note = { key, text, expiresAtMs, clockMs: clock?.now(), hasty };
    const { name, args } = writeNoteCall(this.ledger, note);
    await this.#database.call(name, args, 'write', signal);
  }

  /** Ends the connections that it opened, for every ledger of this store; a client of the caller's stays open. */
  async close(): Promise<void> {
    for (const [ledger, denials] of this.#waiting) {
      if (!denials.any) continue;
      const store = new PostgresStore(ledger, this.#options, this.#database, this.#waiting);
      // Counts of denials are best effort: a server that is gone, or says nothing, ends them.
      const signal = AbortSignal.timeout(LAST_COUNTS_MS);
      await untilAborted(store.#apply([], true, signal), signal).catch(() => undefined);
    }
    await this.#database.close();
  }

  #read<T>({ name, args }: Call, signal: AbortSignal | undefined): Promise<T | null> {
    return this.#database.call<T>(name, args, 'read', signal);
  }

  /** Asks for a batch. One that collided with another is asked again, with care. */
  async #apply(
    operations: readonly Operation[],
    flush: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Applied> {
    const denials = this.#denials.take(flush);
    let wrote = false;
    try {
      for (let tries = 1; ; tries += 1) {
        const { journalDays = 400, maxEnvelopes = 1_000_000, synchronousCommit } = this.#options;
        const args = batchArguments(operations, {
          ledger: this.ledger,
          clockMs: this.#options.clock?.now(),
          careful: tries > 1,
          flush,
          hasty: synchronousCommit === 'off',
          journalMs: journalDays * 86_400_000,
          maxEnvelopes,
          denials,
        });
        try {
          const text = await this.#database.callPlainly('apply', args, signal);
          const said = JSON.parse(text ?? 'null') as AppliedText;
          wrote = said.wrote;
          const applied = readApplied(said, operations);
          this.#denials.note(operations, applied.answers, applied.nowMs);
          return applied;
        } catch (error) {
          if (isCollision(error) && tries < MAX_TRIES) continue;
          throw this.#database.failure(error, 'write');
        }
      }
    } finally {
      if (!wrote) this.#denials.putBack(denials);
    }
  }
}
