import type { Charge } from '../charge.ts';
import type { EmbeddedSpending } from '../embedded-spending.ts';
import { InvalidAmountError } from '../errors.ts';
import { shown } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { ChargeRecord } from '../ledger/records.ts';
import { timeOf } from '../purse-options.ts';
import { amountOf } from './amounts.ts';
import { CATEGORY, ENVELOPE } from './envelope-limit.ts';
import type { Transaction, TransactionFilter } from './types.ts';

/** A row of the journal as the users of envelopes know it. */
export function toTransaction({
  id,
  atMs,
  amounts,
  labels,
  description,
}: ChargeRecord): Transaction {
  return made(id, labels.labels, amountOf(amounts), new Date(atMs), description);
}

/** The same of a charge that was told of. */
export function transactionBy({ id, at, amounts, labels, description }: Charge): Transaction {
  const [amount = 0] = Object.values(amounts);
  return made(id, labels, amount, at, description);
}

function made(
  id: string,
  labels: Labels,
  amount: number,
  timestamp: Date,
  description: string | undefined,
): Transaction {
  const { [CATEGORY]: category = '', [ENVELOPE]: envelopeId } = labels;
  if (envelopeId === undefined) {
    const transaction = { id, category, amount, timestamp };
    return description === undefined ? transaction : { ...transaction, description };
  }
  return description === undefined
    ? { id, category, amount, timestamp, envelopeId }
    : { id, category, amount, description, timestamp, envelopeId };
}

/**
 * Lists the recorded spends that fit a filter, the oldest first.
 *
 * @throws InvalidOptionError, InvalidAmountError for a time or an amount that is none.
 */
export function transactionsOf(
  spending: EmbeddedSpending,
  filter: TransactionFilter,
): Transaction[] {
  const { category, since, until, minAmount = 0, maxAmount = Number.POSITIVE_INFINITY } = filter;
  checkBound('minAmount', minAmount);
  checkBound('maxAmount', maxAmount);
  const charges = spending.journal({
    order: 'oldest',
    ...(category !== undefined && { labels: { [CATEGORY]: category } }),
    ...(since !== undefined && { sinceMs: timeOf('since', since) }),
    ...(until !== undefined && { untilMs: timeOf('until', until) + 1 }),
  });
  const found: Transaction[] = [];
  for (const charge of charges) {
    // A purse that shares the file records other spends too.
    if (!Object.hasOwn(charge.labels, CATEGORY)) continue;
    const transaction = transactionBy(charge);
    const { amount } = transaction;
    if (amount >= minAmount && amount <= maxAmount) found.push(transaction);
  }
  return found;
}

function checkBound(name: string, bound: number): void {
  if (typeof bound === 'number' && !Number.isNaN(bound)) return;
  throw new InvalidAmountError(`${name} is ${shown(bound)}; it must be a number`);
}
