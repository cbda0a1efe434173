import pg from 'pg';
import postgresJs from 'postgres';
import { afterAll } from 'vitest';

import type { PgPool, PostgresClient, PostgresJs } from '../../src/stores/postgres.ts';
import { postgresUrl } from '../servers/postgres-server.ts';

/** Both clients: what is said of one of them holds for both. */
export const CLIENTS = ['pg', 'postgres'] as const;
export type ClientKind = (typeof CLIENTS)[number];

const server = await postgresUrl();
export const url: string = server.url;

const schemas: string[] = [];
const pools: pg.Pool[] = [];
const sqls: ReturnType<typeof postgresJs>[] = [];

/** The name of a schema that goes with the test file. */
export function freshSchema(): string {
  const schema = `purse_test_${process.pid}_${Date.now().toString(36)}_${schemas.length}`;
  schemas.push(schema);
  return schema;
}

/** A client of a kind, ended with the test file. */
export function makeClient(kind: ClientKind, at: string = url): PostgresClient {
  return kind === 'pg' ? makePool(at) : makeSql(at);
}

export function makePool(at: string = url): pg.Pool & PgPool {
  const pool = new pg.Pool({ connectionString: at, max: 4 });
  pool.on('error', () => undefined);
  pools.push(pool);
  return pool;
}

export function makeSql(at: string = url): PostgresJs {
  const sql = postgresJs(at, { max: 4, onnotice: () => undefined });
  sqls.push(sql);
  return sql as unknown as PostgresJs;
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

afterAll(async () => {
  for (const pool of pools) await pool.end();
  for (const sql of sqls) await sql.end({ timeout: 5 });
  for (const schema of schemas) await ask(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await server.stop();
});
