import { createHash } from 'node:crypto';
import type { Terms } from '../../ledger/limit.ts';
import { envelopeKey, type Line } from '../../ledger/plan.ts';
import type { Envelope, Operation } from '../../ledger/records.ts';
import type { StepAmounts } from '../../ledger/unit.ts';
import { literal, numberArray, pack, textArray } from './text.ts';

/** Kinds of operations and flags, as `apply` numbers them (see apply-sql.ts). */
const KINDS: { readonly [Kind in Operation['kind']]: number } = {
  reserve: 0,
  settle: 1,
  release: 2,
  extend: 3,
  rename: 4,
  charge: 5,
};
const FRESH = 1;
const IF_UNRESOLVED = 2;
const LATE = 4;
const REFUSED = 8;
const CHARGE_IF_ABANDONED = 16;

/** Members of a group whose key is longer are filed under a digest of it: an index has its bounds. */
const MAX_MEMBER_LENGTH = 512;

/** Stand for no bound in time. */
const EVER = 9_000_000_000_000_000;

/** Denials that wait to be counted. */
export interface DenialCount {
  /** The labels, as their set writes them. */
  readonly labels: string;
  readonly atMs: number;
  readonly count: number;
}

/** What one call of `apply` is told besides its operations. */
export interface BatchSettings {
  readonly ledger: string;
  /** The time to go by; undefined for the server's. */
  readonly clockMs: number | undefined;
  /** Look up every id, and hold the ledger alone. */
  readonly careful: boolean;
  /** Write the denials even if nothing else is written. */
  readonly flush: boolean;
  /** Do not wait until the batch is on disk. */
  readonly hasty: boolean;
  readonly journalMs: number;
  readonly maxEnvelopes: number;
  readonly denials: readonly DenialCount[];
}

/** Writes the arguments of `apply` for a batch. */
export function batchArguments(operations: readonly Operation[], settings: BatchSettings): string {
  const writer = new BatchWriter(settings.careful);
  for (const operation of operations) writer.add(operation);
  const { denials } = settings;
  return [
    literal(settings.ledger),
    settings.clockMs ?? 'NULL',
    settings.careful,
    settings.flush,
    settings.hasty,
    settings.journalMs,
    settings.maxEnvelopes,
    ...writer.columns(),
    textArray(denials.map(({ labels }) => labels)),
    numberArray(
      denials.map(({ atMs }) => atMs),
      'bigint',
    ),
    numberArray(
      denials.map(({ count }) => count),
      'bigint',
    ),
  ].join(',');
}

class BatchWriter {
  readonly #careful: boolean;
  readonly #kinds: number[] = [];
  readonly #flags: number[] = [];
  readonly #ids: string[] = [];
  readonly #newIds: (string | null)[] = [];
  readonly #durations: number[] = [];
  readonly #revisions: number[] = [];
  readonly #from: number[] = [];
  readonly #until: number[] = [];
  readonly #units: string[] = [];
  readonly #steps: string[] = [];
  readonly #labels: (string | null)[] = [];
  readonly #descriptions: (string | null)[] = [];
  readonly #said: (string | null)[] = [];
  readonly #occupied: string[] = [];
  readonly #lineStarts: number[] = [0];
  readonly #lineEnvelopes: number[] = [];
  readonly #lineTerms: number[] = [];
  readonly #lineUnits: number[] = [];
  readonly #claims: string[] = [];
  readonly #lookups: string[] = [];
  readonly #places = new PlaceWriter();

  constructor(careful: boolean) {
    this.#careful = careful;
  }

  add(operation: Operation): void {
    const id = pack(operation.id);
    this.#kinds.push(KINDS[operation.kind]);
    this.#ids.push(id);
    this.#flags.push(this.#flagsOf(operation, id));
    this.#newIds.push(operation.kind === 'rename' ? pack(operation.newId) : null);
    this.#durations.push('ttlMs' in operation ? (operation.ttlMs ?? 0) : 0);
    this.#revisions.push('revision' in operation ? (operation.revision ?? -1) : -1);
    this.#said.push(operation.kind === 'reserve' ? pack(operation.said) : null);
    this.#occupied.push(operation.kind === 'reserve' ? operation.occupied.join(',') : '');
    const spend = 'amounts' in operation ? operation : undefined;
    this.#units.push(spend === undefined ? '' : writeUnits(spend.amounts));
    this.#steps.push(spend === undefined ? '{}' : writeSteps(spend.amounts));
    this.#labels.push(spend?.labels.key ?? null);
    this.#descriptions.push(spend?.description === undefined ? null : pack(spend.description));
    this.#addLines(spend?.lines ?? [], spend?.amounts ?? []);
  }

