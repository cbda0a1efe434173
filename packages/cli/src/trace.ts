import { parse } from 'csv-parse/sync';
import { InputError, messageOf } from './input-error.ts';
import { MAX_TIME_MS, parseSeconds, parseTime } from './time.ts';
import { type Column, type ColumnNames, type Columns, findColumns } from './trace-columns.ts';
import { type Line, MAX_LINE_LENGTH, readLines } from './trace-lines.ts';

/** One row of a trace: a call of a model, as it was recorded. */
export interface TraceRequest {
  readonly line: number;
  readonly timeMs: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** `''` when the trace has no model column, or the row's is empty. */
  readonly model: string;
}

/** A row that cannot be replayed: where it stands and what is wrong with it. */
export interface BadRow {
  readonly line: number;
  readonly column: string | null;
  readonly value: string;
  readonly reason: string;
}

/** What reading a row gives. */
export type TraceRow =
  | { readonly ok: true; readonly request: TraceRequest }
  | { readonly ok: false; readonly bad: BadRow };

/** A trace that is being read: its columns, and its rows as they come. */
export interface Trace {
  readonly columns: Columns;
  readonly rows: AsyncGenerator<TraceRow>;
}

/** More tokens than this in one call cannot be meant. */
const MAX_TOKENS = 1_000_000_000;

/** The name of a model becomes a label, whose length is bounded too. */
const MAX_MODEL_LENGTH = 256;

/** How many lines one quoted row may span before its quote counts as stray. */
const MAX_ROW_LINES = 64;

/**
 * Opens a trace and reads its header.
 *
 * @throws InputError when the file cannot be read, or lacks a column that is needed.
 */
export async function openTrace(
  path: string,
  names: ColumnNames,
  onProgress: (bytes: number) => void = () => {},
): Promise<Trace> {
  const lines = readLines(path, onProgress);
  const first = await lines.next();
  if (first.done === true || first.value.text === null || first.value.text.trim() === '') {
    throw new InputError(
      `${path}: the first line must be a header such as TIMESTAMP,ContextTokens,GeneratedTokens.`,
    );
  }
  const header = splitRow(first.value.text);
  if (!header.ok) {
    throw new InputError(`${path}: the header cannot be read as CSV: ${header.reason}.`);
  }
  const columns = findColumns(header.fields, names, path);
  return { columns, rows: readRows(lines, columns) };
}

/**
 * Reads rows. A quoted field may hold line ends, so a row may span lines; a quote that never
 * closes would swallow the rows after it, so such a row gives up its first line alone, as bad, and
 * the lines after it are read again, each for itself.
 */
async function* readRows(lines: AsyncIterator<Line>, columns: Columns): AsyncGenerator<TraceRow> {
  const timeOf = timeReader();
  const again: Line[] = [];
  const blank = { from: 0, count: 0 };
  const next = async (): Promise<Line | null> => {
    const line = again.shift();
    if (line !== undefined) return line;
    const read = await lines.next();
    return read.done === true ? null : read.value;
  };
  for (let line = await next(); line !== null; line = await next()) {
    if (line.text?.trim() === '') {
      // Blank lines at the end of a file are no rows; only a row that follows makes them bad.
      if (blank.count === 0) blank.from = line.number;
      blank.count += 1;
      continue;
    }
    for (; blank.count > 0; blank.from += 1, blank.count -= 1) {
      yield badLine({ number: blank.from, text: '' }, 'the line is empty');
    }
    const span = [line];
    while (span.length < MAX_ROW_LINES && hasOpenQuote(span)) {
      const more = await next();
      if (more === null) break;
      span.push(more);
    }
    const row = readSpan(span, columns, timeOf);
    if (!row.ok) again.unshift(...span.slice(1));
    yield row;
  }
}

function hasOpenQuote(span: readonly Line[]): boolean {
  let quotes = 0;
  let length = 0;
  for (const { text } of span) {
    if (text === null) return false;
    length += text.length;
    for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 1)) quotes += 1;
  }
  return quotes % 2 === 1 && length < MAX_LINE_LENGTH;
}

function readSpan(span: readonly Line[], columns: Columns, timeOf: TimeReader): TraceRow {
  const [line] = span;
  if (line === undefined || line.text === null) {
    return badLine(line ?? { number: 0, text: null }, 'the line is longer than 1 MiB');
  }
  const row = splitRow(span.map(({ text }) => text ?? '').join('\n'));
  if (!row.ok) return badLine(line, row.reason);
  const { fields } = row;
  if (fields.length !== columns.count) {
    const reason = `it has ${fields.length} fields where the header has ${columns.count}`;
    const { time, prompt, completion, model } = columns;
    const lacking = [time, prompt, completion, model].find(
      (column) => column !== null && column.index >= fields.length,
    );
    return badLine(line, reason, lacking?.name ?? null);
  }
  return readFields(line.number, fields, columns, timeOf);
}

