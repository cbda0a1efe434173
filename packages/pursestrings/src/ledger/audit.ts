import { stepsOf } from './charge-row.ts';
import type { LabelSet } from './labels.ts';
import type { ChargeRecord, Envelope, HoldRecord } from './records.ts';
import type { StepAmounts } from './unit.ts';

/** One record of a ledger, as a reading of the whole hands it over. */
export type LedgerRecord =
  | { readonly kind: 'envelope'; readonly envelope: Envelope }
  | { readonly kind: 'hold'; readonly hold: HoldRecord }
  | { readonly kind: 'charge'; readonly charge: ChargeRecord }
  | TotalRecord;

/** What was spent under one set of labels in one quarter-hour or one UTC day. */
export interface TotalRecord {
  readonly kind: 'total';
  readonly startMs: number;
  /** `SLOT_MS` or `DAY_SLOT_MS`. */
  readonly grainMs: number;
  readonly labels: LabelSet;
  readonly amounts: StepAmounts;
  readonly charges: number;
  readonly denials: number;
}

/** An envelope whose balance is not what the ledger's records add up to, in steps. */
export interface StepMismatch {
  readonly envelope: Envelope;
  readonly field: 'spent' | 'held';
  readonly recorded: bigint;
  readonly expected: bigint;
}

/** What an audit found. */
export interface Audit {
  readonly envelopes: number;
  readonly charges: number;
  readonly mismatches: readonly StepMismatch[];
}

/**
 * Adds up a ledger from its records: the journal and what pruning folded away must equal each
 * envelope's `spent`, its open holds must equal `held` (rule 7). A saturated envelope has stopped
 * counting and is passed over.
 */
export class Auditor {
  readonly #envelopes = new Map<
    string,
    { readonly envelope: Envelope; spent: bigint; held: bigint }
  >();
  #charges = 0;

  add(record: LedgerRecord): void {
    switch (record.kind) {
      case 'envelope':
        this.#page(record.envelope).spent += BigInt(record.envelope.pruned);
        return;
      case 'hold':
        if (record.hold.state !== 'open') return;
        for (const { envelope } of record.hold.lines) {
          const steps = stepsOf(record.hold.amounts, envelope.unit);
          this.#page(envelope).held += BigInt(steps);
        }
        return;
      case 'charge':
        this.#charges += 1;
        for (const { envelope } of record.charge.lines) {
          const steps = stepsOf(record.charge.amounts, envelope.unit);
          this.#page(envelope).spent += BigInt(steps);
        }
        return;
      case 'total':
    }
  }

  finish(): Audit {
    const mismatches: StepMismatch[] = [];
    for (const { envelope, spent, held } of this.#envelopes.values()) {
      if (envelope.saturated) continue;
      if (spent !== BigInt(envelope.spent)) {
        mismatches.push({
          envelope,
          field: 'spent',
          recorded: BigInt(envelope.spent),
          expected: spent,
        });
      }
      if (held !== BigInt(envelope.held)) {
        mismatches.push({
          envelope,
          field: 'held',
          recorded: BigInt(envelope.held),
          expected: held,
        });
      }
    }
    return { envelopes: this.#envelopes.size, charges: this.#charges, mismatches };
  }

  #page(envelope: Envelope): { readonly envelope: Envelope; spent: bigint; held: bigint } {
    const page = this.#envelopes.get(envelope.key) ?? { envelope, spent: 0n, held: 0n };
    this.#envelopes.set(envelope.key, page);
    return page;
  }
}
