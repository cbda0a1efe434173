import type { Balance } from 'pursestrings';
import type { DemoFacts } from './run.ts';

/** Whether the promise held, point by point. */
export interface Verdict {
  readonly ok: boolean;
  /** No envelope is past its cap, spent and held together, and no charge was marked as an overrun. */
  readonly noCapPassed: boolean;
  /** The ledger has at least the bill, and more by no more than was held for the killed agent. */
  readonly billCovered: boolean;
  /** The ledger has what the weather API was paid and what routing cost, to the millisatoshi. */
  readonly weatherCovered: boolean;
  /** The journal adds up to the envelopes. */
  readonly addsUp: boolean;
  /** What the ledger has more than the bill, in USD; `null` when there is no bill. */
  readonly difference: number | null;
  /** What was held for the killed agent, in USD. */
  readonly deathHold: number;
}

/** A ledger rounds each charge up to 1e-8 USD, so each may be so much over the bill. */
const ROUNDING_PICOS_PER_CHARGE = 10_000n;

/** Judges a run by its facts alone, in exact integers. */
export function judge(facts: DemoFacts): Verdict {
  const noCapPassed = facts.overruns === 0 && facts.balances.every(isWithinCap);
  const deathHold = facts.deathCharge?.held?.['usd'] ?? facts.deathCharge?.amounts['usd'] ?? 0;
  const charges = modelCharges(facts);
  const ledger = picosOf((facts.report.total['usd'] ?? 0).toFixed(8));
  const difference = facts.bill === null ? null : ledger - picosOf(facts.bill.usd);
  const allowed = picosOf(deathHold.toFixed(8)) + BigInt(charges) * ROUNDING_PICOS_PER_CHARGE;
  const billCovered = difference === null || (difference >= 0n && difference <= allowed);
  const weatherCovered = isWeatherCovered(facts);
  const addsUp = facts.verify.ok;
  return {
    ok: noCapPassed && billCovered && weatherCovered && addsUp && facts.deathCharge !== null,
    noCapPassed,
    billCovered,
    weatherCovered,
    addsUp,
    difference: difference === null ? null : Number(difference) / 1e12,
    deathHold,
  };
}

/** Charges of model calls: those of the weather are counted in satoshis. */
export function modelCharges({ report, weather }: DemoFacts): number {
  return report.rows.reduce((sum, row) => sum + row.charges, 0) - (weather?.charges ?? 0);
}

function isWeatherCovered({ weather }: DemoFacts): boolean {
  if (weather === null) return true;
  const { charges, msat, bill } = weather;
  return charges === bill.payments && msat === bill.amountMsat + bill.feeMsat;
}

function isWithinCap({ spent, held, cap }: Balance): boolean {
  const [spentPicos, heldPicos, capPicos] = [spent, held, cap].map((usd) =>
    picosOf(usd.toFixed(8)),
  );
  return (spentPicos ?? 0n) + (heldPicos ?? 0n) <= (capPicos ?? 0n);
}

/** USD as decimal text, in whole steps of 1e-12. */
function picosOf(usd: string): bigint {
  const [whole = '0', fraction = ''] = usd.split('.');
  return BigInt(`${whole}${fraction.padEnd(12, '0').slice(0, 12)}`);
}
