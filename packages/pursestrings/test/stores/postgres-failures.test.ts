import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';

import { type Charge, openPurse, type Purse } from '../../src/index.ts';
import { migrate, type PgPool, postgres } from '../../src/stores/postgres.ts';
import { startChild } from '../contention/children.ts';
import { freePort, postgresServer } from '../servers/postgres-server.ts';
import { charges, steps } from './fixture.ts';
import {
  ask,
  CLIENTS,
  freshRole,
  freshSchema,
  makeClient,
  makePool,
  migratedSchema,
  url,
} from './postgres-fixture.ts';

const WORKER = new URL('postgres-worker.ts', import.meta.url);
const LIMITS = [{ name: 'all', cap: { usd: 1000 } }];

describe.each(CLIENTS)('by %s', (kind) => {
  it('a schema that nobody has migrated is named, with what to do', async () => {
    const store = postgres(makeClient(kind), { schema: freshSchema() });
    await expect(openPurse({ store, limits: LIMITS })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      failure: 'misconfigured',
      message: expect.stringContaining('migrate()') as string,
    });
  });

  it('a server that is not there is unavailable, and nothing was written', async () => {
    const nowhere = `postgres://postgres@127.0.0.1:${await freePort()}/test`;
    const store = postgres(makeClient(kind, nowhere));
    await expect(store.apply([])).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      failure: 'unreachable',
      retryable: true,
    });
  });

  it('a role that may only spend spends, and changes no limit', async () => {
    const schema = await migratedSchema();
    const owner = await openPurse({ store: postgres(makePool(), { schema }), limits: LIMITS });
    const { role, roleUrl } = await freshRole();
    await migrate(url, { schema, spender: role });
    const purse = await openPurse({ store: postgres(makeClient(kind, roleUrl), { schema }) });
    await (await purse.reserve({ usd: 2 }, { agent: 'a' })).settle({ usd: 1 });
    expect((await purse.report()).total).toEqual({ usd: 1 });
    expect(await charges(purse)).toHaveLength(1);
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
    const denied = { code: 'STORE_UNAVAILABLE', failure: 'read_only', retryable: false };
    await expect(purse.setLimit({ name: 'all', cap: { usd: 9999 } })).rejects.toMatchObject(denied);
    await expect(purse.freeze({})).rejects.toMatchObject(denied);
    const client = makePool(roleUrl);
    for (const table of ['envelopes', 'holds', 'journal', 'ledgers', 'totals']) {
      await expect(client.query(`SELECT * FROM ${schema}.${table}`)).rejects.toMatchObject({
        code: '42501',
      });
      await expect(client.query(`DELETE FROM ${schema}.${table}`)).rejects.toThrow(/permission/);
    }
    expect((await owner.limits())[0]?.cap).toEqual({ usd: 1000 });
  });
});

it('a role that may only spend has the right to what spends and reads, and to nothing else', async () => {
  const schema = await migratedSchema();
  const { role, roleUrl } = await freshRole();
  await migrate(url, { schema, spender: role });
  const callable = await ask(
    `SELECT proname AS name FROM pg_proc WHERE pronamespace = '${schema}'::regnamespace
       AND has_function_privilege('${role}', oid, 'EXECUTE') ORDER BY 1`,
  );
  expect(callable.map(({ name }) => name)).toEqual([
    'apply',
    'read_balances',
    'read_envelopes',
    'read_holds',
    'read_journal',
    'read_note',
    'read_policy',
    'read_total_rows',
    'read_totals',
    'schema_version',
    'write_note',
  ]);
  const reachable = await ask(
    `SELECT relname FROM pg_class WHERE relnamespace = '${schema}'::regnamespace AND relkind IN ('r', 'S')
       AND CASE relkind WHEN 'S' THEN has_sequence_privilege('${role}', oid, 'USAGE, SELECT, UPDATE')
         ELSE has_table_privilege('${role}', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') END`,
  );
  expect(reachable).toEqual([]);
  const worker = makePool(roleUrl);
  const refused = { code: '42501' };
  const policy = `${schema}.write_policy('default', '{}', 0)`;
  await expect(worker.query(`SELECT ${policy}`)).rejects.toMatchObject(refused);
  await expect(worker.query(`CREATE TABLE ${schema}.x ()`)).rejects.toMatchObject(refused);
  // The functions run as their owner: no table of the caller's may stand in for one of theirs.
  await openPurse({ store: postgres(makePool(), { schema }), limits: LIMITS });
  await ask(`GRANT TEMPORARY ON DATABASE ${new URL(url).pathname.slice(1)} TO ${role}`);
  const client = await worker.connect();
  await client.query(
    `CREATE TEMP TABLE ledgers AS SELECT 1 AS id, 'default' AS name, 9 AS revision`,
  );
  const stands = await client.query(`SELECT ${schema}.read_policy('default') AS policy`);
  client.release();
  expect(stands.rows).toEqual([{ policy: expect.stringMatching(/name.*all/) as string }]);
});

