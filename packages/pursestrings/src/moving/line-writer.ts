import type { LedgerRecord } from '../ledger/audit.ts';
import type { LabelSet } from '../ledger/labels.ts';
import type { Terms } from '../ledger/limit.ts';
import type { ChargeRecord, Envelope, HoldRecord } from '../ledger/records.ts';
import { type Header, LineDigest, Tally, type Trailer, writeAmounts } from './ledger-file.ts';

/** Writes the records of one ledger, in their order, as lines of JSON. */
export class LineWriter {
  readonly tally: Tally = new Tally();
  readonly #digest = new LineDigest();
  /** The number of each envelope, by its key, and of each set of terms, by its content. */
  readonly #envelopes = new Map<string, number>();
  readonly #terms = new Map<string, number>();

  header(header: Header): string {
    return this.#line(header);
  }

  /** The lines of one record: terms that are new come before their hold. */
  record(record: LedgerRecord): readonly string[] {
    this.tally.add(record);
    switch (record.kind) {
      case 'envelope':
        return [this.#line(this.#envelope(record.envelope))];
      case 'hold':
        return this.#hold(record.hold);
      case 'charge':
        return [this.#line(this.#charge(record.charge))];
      case 'total': {
        const { startMs, grainMs, labels, amounts, charges, denials } = record;
        const said = { kind: 'total', startMs, grainMs, labels: pairs(labels) };
        return [this.#line({ ...said, amounts: writeAmounts(amounts), charges, denials })];
      }
    }
  }

  trailer(): string {
    const { counts, sums } = this.tally;
    const trailer: Trailer = { kind: 'end', ...counts, sums, digest: this.#digest.finish() };
    return JSON.stringify(trailer);
  }

  #envelope(envelope: Envelope): object {
    const n = this.#envelopes.size;
    this.#envelopes.set(envelope.key, n);
    const { key, limit, unit, each, values, window, spent, held, pruned } = envelope;
    return {
      kind: 'envelope',
      n,
      key,
      limit,
      unit,
      each,
      values,
      window: {
        key: window.key,
        startMs: window.startMs,
        endMs: window.endMs,
      },
      spent,
      held,
      pruned,
      crossed: envelope.crossed,
      ...(envelope.saturated && { saturated: true }),
    };
  }

  #hold(hold: HoldRecord): readonly string[] {
    const lines: string[] = [];
    const held = hold.lines.map(({ envelope, terms }) => [
      this.#envelopes.get(envelope.key),
      this.#termsNumber(terms, lines),
    ]);
    const { id, state, expiresAtMs, resolvedAtMs, said, ifAbandoned, occupied } = hold;
    const line = {
      kind: 'hold',
      id,
      state,
      expiresAtMs,
      resolvedAtMs,
      amounts: writeAmounts(hold.amounts),
      labels: pairs(hold.labels),
      ...(hold.description !== undefined && { description: hold.description }),
      ifAbandoned,
      occupied,
      said,
      lines: held,
    };
    return [...lines, this.#line(line)];
  }

  /** The number of terms; those that are new are written first. */
  #termsNumber({ limit, unit, capSteps, soft, occupied, warn }: Terms, lines: string[]): number {
    const terms = { limit, unit, capSteps, soft, occupied, warn };
    const content = JSON.stringify(terms);
    const known = this.#terms.get(content);
    if (known !== undefined) return known;
    const n = this.#terms.size;
    this.#terms.set(content, n);
    lines.push(this.#line({ kind: 'terms', n, ...terms }));
    return n;
  }

  #charge(charge: ChargeRecord): object {
    const { id, atMs, amounts, labels, description, held, corrects, crossed, lines } = charge;
    return {
      kind: 'charge',
      id,
      atMs,
      amounts: writeAmounts(amounts),
      labels: pairs(labels),
      ...(description !== undefined && { description }),
      ...(held !== undefined && { held: writeAmounts(held) }),
      ...(charge.overrun && { overrun: true }),
      ...(charge.late && { late: true }),
      ...(charge.abandoned && { abandoned: true }),
      ...(corrects !== undefined && { corrects }),
      ...(crossed.length > 0 && {
        crossed: crossed.map(({ limit, unit, fraction }) => ({ limit, unit, fraction })),
      }),
      envelopes: lines.map(({ envelope }) => this.#envelopes.get(envelope.key)),
    };
  }

  #line(content: object): string {
    const line = oneLine(JSON.stringify(content));
    this.#digest.add(line);
    return line;
  }
}

/** Two characters that JSON leaves as they are end a line for some readers of lines. */
function oneLine(json: string): string {
  return json.replaceAll('\u2028', String.raw`\u2028`).replaceAll('\u2029', String.raw`\u2029`);
}

function pairs({ labels }: LabelSet): readonly (readonly [string, string])[] {
  return Object.entries(labels);
}
