import type { DatabaseSync, StatementSync } from 'node:sqlite';

/** What a book asks of its file, prepared once. */
export type Statements = { readonly [Name in keyof typeof SQL]: StatementSync };

const SQL = {
  revision: 'SELECT revision FROM purse_ledgers WHERE id = ?',
  envelopeSequence: "SELECT seq FROM sqlite_sequence WHERE name = 'purse_envelopes'",
  countEnvelopes: 'SELECT count(*) AS n FROM purse_envelopes WHERE ledger = ?',
  termsById: 'SELECT content FROM purse_terms WHERE id = ?',
  useTerms: `INSERT INTO purse_terms (content, last_day) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET last_day = max(last_day, excluded.last_day) RETURNING id`,
  deleteOldTerms: `DELETE FROM purse_terms WHERE last_day < ? AND NOT EXISTS (
    SELECT 1 FROM purse_holds, json_each(purse_holds.lines) AS line
    WHERE json_extract(line.value, '$[1]') = purse_terms.id)`,
  envelopeById: 'SELECT * FROM purse_envelopes WHERE id = ?',
  envelopeByKey: 'SELECT * FROM purse_envelopes WHERE ledger = ? AND key = ?',
  insertEnvelope: `INSERT INTO purse_envelopes
    (ledger, key, place, ends_at, spent, held, pruned, crossed, saturated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateEnvelope: `UPDATE purse_envelopes
    SET spent = ?, held = ?, pruned = ?, crossed = ?, saturated = ? WHERE id = ?`,
  closedEnvelopes: `SELECT id FROM purse_envelopes
    WHERE ledger = ? AND ends_at <= ? AND held = 0 ORDER BY ends_at LIMIT ?`,
  deleteEnvelope: 'DELETE FROM purse_envelopes WHERE id = ?',
  hold: 'SELECT * FROM purse_holds WHERE ledger = ? AND id = ?',
  insertHold: `INSERT INTO purse_holds
    (ledger, id, open, due_at, state, expires_at, resolved_at, amounts, labels, description,
     if_abandoned, occupied, said, lines) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateHold: `UPDATE purse_holds
    SET open = ?, due_at = ?, state = ?, expires_at = ?, resolved_at = ? WHERE ledger = ? AND id = ?`,
  nextDue:
    'SELECT due_at FROM purse_holds WHERE ledger = ? AND open = 1 AND due_at > ? ORDER BY due_at LIMIT 1',
  anyDue: 'SELECT 1 FROM purse_holds WHERE ledger = ? AND open = 1 AND due_at <= ? LIMIT 1',
  dueHolds:
    'SELECT * FROM purse_holds WHERE ledger = ? AND open = 1 AND due_at <= ? ORDER BY due_at LIMIT ?',
  forgettableHolds:
    'SELECT id FROM purse_holds WHERE ledger = ? AND open = 0 AND due_at <= ? ORDER BY due_at LIMIT ?',
  deleteHold: 'DELETE FROM purse_holds WHERE ledger = ? AND id = ?',
  charge: 'SELECT * FROM purse_journal WHERE ledger = ? AND id = ?',
  insertCharge: `INSERT INTO purse_journal
    (ledger, id, at, amounts, labels, description, held, overrun, late, abandoned, corrects, crossed, envelopes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  oldCharges:
    'SELECT seq, amounts, envelopes FROM purse_journal WHERE ledger = ? AND at <= ? ORDER BY at LIMIT ?',
  deleteCharge: 'DELETE FROM purse_journal WHERE seq = ?',
};

/** Prepares every statement of a book. */
export function prepareStatements(database: DatabaseSync): Statements {
  const entries = Object.entries(SQL).map(([name, sql]) => [name, database.prepare(sql)]);
  return Object.fromEntries(entries) as Statements;
}
