import type { Clock } from '../../clock.ts';
import { applyOperation, expire } from '../../ledger/apply.ts';
import type { LedgerRecord } from '../../ledger/audit.ts';
import { carries } from '../../ledger/labels.ts';
import { EMPTY_POLICY, type Policy } from '../../ledger/policy.ts';
import type { Applied, ChargeRecord, Expiry, HoldRecord, Operation } from '../../ledger/records.ts';
import type { Total } from '../../ledger/report.ts';
import {
  type BalancePage,
  type BalanceQuery,
  type HoldQuery,
  type JournalQuery,
  MAX_DUE_PER_APPLY,
  MAX_PAGE_SIZE,
  type Page,
  type Retention,
  type TotalsQuery,
} from '../store.ts';
import { SqliteBook } from './book.ts';
import { isReadOnly } from './failure.ts';
import type { Connection } from './file.ts';
import { readCharge, readEnvelope, readHold } from './rows.ts';

/** How many journal rows one page looks through at most, so that a rare label stops nobody. */
const MAX_SCANNED_PER_PAGE = 20_000;

/** One ledger in a file: its batches, and what is read of it. */
export class SqliteLedger {
  readonly #name: string;
  readonly #retention: Retention;
  #book: SqliteBook | undefined;
  #id = 0;
  #dataVersion: unknown;
  /** What this connection has written, and the version of what others have, as they were last seen. */
  #changes = 0;
  #seenVersion: unknown;

  constructor(name: string, retention: Retention) {
    this.#name = name;
    this.#retention = retention;
  }

  /** The ledger's number in the file; the first call enters it there. */
  id(connection: Connection): number {
    if (this.#id === 0) {
      const find = connection.statement('SELECT id FROM purse_ledgers WHERE name = ?');
      if (find.get(this.#name) === undefined) {
        connection
          .statement(
            'INSERT OR IGNORE INTO purse_ledgers (name, revision, policy) VALUES (?, 0, ?)',
          )
          .run(this.#name, JSON.stringify(EMPTY_POLICY));
      }
      this.#id = Number(find.get(this.#name)?.['id']);
    }
    return this.#id;
  }

  changeCount(connection: Connection): number {
    const { dataVersion } = connection;
    if (dataVersion !== this.#seenVersion) this.#changes += 1;
    this.#seenVersion = dataVersion;
    return this.#changes;
  }

  apply(connection: Connection, operations: readonly Operation[], clock: Clock): Applied {
    const book = this.#bookOn(connection);
    const beforeMs = clock.now();
    const nothing: Applied = { answers: [], expiries: [], nowMs: beforeMs };
    if (operations.length === 0 && !book.wantsAttention(beforeMs)) return nothing;
    try {
      return this.#applyTo(book, connection, operations, clock);
    } catch (error) {
      // A ledger that may only be read stands as it was left: its due holds still count as held.
      if (operations.length === 0 && isReadOnly(error)) return nothing;
      throw error;
    }
  }

  #applyTo(
    book: SqliteBook,
    connection: Connection,
    operations: readonly Operation[],
    clock: Clock,
  ): Applied {
    const applied = this.#batch(connection, book, () => {
      const nowMs = clock.now();
      const expiries: Expiry[] = [];
      book.forget(nowMs, operations.length);
      for (const due of book.dueHolds(nowMs, MAX_DUE_PER_APPLY))
        expiries.push(expire(due, book, nowMs));
      const answers = operations.map((operation) =>
        applyOperation(operation, book, nowMs, expiries),
      );
      book.flush();
      return { answers, expiries, nowMs };
    });
    if (operations.length + applied.expiries.length > 0) this.#changes += 1;
    return applied;
  }

  /** True when denials wait for something else to be written. */
  get hasDenials(): boolean {
    return this.#book?.totals.hasDenials ?? false;
  }

  /** Writes the denials that still wait for something else to be written. */
  writeDenials(connection: Connection): void {
    if (!this.hasDenials) return;
    const book = this.#bookOn(connection);
    this.#batch(connection, book, () => book.totals.flush());
  }

  readBalances(connection: Connection, query: BalanceQuery, nowMs: number): BalancePage {
    const ledger = this.id(connection);
    const revision = this.#revision(connection);
    if (query.keys !== undefined) {
      const one = connection.statement(
        'SELECT * FROM purse_envelopes WHERE ledger = ? AND key = ?',
      );
      const rows = query.keys.map((key) => one.get(ledger, key));
      const items = rows.filter((row) => row !== undefined).map(readEnvelope);
      return { items, next: null, revision, nowMs };
    }
    const size = pageSize(query);
    const [from, to] =
      query.group === undefined ? ['', '\u{10FFFF}'] : [`${query.group}|`, `${query.group}}`];
    const rows = connection
      .statement(
        'SELECT * FROM purse_envelopes WHERE ledger = ? AND key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?',
      )
      .all(ledger, query.after ?? '', from, to, size);
    const items = rows.map(readEnvelope);
    return { items, next: nextAfter(items, size, ({ key }) => key), revision, nowMs };
  }

