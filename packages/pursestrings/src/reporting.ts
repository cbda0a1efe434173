import { type Report, reportRows, slotEnd, slotOf } from './ledger/report.ts';
import type { Units } from './ledger/unit.ts';
import { checkedLabelNames, type ReportQuery, timeOf } from './purse-options.ts';
import type { LedgerStore, TotalsQuery } from './stores/store.ts';

/** What a report is about: whole quarter-hours, and the labels that get rows of their own. */
interface ReportSpan extends TotalsQuery {
  readonly by: readonly string[];
}

/** Checks which report is asked for. @throws InvalidOptionError */
export function checkedReportQuery(query: ReportQuery, nowMs: number): ReportSpan {
  const { since, until, by = [] } = query;
  return {
    sinceMs: slotOf(since === undefined ? 0 : timeOf('since', since)),
    untilMs: slotEnd(until === undefined ? nowMs + 1 : timeOf('until', until)),
    by: checkedLabelNames(by),
  };
}

/** Adds up spend by labels, from running totals. */
export async function readReport(
  store: LedgerStore,
  { sinceMs, untilMs, by }: ReportSpan,
  units: Units,
): Promise<Report> {
  const totals = await store.readTotals({ sinceMs, untilMs });
  const rows = reportRows(totals, by, units);
  return { since: new Date(sinceMs), until: new Date(untilMs), ...rows };
}
