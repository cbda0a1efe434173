import { type Audit, Auditor } from './ledger/audit.ts';
import { toDecimal } from './ledger/amount.ts';
import type { Labels } from './ledger/labels.ts';
import { envelopeLabels } from './ledger/plan.ts';
import type { Units } from './ledger/unit.ts';
import { askUntilAnswered, type Patience } from './patience.ts';
import { isEmbedded, type LedgerStore } from './stores/store.ts';

/** An envelope whose balance is not what the journal and the open holds add up to. */
export interface Mismatch {
  readonly limit: string;
  readonly unit: string;
  readonly labels: Labels;
  readonly window: { readonly start: Date; readonly end: Date | null };
  readonly field: 'spent' | 'held';
  /** What the envelope says, in decimals of `unit`. */
  readonly recorded: number;
  /** What its charges or holds add up to, in decimals of `unit`. */
  readonly expected: number;
}

/** What a verification found. */
export interface Verification {
  readonly ok: boolean;
  /** How many envelopes were compared. */
  readonly envelopes: number;
  /** How many journal rows were added up. */
  readonly charges: number;
  readonly mismatches: readonly Mismatch[];
}

/**
 * Adds a ledger up again from its records, in one snapshot. A reading that breaks off is begun again
 * from its beginning; it may take as long as it takes.
 */
export async function verifyLedger(
  store: LedgerStore,
  units: Units,
  { retryForMs }: Pick<Patience, 'retryForMs'>,
): Promise<Verification> {
  const patience = { operationTimeoutMs: Number.POSITIVE_INFINITY, retryForMs };
  const { envelopes, charges, mismatches } = isEmbedded(store)
    ? await audit(store)
    : await askUntilAnswered(() => audit(store), patience);
  return {
    ok: mismatches.length === 0,
    envelopes,
    charges,
    mismatches: mismatches.map(({ envelope, field, recorded, expected }) => {
      const decimals = units.get(envelope.unit)?.decimals ?? 0;
      const { startMs, endMs } = envelope.window;
      return {
        limit: envelope.limit,
        unit: envelope.unit,
        labels: envelopeLabels(envelope.each, envelope.values),
        window: { start: new Date(startMs), end: endMs === null ? null : new Date(endMs) },
        field,
        recorded: toDecimal(Number(recorded), decimals),
        expected: toDecimal(Number(expected), decimals),
      };
    }),
  };
}

async function audit(store: LedgerStore): Promise<Audit> {
  const auditor = new Auditor();
  for await (const record of store.readLedger()) auditor.add(record);
  return auditor.finish();
}