  readHolds(connection: Connection, query: HoldQuery): Page<HoldRecord> {
    const book = this.#bookOn(connection);
    const ledger = this.id(connection);
    if (query.id !== undefined) {
      const row = connection
        .statement('SELECT * FROM purse_holds WHERE ledger = ? AND id = ?')
        .get(ledger, query.id);
      return { items: row === undefined ? [] : [readHold(row, book)], next: null };
    }
    const size = pageSize(query);
    const rows = connection
      .statement(
        'SELECT * FROM purse_holds WHERE ledger = ? AND open = 1 AND id > ? ORDER BY id LIMIT ?',
      )
      .all(ledger, query.after ?? '', size);
    const items = rows.map((row) => readHold(row, book));
    return { items, next: nextAfter(items, size, ({ id }) => id) };
  }

  readJournal(connection: Connection, query: JournalQuery): Page<ChargeRecord> {
    const { sinceMs = -8.64e15, untilMs = 8.64e15, order = 'newest', labels = {} } = query;
    const [compare, direction] = order === 'newest' ? ['<', 'DESC'] : ['>', 'ASC'];
    const start = order === 'newest' ? [8.64e15, Number.MAX_SAFE_INTEGER] : [-8.64e15, -1];
    const [afterMs = 0, afterSeq = 0] = query.after?.split(' ').map(Number) ?? start;
    const rows = connection
      .statement(
        `SELECT * FROM purse_journal WHERE ledger = ? AND at >= ? AND at < ? AND (at, seq) ${compare} (?, ?)
         ORDER BY at ${direction}, seq ${direction} LIMIT ?`,
      )
      .iterate(this.id(connection), sinceMs, untilMs, afterMs, afterSeq, MAX_SCANNED_PER_PAGE);
    const size = pageSize(query);
    const items: ChargeRecord[] = [];
    let scanned = 0;
    for (const row of rows) {
      scanned += 1;
      const charge = readCharge(row);
      if (carries(charge.labels.labels, labels)) items.push(charge);
      if (items.length === size || scanned === MAX_SCANNED_PER_PAGE) {
        return { items, next: `${charge.atMs} ${Number(row['seq'])}` };
      }
    }
    return { items, next: null };
  }

  readTotals(connection: Connection, query: TotalsQuery): readonly Total[] {
    this.writeDenials(connection);
    return this.#bookOn(connection).totals.read(query);
  }

  readPolicy(connection: Connection): Policy {
    const row = connection
      .statement('SELECT revision, policy FROM purse_ledgers WHERE id = ?')
      .get(this.id(connection));
    return {
      ...(JSON.parse(String(row?.['policy'])) as Policy),
      revision: Number(row?.['revision']),
    };
  }

  writePolicy(connection: Connection, policy: Policy, expectedRevision: number): Policy {
    const ledger = this.id(connection);
    this.#book?.policyWritten();
    this.#changes += 1;
    return connection.transaction(() => {
      connection
        .statement(
          'UPDATE purse_ledgers SET revision = revision + 1, policy = ? WHERE id = ? AND revision = ?',
        )
        .run(JSON.stringify(policy), ledger, expectedRevision);
      return this.readPolicy(connection);
    });
  }

  /** Writes records as they are, when the policy has this revision. Tells whether it had. */
  writeRecords(
    connection: Connection,
    records: readonly LedgerRecord[],
    revision: number,
  ): boolean {
    const book = this.#bookOn(connection);
    this.#changes += 1;
    return this.#batch(connection, book, () => {
      if (book.revision !== revision) return false;
      for (const record of records) book.write(record);
      book.flush();
      return true;
    });
  }

  #batch<T>(connection: Connection, book: SqliteBook, work: () => T): T {
    let answer: T;
    try {
      answer = connection.transaction(() => {
        const dataVersion = connection.dataVersion;
        book.begin(dataVersion !== this.#dataVersion);
        this.#dataVersion = dataVersion;
        return work();
      });
    } catch (error) {
      book.forgetCache();
      throw error;
    }
    book.committed();
    return answer;
  }

  #bookOn(connection: Connection): SqliteBook {
    this.#book ??= new SqliteBook(connection.database, this.id(connection), {
      journalMs: (this.#retention.journalDays ?? 400) * 86_400_000,
      maxEnvelopes: this.#retention.maxEnvelopes ?? 1_000_000,
    });
    return this.#book;
  }

  #revision(connection: Connection): number {
    const row = connection
      .statement('SELECT revision FROM purse_ledgers WHERE id = ?')
      .get(this.id(connection));
    return Number(row?.['revision']);
  }
}

function pageSize(query: { readonly size?: number }): number {
  return Math.min(query.size ?? MAX_PAGE_SIZE, MAX_PAGE_SIZE);
}

function nextAfter<T>(
  items: readonly T[],
  size: number,
  cursor: (item: T) => string,
): string | null {
  const last = items.at(-1);
  return items.length < size || last === undefined ? null : cursor(last);
}
