import { MAX_NOTES, MAX_NOTES_PRUNED } from '../store.ts';
import { literal, literalOrNull, pack, unpack } from './text.ts';
import type { Call } from './reading.ts';

const DEFINER = 'SECURITY DEFINER SET search_path = pg_catalog, :schema, pg_temp SET jit = off';

/**
 * The second schema version: notes. `note_counts` knows how many a ledger has, so that a write need
 * not count them, and its row is what writers of one ledger wait for, before they touch any note.
 */
export const NOTES: string = `
CREATE TABLE notes (
  ledger int NOT NULL,
  expires_at bigint NOT NULL,
  key text COLLATE "C" NOT NULL,
  content text COLLATE "C" NOT NULL,
  PRIMARY KEY (ledger, key)
);
CREATE INDEX notes_expiring ON notes (ledger, expires_at);
CREATE TABLE note_counts (
  ledger int PRIMARY KEY,
  notes int NOT NULL
) WITH (fillfactor = 10);

CREATE FUNCTION read_note(p_ledger text, p_key text, p_now bigint)
RETURNS text LANGUAGE sql STABLE ${DEFINER}
AS $body$
  SELECT to_json(n.content)::text FROM notes n
  WHERE n.ledger = ledger_id(p_ledger) AND n.key = p_key AND n.expires_at > coalesce(p_now, now_ms())
$body$;

CREATE FUNCTION forget_notes(p_ledger int, p_by bigint, p_most int) RETURNS int LANGUAGE plpgsql
AS $body$
DECLARE v_gone int;
BEGIN
  DELETE FROM notes WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM notes WHERE ledger = p_ledger AND expires_at <= p_by
    ORDER BY expires_at LIMIT p_most));
  GET DIAGNOSTICS v_gone = ROW_COUNT;
  RETURN v_gone;
END
$body$;

CREATE FUNCTION write_note(
  p_ledger text, p_key text, p_content text, p_expires bigint, p_now bigint, p_async boolean
) RETURNS text LANGUAGE plpgsql ${DEFINER}
AS $body$
DECLARE
  v_ledger int := open_ledger(p_ledger);
  v_count int;
  v_now bigint;
  v_gone int;
BEGIN
  INSERT INTO note_counts VALUES (v_ledger, 0) ON CONFLICT DO NOTHING;
  SELECT notes INTO v_count FROM note_counts WHERE ledger = v_ledger FOR UPDATE;
  v_now := coalesce(p_now, now_ms());
  v_count := v_count - forget_notes(v_ledger, v_now, ${MAX_NOTES_PRUNED});
  IF p_content IS NULL OR p_expires <= v_now THEN
    DELETE FROM notes WHERE ledger = v_ledger AND key = p_key;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_count := v_count - v_gone;
  ELSE
    UPDATE notes SET content = p_content, expires_at = p_expires WHERE ledger = v_ledger AND key = p_key;
    IF NOT FOUND THEN
      INSERT INTO notes (ledger, expires_at, key, content) VALUES (v_ledger, p_expires, p_key, p_content);
      v_count := v_count + 1;
    END IF;
  END IF;
  IF v_count > ${MAX_NOTES} THEN
    v_count := v_count - forget_notes(v_ledger, ${Number.MAX_SAFE_INTEGER}, v_count - ${MAX_NOTES});
  END IF;
  UPDATE note_counts SET notes = v_count WHERE ledger = v_ledger;
  IF p_async THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  RETURN 'true';
END
$body$;
`;

/** How a note is read. */
export function readNoteCall(ledger: string, clockMs: number | undefined, key: string): Call {
  return { name: 'read_note', args: `${placeOf(ledger, key)},${clockMs ?? 'NULL'}` };
}

/** The text that `read_note` answered with. */
export function noteText(answer: string | null): string | null {
  return answer === null ? null : unpack(answer);
}

/** One note, as it is to be written, and how. */
export interface NoteToWrite {
  readonly key: string;
  /** `null`: it is to go. */
  readonly text: string | null;
  readonly expiresAtMs: number;
  readonly clockMs: number | undefined;
  /** The server need not wait for its disk. */
  readonly hasty: boolean;
}

/** How a note is written. */
export function writeNoteCall(ledger: string, note: NoteToWrite): Call {
  const { key, text, expiresAtMs, clockMs, hasty } = note;
  const content = literalOrNull(text === null ? null : pack(text));
  const args = `${placeOf(ledger, key)},${content},${expiresAtMs},${clockMs ?? 'NULL'},${hasty}`;
  return { name: 'write_note', args };
}

function placeOf(ledger: string, key: string): string {
  return `${literal(ledger)},${literal(pack(key))}`;
}
