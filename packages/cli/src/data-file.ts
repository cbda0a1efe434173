import { readFileSync, statSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { InputError, messageOf } from './input-error.ts';

/** A file of settings is small; a larger one is another kind of file. */
const MAX_FILE_BYTES = 8 * 1024 * 1024;

/** A mapping of names to values, as a YAML or JSON file gives it. */
export type Mapping = Readonly<Record<string, unknown>>;

/**
 * Reads a YAML or JSON file.
 *
 * @throws InputError that names the file, and the line where it cannot be read.
 */
export function readDataFile(path: string, noun: string): unknown {
  const text = readText(path, noun);
  if (path.toLowerCase().endsWith('.json')) return parseJson(text, path, noun);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const { line } = lines.linePos(problem.pos[0]);
    throw new InputError(
      `Cannot read the ${noun} ${path}: line ${line}: ${messageOf(problem)}; correct that line.`,
    );
  }
  try {
    return document.toJS();
  } catch (cause) {
    throw new InputError(`Cannot read the ${noun} ${path}: ${messageOf(cause)}.`, { cause });
  }
}

/** True for a mapping, as opposed to a list, a text, a number or nothing. */
export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Checks that a mapping has only known keys.
 *
 * @throws InputError that names the file and the first key that is not known.
 */
export function checkKeys(value: Mapping, known: readonly string[], place: string): void {
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    throw new InputError(
      `${place}: ${JSON.stringify(key)} is not a known key; use ${known.join(', ')}.`,
    );
  }
}

function readText(path: string, noun: string): string {
  try {
    if (statSync(path).size > MAX_FILE_BYTES) {
      throw new InputError(`The ${noun} ${path} is larger than 8 MiB; is it the right file?`);
    }
    return readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError(`Cannot read the ${noun} ${path}: ${whyUnreadable(cause)}.`, { cause });
  }
}

/** Says in words why a file cannot be read. */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'there is no such file; check the path';
    case 'EISDIR':
      return 'it is a directory; name a file';
    case 'EACCES':
      return 'permission is denied; check who may read it';
    default:
      return messageOf(error);
  }
}

function parseJson(text: string, path: string, noun: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InputError(
      `Cannot read the ${noun} ${path}: ${messageOf(cause)}; correct the JSON.`,
      {
        cause,
      },
    );
  }
}
