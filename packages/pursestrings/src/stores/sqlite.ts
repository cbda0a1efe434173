import { resolve } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import { InvalidOptionError } from '../errors.ts';
import type { LedgerRecord } from '../ledger/audit.ts';
import type { Policy } from '../ledger/policy.ts';
import type { Applied, ChargeRecord, HoldRecord, Operation } from '../ledger/records.ts';
import type { Total } from '../ledger/report.ts';
import { checkRetention } from './retention.ts';
import { SqliteFile } from './sqlite/file.ts';
import { SqliteLedger } from './sqlite/ledger.ts';
import { readNote, writeNote } from './sqlite/notes.ts';
import { readSnapshot } from './sqlite/snapshot.ts';
import type {
  BalancePage,
  BalanceQuery,
  EmbeddedStore,
  HoldQuery,
  JournalQuery,
  LedgerScope,
  Page,
  Retention,
  TotalsQuery,
} from './store.ts';

/** How an SQLite store is made. */
export interface SqliteOptions extends Omit<Retention, 'maxCharges'> {
  /**
   * `'full'`: an acknowledged operation survives a power loss. `'normal'`: it survives a crash of
   * the process, but the last moments before a power loss may be gone. Default `'full'`.
   */
  readonly durability?: 'full' | 'normal';
  /** How long an operation waits for other processes, in milliseconds. Default 10,000. */
  readonly lockTimeoutMs?: number;
  /** The most bytes that the database file may grow to, the write-ahead log not counted. Default: no bound. */
  readonly maxBytes?: number;
  /** The time that the ledger goes by. Default: the process's clock. */
  readonly clock?: Clock;
}

/**
 * Makes a store in an SQLite file, which several processes of one machine may share. The file is
 * made and brought up to date at the first use. The journal keeps 400 days of charges.
 *
 * @param path The file; its directory must exist, on a local disk.
 * @throws InvalidOptionError for a path or an option that cannot be meant.
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { sqlite } from 'pursestrings/stores/sqlite';
 *
 * const store = sqlite('./purse.db', { durability: 'full' });
 * const purse = await openPurse({ store, limits: [{ name: 'all', cap: { usd: 10 }, per: 'day' }] });
 * await purse.charge({ usd: 0.25 });
 * await purse.close();
 * await store.close();
 * ```
 */
export function sqlite(path: string, options: SqliteOptions = {}): EmbeddedStore {
  if (typeof path !== 'string' || path === '' || path === ':memory:') {
    throw new InvalidOptionError(
      `path is ${JSON.stringify(path)}; name a file such as './purse.db', or use memory() for a ledger that ends with the process`,
    );
  }
  const { durability = 'full', lockTimeoutMs = 10_000, maxBytes } = options;
  if (durability !== 'full' && durability !== 'normal') {
    throw new InvalidOptionError(
      `durability is ${JSON.stringify(durability)}; it must be 'full' or 'normal'`,
    );
  }
  checkRetention(options);
  const file = new SqliteFile(resolve(path), { durability, lockTimeoutMs, maxBytes });
  return new SqliteStore('default', options, file, new Map());
}

class SqliteStore implements EmbeddedStore {
  readonly name = 'sqlite';
  readonly batching = 'turn';
  readonly ledger: string;
  readonly #options: SqliteOptions;
  readonly #clock: Clock;
  readonly #file: SqliteFile;
  readonly #ledgers: Map<string, SqliteLedger>;
  readonly #mine: SqliteLedger;

  constructor(
    ledger: string,
    options: SqliteOptions,
    file: SqliteFile,
    ledgers: Map<string, SqliteLedger>,
  ) {
    this.ledger = ledger;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#file = file;
    this.#ledgers = ledgers;
    // Two stores of one ledger on one connection share what is at hand, or it would go stale.
    this.#mine = ledgers.get(ledger) ?? new SqliteLedger(ledger, options);
    ledgers.set(ledger, this.#mine);
  }

  forLedger(ledger: string): EmbeddedStore {
    return new SqliteStore(ledger, this.#options, this.#file, this.#ledgers);
  }

  now(): number {
    return this.#clock.now();
  }

  changeCount(): number {
    return this.#file.runSync((connection) => this.#mine.changeCount(connection));
  }

  apply(operations: readonly Operation[]): Promise<Applied> {
    return this.#file.run((connection) => this.#mine.apply(connection, operations, this.#clock));
  }

  applySync(operations: readonly Operation[]): Applied {
    return this.#file.runSync((connection) =>
      this.#mine.apply(connection, operations, this.#clock),
    );
  }

  applyAtOnce(operations: readonly Operation[]): Applied | null {
    return this.#file.runAtOnce((connection) =>
      this.#mine.apply(connection, operations, this.#clock),
    );
  }

