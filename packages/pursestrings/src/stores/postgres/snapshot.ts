import type { LedgerRecord, TotalRecord } from '../../ledger/audit.ts';
import { labelSetFromKey } from '../../ledger/labels.ts';
import type { Envelope } from '../../ledger/records.ts';
import { DAY_SLOT_MS, SLOT_MS } from '../../ledger/report.ts';
import type { LedgerScope } from '../store.ts';
import type { SessionQuery } from './connection.ts';
import type { BalancesText, HoldsText, JournalText } from './reading.ts';
import { readHolds } from './reading.ts';
import { readCharge, readEnvelope } from './rows.ts';
import { literal } from './text.ts';

/** How many records are read at a time. */
const PAGE = 5000;

/** Asks one function of the schema, within the snapshot. */
type Ask = <T>(name: string, args: string) => Promise<T | null>;

type TotalRow = readonly [
  grain: number,
  slot: number,
  hash: string,
  unit: string,
  labels: string,
  steps: number,
  charges: number,
  denials: number,
];

/**
 * Reads a whole ledger in one snapshot, page by page: a transaction that reads only and sees what had
 * been committed when it began. It holds no lock that a spend would wait for.
 */
export async function* readSnapshot(
  query: SessionQuery,
  schema: string,
  ledger: string,
  scope: LedgerScope,
): AsyncGenerator<LedgerRecord> {
  const ask: Ask = async <T>(name: string, args: string) => {
    const text = await query(`SELECT ${schema}.${name}(${literal(ledger)},${args})`);
    return text === null ? null : (JSON.parse(text) as T);
  };
  await query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    const envelopes = new Map<number, Envelope>();
    for await (const [id, envelope] of readEnvelopes(ask)) {
      envelopes.set(id, envelope);
      yield { kind: 'envelope', envelope };
    }
    yield* holds(ask, true, envelopes);
    if (scope === 'whole') yield* holds(ask, false, envelopes);
    yield* charges(ask, envelopes);
    if (scope === 'whole') yield* totals(ask);
  } finally {
    await query('COMMIT');
  }
}

async function* readEnvelopes(ask: Ask): AsyncGenerator<readonly [number, Envelope]> {
  let after = "-1,''";
  for (;;) {
    const page = await ask<BalancesText>('read_balances', `NULL,NULL,${after},${PAGE}`);
    const rows = page?.items ?? [];
    for (const row of rows) yield [row[0], readEnvelope(row)];
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = `${last[9]},${literal(last[8])}`;
  }
}

async function* holds(
  ask: Ask,
  open: boolean,
  envelopes: ReadonlyMap<number, Envelope>,
): AsyncGenerator<LedgerRecord> {
  let after = '';
  for (;;) {
    const args = `NULL,${open},${literal(after)},${PAGE}`;
    const page = await ask<HoldsText>('read_holds', args);
    if (page === null) return;
    for (const hold of readHolds(page, envelopes)) yield { kind: 'hold', hold };
    const last = page.items?.at(-1);
    if (last === undefined || (page.items?.length ?? 0) < PAGE) return;
    after = last.id;
  }
}

async function* charges(
  ask: Ask,
  envelopes: ReadonlyMap<number, Envelope>,
): AsyncGenerator<LedgerRecord> {
  const span = '-9000000000000000,9000000000000000,false';
  let after = '-9000000000000000,-1';
  for (;;) {
    const args = `${span},${after},'{}'::text[],'{}'::text[],${PAGE}`;
    const page = await ask<JournalText>('read_journal', args);
    for (const row of page?.items ?? [])
      yield { kind: 'charge', charge: readCharge(row, envelopes) };
    if (page === null || page.next === null) return;
    after = page.next.replace(' ', ',');
  }
}

/** Puts the units of each total together: its rows stand next to each other. */
async function* totals(ask: Ask): AsyncGenerator<TotalRecord> {
  let after = "-1,0,'',''";
  let gathered: TotalRow[] = [];
  for (;;) {
    const rows = (await ask<TotalRow[]>('read_total_rows', `${after},${PAGE}`)) ?? [];
    for (const row of rows) {
      const [first] = gathered;
      const same = first?.[0] === row[0] && first[1] === row[1] && first[2] === row[2];
      if (first !== undefined && !same) {
        yield totalOf(gathered);
        gathered = [];
      }
      gathered.push(row);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) break;
    after = `${last[0]},${last[1]},${literal(last[2])},${literal(last[3])}`;
  }
  if (gathered.length > 0) yield totalOf(gathered);
}

function totalOf(rows: readonly TotalRow[]): TotalRecord {
  const [grain, startMs, , , labels] = rows[0] as TotalRow;
  return {
    kind: 'total',
    startMs,
    grainMs: grain === 0 ? SLOT_MS : DAY_SLOT_MS,
    labels: labelSetFromKey(labels),
    amounts: rows.filter((row) => row[3] !== '').map((row) => ({ unit: row[3], steps: row[5] })),
    charges: rows.reduce((sum, row) => sum + row[6], 0),
    denials: rows.reduce((sum, row) => sum + row[7], 0),
  };
}