  columns(): readonly string[] {
    return [
      numberArray(this.#kinds, 'int'),
      numberArray(this.#flags, 'int'),
      textArray(this.#ids),
      textArray(this.#newIds),
      numberArray(this.#durations, 'bigint'),
      numberArray(this.#revisions, 'bigint'),
      numberArray(this.#from, 'bigint'),
      numberArray(this.#until, 'bigint'),
      textArray(this.#units),
      textArray(this.#steps),
      textArray(this.#labels),
      textArray(this.#descriptions),
      textArray(this.#said),
      textArray(this.#occupied),
      numberArray(this.#lineStarts, 'int'),
      numberArray(this.#lineEnvelopes, 'int'),
      numberArray(this.#lineTerms, 'int'),
      numberArray(this.#lineUnits, 'int'),
      ...this.#places.columns(),
      textArray(this.#claims),
      textArray(this.#lookups),
    ];
  }

  /** The flags of an operation; notes which ids are to be looked up, and which may be new. */
  #flagsOf(operation: Operation, id: string): number {
    const fresh = 'fresh' in operation && operation.fresh && !this.#careful;
    if (fresh) {
      const abandoned = operation.kind === 'reserve' && operation.ifAbandoned === 'charge';
      return FRESH | flag(refused(operation), REFUSED) | flag(abandoned, CHARGE_IF_ABANDONED);
    }
    this.#lookups.push(id);
    switch (operation.kind) {
      case 'reserve':
        this.#claims.push(id);
        return (
          flag(refused(operation), REFUSED) |
          flag(operation.ifAbandoned === 'charge', CHARGE_IF_ABANDONED)
        );
      case 'charge':
        this.#claims.push(id);
        return flag(operation.late, LATE);
      case 'rename':
        this.#claims.push(pack(operation.newId));
        this.#lookups.push(pack(operation.newId));
        return 0;
      case 'settle':
        return flag(operation.ifUnresolved, IF_UNRESOLVED);
      default:
        return 0;
    }
  }

  #addLines(lines: readonly Line[], amounts: StepAmounts): void {
    let fromMs = -EVER;
    let untilMs = EVER;
    for (const line of lines) {
      const { startMs, endMs } = line.window;
      if (endMs !== null) {
        fromMs = Math.max(fromMs, startMs);
        untilMs = Math.min(untilMs, endMs);
      }
      this.#lineEnvelopes.push(this.#places.envelope(line));
      this.#lineTerms.push(this.#places.terms(line.terms));
      this.#lineUnits.push(1 + amounts.findIndex(({ unit }) => unit === line.terms.unit));
    }
    this.#from.push(fromMs);
    this.#until.push(untilMs);
    this.#lineStarts.push(this.#lineEnvelopes.length);
  }
}

/** The envelopes that a batch plans with, their groups and their terms: each once. */
class PlaceWriter {
  readonly #groups = new Map<
    string,
    { readonly at: number; readonly members: Map<string, number> }
  >();
  readonly #groupContents: string[] = [];
  readonly #memberGroups: number[] = [];
  readonly #members: string[] = [];
  readonly #longMembers: (string | null)[] = [];
  readonly #terms = new Map<Terms, number>();
  readonly #termsContents: string[] = [];

  envelope(line: Line): number {
    let group = this.#groups.get(line.group);
    if (group === undefined) {
      this.#groupContents.push(groupContent(line.group, line.terms.limit, line.terms.unit, line));
      group = { at: this.#groupContents.length, members: new Map() };
      this.#groups.set(line.group, group);
    }
    const key = line.values.length === 0 ? '' : envelopeKey('', line.values);
    let place = group.members.get(key);
    if (place === undefined) {
      const { member, long } = memberOf(key);
      this.#memberGroups.push(group.at);
      this.#members.push(member);
      this.#longMembers.push(long);
      place = this.#members.length;
      group.members.set(key, place);
    }
    return place;
  }

  terms(terms: Terms): number {
    let place = this.#terms.get(terms);
    if (place === undefined) {
      this.#termsContents.push(termsContent(terms));
      place = this.#termsContents.length;
      this.#terms.set(terms, place);
    }
    return place;
  }

  columns(): readonly string[] {
    return [
      numberArray(this.#memberGroups, 'int'),
      textArray(this.#members),
      textArray(this.#longMembers),
      textArray(this.#groupContents),
      textArray(this.#termsContents),
    ];
  }
}

/** The name of a group, as its digest is made of. */
export function groupName(group: string): string {
  return JSON.stringify(pack(group));
}

/** What the envelopes of one group have in common, as it is kept. */
export function groupContent(
  group: string,
  limit: string,
  unit: string,
  { each, window }: Pick<Envelope, 'each' | 'window'>,
): string {
  const names = [pack(group), pack(limit), unit, each.map(pack)];
  return JSON.stringify([...names, window.key, window.startMs, window.endMs]);
}

/** How an envelope is filed within its group: by the values in its key, or by their digest. */
export function memberOf(key: string): { readonly member: string; readonly long: string | null } {
  const packed = pack(key);
  if (packed.length <= MAX_MEMBER_LENGTH) return { member: packed, long: null };
  // A key begins with the separator, so that none can be taken for a digest.
  return { member: `#${createHash('sha256').update(packed).digest('hex')}`, long: packed };
}

const TERMS_CONTENTS = new WeakMap<Terms, string>();

/** Terms, as they are kept. */
export function termsContent(terms: Terms): string {
  let content = TERMS_CONTENTS.get(terms);
  if (content === undefined) {
    const { limit, unit, capSteps, soft, occupied, warn } = terms;
    const warnings = warn.map(({ fraction, steps }) => [fraction, steps]);
    content = JSON.stringify([pack(limit), unit, capSteps, soft, occupied, warnings]);
    TERMS_CONTENTS.set(terms, content);
  }
  return content;
}

/** Unit names contain no comma: see `declareUnits`. */
export function writeUnits(amounts: StepAmounts): string {
  const [first] = amounts;
  return amounts.length === 1 && first !== undefined
    ? first.unit
    : amounts.map(({ unit }) => unit).join(',');
}

export function writeSteps(amounts: StepAmounts): string {
  return `{${amounts.map(({ steps }) => steps).join(',')}}`;
}

function refused(operation: Operation): boolean {
  return operation.kind === 'reserve' && operation.refusal !== null;
}

function flag(set: boolean, value: number): number {
  return set ? value : 0;
}
