import { createHash } from 'node:crypto';
import type { TotalRecord } from '../../ledger/audit.ts';
import { newEnvelope } from '../../ledger/envelope.ts';
import { type LabelSet, labelSetFromKey } from '../../ledger/labels.ts';
import type { Terms } from '../../ledger/limit.ts';
import { envelopeGroupOf, type Line } from '../../ledger/plan.ts';
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

/** A hold: its id, its text, and the grounds of its lines in their order. */
export type HoldText = readonly [id: string, text: string, grounds: readonly string[]];

/** A hold's reserve as it was asked for: the first line after its head. */
type AskedText = readonly [
  kind: string,
  id: string,
  revision: number,
  refusal: string | null,
  ttlMs: number,
  amounts: FlatAmounts,
  occupied: readonly string[],
  description: string | null,
  tentative: boolean,
  ...lines: readonly string[],
];

/** What the script makes of a spend. */
export type OutcomeText = readonly [
  amounts: FlatAmounts,
  description: string | null,
  held: FlatAmounts | null,
  flags: number,
  crossed: readonly (string | number)[],
];

/** A journal row. Its labels are a text where they come from the server. */
export type RowText = readonly [
  id: string,
  atMs: number,
  labels: string | LabelSet,
  ...outcome: OutcomeText,
  corrects: string | null,
  numbers: readonly number[],
];

/** An envelope with the number that journal rows know it by. */
export interface NumberedEnvelope extends Envelope {
  readonly number: number;
}

export function flatAmounts(amounts: StepAmounts): FlatAmounts {
  return amounts.flatMap(({ unit, steps }) => [unit, steps]);
}

/** Unit names need no escaping in JSON: see `declareUnits`. */
export function amountsText(amounts: StepAmounts): string {
  let text = '';
  for (const { unit, steps } of amounts) text += `${text === '' ? '' : ','}"${unit}",${steps}`;
  return `[${text}]`;
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

/** A ground under the name that holds know it by. */
interface WrittenGround {
  readonly window: Window;
  readonly name: string;
  readonly text: string;
}

/** The ground of the lines of one limit and unit, as long as their window is the same. */
const writtenGrounds = new WeakMap<Terms, WrittenGround>();

/** The grounds that a batch is told. */
export class GroundList {
  readonly #told = new Map<string, string>();

  /** Names the ground of a line. */
  nameOf(terms: Terms, line: { readonly key: string; readonly group?: string } & Place): string {
    let written = writtenGrounds.get(terms);
    if (written?.window !== line.window) {
      written = writeGround(terms, line);
      writtenGrounds.set(terms, written);
    }
    if (!this.#told.has(written.name)) this.#told.set(written.name, written.text);
    return written.name;
  }

  /** How many there are, then the name and the text of each. */
  texts(): readonly string[] {
    return [String(this.#told.size), ...[...this.#told].flat()];
  }
}

type Place = Pick<Envelope, 'each' | 'values' | 'window'>;

function writeGround(
  terms: Terms,
  line: { readonly key: string; readonly group?: string } & Place,
): WrittenGround {
  const { limit, unit, capSteps, soft, occupied } = terms;
  const { each, window } = line;
  const warn = terms.warn.flatMap(({ fraction, steps }) => [String(fraction), steps]);
  const judged = [limit, unit, capSteps, Number(soft), Number(occupied), warn];
  const group = line.group ?? envelopeGroupOf(line);
  const said = JSON.stringify([...judged, window.startMs, window.endMs, group]);
  const text = `${said}\n${placeText(terms, each, window)}`;
  // Not a secret: 96 bits are enough for no two grounds to share a name.
  const name = createHash('sha256').update(text).digest('base64url').slice(0, 16);
  return { window, name, text };
}

/** Writes planned lines: keys and the names of their grounds in turn, as parts of a JSON list. */
export function linesText(lines: readonly Line[], grounds: GroundList): string {
  let text = '';
  for (const line of lines) {
    const ground = grounds.nameOf(line.terms, line);
    text += `${text === '' ? '' : ','}${JSON.stringify(line.key)},"${ground}"`;
  }
  return text;
}

/** The lines of a hold that comes from another store. */
export function heldLines(lines: readonly HeldLine[], grounds: GroundList): readonly string[] {
  return lines.flatMap(({ envelope, terms }) => [envelope.key, grounds.nameOf(terms, envelope)]);
}

/** Writes what of a hold is seldom looked at. */
export function labelsText(hold: {
  readonly labels: { readonly key: string };
  readonly ifAbandoned: IfAbandoned;
  readonly said: string;
}): string {
  return JSON.stringify([hold.labels.key, hold.ifAbandoned, hold.said]);
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

/** A hold's text, taken apart. */
interface SplitHold {
  readonly head: readonly string[];
  readonly asked: AskedText;
  readonly labels: readonly [key: string, ifAbandoned: IfAbandoned, said: string];
}

/** True for the text of a hold; a charge that no hold remembers has another. */
export function isHold(text: string): boolean {
  return text.includes('\n');
}

/** Where a hold stands, by its text. */
export function stateOf(text: string): HoldState {
  return text.slice(0, text.indexOf(' ')) as HoldState;
}

/** The bucket that a hold's grounds are kept in, and their names. */
export function groundsOf(text: string): {
  readonly bucket: string;
  readonly names: readonly string[];
} {
  const { head, asked } = splitHold(text);
  return { bucket: head[4] ?? '', names: linesIn(asked).filter((_, index) => index % 2 === 1) };
}

/** The lines of a reserve: their envelopes' keys and the names of grounds in turn. */
function linesIn(asked: AskedText): readonly string[] {
  const [, , , , , , , , , ...lines] = asked;
  return lines;
}

function splitHold(text: string): SplitHold {
  const [head = '', asked = '', labels = ''] = text.split('\n');
  return {
    head: head.split(' '),
    asked: JSON.parse(asked) as AskedText,
    labels: JSON.parse(labels) as SplitHold['labels'],
  };
}

export function readHold([id, text, grounds]: HoldText): HoldRecord {
  const { head, asked, labels } = splitHold(text);
  const [, , , , , amounts, occupied, description] = asked;
  const lines = linesIn(asked);
  const [key, ifAbandoned, said] = labels;
  const [state, expires, resolved, , , ...origin] = head;
  const renamedFrom = origin.join(' ');
  return {
    id,
    amounts: readAmounts(amounts),
    labels: labelSetFromKey(key),
    description: description ?? undefined,
    ifAbandoned,
    occupied,
    said: renamedFrom === '-' ? said : `${RENAMED_PREFIX}${JSON.parse(renamedFrom) as string}`,
    lines: grounds.map((text, index): HeldLine => {
      const ground = readGround(text);
      return { terms: ground.terms, envelope: namedEnvelope(lines[2 * index] ?? '', ground) };
    }),
    expiresAtMs: Number(expires),
    state: state as HoldState,
    resolvedAtMs: resolved === '-' ? null : Number(resolved),
    charge: undefined,
  };
}

/** Reads a journal row. Its lines are left out unless there is a way to find their envelopes. */
export function readRow(
  row: RowText,
  envelopes?: ReadonlyMap<number, NumberedEnvelope>,
): ChargeRecord {
  const [id, atMs, labels, amounts, description, held, flags, crossed, corrects, numbers] = row;
  const posted = numbers.flatMap((number) => envelopes?.get(number) ?? []);
  return {
    id,
    atMs,
    amounts: readAmounts(amounts),
    labels: typeof labels === 'string' ? labelSetFromKey(labels) : labels,
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
