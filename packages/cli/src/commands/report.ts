import type { Command } from 'commander';
import type { Report } from 'pursestrings';
import { drawBar } from '../bars.ts';
import { formatCell, formatCount, formatTime } from '../format.ts';
import { InputError } from '../input-error.ts';
import { addLedgerCommand, examples, type LedgerOptions, withLedger } from '../ledger-access.ts';
import { collect, readList, readTime } from '../options.ts';
import { drawTable, firstRows, numbers } from '../table.ts';
import { printJson, type Terminal } from '../terminal.ts';

interface ReportOptions extends LedgerOptions {
  readonly by?: readonly string[];
  readonly since?: string;
  readonly until?: string;
}

const MOST_ROWS = 50;
const BAR_WIDTH = 20;

/** `purse report`: what was spent, by label. */
export function addReport(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'report', 'show what was spent, by label')
    .option('--by <labels>', 'one row for each combination of labels, such as agent,model', collect)
    .option('--since <time>', 'from this time on: an ISO time (UTC), or how long ago, such as 7d')
    .option('--until <time>', 'up to this time')
    .addHelpText(
      'after',
      examples(
        ['purse report --store sqlite:./purse.db', 'everything the ledger recorded, in one row'],
        ['purse report -s sqlite:./purse.db --by agent,model --since 7d', 'who spent it, on what'],
        ['purse report --config purse.yaml --by team --json', 'the same for a machine'],
      ) + '\nTimes widen to whole quarter-hours, the grain that totals are kept in.\n',
    )
    .action(async (options: ReportOptions) => {
      const report = await readReport(options, terminal);
      if (options.json) printJson(terminal, report);
      else printReport(terminal, report, byOf(options));
    });
}

function byOf(options: ReportOptions): readonly string[] {
  return options.by === undefined ? [] : readList('--by', options.by);
}

async function readReport(options: ReportOptions, terminal: Terminal): Promise<Report> {
  const nowMs = Date.now();
  const { since, until } = options;
  const query = {
    by: byOf(options),
    ...(since !== undefined && { since: readTime('--since', since, nowMs) }),
    ...(until !== undefined && { until: readTime('--until', until, nowMs) }),
  };
  if (query.since !== undefined && query.until !== undefined && query.since > query.until) {
    throw new InputError(`--since ${since} is after --until ${until}; swap the two.`);
  }
  return await withLedger(options, terminal, (purse) => purse.report(query));
}

/** Prints a report as a table; the bar is each row's share of the first unit's total. */
function printReport(terminal: Terminal, report: Report, by: readonly string[]): void {
  const units = Object.keys(report.total).sort(usdFirst);
  const [barUnit] = units;
  const charges = report.rows.reduce((sum, row) => sum + row.charges, 0);
  const denials = report.rows.reduce((sum, row) => sum + row.denials, 0);
  if (charges === 0 && denials === 0) {
    terminal.print('Nothing was spent, and nothing was denied.');
    return;
  }
  const share = (amount: number): string => {
    const total = barUnit === undefined ? 0 : (report.total[barUnit] ?? 0);
    return drawBar(terminal, total > 0 ? amount / total : 0, BAR_WIDTH, 'cyan');
  };
  const rows = [...report.rows].sort(
    (a, b) => (b.amounts[barUnit ?? ''] ?? 0) - (a.amounts[barUnit ?? ''] ?? 0),
  );
  const cells = firstRows(terminal, rows, MOST_ROWS, 'rows').map((row) => [
    ...by.map((label) => row.labels[label] || '(none)'),
    ...units.map((unit) => formatCell(unit, row.amounts[unit] ?? 0)),
    formatCount(row.charges),
    formatCount(row.denials),
    ...(by.length === 0 ? [] : [share(row.amounts[barUnit ?? ''] ?? 0)]),
  ]);
  const total = [
    ...by.map((_, index) => (index === 0 ? terminal.paint('bold', 'total') : '')),
    ...units.map((unit) => terminal.paint('bold', formatCell(unit, report.total[unit] ?? 0))),
    formatCount(charges),
    formatCount(denials),
  ];
  const columns = [
    ...by.map((label) => ({ title: label })),
    ...[...units, 'charges', 'denials'].map(numbers),
    ...(by.length === 0 ? [] : [{ title: `share of ${barUnit ?? 'spend'}` }]),
  ];
  const since = report.since.getTime() === 0 ? '' : ` from ${formatTime(report.since)}`;
  terminal.print(`Spent${since} until ${formatTime(report.until)} UTC\n`);
  terminal.print(
    drawTable(terminal, columns, by.length === 0 ? cells : [...cells, [...total, '']]),
  );
}

function usdFirst(a: string, b: string): number {
  if (a === 'usd' || b === 'usd') return a === b ? 0 : a === 'usd' ? -1 : 1;
  return a < b ? -1 : 1;
}
