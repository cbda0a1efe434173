import type { LedgerRecord } from '../ledger/audit.ts';
import { type LabelSet, labelSet } from '../ledger/labels.ts';
import type { Terms } from '../ledger/limit.ts';
import type {
  ChargeRecord,
  Crossing,
  Envelope,
  HeldLine,
  HoldRecord,
  HoldState,
} from '../ledger/records.ts';
import type { StepAmounts } from '../ledger/unit.ts';
import {
  FORM_VERSION,
  type Header,
  invalidExport,
  LineDigest,
  Tally,
  type Trailer,
} from './ledger-file.ts';

type Content = Readonly<Record<string, unknown>>;

const STATES: ReadonlySet<unknown> = new Set<HoldState>([
  'settled',
  'released',
  'expired',
  'expired_charged',
  'corrected',
]);

/** Reads the lines of an export, one after another, and finds whatever is wrong with them. */
export class LineReader {
  readonly tally: Tally = new Tally();
  readonly #digest = new LineDigest();
  /** By their numbers. */
  readonly #envelopes: Envelope[] = [];
  /** What many envelopes have in common, kept once. */
  readonly #shared = new Map<string, unknown>();
  readonly #terms: Terms[] = [];
  #number = 0;
  #trailer: Trailer | undefined;

  /** Reads the first line. @throws PurseError `INVALID_EXPORT` */
  header(line: string): Header {
    const content = this.#parse(line);
    if (content['kind'] !== 'ledger') throw this.#wrong('is not the header of a ledger');
    if (content['version'] !== FORM_VERSION) {
      throw this.#wrong(
        `says version ${JSON.stringify(content['version'])}, and this pursestrings reads ${FORM_VERSION}`,
      );
    }
    const policy = this.#object(content, 'policy');
    if (!Array.isArray(policy['limits']) || !Array.isArray(policy['freezes'])) {
      throw this.#wrong('has no policy');
    }
    this.#text(content, 'id');
    this.#digest.add(line);
    return content as unknown as Header;
  }

  /** Reads a line that is not the first: `null` for one that is no record of its own. */
  record(line: string): LedgerRecord | null {
    const content = this.#parse(line);
    if (this.#trailer !== undefined) throw this.#wrong('stands after the end');
    if (content['kind'] === 'end') {
      this.#end(content);
      return null;
    }
    this.#digest.add(line);
    const record = this.#record(content);
    if (record !== null) this.tally.add(record);
    return record;
  }

  /** The trailer, when the last line was one. @throws PurseError when the export is not whole. */
  finish(): Trailer {
    if (this.#trailer === undefined) {
      throw invalidExport(this.#number, 'is the last one, and is not the end: the rest is missing');
    }
    return this.#trailer;
  }

  #record(content: Content): LedgerRecord | null {
    switch (content['kind']) {
      case 'envelope':
        return { kind: 'envelope', envelope: this.#envelope(content) };
      case 'terms':
        this.#readTerms(content);
        return null;
      case 'hold':
        return { kind: 'hold', hold: this.#hold(content) };
      case 'charge':
        return { kind: 'charge', charge: this.#charge(content) };
      case 'total':
        return {
          kind: 'total',
          startMs: this.#whole(content, 'startMs'),
          grainMs: this.#whole(content, 'grainMs'),
          labels: this.#labels(content),
          amounts: this.#amounts(content, 'amounts'),
          charges: this.#whole(content, 'charges'),
          denials: this.#whole(content, 'denials'),
        };
      default:
        throw this.#wrong(`is of the kind ${JSON.stringify(content['kind'])}, which is none`);
    }
  }

  #envelope(content: Content): Envelope {
    if (content['n'] !== this.#envelopes.length) throw this.#wrong('is out of its order');
    const window = this.#object(content, 'window');
    const envelope: Envelope = {
      key: this.#text(content, 'key'),
      unit: this.#text(content, 'unit'),
      limit: this.#text(content, 'limit'),
      each: this.#once(this.#list<string>(content, 'each')),
      values: this.#list<string>(content, 'values'),
      window: this.#once({
        key: this.#text(window, 'key'),
        startMs: this.#whole(window, 'startMs'),
        endMs: window['endMs'] === null ? null : this.#whole(window, 'endMs'),
      }),
      spent: this.#whole(content, 'spent'),
      held: this.#whole(content, 'held'),
      pruned: this.#whole(content, 'pruned'),
      crossed: this.#list<number>(content, 'crossed'),
      saturated: content['saturated'] === true,
      closed: false,
    };
    this.#envelopes.push(envelope);
    return envelope;
  }

  /** The same content as one object: a ledger may have a million envelopes of a few windows. */
  #once<T>(content: T): T {
    const text = JSON.stringify(content);
    const known = this.#shared.get(text);
    if (known !== undefined) return known as T;
    this.#shared.set(text, content);
    return content;
  }

  #readTerms(content: Content): void {
    if (content['n'] !== this.#terms.length) throw this.#wrong('is out of its order');
    this.#terms.push({
      limit: this.#text(content, 'limit'),
      unit: this.#text(content, 'unit'),
      capSteps: this.#whole(content, 'capSteps'),
      soft: content['soft'] === true,
      occupied: content['occupied'] === true,
      warn: this.#list<Terms['warn'][number]>(content, 'warn'),
    });
  }

  #hold(content: Content): HoldRecord {
    const { state, ifAbandoned } = content;
    if (!STATES.has(state)) throw this.#wrong('tells of a hold that is not resolved');
    if (ifAbandoned !== 'release' && ifAbandoned !== 'charge') {
      throw this.#wrong('does not say what becomes of an abandoned hold');
    }
    return {
      id: this.#text(content, 'id'),
      amounts: this.#amounts(content, 'amounts'),
      labels: this.#labels(content),
      description: this.#textIfAny(content, 'description'),
      ifAbandoned,
      occupied: this.#list<string>(content, 'occupied'),
      said: this.#text(content, 'said'),
      lines: this.#list<readonly [number, number]>(content, 'lines').map((line) =>
        this.#heldLine(line),
      ),
      expiresAtMs: this.#whole(content, 'expiresAtMs'),
      state: state as HoldState,
      resolvedAtMs: this.#whole(content, 'resolvedAtMs'),
      charge: undefined,
    };
  }

  #heldLine([envelopeNumber, termsNumber]: readonly [number, number]): HeldLine {
    const terms = this.#terms[termsNumber];
    if (terms === undefined) throw this.#wrong(`names terms ${termsNumber}, which came nowhere`);
    return { envelope: this.#envelopeAt(envelopeNumber), terms };
  }

  #charge(content: Content): ChargeRecord {
    return {
      id: this.#text(content, 'id'),
      atMs: this.#whole(content, 'atMs'),
      amounts: this.#amounts(content, 'amounts'),
      labels: this.#labels(content),
      description: this.#textIfAny(content, 'description'),
      held: content['held'] === undefined ? undefined : this.#amounts(content, 'held'),
      overrun: content['overrun'] === true,
      late: content['late'] === true,
      abandoned: content['abandoned'] === true,
      corrects: this.#textIfAny(content, 'corrects'),
      crossed: content['crossed'] === undefined ? [] : this.#list<Crossing>(content, 'crossed'),
      lines: this.#list<number>(content, 'envelopes').map((number) => ({
        envelope: this.#envelopeAt(number),
      })),
    };
  }

  #envelopeAt(number: number): Envelope {
    const envelope = this.#envelopes[number];
    if (envelope === undefined) throw this.#wrong(`names envelope ${number}, which came nowhere`);
    return envelope;
  }

  /** What the trailer says must be what was read, to the last step and the last character. */
  #end(content: Content): void {
    const trailer = content as unknown as Trailer;
    const { counts, sums } = this.tally;
    const read = { kind: 'end', ...counts, sums, digest: this.#digest.finish() };
    if (JSON.stringify(read) !== JSON.stringify(trailer)) {
      throw this.#wrong('is the end, and does not tell of the lines before: some were changed');
    }
    this.#trailer = trailer;
  }

  #parse(line: string): Content {
    this.#number += 1;
    let content: unknown;
    try {
      content = JSON.parse(line);
    } catch {
      throw this.#wrong('is no JSON');
    }
    if (typeof content === 'object' && content !== null) return content as Content;
    throw this.#wrong('is no object of JSON');
  }

  #text(content: Content, name: string): string {
    const value = content[name];
    if (typeof value === 'string') return value;
    throw this.#wrong(`has no text as its \`${name}\``);
  }

  #textIfAny(content: Content, name: string): string | undefined {
    return content[name] === undefined ? undefined : this.#text(content, name);
  }

  #whole(content: Content, name: string): number {
    const value = content[name];
    if (Number.isSafeInteger(value)) return value as number;
    throw this.#wrong(`has no whole number as its \`${name}\``);
  }

  #object(content: Content, name: string): Content {
    const value = content[name];
    if (typeof value === 'object' && value !== null) return value as Content;
    throw this.#wrong(`has no object as its \`${name}\``);
  }

  #list<T>(content: Content, name: string): readonly T[] {
    const value = content[name];
    if (Array.isArray(value)) return value as readonly T[];
    throw this.#wrong(`has no list as its \`${name}\``);
  }

  #amounts(content: Content, name: string): StepAmounts {
    const amounts = this.#object(content, name);
    return Object.keys(amounts).map((unit) => ({ unit, steps: this.#whole(amounts, unit) }));
  }

  #labels(content: Content): LabelSet {
    return labelSet(Object.fromEntries(this.#list<readonly [string, string]>(content, 'labels')));
  }

  #wrong(what: string): Error {
    return invalidExport(this.#number, what);
  }
}
