import type { Labels } from './ledger/labels.ts';
import type { ChargeRecord, Crossing } from './ledger/records.ts';
import { toDecimals, type Units } from './ledger/unit.ts';

/**
 * Recorded spend: one row of the journal. It is never changed; a correction is a row of its own,
 * whose amounts may be negative.
 */
export interface Charge {
  readonly id: string;
  readonly at: Date;
  /** Decimals by unit. */
  readonly amounts: Readonly<Record<string, number>>;
  readonly labels: Labels;
  readonly description?: string;
  /** What had been held for it, in decimals by unit. */
  readonly held?: Readonly<Record<string, number>>;
  /** It took an envelope past its cap. */
  readonly overrun: boolean;
  /** It was settled after its hold had been resolved otherwise. */
  readonly late: boolean;
  /** Its hold's time passed and nobody had said what was spent, so all of it counts as spent. */
  readonly abandoned: boolean;
  /** This very call did not record it: an earlier one with the same id had. */
  readonly replayed: boolean;
  /** The id of the charge that this row corrects. */
  readonly corrects?: string;
  /** The warnings that this charge was the first to reach in their window. */
  readonly crossed: readonly Crossing[];
}

/** Makes the public form of a journal row. */
export function toCharge(record: ChargeRecord, units: Units, replayed: boolean): Charge {
  const { description, held, corrects } = record;
  return {
    id: record.id,
    at: new Date(record.atMs),
    amounts: toDecimals(record.amounts, units),
    labels: record.labels.labels,
    ...(description === undefined ? undefined : { description }),
    ...(held === undefined ? undefined : { held: toDecimals(held, units) }),
    overrun: record.overrun,
    late: record.late,
    abandoned: record.abandoned,
    replayed,
    ...(corrects === undefined ? undefined : { corrects }),
    crossed: record.crossed,
  };
}
