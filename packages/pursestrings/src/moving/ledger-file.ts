/**
 * The form of an exported ledger: lines of JSON, in this order.
 *
 * | `kind` | what it says |
 * |---|---|
 * | `ledger` | the header: the version of the form, the id of this export, the policy |
 * | `envelope` | one balance, under a number `n` that later lines name it by |
 * | `terms` | the caps and warnings of a moment, under a number, before the first hold that has them |
 * | `hold` | a hold that is resolved, and whose id is still remembered |
 * | `charge` | a row of the journal, the oldest first |
 * | `total` | a running total of a quarter-hour or a UTC day |
 * | `end` | the trailer: how many there were of each, what they add up to, and a digest |
 *
 * Amounts are whole steps of their unit. Labels are pairs in the order of their names. A field that
 * says nothing is left out.
 */
import { createHash, type Hash } from 'node:crypto';
import { stepsOf } from '../ledger/charge-row.ts';
import type { LedgerRecord } from '../ledger/audit.ts';
import { PurseError } from '../ledger/invalid.ts';
import type { Policy } from '../ledger/policy.ts';
import type { StepAmounts } from '../ledger/unit.ts';

/** The version of the form that this code writes and reads. */
export const FORM_VERSION = 1;

/** The first line. */
export interface Header {
  readonly kind: 'ledger';
  readonly version: number;
  /** Tells exports apart: an import that broke off is gone on with only by the same one. */
  readonly id: string;
  /** The ledger's name in its store, and the kind of store, for people. */
  readonly ledger: string;
  readonly store: string;
  readonly at: string;
  readonly policy: Pick<Policy, 'units' | 'limits' | 'freezes'>;
}

/** How many records there are of each kind. */
export interface Counts {
  readonly envelopes: number;
  readonly holds: number;
  readonly charges: number;
  readonly totals: number;
}

/** What records add up to, by unit, in steps as text: they may be more than a number tells exactly. */
export interface Sums {
  /** What envelopes say was spent. */
  readonly spent: Readonly<Record<string, string>>;
  /** What the rows of the journal say was charged. */
  readonly charged: Readonly<Record<string, string>>;
}

/** The last line. */
export interface Trailer extends Counts {
  readonly kind: 'end';
  readonly sums: Sums;
  /** SHA-256 of every line before, each with its line end, in hexadecimal digits. */
  readonly digest: string;
}

/** Counts records and adds them up. */
export class Tally {
  readonly #counts = { envelopes: 0, holds: 0, charges: 0, totals: 0 };
  readonly #spent = new Map<string, bigint>();
  readonly #charged = new Map<string, bigint>();

  add(record: LedgerRecord): void {
    switch (record.kind) {
      case 'envelope': {
        const { unit, spent } = record.envelope;
        this.#counts.envelopes += 1;
        addTo(this.#spent, unit, spent);
        return;
      }
      case 'hold':
        this.#counts.holds += 1;
        return;
      case 'charge': {
        const { amounts } = record.charge;
        this.#counts.charges += 1;
        for (const { unit } of amounts) addTo(this.#charged, unit, stepsOf(amounts, unit));
        return;
      }
      case 'total':
        this.#counts.totals += 1;
    }
  }

  get counts(): Counts {
    return { ...this.#counts };
  }

  get sums(): Sums {
    return { spent: textsOf(this.#spent), charged: textsOf(this.#charged) };
  }
}

/** The digest of lines as they are written. */
export class LineDigest {
  readonly #hash: Hash = createHash('sha256');

  add(line: string): void {
    this.#hash.update(line).update('\n');
  }

  finish(): string {
    return this.#hash.digest('hex');
  }
}

/** A number of steps is exact, or it is not written. */
export function writeAmounts(amounts: StepAmounts): Readonly<Record<string, number>> {
  return Object.fromEntries(amounts.map(({ unit, steps }) => [unit, steps]));
}

/** What a file that cannot be imported is refused with: code `INVALID_EXPORT`. */
export function invalidExport(line: number, what: string): PurseError {
  return new PurseError(
    'INVALID_EXPORT',
    `Line ${line} of the export ${what}; export the ledger again, or copy the whole file`,
  );
}

function addTo(sums: Map<string, bigint>, unit: string, steps: number): void {
  sums.set(unit, (sums.get(unit) ?? 0n) + BigInt(steps));
}

function textsOf(sums: ReadonlyMap<string, bigint>): Readonly<Record<string, string>> {
  const units = [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(units.map(([unit, steps]) => [unit, String(steps)]));
}
