import { drawBar, formatPercent } from './bars.ts';
import {
  formatAmount,
  formatCell,
  formatCount,
  formatLabels,
  formatTime,
  formatWindow,
} from './format.ts';
import type { WindowRow } from './replay-windows.ts';
import type { ReplayResult } from './replay.ts';
import { drawTable, firstRows, numbers } from './table.ts';
import type { TallyAmounts } from './tally.ts';
import type { Terminal } from './terminal.ts';

const MOST_WINDOWS = 40;
const MOST_BAD_ROWS = 10;
const BAR_WIDTH = 20;

/** Prints what a replay came to: the sums, the caps, the windows, the models and the bad rows. */
export function printReplay(terminal: Terminal, path: string, result: ReplayResult): void {
  const { since, until } = result;
  const span =
    since === null || until === null ? '' : ` of ${formatTime(since)} to ${formatTime(until)} UTC`;
  const heading = `Replayed ${formatCount(result.requests)} requests${span} from ${path}`;
  terminal.print(`${terminal.paint('bold', heading)}\n`);
  printSums(terminal, result);
  printLimits(terminal, result);
  printWindows(terminal, result);
  printLabels(terminal, result);
  printBadRows(terminal, result);
  if (result.jumpedBack > 0) {
    const count = formatCount(result.jumpedBack);
    terminal.print(
      `\n${terminal.paint('yellow', `${count} requests are over a day earlier`)} than one before them. ` +
        'Windows that were closed\nby then had been forgotten, and began anew: sort the trace by time.',
    );
  }
}

function printSums(terminal: Terminal, result: ReplayResult): void {
  const row = (name: string, count: number, amounts: TallyAmounts): readonly string[] => [
    name,
    formatCount(count),
    formatAmount('usd', amounts.usd),
    formatCount(amounts.tokens),
  ];
  const denied = {
    usd: Number((result.unlimited.usd - result.spent.usd).toFixed(8)),
    tokens: result.unlimited.tokens - result.spent.tokens,
    calls: result.denied,
  };
  const rows = [
    row('admitted', result.admitted, result.spent),
    row('denied', result.denied, denied),
    row('without limits', result.requests, result.unlimited),
  ];
  const columns = [{ title: '' }, ...['requests', 'usd', 'tokens'].map(numbers)];
  terminal.print(`${drawTable(terminal, columns, rows)}\n`);
}

function printLimits(terminal: Terminal, result: ReplayResult): void {
  if (result.limits.length === 0) {
    terminal.print('No limits were given, so nothing was denied; try some with --limits.\n');
    return;
  }
  const rows = result.limits.map(({ name, denied, firstDeniedAt }) => [
    name,
    formatCount(denied),
    firstDeniedAt === null ? 'never' : firstDeniedAt.toISOString(),
  ]);
  const columns = [{ title: 'limit' }, numbers('denied'), { title: 'first bit at' }];
  terminal.print(`${drawTable(terminal, columns, rows)}\n`);
}

function printWindows(terminal: Terminal, { windows }: ReplayResult): void {
  if (windows.length === 0) return;
  const rows = tellingWindows(terminal, windows).map((window) => {
    const fraction = usedOf(window);
    return [
      window.limit,
      formatLabels(window.labels),
      formatWindow(window.start, window.end),
      formatAmount(window.unit, window.spent),
      formatCell(window.unit, window.cap),
      `${drawBar(terminal, fraction, BAR_WIDTH)} ${formatPercent(fraction)}`,
      window.denied === 0 ? '' : formatCount(window.denied),
    ];
  });
  const columns = [
    { title: 'limit' },
    { title: 'for' },
    { title: 'window (UTC)' },
    ...['spent', 'cap'].map(numbers),
    { title: 'used' },
    numbers('denied'),
  ];
  terminal.print(`${drawTable(terminal, columns, rows)}\n`);
}

/** Too many windows to read: those in which a cap bit, then the fullest, in the order of time. */
function tellingWindows(terminal: Terminal, windows: readonly WindowRow[]): readonly WindowRow[] {
  const ranked = windows.toSorted((a, b) => b.denied - a.denied || usedOf(b) - usedOf(a));
  const chosen = new Set(firstRows(terminal, ranked, MOST_WINDOWS, 'windows'));
  return windows.filter((window) => chosen.has(window));
}

function usedOf({ spent, cap }: WindowRow): number {
  return cap > 0 ? spent / cap : 1;
}

function printLabels(terminal: Terminal, { labels }: ReplayResult): void {
  if (labels.length === 0) return;
  const rows = labels.map((row) => [
    formatLabels(row.labels),
    formatCount(row.admitted),
    formatCount(row.denied),
    formatAmount('usd', row.spent.usd),
    formatAmount('usd', row.unlimited.usd),
  ]);
  const titles = ['admitted', 'denied', 'spent', 'without limits'];
  terminal.print(drawTable(terminal, [{ title: 'for' }, ...titles.map(numbers)], rows));
}

function printBadRows(terminal: Terminal, { badRows, badRowDetails }: ReplayResult): void {
  if (badRows === 0) return;
  const noun = badRows === 1 ? 'row is no request' : 'rows are no requests';
  terminal.print(
    `\n${terminal.paint('yellow', `${formatCount(badRows)} ${noun}`)}, and not counted:`,
  );
  for (const { line, column, value, reason } of badRowDetails.slice(0, MOST_BAD_ROWS)) {
    const where = column === null ? '' : ` ${column}`;
    terminal.print(`  line ${line}:${where} ${JSON.stringify(value)}: ${reason}`);
  }
  if (badRows > MOST_BAD_ROWS) {
    terminal.print(
      `  … and ${formatCount(badRows - MOST_BAD_ROWS)} more; --json names the first 100`,
    );
  }
}
