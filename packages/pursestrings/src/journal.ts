import { type Charge, toCharge } from './charge.ts';
import { InvalidOptionError } from './errors.ts';
import { shown } from './ledger/invalid.ts';
import { labelSet } from './ledger/labels.ts';
import type { Units } from './ledger/unit.ts';
import { type JournalOptions, timeOf } from './purse-options.ts';
import type { JournalQuery, LedgerStore } from './stores/store.ts';

/** Checks which charges are asked for. @throws InvalidOptionError, InvalidLabelError */
export function checkedJournalQuery(options: JournalOptions): JournalQuery {
  const { order = 'newest', labels, since, until } = options;
  if (order !== 'newest' && order !== 'oldest') {
    throw new InvalidOptionError(`order is ${shown(order)}; it must be 'newest' or 'oldest'`);
  }
  return {
    order,
    ...(labels !== undefined && { labels: labelSet(labels).labels }),
    ...(since !== undefined && { sinceMs: timeOf('since', since) }),
    ...(until !== undefined && { untilMs: timeOf('until', until) }),
  };
}

/** Reads charges, page by page. `units` are asked for anew, for they may be added to meanwhile. */
export async function* readJournal(
  store: LedgerStore,
  units: () => Units,
  query: JournalQuery,
): AsyncGenerator<Charge> {
  let after: string | null = null;
  do {
    const page = await store.readJournal(after === null ? query : { ...query, after });
    for (const charge of page.items) yield toCharge(charge, units(), false);
    after = page.next;
  } while (after !== null);
}
