/**
 * The tables of the first schema version, made in the schema that the search path names.
 *
 * - `ledgers`: one row a ledger, with its policy. `tending`: until when its holds are known to be
 *   resolved, and when old records are looked for next.
 * - `groups`: what the envelopes of one limit, unit and window have in common.
 *   `hash` is of their key alone: processes whose zone data differ must not split an envelope.
 * - `terms`: the caps, modes and warnings that lines were planned with, each once.
 * - `envelopes`: balances. No index names a column that a spend changes, so that a hot envelope is
 *   rewritten within its page.
 * - `holds`: open ones, and resolved ones for seven days. The index is by expiry, which a settle
 *   leaves alone, for the same reason.
 * - `journal`: charges. `envelopes` lists what a charge was posted to, `posted` how much.
 * - `totals`: sums by label set and unit, of quarter-hours (grain 0) and UTC days (grain 1). `slots`
 *   counts the label sets that a quarter-hour tells apart.
 *
 * Holds and charges are looked up by `id = … AND ledger + 0 = …`: a plan that was made while the table
 * was small must not settle on the index that begins with the ledger, and be kept when it has grown.
 */
export const TABLES: string = `
CREATE TABLE ledgers (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  revision bigint NOT NULL,
  policy text NOT NULL
);
CREATE TABLE tending (
  ledger int PRIMARY KEY,
  due_from bigint NOT NULL,
  tend_at bigint NOT NULL,
  counted bigint NOT NULL,
  counted_at bigint NOT NULL
) WITH (fillfactor = 10);
CREATE TABLE groups (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ledger int NOT NULL,
  hash bytea NOT NULL,
  content text NOT NULL,
  unit text COLLATE "C" NOT NULL,
  ends_at bigint,
  UNIQUE (ledger, hash)
);
CREATE INDEX groups_closing ON groups (ledger, ends_at) WHERE ends_at IS NOT NULL;
CREATE TABLE terms (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hash bytea NOT NULL UNIQUE,
  content text NOT NULL,
  limit_name text NOT NULL,
  unit text COLLATE "C" NOT NULL,
  cap bigint NOT NULL,
  soft boolean NOT NULL,
  warn_steps bigint[] NOT NULL,
  warn_fractions text[] NOT NULL,
  last_day int NOT NULL
);
CREATE SEQUENCE envelope_ids;
CREATE TABLE envelopes (
  id bigint PRIMARY KEY,
  group_id bigint NOT NULL,
  spent bigint NOT NULL,
  held bigint NOT NULL,
  pruned bigint NOT NULL,
  saturated boolean NOT NULL,
  crossed text COLLATE "C" NOT NULL,
  member text COLLATE "C" NOT NULL,
  long_member text COLLATE "C",
  UNIQUE (group_id, member)
) WITH (fillfactor = 50);
CREATE TABLE holds (
  ledger int NOT NULL,
  state smallint NOT NULL,
  abandon smallint NOT NULL,
  expires_at bigint NOT NULL,
  resolved_at bigint,
  id text COLLATE "C" NOT NULL,
  units text COLLATE "C" NOT NULL,
  steps bigint[] NOT NULL,
  labels text COLLATE "C" NOT NULL,
  description text COLLATE "C",
  occupied text COLLATE "C" NOT NULL,
  said text COLLATE "C" NOT NULL,
  envelopes bigint[] NOT NULL,
  terms int[] NOT NULL,
  unit_at smallint[] NOT NULL,
  PRIMARY KEY (id, ledger)
) WITH (fillfactor = 50);
CREATE INDEX holds_due ON holds (ledger, expires_at);
CREATE TABLE journal (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  ledger int NOT NULL,
  at bigint NOT NULL,
  flags smallint NOT NULL,
  id text COLLATE "C" NOT NULL,
  units text COLLATE "C" NOT NULL,
  steps bigint[] NOT NULL,
  held_units text COLLATE "C",
  held_steps bigint[],
  labels text COLLATE "C" NOT NULL,
  description text COLLATE "C",
  corrects text COLLATE "C",
  crossed text COLLATE "C",
  envelopes bigint[] NOT NULL,
  posted bigint[] NOT NULL,
  PRIMARY KEY (id, ledger)
);
CREATE INDEX journal_in_time ON journal (ledger, at, seq);
CREATE TABLE totals (
  ledger int NOT NULL,
  grain smallint NOT NULL,
  slot bigint NOT NULL,
  hash bytea NOT NULL,
  unit text COLLATE "C" NOT NULL,
  steps bigint NOT NULL,
  charges bigint NOT NULL,
  denials bigint NOT NULL,
  labels text COLLATE "C" NOT NULL,
  PRIMARY KEY (ledger, grain, slot, hash, unit)
) WITH (fillfactor = 50);
CREATE TABLE slots (
  ledger int NOT NULL,
  slot bigint NOT NULL,
  size int NOT NULL,
  PRIMARY KEY (ledger, slot)
) WITH (fillfactor = 50);
`;
