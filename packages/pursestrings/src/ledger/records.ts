import type { LabelSet } from './labels.ts';
import type { Terms } from './limit.ts';
import type { Line } from './plan.ts';
import type { StepAmounts } from './unit.ts';
import type { Window } from './window.ts';

/** What becomes of a hold that nobody settles: its money goes back, or counts as spent. */
export type IfAbandoned = 'release' | 'charge';

/** One balance under a limit. Mutable: the ledger's one place where money moves. */
export interface Envelope {
  readonly key: string;
  readonly limit: string;
  readonly unit: string;
  readonly each: readonly string[];
  readonly values: readonly string[];
  readonly window: Window;
  spent: number;
  held: number;
  /** The part of `spent` whose charges the journal no longer lists. */
  pruned: number;
  /** The fractions of the cap whose crossing was announced in this window. */
  crossed: readonly number[];
  /** It would have passed 2^53 - 1: pinned there, it denies and moves no more. */
  saturated: boolean;
  /** Its window closed and it was forgotten: nothing is posted to it any more. */
  closed: boolean;
}

/**
 * One line of a hold: an envelope, and the terms of the moment it was taken. How much it holds is
 * the hold's amount of the envelope's unit.
 */
export interface HeldLine {
  readonly terms: Terms;
  readonly envelope: Envelope;
}

/**
 * Where a hold stands. `expired` and `expired_charged` say what expiry did; `corrected` says that
 * the truth came after an expiry that charged.
 */
export type HoldState =
  | 'open'
  | 'settled'
  | 'released'
  | 'expired'
  | 'expired_charged'
  | 'corrected';

/** Money set aside before the work. */
export interface HoldRecord {
  readonly id: string;
  readonly amounts: StepAmounts;
  readonly labels: LabelSet;
  readonly description: string | undefined;
  readonly ifAbandoned: IfAbandoned;
  /** Units among the amounts that come back instead of being charged. */
  readonly occupied: readonly string[];
  /**
   * The options that the caller named: part of what a replay must repeat. A hold that was renamed
   * says here what it was called before, after `RENAMED_PREFIX`.
   */
  readonly said: string;
  readonly lines: readonly HeldLine[];
  expiresAtMs: number;
  state: HoldState;
  resolvedAtMs: number | null;
  /** The charge under its id, where the book has it at hand: spares a look-up, and an index. */
  charge: ChargeRecord | undefined;
}

/** Recorded spend: one row of the journal. Never changed. */
export interface ChargeRecord {
  readonly id: string;
  readonly atMs: number;
  /** Negative steps only in a correction. */
  readonly amounts: StepAmounts;
  readonly labels: LabelSet;
  readonly description: string | undefined;
  /** What was held for it; undefined for a charge without a hold. */
  readonly held: StepAmounts | undefined;
  readonly overrun: boolean;
  readonly late: boolean;
  /** The hold's time passed and nobody had said what was spent: a correction may follow. */
  readonly abandoned: boolean;
  /** The charge that this row corrects. */
  readonly corrects: string | undefined;
  readonly crossed: readonly Crossing[];
  /** The envelopes it was posted to, each with the amount of its unit. */
  readonly lines: readonly PostedLine[];
}

/** A warning fraction that a charge took an envelope over. */
export interface Crossing {
  readonly limit: string;
  readonly unit: string;
  readonly fraction: number;
}

/** An envelope that a charge was posted to. */
export interface PostedLine {
  readonly envelope: Envelope;
}

/** Sets money aside, or is denied. */
export interface ReserveOperation {
  readonly kind: 'reserve';
  readonly id: string;
  /** The id was made for this operation and never given to anyone: nothing can stand under it. */
  readonly fresh: boolean;
  readonly amounts: StepAmounts;
  readonly labels: LabelSet;
  readonly description: string | undefined;
  readonly ifAbandoned: IfAbandoned;
  readonly ttlMs: number;
  readonly occupied: readonly string[];
  readonly said: string;
  readonly lines: readonly Line[];
  /** The revision of the policy that the lines and the refusal were planned under. */
  readonly revision: number;
  /** Refused by the policy whatever the balances, unless the id is already known. */
  readonly refusal: 'frozen' | 'uncovered' | null;
  /** A refusal is not counted: the caller goes on to ask for less. */
  readonly tentative?: boolean;
}

