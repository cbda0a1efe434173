import { labelSetFromKey } from '../../ledger/labels.ts';
import type { Terms } from '../../ledger/limit.ts';
import type {
  ChargeRecord,
  Crossing,
  Envelope,
  HeldLine,
  HoldRecord,
  HoldState,
} from '../../ledger/records.ts';
import type { StepAmounts } from '../../ledger/unit.ts';
import { pack, unpack } from './text.ts';

/** The states of a hold, in the order of their numbers (see apply-sql.ts). */
export const STATES: readonly HoldState[] = [
  'open',
  'settled',
  'released',
  'expired',
  'expired_charged',
  'corrected',
];

const OVERRUN = 1;
const LATE = 2;
const ABANDONED = 4;

/** A row of `holds` in JSON. */
export interface HoldRow {
  readonly id: string;
  readonly state: number;
  readonly abandon: number;
  readonly expires_at: number;
  readonly resolved_at: number | null;
  readonly units: string;
  readonly steps: readonly number[];
  readonly labels: string;
  readonly description: string | null;
  readonly occupied: string;
  readonly said: string;
  readonly envelopes: readonly number[];
  readonly terms: readonly number[];
}

/** A row of `journal` in JSON. */
export interface ChargeRow {
  readonly seq?: number;
  readonly id: string;
  readonly at: number;
  readonly flags: number;
  readonly units: string;
  readonly steps: readonly number[];
  readonly held_units: string | null;
  readonly held_steps: readonly number[] | null;
  readonly labels: string;
  readonly description: string | null;
  readonly corrects: string | null;
  readonly crossed: string | null;
  readonly envelopes?: readonly number[];
}

/** An envelope as `envelope_json` writes it. */
export type EnvelopeRow = readonly [
  id: number,
  group: readonly [
    group: string,
    limit: string,
    unit: string,
    each: readonly string[],
    windowKey: string,
    startMs: number,
    endMs: number | null,
  ],
  member: string,
  spent: number,
  held: number,
  pruned: number,
  crossed: string,
  saturated: boolean,
  filedAs: string,
  groupId: number,
];

/** Terms as `read_holds` writes them. */
export type TermsRow = readonly [
  id: number,
  content: readonly [
    limit: string,
    unit: string,
    capSteps: number,
    soft: boolean,
    occupied: boolean,
    warn: readonly (readonly [fraction: number, steps: number])[],
  ],
];

/** How the lines of a record find their envelopes and terms. */
export interface References {
  readonly envelopes: ReadonlyMap<number, Envelope>;
  readonly terms: ReadonlyMap<number, Terms>;
}

export function readAmounts(units: string, steps: readonly number[]): StepAmounts {
  if (units === '') return [];
  return units.split(',').map((unit, index) => ({ unit, steps: steps[index] as number }));
}

/** Reads a hold. Its lines are left out unless there is a way to find what they refer to. */
export function readHold(row: HoldRow, references?: References): HoldRecord {
  return {
    id: unpack(row.id),
    amounts: readAmounts(row.units, row.steps),
    labels: labelSetFromKey(row.labels),
    description: row.description === null ? undefined : unpack(row.description),
    ifAbandoned: row.abandon === 1 ? 'charge' : 'release',
    occupied: row.occupied === '' ? [] : row.occupied.split(','),
    said: unpack(row.said),
    lines: references === undefined ? [] : heldLines(row, references),
    expiresAtMs: row.expires_at,
    state: STATES[row.state] as HoldState,
    resolvedAtMs: row.resolved_at,
    charge: undefined,
  };
}

/** The lines of a hold whose envelopes still stand. */
function heldLines(row: HoldRow, { envelopes, terms }: References): readonly HeldLine[] {
  const lines: HeldLine[] = [];
  row.envelopes.forEach((id, index) => {
    const envelope = envelopes.get(id);
    const lineTerms = terms.get(row.terms[index] as number);
    if (envelope !== undefined && lineTerms !== undefined)
      lines.push({ envelope, terms: lineTerms });
  });
  return lines;
}

/** Reads a charge. Its lines are left out unless there is a way to find their envelopes. */
export function readCharge(
  row: ChargeRow,
  envelopes?: ReadonlyMap<number, Envelope>,
): ChargeRecord {
  const { held_units: heldUnits, held_steps: heldSteps } = row;
  const posted = envelopes === undefined ? [] : (row.envelopes ?? []);
  return {
    id: unpack(row.id),
    atMs: row.at,
    amounts: readAmounts(row.units, row.steps),
    labels: labelSetFromKey(row.labels),
    description: row.description === null ? undefined : unpack(row.description),
    held: heldUnits === null || heldSteps === null ? undefined : readAmounts(heldUnits, heldSteps),
    ...readFlags(row.flags),
    corrects: row.corrects === null ? undefined : unpack(row.corrects),
    crossed:
      row.crossed === null ? [] : readCrossings(JSON.parse(`[${row.crossed}]`) as Crossing[]),
    lines: posted
      .map((id) => envelopes?.get(id))
      .filter((envelope) => envelope !== undefined)
      .map((envelope) => ({ envelope })),
  };
}

/** Reads crossings, whose limits are named in packed text. */
export function readCrossings(crossings: readonly Crossing[]): readonly Crossing[] {
  return crossings.map((crossing) => ({ ...crossing, limit: unpack(crossing.limit) }));
}

/** Writes crossings as the journal keeps them: JSON without the brackets. */
export function writeCrossings(crossings: readonly Crossing[]): string {
  const packed = crossings.map(({ limit, unit, fraction }) => ({
    limit: pack(limit),
    unit,
    fraction,
  }));
  return JSON.stringify(packed).slice(1, -1);
}

/** Reads the flags of a journal row. */
export function readFlags(flags: number): Pick<ChargeRecord, 'overrun' | 'late' | 'abandoned'> {
  return {
    overrun: (flags & OVERRUN) !== 0,
    late: (flags & LATE) !== 0,
    abandoned: (flags & ABANDONED) !== 0,
  };
}

export function writeFlags(charge: ChargeRecord): number {
  return (
    (charge.overrun ? OVERRUN : 0) | (charge.late ? LATE : 0) | (charge.abandoned ? ABANDONED : 0)
  );
}

export function readEnvelope(row: EnvelopeRow): Envelope {
  const [, [group, limit, unit, each, windowKey, startMs, endMs], packed] = row;
  const member = unpack(packed);
  return {
    key: `${unpack(group)}${member}`,
    limit: unpack(limit),
    unit,
    each: each.map(unpack),
    values: each.length === 0 ? [] : member.slice(1).split('|').map(readKeyPart),
    window: { key: windowKey, startMs, endMs },
    spent: row[3],
    held: row[4],
    pruned: row[5],
    crossed: readCrossed(row[6]),
    saturated: row[7],
    closed: false,
  };
}

/** Reads what `keyPart` wrote. */
function readKeyPart(part: string): string {
  return part.includes('%') ? part.replace(/%[0-9A-F]{2}/g, decodeURIComponent) : part;
}

/** The fractions that an envelope has crossed, each between blanks: no one is a part of another. */
function readCrossed(text: string): readonly number[] {
  return text === '' ? [] : text.trim().split(/ +/).map(Number);
}

export function writeCrossed(crossed: readonly number[]): string {
  return crossed.map((fraction) => ` ${fraction} `).join('');
}

export function readTerms([, [limit, unit, capSteps, soft, occupied, warn]]: TermsRow): Terms {
  return {
    limit: unpack(limit),
    unit,
    capSteps,
    soft,
    occupied,
    warn: warn.map(([fraction, steps]) => ({ fraction, steps })),
  };
}
