/**
 * How much of what Postgres can do by hand is left with a purse around it?
 *
 * One lifecycle is a hold on three envelopes (one hot, one of 1,000, one of 100,000) and its
 * settle, with hold record, journal row and running totals, at `synchronous_commit = on`. The raw side
 * writes the same rows into the same tables, and tests the same caps: one prepared, set-based statement
 * for all operations of a turn, one in flight.
 *
 * `postgres.ts` compares the two; `postgres.ts rows 10000000` an empty ledger with one of so many
 * journal rows; `postgres.ts processes` one process with eight on one hot envelope. The server is
 * PURSE_TEST_POSTGRES_URL, or the one at 127.0.0.1:5432.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Limit, openPurse, type Purse } from 'pursestrings';
import { migrate, postgres } from 'pursestrings/stores/postgres';
import { uuidv7 } from 'uuidv7';
import { compare, type Contender, median, printRatio, throughput } from './harness.ts';

const url = process.env['PURSE_TEST_POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const [mode = 'ratio', ...args] = process.argv.slice(2);

const HELD_STEPS = 1_000_000;
const SPENT_STEPS = 700_000;
const AMPLE_USD = 9_000_000;
/** Enough for the projects that are spent on now and then, soon gone for the ten that half is spent on. */
const TIGHT_USD = 0.5;

const limitsOf = (projectUsd: number): readonly Limit[] => [
  { name: 'all', cap: { usd: AMPLE_USD } },
  { name: 'project', cap: { usd: projectUsd }, per: 'day', each: ['project'] },
  { name: 'agent', cap: { usd: AMPLE_USD }, per: 'day', each: ['agent'] },
];

/** Where caps bind, every second spend is on one of ten projects. */
const projectOf = (turn: number, binding: boolean): string =>
  binding && turn % 2 === 0 ? `p${turn % 20}` : `p${turn % 1000}`;
const agentOf = (turn: number): string => `a${(turn * 7919) % 100_000}`;

let schemas = 0;
async function freshSchema(pool: pg.Pool): Promise<string> {
  schemas += 1;
  const schema = `purse_bench_${process.pid}_${schemas}`;
  await migrate(pool, { schema });
  return schema;
}

async function spend(purse: Purse, turn: number, binding: boolean): Promise<void> {
  const labels = { project: projectOf(turn, binding), agent: agentOf(turn) };
  const reserved = await purse.tryReserve({ usd: 0.01 }, labels);
  if (reserved.ok) await reserved.hold.settle({ usd: 0.007 });
}

function purseSide(binding: boolean): Contender {
  return {
    name: 'purse',
    open: async () => {
      const pool = new pg.Pool({ connectionString: url, max: 2 });
      const schema = await freshSchema(pool);
      const limits = limitsOf(binding ? TIGHT_USD : AMPLE_USD);
      const purse = await openPurse({ store: postgres(pool, { schema }), limits });
      return {
        lifecycle: (turn) => spend(purse, turn, binding),
        close: async () => {
          await purse.close();
          await pool.query(`DROP SCHEMA ${schema} CASCADE`);
          await pool.end();
        },
      };
    },
  };
}