/** Records what a hold's work really cost. Units left out cost what was held. */
export interface SettleOperation {
  readonly kind: 'settle';
  readonly id: string;
  readonly amounts: StepAmounts;
  /** The labels for the journal and the reports: the hold's, and what the settle adds. */
  readonly labels: LabelSet;
  readonly description: string | undefined;
  /** Only if nobody has said yet what became of the hold; else nothing is done. */
  readonly ifUnresolved: boolean;
  /** Lines for the units that were not held. */
  readonly lines: readonly Line[];
  /** The revision those lines were planned under; null to post by them whatever stands. */
  readonly revision: number | null;
}

/** Gives a hold's money back. */
export interface ReleaseOperation {
  readonly kind: 'release';
  readonly id: string;
}

/** Keeps a hold open for at least `ttlMs` from now. */
export interface ExtendOperation {
  readonly kind: 'extend';
  readonly id: string;
  readonly ttlMs: number;
}

/**
 * Gives an open hold another id: the record under the old one is released, and one that is the same
 * but for its id, its origin and its time is open under the new one. The money was held before, so
 * neither cap nor freeze nor revision has a say.
 */
export interface RenameOperation {
  readonly kind: 'rename';
  readonly id: string;
  readonly newId: string;
  /** It stays open for at least so long from now; null leaves its time as it is. */
  readonly ttlMs: number | null;
}

/** Records a spend that was not held. */
export interface ChargeOperation {
  readonly kind: 'charge';
  readonly id: string;
  readonly fresh: boolean;
  readonly amounts: StepAmounts;
  readonly labels: LabelSet;
  readonly description: string | undefined;
  readonly lines: readonly Line[];
  /** The revision the lines were planned under; null to post by them whatever stands. */
  readonly revision: number | null;
  /** Known to come after its time: the settle of a hold whose record is gone. */
  readonly late: boolean;
}

/** Everything that can happen to a ledger. */
export type Operation =
  | ReserveOperation
  | SettleOperation
  | ReleaseOperation
  | ExtendOperation
  | RenameOperation
  | ChargeOperation;

/** A line that would not fit, with what its envelope held at that moment. */
export interface Shortfall {
  readonly line: Line;
  readonly spent: number;
  readonly held: number;
}

/** What a store says to one operation. */
export type Answer =
  /** Taken by a reserve, or taken over by a rename. */
  | { readonly kind: 'held'; readonly hold: HoldRecord; readonly replayed: boolean }
  | { readonly kind: 'charged'; readonly charge: ChargeRecord; readonly replayed: boolean }
  | { readonly kind: 'released'; readonly charge: ChargeRecord | null; readonly replayed: boolean }
  | { readonly kind: 'extended'; readonly expiresAtMs: number }
  /** Others have settled or released the hold, and it was to be left alone then. */
  | { readonly kind: 'resolved'; readonly state: HoldState }
  | {
      readonly kind: 'denied';
      readonly reason: 'exceeds' | 'frozen' | 'uncovered' | 'too_many_envelopes';
      readonly shortfalls: readonly Shortfall[];
    }
  /** Due holds stand in the way and are being resolved: ask again. */
  | { readonly kind: 'again' }
  /** The policy has changed since the operation was planned: read it, plan again. */
  | { readonly kind: 'stale' }
  /** A line's window does not contain the store's time: plan again for that time. */
  | { readonly kind: 'outside_window' }
  | {
      readonly kind: 'conflict';
      readonly hold: HoldRecord | null;
      readonly charge: ChargeRecord | null;
    }
  | { readonly kind: 'unknown_hold' };

/** A hold that was found past its time, and what became of it. */
export interface Expiry {
  readonly hold: HoldRecord;
  readonly charge: ChargeRecord | null;
}

/** The answers to a batch, in its order, and the store's one time for all of it. */
export interface Applied {
  readonly answers: readonly Answer[];
  readonly expiries: readonly Expiry[];
  readonly nowMs: number;
}

/** The id of the row that corrects the charge of an expired hold. User ids never begin like it. */
export const CORRECTION_PREFIX = 'correction:';

/** What a renamed hold's `said` begins with; the options of a reserve are never written like it. */
export const RENAMED_PREFIX = 'renamed:';

/** The crossings of an envelope that has crossed nothing yet. */
export const NOTHING_CROSSED: readonly number[] = Object.freeze([]);

/** How long the id of a resolved hold is remembered. */
export const RESOLVED_HOLD_TTL_MS: number = 7 * 86_400_000;
