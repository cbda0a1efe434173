import { InvalidOptionError, StoreError } from '../../errors.ts';
import { APPLY } from './apply-sql.ts';
import type { PostgresConnection, SessionQuery } from './connection.ts';
import { isUnmigrated } from './failure.ts';
import { NOTES } from './notes.ts';
import { OWN } from './own-sql.ts';
import { READ } from './read-sql.ts';
import { SUPPORT } from './support-sql.ts';
import { TABLES } from './tables-sql.ts';
import { TEND } from './tend-sql.ts';
import { literal } from './text.ts';
import { ADD_TOTALS } from './totals-sql.ts';

/**
 * The schema, one step a version: a database is brought up from the version it has. A step that has
 * been released is never changed.
 */
const MIGRATIONS: readonly string[] = [
  [TABLES, SUPPORT, ADD_TOTALS, TEND, APPLY, READ, OWN].join('\n'),
  NOTES,
];

/** The version that this code reads and writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.length;

/** The functions that a role which only spends may call. */
const FOR_SPENDERS: readonly string[] = [
  'schema_version',
  'apply',
  'read_balances',
  'read_envelopes',
  'read_holds',
  'read_journal',
  'read_totals',
  'read_total_rows',
  'read_policy',
  'read_note',
  'write_note',
];

/** Checks the name of a schema, so that it can stand in SQL as it is. @throws InvalidOptionError */
export function checkSchema(schema: string): string {
  if (typeof schema !== 'string' || !/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new InvalidOptionError(
      `schema is ${JSON.stringify(schema)}; a name is 1 to 63 lower-case letters, digits or '_', and begins with no digit`,
    );
  }
  return schema;
}

/** Checks the name of a role. @throws InvalidOptionError */
export function checkRole(role: string): string {
  if (typeof role !== 'string' || !/^[A-Za-z_][A-Za-z0-9_$-]{0,62}$/.test(role)) {
    throw new InvalidOptionError(
      `spender is ${JSON.stringify(role)}; name a role of 1 to 63 letters, digits, '_' or '-'`,
    );
  }
  return role;
}

/**
 * Brings a schema up to this version, under a lock that all who migrate it wait for, in one
 * transaction.
 */
export async function migrateSchema(
  connection: PostgresConnection,
  schema: string,
  spender: string | undefined,
): Promise<void> {
  const session = await connection.session();
  const { query } = session;
  let sound = false;
  try {
    await query('BEGIN');
    await query(
      `SELECT pg_advisory_xact_lock(hashtextextended(${literal(`pursestrings ${schema}`)}, 0))`,
    );
    const version = await standingVersion(query, schema);
    if (version > SCHEMA_VERSION) throw newerSchema(schema, version);
    if (version < SCHEMA_VERSION) await bringUp(query, schema, version);
    if (spender !== undefined) await grant(query, schema, spender);
    await query('COMMIT');
    sound = true;
  } finally {
    if (!sound) await query('ROLLBACK').catch(() => undefined);
    session.release(sound);
  }
}

/** Looks whether a schema has this version. @throws StoreError that says what to do if not. */
export async function checkVersion(connection: PostgresConnection, schema: string): Promise<void> {
  let version = 0;
  try {
    version = Number(await connection.query(`SELECT ${schema}.schema_version()`));
  } catch (error) {
    if (!isUnmigrated(error)) throw error;
  }
  if (version > SCHEMA_VERSION) throw newerSchema(schema, version);
  if (version < SCHEMA_VERSION) {
    throw new StoreError(
      'STORE_UNAVAILABLE',
      'misconfigured',
      `The Postgres schema ${schema} has version ${version} of the ledger's tables, and this pursestrings needs version ` +
        `${SCHEMA_VERSION}: call migrate() of pursestrings/stores/postgres once before you spend`,
    );
  }
}

async function standingVersion(query: SessionQuery, schema: string): Promise<number> {
  const table = await query(`SELECT to_regclass(${literal(`${schema}.version`)})`);
  return table === null ? 0 : Number(await query(`SELECT max(version) FROM ${schema}.version`));
}

async function bringUp(query: SessionQuery, schema: string, version: number): Promise<void> {
  if (version === 0) {
    const there = await query(`SELECT to_regnamespace(${literal(schema)})`);
    if (there === null) await query(`CREATE SCHEMA ${schema}`);
  }
  await query(`SET LOCAL search_path = ${schema}`);
  if (version === 0) {
    await query('CREATE TABLE version (version int NOT NULL)');
    await query('INSERT INTO version VALUES (0)');
    await query(
      `CREATE FUNCTION schema_version() RETURNS int LANGUAGE sql STABLE SECURITY DEFINER
       SET search_path = pg_catalog, ${schema}, pg_temp AS 'SELECT max(version) FROM version'`,
    );
  }
  for (const step of MIGRATIONS.slice(version)) await query(step.replaceAll(':schema', schema));
  await query(`REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${schema} FROM PUBLIC`);
  await query(`UPDATE version SET version = ${SCHEMA_VERSION}`);
}

/** Lets a role spend and read, and nothing else. */
async function grant(query: SessionQuery, schema: string, role: string): Promise<void> {
  await query(`GRANT USAGE ON SCHEMA ${schema} TO "${role}"`);
  for (const name of FOR_SPENDERS) {
    await query(`GRANT EXECUTE ON FUNCTION ${schema}.${name} TO "${role}"`);
  }
}

function newerSchema(schema: string, version: number): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'newer_schema',
    `The Postgres schema ${schema} has version ${version}, and this pursestrings knows versions up to ${SCHEMA_VERSION}; upgrade it`,
  );
}
