import type { TotalRecord } from '../../ledger/audit.ts';
import { newEnvelope } from '../../ledger/envelope.ts';
import { labelSetFromKey } from '../../ledger/labels.ts';
import type { Terms } from '../../ledger/limit.ts';
import type { Line } from '../../ledger/plan.ts';
import {
  type ChargeRecord,
  type Crossing,
  type Envelope,
  type HeldLine,
  type HoldRecord,
  type HoldState,
  type IfAbandoned,
  NOTHING_CROSSED,
  RENAMED_PREFIX,
} from '../../ledger/records.ts';
import type { StepAmounts } from '../../ledger/unit.ts';
import type { Window } from '../../ledger/window.ts';
import { addAmounts, type RunningTotal } from '../running-total.ts';

/**
 * How records are written in Redis: as JSON lists that the scripts cut apart and put together
 * without writing a number or a text anew. The head of `scripts/book.ts` says which.
 */

/** Amounts as a flat list of units and steps, in the order of units. */
export type FlatAmounts = readonly (string | number)[];

/** A hold: its id, head, content and lines. */
export type HoldText = readonly [
  id: string,
  head: readonly [HoldState, number, number | null, number, string | null],
  content: readonly [FlatAmounts, string, string | null, IfAbandoned, readonly string[], string],
  lines: readonly string[],
];

/** A journal row. */
export type RowText = readonly [
  id: string,
  atMs: number,
  amounts: FlatAmounts,
  labels: string,
  description: string | null,
  held: FlatAmounts | null,
  flags: number,
  corrects: string | null,
  crossed: readonly (string | number)[],
  numbers: readonly number[],
];

/** An envelope with the number that journal rows know it by. */
export interface NumberedEnvelope extends Envelope {
  readonly number: number;
}

export function flatAmounts(amounts: StepAmounts): FlatAmounts {
  return amounts.flatMap(({ unit, steps }) => [unit, steps]);
}

function readAmounts(flat: FlatAmounts): StepAmounts {
  const amounts: { unit: string; steps: number }[] = [];
  for (let index = 0; index < flat.length; index += 2) {
    amounts.push({ unit: String(flat[index]), steps: Number(flat[index + 1]) });
  }
  return amounts;
}

/** What of an envelope never changes. Its values stand in its key. */
export function placeText(
  { limit, unit }: Pick<Envelope, 'limit' | 'unit'>,
  each: readonly string[],
  window: Window,
): string {
  return JSON.stringify([limit, unit, each, window.key, window.startMs, window.endMs]);
}

interface WrittenGround {
  readonly window: Window;
  readonly text: string;
}

/** The ground of the lines of one limit and unit, as long as their window is the same. */
const writtenGrounds = new WeakMap<Terms, WrittenGround>();

/** Writes terms and place of a line as one JSON text, quotes and all. */
export function groundText(
  terms: Terms,
  { each, window }: Pick<Envelope, 'each' | 'window'>,
): string {
  const written = writtenGrounds.get(terms);
  if (written?.window === window) return written.text;
  const warn = terms.warn.flatMap(({ fraction, steps }) => [String(fraction), steps]);
  const { limit, unit, capSteps, soft, occupied } = terms;
  const judged = [limit, unit, capSteps, Number(soft), Number(occupied), warn];
  const said = JSON.stringify([...judged, window.startMs, window.endMs]);
  const text = JSON.stringify(`${said}\n${placeText(terms, each, window)}`);
  writtenGrounds.set(terms, { window, text });
  return text;
}

/** Writes planned lines: keys and grounds in turn. */
export function linesText(lines: readonly Line[]): string {
  let text = '';
  for (const line of lines) {
    text += `${text === '' ? '' : ','}${JSON.stringify(line.key)},${groundText(line.terms, line)}`;
  }
  return `[${text}]`;
}

/** Writes the lines of a hold that comes from another store. */
export function heldLinesText(lines: readonly HeldLine[]): string {
  const parts = lines.map(
    ({ envelope, terms }) => `${JSON.stringify(envelope.key)},${groundText(terms, envelope)}`,
  );
  return `[${parts.join(',')}]`;
}

/** Writes what a hold is for: all of it that never changes but its lines. */
export function contentText(hold: {
  readonly amounts: StepAmounts;
  readonly labels: { readonly key: string };
  readonly description: string | undefined;
  readonly ifAbandoned: IfAbandoned;
  readonly occupied: readonly string[];
  readonly said: string;
}): string {
  const { amounts, labels, description, ifAbandoned, occupied, said } = hold;
  const about = [labels.key, description ?? null, ifAbandoned, occupied, said];
  return JSON.stringify([flatAmounts(amounts), ...about]);
}

interface Ground {
  readonly terms: Terms;
  readonly each: readonly string[];
  readonly window: Window;
}

const readGrounds = new Map<string, Ground>();
const MAX_GROUNDS_AT_HAND = 10_000;

function readGround(text: string): Ground {
  let ground = readGrounds.get(text);
  if (ground === undefined) {
    const [said = '', place = ''] = text.split('\n');
    const [limit, unit, capSteps, soft, occupied, warn] = JSON.parse(said) as [
      string,
      string,
      number,
      number,
      number,
      readonly (string | number)[],
    ];
    const steps = warn.filter((_, index) => index % 2 === 1).map(Number);
    const terms: Terms = {
      limit,
      unit,
      capSteps,
      soft: soft === 1,
      occupied: occupied === 1,
      warn: steps.map((step, index) => ({ fraction: Number(warn[2 * index]), steps: step })),
    };
    ground = { terms, ...readPlace(place) };
    if (readGrounds.size >= MAX_GROUNDS_AT_HAND) readGrounds.clear();
    readGrounds.set(text, ground);
  }
  return ground;
}

