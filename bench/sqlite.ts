/**
 * How much of what SQLite can do by hand is left with a purse around it?
 *
 * One lifecycle is a hold on three envelopes (one hot, one of 1,000, one of 100,000) and its
 * settle, with hold record, journal row and running totals, at durability `full`. The raw side
 * writes the same rows into the same tables by prepared statements: with one in flight, a
 * transaction an operation; with 256, one transaction for all operations of a turn.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { type Limit, openPurse } from 'pursestrings';
import { uuidv7 } from 'uuidv7';
import { compare, type Contender, printRatio } from './harness.ts';

const limits: readonly Limit[] = [
  { name: 'all', cap: { usd: 9_000_000 } },
  { name: 'project', cap: { usd: 9_000_000 }, per: 'day', each: ['project'] },
  { name: 'agent', cap: { usd: 9_000_000 }, per: 'day', each: ['agent'] },
];

const labelsOf = (turn: number): { readonly project: string; readonly agent: string } => ({
  project: `p${turn % 1000}`,
  agent: `a${(turn * 7919) % 100_000}`,
});

const purseSide: Contender = {
  name: 'purse',
  open: async () => {
    const directory = mkdtempSync(join(tmpdir(), 'purse-bench-'));
    const purse = await openPurse({ store: `sqlite:${join(directory, 'purse.db')}`, limits });
    return {
      lifecycle: async (turn) => {
        const hold = await purse.reserve({ usd: 0.01 }, labelsOf(turn));
        await hold.settle({ usd: 0.007 });
      },
      close: async () => {
        await purse.close();
        rmSync(directory, { recursive: true });
      },
    };
  },
};

const CAP_STEPS = 900_000_000_000_000;
const HELD_STEPS = 1_000_000;
const SPENT_STEPS = 700_000;

/** The same writes by hand. Work handed over in one turn shares a transaction. */
class RawLedger {
  readonly #database: DatabaseSync;
  readonly #statements: Record<string, StatementSync>;
  readonly #perOperation: boolean;
  #waiting: { work: () => void; done: () => void }[] = [];

  constructor(path: string, perOperation: boolean) {
    this.#perOperation = perOperation;
    this.#database = new DatabaseSync(path);
    this.#database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536',
    );
    const sql = {
      begin: 'BEGIN IMMEDIATE',
      commit: 'COMMIT',
      find: 'SELECT id, spent, held FROM purse_envelopes WHERE ledger = 1 AND key = ?',
      open: `INSERT INTO purse_envelopes (ledger, key, place, ends_at, spent, held, pruned, crossed, saturated)
             VALUES (1, ?, ?, ?, 0, ?, 0, '[]', 0)`,
      hold: 'UPDATE purse_envelopes SET held = held + ? WHERE id = ?',
      post: 'UPDATE purse_envelopes SET held = held - ?, spent = spent + ? WHERE id = ?',
      addHold: `INSERT INTO purse_holds (ledger, id, open, due_at, state, expires_at, resolved_at, amounts, labels,
                description, if_abandoned, occupied, said, lines)
                VALUES (1, ?, 1, ?, 'open', ?, NULL, ?, ?, NULL, 'release', '[]', '/', ?)`,
      findHold: 'SELECT lines FROM purse_holds WHERE ledger = 1 AND id = ?',
      settleHold: `UPDATE purse_holds SET open = 0, due_at = ?, state = 'settled', resolved_at = ?
                   WHERE ledger = 1 AND id = ?`,
      charge: `INSERT INTO purse_journal (ledger, id, at, amounts, labels, description, held, overrun, late,
               abandoned, corrects, crossed, envelopes) VALUES (1, ?, ?, ?, ?, NULL, ?, 0, 0, 0, NULL, '[]', ?)`,
      total: `INSERT INTO purse_totals VALUES (1, ?, ?, ?, ?, 1, 0)
              ON CONFLICT DO UPDATE SET charges = charges + 1, amounts = excluded.amounts`,
    };
    this.#statements = Object.fromEntries(
      Object.entries(sql).map(([name, text]) => [name, this.#database.prepare(text)]),
    );
  }

