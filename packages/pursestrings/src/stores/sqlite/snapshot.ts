import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LedgerRecord } from '../../ledger/audit.ts';
import type { Terms } from '../../ledger/limit.ts';
import { storeFailure } from './failure.ts';
import type { SqliteFile } from './file.ts';
import {
  closedEnvelope,
  readCharge,
  readEnvelope,
  readHold,
  type References,
  type Row,
  type StoredEnvelope,
} from './rows.ts';

/** How many records are read before the event loop gets its turn. */
const RECORDS_PER_TURN = 1000;

/** Reads a whole ledger in one snapshot, on a connection of its own that stops no writer. */
export async function* readSnapshot(
  file: SqliteFile,
  ledgerId: number,
): AsyncGenerator<LedgerRecord> {
  const database = file.openSnapshot();
  let count = 0;
  try {
    for (const record of records(database, ledgerId)) {
      yield record;
      count += 1;
      if (count % RECORDS_PER_TURN === 0) await nextTurn();
    }
  } catch (error) {
    throw storeFailure(error, file.path);
  } finally {
    database.close();
  }
}

function* records(database: DatabaseSync, ledgerId: number): Generator<LedgerRecord> {
  const envelopes = new Map<number, StoredEnvelope>();
  for (const row of select(database, 'SELECT * FROM purse_envelopes WHERE ledger = ?', ledgerId)) {
    const envelope = readEnvelope(row);
    envelopes.set(envelope.rowId, envelope);
    yield { kind: 'envelope', envelope };
  }
  const termsById = database.prepare('SELECT content FROM purse_terms WHERE id = ?');
  const references: References = {
    envelope: (rowId) => envelopes.get(rowId) ?? closedEnvelope(rowId),
    terms: (termsId) => JSON.parse(String(termsById.get(termsId)?.['content'])) as Terms,
  };
  for (const row of select(
    database,
    'SELECT * FROM purse_holds WHERE ledger = ? AND open = 1',
    ledgerId,
  )) {
    yield { kind: 'hold', hold: readHold(row, references) };
  }
  for (const row of select(database, 'SELECT * FROM purse_journal WHERE ledger = ?', ledgerId)) {
    const charge = readCharge(row, references);
    const lines = charge.lines.filter(({ envelope }) => !envelope.closed);
    yield { kind: 'charge', charge: { ...charge, lines } };
  }
}

function select(database: DatabaseSync, sql: string, ledgerId: number): Iterable<Row> {
  return database.prepare(sql).iterate(ledgerId);
}