function readPlace(text: string): {
  readonly limit: string;
  readonly unit: string;
  readonly each: readonly string[];
  readonly window: Window;
} {
  const [limit, unit, each, key, startMs, endMs] = JSON.parse(text) as [
    string,
    string,
    readonly string[],
    string,
    number,
    number | null,
  ];
  return { limit, unit, each, window: { key, startMs, endMs } };
}

/** The values in an envelope's key: its last parts, written so that no separator stands in them. */
function valuesIn(key: string, each: readonly string[]): readonly string[] {
  if (each.length === 0) return [];
  const parts = key.split('|').slice(-each.length);
  return parts.map((part) => part.replaceAll(/%(?:25|7C|2C|3B|3D)/g, decodeURIComponent));
}

export function readEnvelope(key: string, text: string): NumberedEnvelope {
  const cut = text.indexOf('\n');
  const [number, spent, held, pruned, saturated, crossed = ''] = text.slice(0, cut).split(' ');
  const place = readPlace(text.slice(cut + 1));
  const fractions = crossed.split(',').filter((fraction) => fraction !== '');
  return {
    ...place,
    number: Number(number),
    key,
    values: valuesIn(key, place.each),
    spent: Number(spent),
    held: Number(held),
    pruned: Number(pruned),
    crossed: fractions.length === 0 ? NOTHING_CROSSED : fractions.map(Number),
    saturated: saturated === '1',
    closed: false,
  };
}

/** An envelope as a hold names it: where it stands, and nothing of its balance. */
function namedEnvelope(key: string, { terms, each, window }: Ground): Envelope {
  const values = valuesIn(key, each);
  return newEnvelope({ key, group: '', terms, each, values, window, steps: 0 });
}

/** Takes apart what stands under the id of a hold; `null` for that of a charge. */
export function splitHold(id: string, text: string): HoldText | null {
  if (!text.startsWith('[')) return null;
  return JSON.parse(`[${JSON.stringify(id)},${text.replaceAll('\n', ',')}]`) as HoldText;
}

export function readHold([id, head, content, lines]: HoldText): HoldRecord {
  const [state, expiresAtMs, resolvedAtMs, , renamedFrom] = head;
  const [amounts, labels, description, ifAbandoned, occupied, said] = content;
  const held: HeldLine[] = [];
  for (let index = 0; index < lines.length; index += 2) {
    const ground = readGround(String(lines[index + 1]));
    held.push({ terms: ground.terms, envelope: namedEnvelope(String(lines[index]), ground) });
  }
  return {
    id,
    amounts: readAmounts(amounts),
    labels: labelSetFromKey(labels),
    description: description ?? undefined,
    ifAbandoned,
    occupied,
    said: renamedFrom === null ? said : `${RENAMED_PREFIX}${renamedFrom}`,
    lines: held,
    expiresAtMs,
    state,
    resolvedAtMs,
    charge: undefined,
  };
}

/** Reads a journal row. Its lines are left out unless there is a way to find their envelopes. */
export function readRow(
  row: RowText,
  envelopes?: ReadonlyMap<number, NumberedEnvelope>,
): ChargeRecord {
  const [id, atMs, amounts, labels, description, held, flags, corrects, crossed, numbers] = row;
  const posted = numbers.flatMap((number) => envelopes?.get(number) ?? []);
  return {
    id,
    atMs,
    amounts: readAmounts(amounts),
    labels: labelSetFromKey(labels),
    description: description ?? undefined,
    held: held === null ? undefined : readAmounts(held),
    overrun: flags % 2 === 1,
    late: flags % 4 >= 2,
    abandoned: flags >= 4,
    corrects: corrects ?? undefined,
    crossed: readCrossings(crossed),
    lines: posted.map((envelope) => ({ envelope })),
  };
}

function readCrossings(flat: readonly (string | number)[]): readonly Crossing[] {
  const crossings: Crossing[] = [];
  for (let index = 0; index < flat.length; index += 3) {
    crossings.push({
      limit: String(flat[index]),
      unit: String(flat[index + 1]),
      fraction: Number(flat[index + 2]),
    });
  }
  return crossings;
}

/** Adds a running total, as it is written, to a sum. */
export function addTotal(sum: RunningTotal, text: string): void {
  const { amounts, charges, denials } = readTotal(text);
  addAmounts(sum, amounts);
  sum.charges += charges;
  sum.denials += denials;
}

export function readTotal(text: string): Pick<TotalRecord, 'amounts' | 'charges' | 'denials'> {
  const [charges, denials, ...parts] = text.split(' ');
  const amounts = parts.map((part) => {
    const [unit = '', steps] = part.split(':');
    return { unit, steps: Number(steps) };
  });
  return { charges: Number(charges), denials: Number(denials), amounts };
}

export function totalText(total: Pick<TotalRecord, 'amounts' | 'charges' | 'denials'>): string {
  const parts = total.amounts.map(({ unit, steps }) => ` ${unit}:${steps}`);
  return `${total.charges} ${total.denials}${parts.join('')}`;
}
