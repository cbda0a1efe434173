import pg from 'pg';
import postgresJs from 'postgres';
import { afterAll } from 'vitest';

import {
  migrate,
  type PgPool,
  type PostgresClient,
  type PostgresJs,
} from '../../src/stores/postgres.ts';
import { postgresUrl } from '../servers/postgres-server.ts';

/** Both clients: what is said of one of them holds for both. */
export const CLIENTS = ['pg', 'postgres'] as const;
export type ClientKind = (typeof CLIENTS)[number];

const server = await postgresUrl();
export const url: string = server.url;

const schemas: string[] = [];
const roles: string[] = [];
const endings: (() => Promise<unknown>)[] = [];

/** The name of a schema that goes with the test file. */
export function freshSchema(): string {
  const schema = `purse_test_${process.pid}_${Date.now().toString(36)}_${schemas.length}`;
  schemas.push(schema);
  return schema;
}

/** A schema with the tables of a ledger. */
export async function migratedSchema(): Promise<string> {
  const schema = freshSchema();
  await migrate(url, { schema });
  return schema;
}

/** A role that goes with the test file, and the URL that it logs in by. */
export async function freshRole(): Promise<{ readonly role: string; readonly roleUrl: string }> {
  const role = `purse_test_role_${process.pid}_${Date.now().toString(36)}_${roles.length}`;
  roles.push(role);
  await ask(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  const roleUrl = new URL(url);
  roleUrl.username = role;
  roleUrl.password = 'secret';
  return { role, roleUrl: roleUrl.href };
}

/** A client of a kind, ended with the test file. */
export function makeClient(kind: ClientKind, at: string = url): PostgresClient {
  return kind === 'pg' ? makePool(at) : makeSql(at);
}

export function makePool(at: string = url, max = 4): pg.Pool & PgPool {
  const pool = new pg.Pool({ connectionString: at, max });
  pool.on('error', () => undefined);
  endings.push(() => pool.end());
  return pool;
}

export function makeSql(at: string = url): PostgresJs {
  const sql = postgresJs(at, { max: 4, onnotice: () => undefined });
  endings.push(() => sql.end({ timeout: 5 }));
  return sql;
}

/** Asks the server itself. */
export async function ask(statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

const TABLES = [
  'ledgers',
  'tending',
  'groups',
  'terms',
  'envelopes',
  'holds',
  'journal',
  'totals',
  'slots',
  'notes',
  'note_counts',
] as const;

/** Takes everything out of a schema but its tables. */
export async function emptySchema(schema: string): Promise<void> {
  await ask(TABLES.map((table) => `DELETE FROM ${schema}.${table}`).join(';'));
}

afterAll(async () => {
  for (const end of endings) await end();
  for (const schema of schemas) await ask(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  for (const role of roles) await ask(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  await server.stop();
});
