import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';

import { exportLedger, openPurse } from '../../src/index.ts';
import { migrate, postgres } from '../../src/stores/postgres.ts';
import { answers, freePort, postgresServer } from '../servers/postgres-server.ts';
import { TransactionPooler } from '../servers/transaction-pooler.ts';
import { CLIENTS, makeClient } from './postgres-fixture.ts';

const PGBOUNCER = '/usr/sbin/pgbouncer';
const LIMITS = [
  { name: 'all', cap: { usd: 1000 } },
  { name: 'agent', cap: { usd: 100 }, each: ['agent'] },
];

const server = await postgresServer();
await server.start();
const endings: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of endings.reverse()) await end();
  await server.remove();
});

async function loopbackPooler(): Promise<string> {
  const pooler = new TransactionPooler(server.url);
  endings.push(() => pooler.close());
  return pooler.listen(3);
}

/** PgBouncer itself: https://www.pgbouncer.org/config.html */
async function pgbouncer(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'purse-pgbouncer-'));
  await chmod(directory, 0o755);
  const port = await freePort();
  const settings = [
    '[databases]',
    `postgres = host=127.0.0.1 port=${server.port} user=postgres dbname=postgres`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    'default_pool_size = 3',
    'server_round_robin = 1',
    ...(process.getuid?.() === 0 ? ['user = postgres'] : []),
  ];
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(file, `${settings.join('\n')}\n`, { mode: 0o644 });
  const child = spawn(PGBOUNCER, [file], { stdio: 'ignore' });
  endings.push(async () => {
    child.kill('SIGKILL');
    await rm(directory, { recursive: true });
  });
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(`pgbouncer ended with ${child.exitCode}`);
    await sleep(20);
  }
  return `postgres://postgres@127.0.0.1:${port}/postgres`;
}

const POOLERS: readonly (readonly [string, () => Promise<string>])[] = [
  ['a loopback pooler', loopbackPooler],
  // The real one as well, where it is installed.
  ...(existsSync(PGBOUNCER) ? ([['PgBouncer', pgbouncer]] as const) : []),
];

async function askServer(statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    return (await client.query(statement)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

describe.each(POOLERS)('in transaction mode behind %s', (name, startPooler) => {
  it.each(CLIENTS)('by %s: migrates, spends, verifies and exports', async (kind) => {
    const pooled = await startPooler();
    const schema = `${name.replace(/\W/g, '_').toLowerCase()}_${kind}`;
    // Two processes, of which each has its own client behind the one pooler.
    const clients = [makeClient(kind, pooled), makeClient(kind, pooled)] as const;
    await Promise.all(clients.map((client) => migrate(client, { schema })));
    const [store, other] = [postgres(clients[0], { schema }), postgres(clients[1], { schema })];
    const purse = await openPurse({ store, limits: LIMITS });
    const neighbour = await openPurse({ store: other });
    const spends = Array.from({ length: 120 }, async (_, turn) => {
      const by = turn % 2 === 0 ? purse : neighbour;
      const hold = await by.reserve({ usd: 0.5 }, { agent: `a${turn % 5}` });
      await hold.settle({ usd: 0.25 });
    });
    await Promise.all([...spends, ...Array.from({ length: 5 }, () => neighbour.verify())]);
    expect((await neighbour.report()).total).toEqual({ usd: 30 });
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 120 });
    const records = await Array.fromAsync(exportLedger(store));
    expect(records.filter((line) => line.includes('"charge"'))).toHaveLength(120);
    expect(await askServer(`SELECT count(*)::int AS n FROM ${schema}.journal`)).toEqual([
      { n: 120 },
    ]);
  });
});

it('the loopback pooler gives a client another connection for each statement', async () => {
  const pooled = await loopbackPooler();
  const client = new pg.Client({ connectionString: pooled });
  await client.connect();
  const backends = new Set<unknown>();
  for (let turn = 0; turn < 3; turn += 1) {
    backends.add((await client.query('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
  }
  await client.end();
  expect(backends.size).toBe(3);
});