  readBalances(query: BalanceQuery): Promise<BalancePage> {
    return this.#file.run((connection) => this.#mine.readBalances(connection, query, this.now()));
  }

  readBalancesSync(query: BalanceQuery): BalancePage {
    return this.#file.runSync((connection) =>
      this.#mine.readBalances(connection, query, this.now()),
    );
  }

  readHolds(query: HoldQuery): Promise<Page<HoldRecord>> {
    return this.#file.run((connection) => this.#mine.readHolds(connection, query));
  }

  readHoldsSync(query: HoldQuery): Page<HoldRecord> {
    return this.#file.runSync((connection) => this.#mine.readHolds(connection, query));
  }

  readJournal(query: JournalQuery): Promise<Page<ChargeRecord>> {
    return this.#file.run((connection) => this.#mine.readJournal(connection, query));
  }

  readJournalSync(query: JournalQuery): Page<ChargeRecord> {
    return this.#file.runSync((connection) => this.#mine.readJournal(connection, query));
  }

  readTotals(query: TotalsQuery): Promise<readonly Total[]> {
    return this.#file.run((connection) => this.#mine.readTotals(connection, query));
  }

  readTotalsSync(query: TotalsQuery): readonly Total[] {
    return this.#file.runSync((connection) => this.#mine.readTotals(connection, query));
  }

  readPolicy(): Promise<Policy> {
    return this.#file.run((connection) => this.#mine.readPolicy(connection));
  }

  readPolicySync(): Policy {
    return this.#file.runSync((connection) => this.#mine.readPolicy(connection));
  }

  writePolicy(policy: Policy, expectedRevision: number): Promise<Policy> {
    return this.#file.run((connection) =>
      this.#mine.writePolicy(connection, policy, expectedRevision),
    );
  }

  writePolicySync(policy: Policy, expectedRevision: number): Policy {
    return this.#file.runSync((connection) =>
      this.#mine.writePolicy(connection, policy, expectedRevision),
    );
  }

  async *readLedger(scope: LedgerScope = 'balances'): AsyncIterable<LedgerRecord> {
    const ledgerId = await this.#file.run((connection) => {
      if (scope === 'whole') this.#mine.writeDenials(connection);
      return this.#mine.id(connection);
    });
    yield* readSnapshot(this.#file, ledgerId, scope);
  }

  writeLedger(records: readonly LedgerRecord[], revision: number): Promise<boolean> {
    return this.#file.run((connection) => this.#mine.writeRecords(connection, records, revision));
  }

  readNote(key: string): Promise<string | null> {
    return this.#file.run((connection) =>
      readNote(connection, this.#mine.id(connection), key, this.now()),
    );
  }

  writeNote(key: string, text: string | null, expiresAtMs: number): Promise<void> {
    const note = { key, text, expiresAtMs };
    return this.#file.run((connection) =>
      writeNote(connection, this.#mine.id(connection), note, this.now()),
    );
  }

  writeLedgerSync(records: readonly LedgerRecord[], revision: number): boolean {
    return this.#file.runSync((connection) =>
      this.#mine.writeRecords(connection, records, revision),
    );
  }

  /** Closes the file, for every ledger of this store. */
  async close(): Promise<void> {
    for (const ledger of this.#ledgers.values()) {
      if (!ledger.hasDenials) continue;
      // Counts of denials are best effort: a file that cannot be written to any more ends them.
      await this.#file.run((connection) => ledger.writeDenials(connection)).catch(() => undefined);
    }
    this.#file.close();
  }
}