  async lifecycle(turn: number): Promise<void> {
    const id = uuidv7();
    const { project, agent } = labelsOf(turn);
    const labels = `{"agent":"${agent}","project":"${project}"}`;
    const keys = [
      'all|total|||usd|total',
      `project|day|||usd|2026-01-01|${project}`,
      `agent|day|||usd|2026-01-01|${agent}`,
    ];
    await this.#run(() => this.#reserve(id, keys, labels));
    await this.#run(() => this.#settle(id, labels));
  }

  close(): void {
    this.#database.close();
  }

  #reserve(id: string, keys: readonly string[], labels: string): void {
    const nowMs = Date.now();
    const ids = keys.map((key) => {
      const row = this.#statements['find']?.get(key);
      if (row === undefined) {
        const place = `["${key.slice(0, 7)}","usd",["agent"],["x"],"2026-01-01",0,1]`;
        return Number(this.#statements['open']?.run(key, place, nowMs, HELD_STEPS).lastInsertRowid);
      }
      if (HELD_STEPS > CAP_STEPS - Number(row['spent']) - Number(row['held']))
        throw new Error('denied');
      this.#statements['hold']?.run(HELD_STEPS, Number(row['id']));
      return Number(row['id']);
    });
    const lines = `[${ids.map((envelope) => `[${envelope},1]`).join(',')}]`;
    this.#statements['addHold']?.run(
      id,
      nowMs + 600_000,
      nowMs + 600_000,
      `{"usd":${HELD_STEPS}}`,
      labels,
      lines,
    );
  }

  #settle(id: string, labels: string): void {
    const nowMs = Date.now();
    const lines = JSON.parse(String(this.#statements['findHold']?.get(id)?.['lines'])) as [
      number,
      number,
    ][];
    for (const [envelope] of lines)
      this.#statements['post']?.run(HELD_STEPS, SPENT_STEPS, envelope);
    this.#statements['settleHold']?.run(nowMs + 604_800_000, nowMs, id);
    const ids = `[${lines.map(([envelope]) => envelope).join(',')}]`;
    const amounts = `{"usd":${SPENT_STEPS}}`;
    this.#statements['charge']?.run(id, nowMs, amounts, labels, `{"usd":${HELD_STEPS}}`, ids);
    this.#statements['total']?.run(0, Math.floor(nowMs / 900_000), labels, amounts);
    this.#statements['total']?.run(1, Math.floor(nowMs / 86_400_000), labels, amounts);
  }

  #run(work: () => void): Promise<void> {
    if (this.#perOperation) {
      this.#transaction([work]);
      return Promise.resolve();
    }
    return new Promise((done) => {
      this.#waiting.push({ work, done });
      if (this.#waiting.length === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#transaction(batch.map(({ work }) => work));
    for (const { done } of batch) done();
  }

  #transaction(works: readonly (() => void)[]): void {
    this.#statements['begin']?.run();
    for (const work of works) work();
    this.#statements['commit']?.run();
  }
}

function rawSide(perOperation: boolean): Contender {
  return {
    name: 'prepared statements',
    open: async () => {
      const directory = mkdtempSync(join(tmpdir(), 'purse-bench-'));
      const path = join(directory, 'raw.db');
      // The purse makes the tables, so that both sides write to the same ones.
      await (await openPurse({ store: `sqlite:${path}` })).close();
      const ledger = new RawLedger(path, perOperation);
      return {
        lifecycle: (turn) => ledger.lifecycle(turn),
        close: async () => {
          ledger.close();
          rmSync(directory, { recursive: true });
        },
      };
    },
  };
}

const settings = { rounds: 5, durationMs: 1500 };
printRatio(
  'SQLite full, hold + settle, 3 limits, 1 in flight',
  await compare(purseSide, rawSide(true), { ...settings, inFlight: 1 }),
  0.8,
);
printRatio(
  'SQLite full, hold + settle, 3 limits, 256 in flight',
  await compare(purseSide, rawSide(false), { ...settings, inFlight: 256 }),
  0.6,
);
