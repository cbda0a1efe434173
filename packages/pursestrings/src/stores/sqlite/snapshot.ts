import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LedgerRecord, TotalRecord } from '../../ledger/audit.ts';
import { labelSetFromKey } from '../../ledger/labels.ts';
import type { Terms } from '../../ledger/limit.ts';
import type { Envelope } from '../../ledger/records.ts';
import { DAY_SLOT_MS, SLOT_MS } from '../../ledger/report.ts';
import type { LedgerScope } from '../store.ts';
import { storeFailure } from './failure.ts';
import type { SqliteFile } from './file.ts';
import {
  closedEnvelope,
  readAmounts,
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
  scope: LedgerScope,
): AsyncGenerator<LedgerRecord> {
  const database = file.openSnapshot();
  let count = 0;
  try {
    for (const record of records(database, ledgerId, scope)) {
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

function* records(
  database: DatabaseSync,
  ledgerId: number,
  scope: LedgerScope,
): Generator<LedgerRecord> {
  const envelopes = new Map<number, StoredEnvelope>();
  for (const row of select(database, 'purse_envelopes', 'ORDER BY id', ledgerId)) {
    const envelope = readEnvelope(row);
    envelopes.set(envelope.rowId, envelope);
    yield { kind: 'envelope', envelope };
  }
  const termsById = database.prepare('SELECT content FROM purse_terms WHERE id = ?');
  const references: References = {
    envelope: (rowId) => envelopes.get(rowId) ?? closedEnvelope(rowId),
    terms: (termsId) => JSON.parse(String(termsById.get(termsId)?.['content'])) as Terms,
  };
  const which = scope === 'whole' ? 'ORDER BY open DESC, due_at' : 'AND open = 1';
  for (const row of select(database, 'purse_holds', which, ledgerId)) {
    const hold = readHold(row, references);
    yield { kind: 'hold', hold: { ...hold, lines: standing(hold.lines) } };
  }
  for (const row of select(database, 'purse_journal', 'ORDER BY at, seq', ledgerId)) {
    const charge = readCharge(row, references);
    yield { kind: 'charge', charge: { ...charge, lines: standing(charge.lines) } };
  }
  if (scope === 'balances') return;
  for (const row of select(database, 'purse_totals', '', ledgerId)) yield readTotal(row);
}

/** The lines whose envelopes are not forgotten. */
function standing<L extends { readonly envelope: Envelope }>(lines: readonly L[]): readonly L[] {
  return lines.some(({ envelope }) => envelope.closed)
    ? lines.filter(({ envelope }) => !envelope.closed)
    : lines;
}

function readTotal(row: Row): TotalRecord {
  return {
    kind: 'total',
    startMs: Number(row['slot']),
    grainMs: row['grain'] === 1 ? DAY_SLOT_MS : SLOT_MS,
    labels: labelSetFromKey(String(row['labels'])),
    amounts: readAmounts(row['amounts']),
    charges: Number(row['charges']),
    denials: Number(row['denials']),
  };
}

function select(
  database: DatabaseSync,
  table: string,
  rest: string,
  ledgerId: number,
): Iterable<Row> {
  return database.prepare(`SELECT * FROM ${table} WHERE ledger = ? ${rest}`).iterate(ledgerId);
}
