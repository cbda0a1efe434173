import type { LabelSet } from './labels.ts';
import type { Line } from './plan.ts';
import type { ChargeRecord, Envelope, HoldRecord } from './records.ts';

/**
 * The pages of a ledger that an operation reads and writes. Memory and SQLite give their own; the
 * arithmetic below is theirs in common. What `find…` and `add…` return is the live record: the
 * ledger changes it in place and then says so.
 */
export interface Book {
  /** The revision of the policy that stands. */
  readonly revision: number;
  findEnvelope(line: Line): Envelope | undefined;
  addEnvelope(line: Line): Envelope;
  envelopeChanged(envelope: Envelope): void;
  /** How many envelopes may still be opened. */
  envelopeRoom(): number;
  findHold(id: string): HoldRecord | undefined;
  addHold(hold: HoldRecord): void;
  /** An open hold has a new `expiresAtMs`. */
  holdExtended(hold: HoldRecord): void;
  /** A hold is open no longer. */
  holdResolved(hold: HoldRecord): void;
  /** A resolved hold has a new state. */
  holdRestated(hold: HoldRecord): void;
  findCharge(id: string): ChargeRecord | undefined;
  /**
   * Appends to the journal and adds to the totals of its labels. With a hold, the charge stands
   * under the hold's id and is its `charge` from now on.
   */
  addCharge(charge: ChargeRecord, hold: HoldRecord | undefined): void;
  countDenial(labels: LabelSet, nowMs: number): void;
  /** True while a hold past its time is still unresolved. */
  hasDueHolds(nowMs: number): boolean;
}
