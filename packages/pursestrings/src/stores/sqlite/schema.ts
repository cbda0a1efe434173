import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../errors.ts';
import { NOTE_TABLES } from './notes.ts';

/**
 * The schema, one step a version: a file is brought up from the version it has. A step that has
 * been released is never changed.
 *
 * - `purse_ledgers`: one row a ledger, with its policy.
 * - `purse_terms`: the caps, modes and warnings that lines were planned with, each once.
 * - `purse_envelopes`: balances. Ids are never used twice, so that old postings stay unambiguous.
 * - `purse_holds`: open holds and, for seven days, resolved ones. `due_at` is when a row wants
 *   attention: an open one its expiry, a resolved one its forgetting.
 * - `purse_journal`: charges. `envelopes` lists what it was posted to.
 * - `purse_totals`: sums by label set, of quarter-hours (grain 0) and of UTC days (grain 1).
 * - `purse_notes`, `purse_note_counts`: see `notes.ts`.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE purse_ledgers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    policy TEXT NOT NULL
  ) STRICT;
  CREATE TABLE purse_terms (
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL UNIQUE,
    last_day INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE purse_envelopes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ledger INTEGER NOT NULL,
    key TEXT NOT NULL,
    place TEXT NOT NULL,
    ends_at INTEGER,
    spent INTEGER NOT NULL,
    held INTEGER NOT NULL,
    pruned INTEGER NOT NULL,
    crossed TEXT NOT NULL,
    saturated INTEGER NOT NULL,
    UNIQUE (ledger, key)
  ) STRICT;
  CREATE INDEX purse_envelopes_closing ON purse_envelopes (ledger, ends_at) WHERE ends_at IS NOT NULL;
  CREATE TABLE purse_holds (
    ledger INTEGER NOT NULL,
    id TEXT NOT NULL,
    open INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    resolved_at INTEGER,
    amounts TEXT NOT NULL,
    labels TEXT NOT NULL,
    description TEXT,
    if_abandoned TEXT NOT NULL,
    occupied TEXT NOT NULL,
    said TEXT NOT NULL,
    lines TEXT NOT NULL,
    PRIMARY KEY (ledger, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX purse_holds_due ON purse_holds (ledger, open, due_at);
  CREATE TABLE purse_journal (
    seq INTEGER PRIMARY KEY,
    ledger INTEGER NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    amounts TEXT NOT NULL,
    labels TEXT NOT NULL,
    description TEXT,
    held TEXT,
    overrun INTEGER NOT NULL,
    late INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    corrects TEXT,
    crossed TEXT NOT NULL,
    envelopes TEXT NOT NULL,
    UNIQUE (ledger, id)
  ) STRICT;
  CREATE INDEX purse_journal_at ON purse_journal (ledger, at);
  CREATE TABLE purse_totals (
    ledger INTEGER NOT NULL,
    grain INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    labels TEXT NOT NULL,
    amounts TEXT NOT NULL,
    charges INTEGER NOT NULL,
    denials INTEGER NOT NULL,
    PRIMARY KEY (ledger, grain, slot, labels)
  ) STRICT, WITHOUT ROWID;
  `,
  NOTE_TABLES,
];

/** The version that this code reads and writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.length;

/** Brings a database up to this version, inside the caller's transaction. */
export function migrate(database: DatabaseSync, path: string): void {
  database.exec('CREATE TABLE IF NOT EXISTS purse_schema (version INTEGER NOT NULL) STRICT');
  const version = schemaVersion(database);
  if (version > SCHEMA_VERSION) {
    throw new StoreError(
      'STORE_UNAVAILABLE',
      'newer_schema',
      `${path} has schema version ${version}, and this pursestrings knows versions up to ${SCHEMA_VERSION}; upgrade it`,
    );
  }
  for (const step of MIGRATIONS.slice(version)) database.exec(step);
  if (version === 0) database.exec('INSERT INTO purse_schema VALUES (0)');
  database.prepare('UPDATE purse_schema SET version = ?').run(SCHEMA_VERSION);
}

/** The version of a database: 0 when it has no ledger yet. */
export function schemaVersion(database: DatabaseSync): number {
  const table = database
    .prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'purse_schema'")
    .get();
  if (table?.['n'] === 0) return 0;
  return Number(
    database.prepare('SELECT max(version) AS version FROM purse_schema').get()?.['version'] ?? 0,
  );
}