const RESERVE = `
WITH r AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY r(id, labels, project, agent, ord)
), l AS (
  SELECT ord, 1 AS grp, '' AS member FROM r UNION ALL SELECT ord, 2, project FROM r
  UNION ALL SELECT ord, 3, agent FROM r
), k AS (
  SELECT l.*, coalesce(e.spent, 0) + coalesce(e.held, 0)
    + sum(${HELD_STEPS}) OVER (PARTITION BY l.grp, l.member ORDER BY l.ord) AS used
  FROM l LEFT JOIN LATERAL (SELECT * FROM envelopes e WHERE e.group_id = l.grp AND e.member = l.member) e ON true
), fit AS (
  SELECT ord FROM k GROUP BY ord HAVING bool_and(used <= CASE grp WHEN 2 THEN $5::bigint ELSE $6::bigint END)
), m AS (
  INSERT INTO envelopes (id, group_id, spent, held, pruned, saturated, crossed, member)
    SELECT nextval('envelope_ids'), grp, 0, count(*) * ${HELD_STEPS}, 0, false, '', member
    FROM k JOIN fit USING (ord) GROUP BY grp, member ORDER BY grp, member
  ON CONFLICT (group_id, member) DO UPDATE SET held = envelopes.held + excluded.held
  RETURNING id, group_id, member
)
INSERT INTO holds (ledger, state, abandon, expires_at, id, units, steps, labels, occupied, said, envelopes, terms, unit_at)
  SELECT 1, 0, 0, $7::bigint + 600000, r.id, 'usd', '{${HELD_STEPS}}', r.labels, '', '/', x.ids, '{1,2,3}', '{1,1,1}'
  FROM r JOIN fit USING (ord) JOIN (
    SELECT k.ord, array_agg(m.id ORDER BY m.group_id) AS ids FROM k
    JOIN m ON m.group_id = k.grp AND m.member = k.member GROUP BY k.ord) x USING (ord)
RETURNING id`;

const SETTLE = `
WITH s AS (
  UPDATE holds o SET state = 1, resolved_at = $4::bigint
  FROM unnest($1::text[], $2::text[], $3::text[]) x(id, labels, total)
  WHERE o.id = x.id AND o.ledger + 0 = 1 AND o.state = 0
  RETURNING o.id, x.labels, x.total, o.steps, o.envelopes
), e AS (
  UPDATE envelopes v SET held = v.held - d.many * ${HELD_STEPS}, spent = v.spent + d.many * ${SPENT_STEPS}
  FROM (SELECT u.id, count(*) AS many FROM s, unnest(s.envelopes) u(id) GROUP BY u.id) d WHERE v.id = d.id
), t AS (
  INSERT INTO totals (ledger, grain, slot, hash, unit, steps, charges, denials, labels)
    SELECT 1, g.grain, $4::bigint / g.size * g.size, substr(sha256(convert_to(s.total, 'UTF8')), 1, 16), 'usd',
      count(*) * ${SPENT_STEPS}, count(*), 0, s.total
    FROM s, (VALUES (0, 900000), (1, 86400000)) g(grain, size) GROUP BY 2, 3, s.total
  ON CONFLICT (ledger, grain, slot, hash, unit) DO UPDATE SET
    steps = totals.steps + excluded.steps, charges = totals.charges + excluded.charges
)
INSERT INTO journal (ledger, at, flags, id, units, steps, held_units, held_steps, labels, envelopes, posted)
  SELECT 1, $4::bigint, 0, s.id, 'usd', '{${SPENT_STEPS}}', 'usd', s.steps, s.labels, s.envelopes,
    '{${SPENT_STEPS},${SPENT_STEPS},${SPENT_STEPS}}'
  FROM s`;

interface RawWork {
  readonly id: string;
  readonly turn: number;
  readonly settle: boolean;
  readonly done: (held: boolean) => void;
}

/** The same writes by hand. Operations of one kind that were handed over in one turn share a statement. */
class RawLedger {
  readonly #client: pg.Client;
  readonly #binding: boolean;
  #waiting: RawWork[] = [];
  #busy = false;

  constructor(client: pg.Client, binding: boolean) {
    this.#client = client;
    this.#binding = binding;
  }

