import Table from 'cli-table3';
import type { Terminal } from './terminal.ts';

/** One column: its heading, and on which side its cells stand. */
export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** A column of amounts or counts. */
export function numbers(title: string): Column {
  return { title, align: 'right' };
}

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '  ',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
} as const;

/** Draws rows under headings, without lines, so that it reads well and pastes well. */
export function drawTable(
  terminal: Terminal,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const table = new Table({
    chars: NO_LINES,
    head: columns.map((column) => terminal.paint('dim', column.title)),
    colAligns: columns.map((column) => column.align ?? 'left'),
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Prints the most telling rows and says how many more there are; `--json` always has all. */
export function firstRows<T>(
  terminal: Terminal,
  rows: readonly T[],
  most: number,
  noun: string,
): readonly T[] {
  if (rows.length <= most) return rows;
  terminal.note(`Showing ${most} of ${rows.length} ${noun}; --json has them all.`);
  return rows.slice(0, most);
}