it('a pooler that gives each statement another connection changes nothing', async () => {
  const schema = await migratedSchema();
  const pools = Array.from({ length: 5 }, () => makePool(url, 1));
  let turn = 0;
  const next = (): PgPool => {
    turn += 1;
    return pools[turn % pools.length] ?? makePool();
  };
  const pooler: PgPool = {
    connect: () => next().connect(),
    query: (statement) => next().query(statement),
    end: () => Promise.resolve(),
  };
  const purse = await openPurse({ store: postgres(pooler, { schema }), limits: LIMITS });
  for (let count = 0; count < 20; count += 1) {
    const hold = await purse.reserve({ usd: 1 }, { agent: `a${count % 3}` });
    await hold.settle({ usd: 0.5 });
  }
  expect((await purse.report()).total).toEqual({ usd: 10 });
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 20 });
  const settings = await Promise.all(
    pools.map((pool) => pool.query('SELECT current_setting($1) AS value', ['enable_seqscan'])),
  );
  expect(settings.map(({ rows }) => rows[0] as unknown)).toEqual(
    pools.map(() => ({ value: 'on' })),
  );
});

/** A proxy before the server, that cuts connections: before a request arrives, or after it was served. */
class CuttingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** How the next batch is cut, once. */
  cut: 'request' | 'answer' | null = null;

  constructor(target: URL) {
    this.#server = createServer((client) => {
      const upstream = connect(Number(target.port), target.hostname);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          client.destroy();
          upstream.destroy();
        });
      }
      let cutAnswer = false;
      client.on('data', (data) => {
        if (this.cut !== null && data.includes('.apply(')) {
          const { cut } = this;
          this.cut = null;
          if (cut === 'request') return client.destroy();
          cutAnswer = true;
        }
        return upstream.write(data);
      });
      upstream.on('data', (data) => (cutAnswer ? client.destroy() : client.write(data)));
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

it.each(CLIENTS)(
  'a batch whose answer is lost is asked again and happens once, by %s',
  async (kind) => {
    const schema = await migratedSchema();
    const proxy = new CuttingProxy(new URL(url));
    onTestFinished(() => proxy.close());
    const proxied = new URL(url);
    proxied.port = String(await proxy.listen());
    const store = postgres(makeClient(kind, proxied.href), { schema });
    const purse = await openPurse({ store, limits: LIMITS });
    for (let count = 0; count < 6; count += 1) {
      proxy.cut = count % 2 === 0 ? 'answer' : 'request';
      const hold = await purse.reserve({ usd: 1 });
      proxy.cut = count % 3 === 0 ? 'answer' : 'request';
      await hold.settle({ usd: 0.5 });
      proxy.cut = 'answer';
      await purse.charge({ usd: 0.25 });
    }
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 12 });
    expect((await purse.report()).total).toEqual({ usd: 4.5 });
  },
);

it('a batch that comes twice, both times as new, happens once', async () => {
  const schema = await migratedSchema();
  const pool = makePool();
  // Every statement is sent twice, as a network may do with one that was given up for lost.
  const twice: PgPool = {
    connect: async () => {
      const client = await pool.connect();
      return {
        query: async (statement) => {
          if (statement.includes('.apply(')) await client.query(statement);
          return client.query(statement);
        },
        release: (destroy) => client.release(destroy),
        on: (event, listener) => client.on(event, listener),
        off: (event, listener) => client.off(event, listener),
      };
    },
    query: (statement) => pool.query(statement),
    end: () => Promise.resolve(),
  };
  const purse = await openPurse({ store: postgres(twice, { schema }), limits: LIMITS });
  const lives = Array.from({ length: 50 }, async () => {
    const hold = await purse.reserve({ usd: 1 });
    await hold.settle({ usd: 0.5 });
    await purse.charge({ usd: 0.25 });
  });
  await Promise.all(lives);
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 100 });
  expect((await purse.report()).total).toEqual({ usd: 37.5 });
});

