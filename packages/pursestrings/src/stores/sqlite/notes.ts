import { MAX_NOTES, MAX_NOTES_PRUNED } from '../store.ts';
import type { Connection } from './file.ts';

/**
 * The tables of notes. `purse_note_counts` knows how many a ledger has, so that a write need not
 * count them.
 */
export const NOTE_TABLES: string = `
  CREATE TABLE purse_notes (
    id INTEGER PRIMARY KEY,
    ledger INTEGER NOT NULL,
    key TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (ledger, key)
  ) STRICT;
  CREATE INDEX purse_notes_expiring ON purse_notes (ledger, expires_at);
  CREATE TABLE purse_note_counts (
    ledger INTEGER PRIMARY KEY,
    notes INTEGER NOT NULL
  ) STRICT;
`;

/** One note, as it is to be written. `null`: it is to go. */
export interface WrittenNote {
  readonly key: string;
  readonly text: string | null;
  readonly expiresAtMs: number;
}

/** Reads a note of a ledger. */
export function readNote(
  connection: Connection,
  ledger: number,
  key: string,
  nowMs: number,
): string | null {
  const row = connection
    .statement('SELECT content FROM purse_notes WHERE ledger = ? AND key = ? AND expires_at > ?')
    .get(ledger, key, nowMs);
  return row === undefined ? null : String(row['content']);
}

/** Writes a note of a ledger, and forgets some of those whose time is past. */
export function writeNote(
  connection: Connection,
  ledger: number,
  note: WrittenNote,
  nowMs: number,
): void {
  connection.transaction(() => {
    const pruned = forgetFirst(connection, ledger, nowMs, MAX_NOTES_PRUNED);
    const standing = countAfter(connection, ledger, put(connection, ledger, note, nowMs) - pruned);
    if (standing <= MAX_NOTES) return;
    const most = standing - MAX_NOTES;
    countAfter(connection, ledger, -forgetFirst(connection, ledger, Number.MAX_SAFE_INTEGER, most));
  });
}

/** Puts a note in its place, or takes it away. Tells by how many notes the ledger has more. */
function put(
  connection: Connection,
  ledger: number,
  { key, text, expiresAtMs }: WrittenNote,
  nowMs: number,
): number {
  if (text === null || expiresAtMs <= nowMs) {
    const remove = connection.statement('DELETE FROM purse_notes WHERE ledger = ? AND key = ?');
    return -Number(remove.run(ledger, key).changes);
  }
  const { changes } = connection
    .statement('UPDATE purse_notes SET content = ?, expires_at = ? WHERE ledger = ? AND key = ?')
    .run(text, expiresAtMs, ledger, key);
  if (Number(changes) > 0) return 0;
  connection
    .statement('INSERT INTO purse_notes (ledger, key, expires_at, content) VALUES (?, ?, ?, ?)')
    .run(ledger, key, expiresAtMs, text);
  return 1;
}

/** Forgets notes that expire by a time, those that expire first before others. Tells how many. */
function forgetFirst(connection: Connection, ledger: number, byMs: number, most: number): number {
  const { changes } = connection
    .statement(
      `DELETE FROM purse_notes WHERE id IN (SELECT id FROM purse_notes
         WHERE ledger = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?)`,
    )
    .run(ledger, byMs, most);
  return Number(changes);
}

/** Counts notes that came or went. Tells how many there are. */
function countAfter(connection: Connection, ledger: number, change: number): number {
  const row = connection
    .statement(
      `INSERT INTO purse_note_counts (ledger, notes) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET notes = notes + excluded.notes RETURNING notes`,
    )
    .get(ledger, change);
  return Number(row?.['notes']);
}
