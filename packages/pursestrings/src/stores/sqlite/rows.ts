import { type LabelSet, labelSetFromKey } from '../../ledger/labels.ts';
import type { Terms } from '../../ledger/limit.ts';
import type {
  ChargeRecord,
  Crossing,
  Envelope,
  HeldLine,
  HoldRecord,
  HoldState,
  IfAbandoned,
  PostedLine,
} from '../../ledger/records.ts';
import type { StepAmounts } from '../../ledger/unit.ts';
import type { Window } from '../../ledger/window.ts';

/** A row as SQLite gives it. */
export type Row = Record<string, unknown>;

/** An envelope that knows its row; 0 while it has none. */
export interface StoredEnvelope extends Envelope {
  rowId: number;
}

/** How a row's references become records. */
export interface References {
  envelope(rowId: number): StoredEnvelope;
  terms(termsId: number): Terms;
}

/** Unit names need no escaping in JSON: see `declareUnits`. */
export function writeAmounts(amounts: StepAmounts): string {
  let text = '{';
  for (const { unit, steps } of amounts) text += `${text === '{' ? '' : ','}"${unit}":${steps}`;
  return `${text}}`;
}

export function readAmounts(text: unknown): StepAmounts {
  return amountsOf(JSON.parse(String(text)) as Record<string, number>);
}

/** Reads several amounts that SQLite joined with commas. */
export function readAmountsList(text: unknown): readonly StepAmounts[] {
  return (JSON.parse(`[${String(text)}]`) as Record<string, number>[]).map(amountsOf);
}

function amountsOf(amounts: Readonly<Record<string, number>>): StepAmounts {
  return Object.entries(amounts).map(([unit, steps]) => ({ unit, steps }));
}

/** What of an envelope never changes: its limit, unit, labels and window. */
export function writePlace(envelope: Envelope): string {
  const { limit, unit, each, values, window } = envelope;
  return JSON.stringify([limit, unit, each, values, window.key, window.startMs, window.endMs]);
}

export function readEnvelope(row: Row): StoredEnvelope {
  const [limit, unit, each, values, windowKey, startMs, endMs] = JSON.parse(
    String(row['place']),
  ) as [string, string, readonly string[], readonly string[], string, number, number | null];
  const window: Window = { key: windowKey, startMs, endMs };
  return {
    rowId: Number(row['id']),
    key: String(row['key']),
    limit,
    unit,
    each,
    values,
    window,
    spent: Number(row['spent']),
    held: Number(row['held']),
    pruned: Number(row['pruned']),
    crossed: JSON.parse(String(row['crossed'])) as readonly number[],
    saturated: row['saturated'] === 1,
    closed: false,
  };
}

/** The stand-in for an envelope that was forgotten with its window. */
export function closedEnvelope(rowId: number): StoredEnvelope {
  return {
    rowId,
    key: '',
    limit: '',
    unit: '',
    each: [],
    values: [],
    window: { key: '', startMs: 0, endMs: 0 },
    spent: 0,
    held: 0,
    pruned: 0,
    crossed: [],
    saturated: false,
    closed: true,
  };
}

export function writeLines(lines: readonly HeldLine[], termsId: (terms: Terms) => number): string {
  let text = '';
  for (const { envelope, terms } of lines) {
    text += `${text === '' ? '' : ','}[${rowIdOf(envelope)},${termsId(terms)}]`;
  }
  return `[${text}]`;
}

export function readHold(row: Row, references: References): HoldRecord {
  const lines = JSON.parse(String(row['lines'])) as readonly (readonly [number, number])[];
  return {
    id: String(row['id']),
    amounts: readAmounts(row['amounts']),
    labels: labelSetFromKey(String(row['labels'])),
    description: textOrUndefined(row['description']),
    ifAbandoned: String(row['if_abandoned']) as IfAbandoned,
    occupied: JSON.parse(String(row['occupied'])) as readonly string[],
    said: String(row['said']),
    lines: lines.map(([envelope, terms]) => ({
      envelope: references.envelope(envelope),
      terms: references.terms(terms),
    })),
    expiresAtMs: Number(row['expires_at']),
    state: String(row['state']) as HoldState,
    resolvedAtMs: row['resolved_at'] === null ? null : Number(row['resolved_at']),
    charge: undefined,
  };
}

/** Writes which envelopes a charge was posted to. */
export function writeEnvelopeIds(lines: readonly PostedLine[]): string {
  let text = '';
  for (const { envelope } of lines) text += `${text === '' ? '' : ','}${rowIdOf(envelope)}`;
  return `[${text}]`;
}

export function readPostedLines(
  text: unknown,
  references: Pick<References, 'envelope'>,
): readonly PostedLine[] {
  const rowIds = JSON.parse(String(text)) as readonly number[];
  return rowIds.map((rowId) => ({ envelope: references.envelope(rowId) }));
}

/** Reads a journal row. Its lines are left out unless there is a way to find their envelopes. */
export function readCharge(row: Row, references?: Pick<References, 'envelope'>): ChargeRecord {
  return {
    id: String(row['id']),
    atMs: Number(row['at']),
    amounts: readAmounts(row['amounts']),
    labels: labelSetFromKey(String(row['labels'])) satisfies LabelSet,
    description: textOrUndefined(row['description']),
    held: row['held'] === null ? undefined : readAmounts(row['held']),
    overrun: row['overrun'] === 1,
    late: row['late'] === 1,
    abandoned: row['abandoned'] === 1,
    corrects: textOrUndefined(row['corrects']),
    crossed: JSON.parse(String(row['crossed'])) as readonly Crossing[],
    lines: references === undefined ? [] : readPostedLines(row['envelopes'], references),
  };
}

export function rowIdOf(envelope: Envelope): number {
  return (envelope as StoredEnvelope).rowId;
}

function textOrUndefined(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