it(
  'keeps every acknowledged charge while its server is killed, over and over',
  { timeout: 300_000 },
  async () => {
    const server = await postgresServer();
    onTestFinished(() => server.remove());
    await server.start();
    await migrate(server.url, { schema: 'purse' });
    const spenders = Array.from({ length: 2 }, () =>
      startChild(WORKER, [server.url, 'purse', 'spend']),
    );
    const acknowledged: string[] = [];
    for (const spender of spenders) {
      expect(await spender.line()).toBe('ready');
      spender.say('go');
      void (async () => {
        for (;;) acknowledged.push(await spender.line());
      })().catch(() => undefined);
    }
    for (let kill = 0; kill < 4; kill += 1) {
      const before = acknowledged.length;
      while (acknowledged.length < before + 200) await sleep(20);
      await server.kill();
      await server.start();
    }
    for (const spender of spenders) spender.process.kill('SIGKILL');
    await sleep(200);
    const store = postgres(server.url);
    const purse: Purse = await openPurse({ store });
    const journal = new Map<string, Charge>();
    for (const charge of await charges(purse)) journal.set(charge.id, charge);
    expect(acknowledged.length).toBeGreaterThan(800);
    expect(acknowledged.filter((id) => steps(journal.get(id)?.amounts['usd']) !== 1e6)).toEqual([]);
    expect(await purse.verify()).toMatchObject({ ok: true, charges: journal.size });
    await store.close();
  },
);

it('says that it was closed, and leaves the client of its caller open', async () => {
  const schema = await migratedSchema();
  const pool = makePool();
  const store = postgres(pool, { schema });
  await store.apply([]);
  await store.close();
  await expect(store.apply([])).rejects.toMatchObject({ failure: 'closed' });
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  expect(await ask('SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

it('closes although the server says nothing, and its client waits for ever', async () => {
  const schema = await migratedSchema();
  const pool = makePool();
  let hangs = false;
  const hanging: PgPool = {
    connect: () => (hangs ? new Promise(() => undefined) : pool.connect()),
    query: (statement) => pool.query(statement),
    end: () => Promise.resolve(),
  };
  const store = postgres(hanging, { schema });
  const purse = await openPurse({ store, limits: LIMITS });
  await purse.charge({ usd: 1 });
  // A denial waits to be counted, and the count is not worth waiting for.
  await expect(purse.reserve({ usd: 5000 })).rejects.toMatchObject({ code: 'BUDGET_EXCEEDED' });
  hangs = true;
  await store.close();
  await expect(store.apply([])).rejects.toMatchObject({ failure: 'closed' });
});

it('a refusal that nobody expected is a StoreError that says what was refused', async () => {
  await expect(migrate(url, { spender: 'nobody_of_that_name' })).rejects.toMatchObject({
    failure: 'misconfigured',
    message: expect.stringContaining('role "nobody_of_that_name" does not exist') as string,
  });
  await expect(migrate(url, { schema: 'select' })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    failure: 'misconfigured',
    message: expect.stringContaining('syntax error at or near "select"') as string,
  });
});

it('refuses a single client, for a store needs several connections', () => {
  expect(() => postgres(new pg.Client(url) as never)).toThrow(/a Pool of the package 'pg'/);
});

it('lets no idle connection that breaks end the process, however many stores a pool has', async () => {
  const pool = new pg.Pool({ connectionString: url });
  onTestFinished(() => pool.end());
  const schema = await migratedSchema();
  await postgres(pool, { schema }).apply([]);
  postgres(pool, { schema });
  expect(pool.listenerCount('error')).toBe(1);
  expect(() => pool.emit('error', new Error('Connection terminated unexpectedly'))).not.toThrow();
});
