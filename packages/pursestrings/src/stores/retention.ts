import { InvalidOptionError } from '../errors.ts';
import type { Retention } from './store.ts';

/** For ever, as far as a ledger can tell; and in milliseconds still a safe integer. */
const MAX_JOURNAL_DAYS = 1_000_000;

/**
 * Checks how long a store is to keep things, and how many: a bound that is no number would bound
 * nothing.
 *
 * @throws InvalidOptionError
 */
export function checkRetention({ journalDays, maxCharges, maxEnvelopes }: Retention): void {
  if (journalDays !== undefined && !(isNumber(journalDays) && journalDays <= MAX_JOURNAL_DAYS)) {
    throw new InvalidOptionError(
      `journalDays is ${shown(journalDays)}; write a number of days over 0, at most ${MAX_JOURNAL_DAYS}`,
    );
  }
  for (const [name, bound] of Object.entries({ maxCharges, maxEnvelopes })) {
    if (bound === undefined || (isNumber(bound) && Number.isSafeInteger(bound))) continue;
    throw new InvalidOptionError(`${name} is ${shown(bound)}; write a whole number of 1 or more`);
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && value > 0;
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}