  async lifecycle(turn: number): Promise<void> {
    const id = uuidv7();
    const ask = (settle: boolean): Promise<boolean> =>
      new Promise((done) => {
        this.#waiting.push({ id, turn, settle, done });
        if (!this.#busy) setImmediate(() => void this.#flush());
      });
    if (await ask(false)) await ask(true);
  }

  async #flush(): Promise<void> {
    if (this.#busy || this.#waiting.length === 0) return;
    this.#busy = true;
    const batch = this.#waiting;
    this.#waiting = [];
    const settles = batch.filter(({ settle }) => settle);
    const reserves = batch.filter(({ settle }) => !settle);
    if (settles.length > 0) await this.#settle(settles);
    const held = reserves.length > 0 ? await this.#reserve(reserves) : new Set();
    this.#busy = false;
    for (const { id, done } of batch) done(held.has(id));
    if (this.#waiting.length > 0) setImmediate(() => void this.#flush());
  }

  async #reserve(batch: readonly RawWork[]): Promise<ReadonlySet<string>> {
    const caps = [(this.#binding ? TIGHT_USD : AMPLE_USD) * 1e8, AMPLE_USD * 1e8];
    const { rows } = await this.#client.query<{ id: string }>({
      name: 'reserve',
      text: RESERVE,
      values: [
        batch.map(({ id }) => id),
        batch.map(({ turn }) => this.#labels(turn)),
        batch.map(({ turn }) => `|${projectOf(turn, this.#binding)}`),
        batch.map(({ turn }) => `|${agentOf(turn)}`),
        ...caps,
        Date.now(),
      ],
    });
    return new Set(rows.map(({ id }) => id));
  }

  async #settle(batch: readonly RawWork[]): Promise<void> {
    const values = [
      batch.map(({ id }) => id),
      batch.map(({ turn }) => this.#labels(turn)),
      // A quarter-hour tells 1,000 label sets apart.
      batch.map(({ turn }) => (turn <= 1000 ? this.#labels(turn) : '{"(other)":"(other)"}')),
      Date.now(),
    ];
    await this.#client.query({ name: 'settle', text: SETTLE, values });
  }

  #labels(turn: number): string {
    return `{"agent":"${agentOf(turn)}","project":"${projectOf(turn, this.#binding)}"}`;
  }
}

function rawSide(binding: boolean): Contender {
  return {
    name: 'raw',
    open: async () => {
      const pool = new pg.Pool({ connectionString: url, max: 2 });
      const schema = await freshSchema(pool);
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(
        `SET search_path = ${schema}; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; SET jit = off`,
      );
      const ledger = new RawLedger(client, binding);
      return {
        lifecycle: (turn) => ledger.lifecycle(turn),
        close: async () => {
          await client.end();
          await pool.query(`DROP SCHEMA ${schema} CASCADE`);
          await pool.end();
        },
      };
    },
  };
}

/** Fills a ledger with history in bulk: journal rows and the envelopes that they add up to. */
async function fill(pool: pg.Pool, schema: string, rows: number): Promise<void> {
  const at = Date.now() - 86_400_000;
  await pool.query(`
    SET search_path = ${schema};
    INSERT INTO journal (ledger, at, flags, id, units, steps, held_units, held_steps, labels, envelopes, posted)
    SELECT (SELECT min(id) FROM ledgers), ${at} + n / 200, 0, 'old-' || lpad(n::text, 12, '0'), 'usd', '{1}', 'usd', '{1}',
      '{"agent":"a' || n % 100000 || '","project":"p' || n % 1000 || '"}', ARRAY[(SELECT min(id) FROM envelopes)], '{1}'
    FROM generate_series(1, ${rows}) n;
    UPDATE envelopes SET spent = spent + ${rows} WHERE id = (SELECT min(id) FROM envelopes);
    RESET search_path`);
  await pool.query(`VACUUM ANALYZE ${schema}.journal`);
  await pool.query('CHECKPOINT');
}

/** The median time of an operation, one in flight, on an empty ledger and on one with history, in turn. */
async function compareWithHistory(rows: number): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const sides = await Promise.all(
    [0, rows].map(async () => {
      const schema = await freshSchema(pool);
      const purse = await openPurse({
        store: postgres(pool, { schema }),
        limits: limitsOf(AMPLE_USD),
      });
      await spend(purse, 0, false);
      return { schema, purse, times: [] as number[] };
    }),
  );
  const old = sides[1];
  if (old !== undefined) await fill(pool, old.schema, rows);
  for (let turn = 1; turn <= 3000; turn += 1) {
    for (const { purse, times } of sides) {
      const startMs = performance.now();
      await spend(purse, turn, false);
      if (turn > 500) times.push(performance.now() - startMs);
    }
  }
  const [empty = Number.NaN, full = Number.NaN] = sides.map(({ times }) => median(times));
  const verdict = full / empty <= 1.2 ? 'reached' : 'MISSED';
  console.log(
    `median lifecycle: empty ${empty.toFixed(3)} ms, ${rows.toLocaleString('en-US')} rows ${full.toFixed(3)} ms, ` +
      `ratio ${(full / empty).toFixed(2)} (at most 1.2: ${verdict})`,
  );
  for (const { schema, purse } of sides) {
    await purse.close();
    await pool.query(`DROP SCHEMA ${schema} CASCADE`);
  }
  await pool.end();
}

/** So many lifecycles make a process warm. */
const WARM_UP = 5_000;

/** Spends in a process of its own for a while and says how many lifecycles it finished. */
async function work(schema: string, inFlight: number, durationMs: number): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const limits = [{ name: 'all', cap: { usd: AMPLE_USD } }];
  const purse = await openPurse({ store: postgres(pool, { schema }), limits });
  // A process is slow until its code is compiled, and eight of them share what one has alone.
  for (let count = 0; count < WARM_UP; count += inFlight) {
    await Promise.all(Array.from({ length: inFlight }, (_, turn) => spend(purse, turn, false)));
  }
  process.stdout.write('ready\n');
  await once(process.stdin, 'data');
  const perSecond = await throughput((turn) => spend(purse, turn, false), inFlight, durationMs);
  process.stdout.write(`${perSecond}\n`);
  await purse.close();
  await pool.end();
  process.exit();
}

async function together(processes: number, inFlight: number): Promise<number> {
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const schema = await freshSchema(pool);
  const script = fileURLToPath(import.meta.url);
  const workers = Array.from({ length: processes }, () =>
    spawn(process.execPath, [script, 'work', schema, String(inFlight), '4000'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  );
  // Listened for from the start: the first to end may do so before the last has spoken.
  const ended = Promise.all(workers.map((worker) => once(worker, 'exit')));
  await Promise.all(workers.map(({ stdout }) => once(stdout, 'data')));
  for (const { stdin } of workers) stdin.write('go\n');
  const said = await Promise.all(workers.map(({ stdout }) => once(stdout, 'data')));
  await ended;
  await pool.query(`DROP SCHEMA ${schema} CASCADE`);
  await pool.end();
  return said.reduce((sum, [line]) => sum + Number(String(line)), 0);
}

/** Eight processes like the one, and eight that share its spends in flight among them. */
const SHAPES = [
  { one: 32, each: 32, aim: 1 },
  { one: 256, each: 256, aim: 1 },
  { one: 256, each: 32, aim: undefined },
] as const;

async function compareProcesses(): Promise<void> {
  for (const { one, each, aim } of SHAPES) {
    const rounds: { single: number; eight: number }[] = [];
    for (let round = 0; round < 3; round += 1) {
      rounds.push({ single: await together(1, one), eight: await together(8, each) });
    }
    const ratio = median(rounds.map(({ single, eight }) => eight / single));
    const single = Math.round(median(rounds.map((round) => round.single)));
    const eight = Math.round(median(rounds.map((round) => round.eight)));
    const verdict = ratio >= (aim ?? 0) ? 'reached' : 'MISSED';
    console.log(
      `one hot envelope: 1 process with ${one} in flight ${single} /s, 8 with ${each} each ${eight} /s, ` +
        `ratio ${ratio.toFixed(2)}${aim === undefined ? '' : ` (at least ${aim}: ${verdict})`}`,
    );
  }
}

if (mode === 'work') await work(args[0] ?? '', Number(args[1]), Number(args[2]));
else if (mode === 'rows') await compareWithHistory(Number(args[0] ?? 10_000_000));
else if (mode === 'processes') await compareProcesses();
else {
  const settings = { inFlight: 256, rounds: 3, durationMs: Number(args[0] ?? 4000) };
  printRatio(
    'Postgres, 256 in flight',
    await compare(purseSide(false), rawSide(false), settings),
    0.5,
  );
  printRatio(
    'Postgres, 256 in flight, caps that bind',
    await compare(purseSide(true), rawSide(true), settings),
    0.5,
  );
}