type Split =
  | { readonly ok: true; readonly fields: readonly string[] }
  | { readonly ok: false; readonly reason: string };

/** Splits one row at its commas. Rows without quotes, nearly all there are, need no parser. */
function splitRow(text: string): Split {
  if (!text.includes('"')) return { ok: true, fields: text.split(',') };
  try {
    const rows: readonly string[][] = parse(text, {
      // How many fields a row must have is judged here, by the header, and said with its line.
      relax_column_count: true,
      // Strict on purpose: a stray quote is named as one, not kept as a part of a number.
      relax_quotes: false,
    });
    const [fields] = rows;
    if (rows.length === 1 && fields !== undefined) return { ok: true, fields };
    return { ok: false, reason: 'it has a stray quote' };
  } catch (error) {
    return { ok: false, reason: `it has a stray quote (${quoteProblem(error)})` };
  }
}

function quoteProblem(error: unknown): string {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  if (code === 'CSV_QUOTE_NOT_CLOSED') return 'it is never closed';
  if (code === 'INVALID_OPENING_QUOTE') return 'a field has one that does not open it';
  if (code === 'CSV_INVALID_CLOSING_QUOTE') return 'text follows the one that closes a field';
  return messageOf(error);
}

function readFields(
  line: number,
  fields: readonly string[],
  columns: Columns,
  timeOf: TimeReader,
): TraceRow {
  const field = (column: Column): string => (fields[column.index] ?? '').trim();
  const bad = (column: Column, reason: string): TraceRow => ({
    ok: false,
    bad: { line, column: column.name, value: shortened(field(column)), reason },
  });
  const timeMs = timeOf(field(columns.time));
  if (typeof timeMs === 'string') return bad(columns.time, timeMs);
  const promptTokens = tokensOf(field(columns.prompt));
  if (typeof promptTokens === 'string') return bad(columns.prompt, promptTokens);
  const completionTokens = tokensOf(field(columns.completion));
  if (typeof completionTokens === 'string') return bad(columns.completion, completionTokens);
  const model = columns.model === null ? '' : field(columns.model);
  if (columns.model !== null && model.length > MAX_MODEL_LENGTH) {
    return bad(columns.model, `it is longer than ${MAX_MODEL_LENGTH} characters`);
  }
  return { ok: true, request: { line, timeMs, promptTokens, completionTokens, model } };
}

/** Reads a time as milliseconds since the epoch, or says why it is none. */
type TimeReader = (text: string) => number | string;

/**
 * Makes the reader of a trace's times. Once it has read an ISO time, a bare number is a broken
 * time (a lone `2023`, say) and not seconds.
 */
function timeReader(): TimeReader {
  let writtenOut = false;
  return (text) => {
    if (text === '') return 'it is empty';
    const writtenMs = parseTime(text);
    if (writtenMs !== null) writtenOut = true;
    const timeMs = writtenMs ?? (writtenOut ? null : parseSeconds(text));
    if (timeMs === null) {
      return writtenOut
        ? 'it is no time such as the rows before it have'
        : 'it is no time; an ISO time or seconds from the start are';
    }
    if (timeMs < 0) return 'it is before 1970';
    return timeMs > MAX_TIME_MS ? 'it is after the year 9999; seconds are expected' : timeMs;
  };
}

/** Whole numbers; `12.0` too, as data frames write them once their column has had a gap. */
const WHOLE = /^\d+(?:\.0+)?$/;

/** Reads a count of tokens, or says why it is none. */
function tokensOf(text: string): number | string {
  if (text === '') return 'it is empty';
  if (WHOLE.test(text)) {
    const tokens = Number(text);
    return tokens > MAX_TOKENS ? 'it is more than a thousand million tokens' : tokens;
  }
  if (/^-\d/.test(text)) return 'it is negative';
  return Number.isFinite(Number(text))
    ? 'it is not written as a whole number'
    : 'it is not a number';
}

function badLine(line: Line, reason: string, column: string | null = null): TraceRow {
  const value = line.text === null ? '' : shortened(line.text);
  return { ok: false, bad: { line: line.number, column, value, reason } };
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
