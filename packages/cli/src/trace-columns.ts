import { InputError } from './input-error.ts';
import { readList, readPairs } from './options.ts';

/** What a column of a trace is read as. */
type Role = 'time' | 'prompt' | 'completion' | 'model';

/** Where each column stands in a row, and what the file calls it. `model` may be missing. */
export interface Columns {
  readonly count: number;
  readonly time: Column;
  readonly prompt: Column;
  readonly completion: Column;
  readonly model: Column | null;
}

/** One column of the file. */
export interface Column {
  readonly index: number;
  readonly name: string;
}

/** Column names given by the user, by what they are read as. */
export type ColumnNames = Readonly<Partial<Record<Role, string>>>;

/** The names that are known without being told, in lower case: the Azure trace's and BurstGPT's. */
const KNOWN_NAMES: Readonly<Record<Role, readonly string[]>> = {
  time: ['timestamp'],
  prompt: ['contexttokens', 'request tokens'],
  completion: ['generatedtokens', 'response tokens'],
  model: ['model'],
};

/** `model` comes last: a trace may have none. */
const ROLES: readonly Role[] = ['time', 'prompt', 'completion', 'model'];

/**
 * Reads `--columns time=when,prompt=in,completion=out,model=engine`.
 *
 * @throws InputError for a column that is not one of the four, or is given twice.
 */
export function readColumnNames(values: readonly string[]): ColumnNames {
  const names = new Map<Role, string>();
  if (values.length === 0) return {};
  for (const [role, name] of readPairs('--columns', readList('--columns', values))) {
    const known = ROLES.find((candidate) => candidate === role);
    if (known === undefined) {
      throw new InputError(
        `--columns names ${JSON.stringify(role)}; it takes time, prompt, completion and model.`,
      );
    }
    if (names.has(known))
      throw new InputError(`--columns names ${role} twice; give it one column.`);
    names.set(known, name);
  }
  return Object.fromEntries(names);
}

/**
 * Finds the columns of a trace in its header. Upper and lower case count as the same.
 *
 * @throws InputError that names the column missing, the header found, and `--columns`.
 */
export function findColumns(header: readonly string[], names: ColumnNames, path: string): Columns {
  const found = header.map((name) => name.trim());
  const column = (role: Role): Column | null => {
    const given = names[role];
    const wanted = given === undefined ? KNOWN_NAMES[role] : [given.trim().toLowerCase()];
    const matches = found.flatMap((name, index) =>
      wanted.includes(name.toLowerCase()) ? [{ index, name }] : [],
    );
    const [first, second] = matches;
    if (first !== undefined && second !== undefined) {
      throw new InputError(
        `${path}: the header names the ${role} column twice, as ${first.name} and ${second.name}; ` +
          `say which with --columns ${role}=…, or rename one: ${describeHeader(found)}.`,
      );
    }
    if (first === undefined && (role !== 'model' || given !== undefined)) {
      throw missingColumn(role, given, found, path);
    }
    return first ?? null;
  };
  const needed = (role: Role): Column => {
    const match = column(role);
    if (match === null) throw missingColumn(role, names[role], found, path);
    return match;
  };
  return {
    count: header.length,
    time: needed('time'),
    prompt: needed('prompt'),
    completion: needed('completion'),
    model: column('model'),
  };
}

function missingColumn(
  role: Role,
  given: string | undefined,
  header: readonly string[],
  path: string,
): InputError {
  const what =
    given === undefined
      ? `no column is known as the ${role} column`
      : `no column is called ${JSON.stringify(given)}, which --columns names for ${role}`;
  return new InputError(
    `${path}: ${what}; the header found is ${describeHeader(header)}. ` +
      'Name the columns with --columns time=…,prompt=…,completion=…[,model=…].',
    { code: 'MISSING_COLUMN' },
  );
}

function describeHeader(header: readonly string[]): string {
  const text = header.join(',');
  return JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text);
}
