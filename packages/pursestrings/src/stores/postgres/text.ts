/** Stands between the elements of a list, and for one that is null. */
const SEPARATOR = '\u001F';
const NULL_MARK = '\u0002';

/**
 * Characters that Postgres cannot keep (NUL), or that lists are written with: control characters,
 * which the patterns therefore name.
 */
// oxlint-disable-next-line no-control-regex
const SPECIAL = /[\u0000-\u0002\u001F]/g;
// oxlint-disable-next-line no-control-regex
const PACKED = /\u0001([0-3])/g;
const SPECIALS = ['\u0000', '\u0001', '\u0002', '\u001F'];

/** Writes text so that Postgres can keep it: one text for each, and each can be read back. */
export function pack(text: string): string {
  return text.replace(SPECIAL, (character) => `\u0001${SPECIALS.indexOf(character)}`);
}

/** Reads what `pack` wrote. */
export function unpack(text: string): string {
  return text.includes('\u0001')
    ? text.replace(PACKED, (_, digit: string) => SPECIALS[Number(digit)] as string)
    : text;
}

/**
 * A text as SQL. The escape form means the same whatever `standard_conforming_strings` is:
 * https://www.postgresql.org/docs/15/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE
 */
export function literal(text: string): string {
  return `E'${text.replace(/[\\']/g, '$&$&')}'`;
}

/** A text or null as SQL. */
export function literalOrNull(text: string | null | undefined): string {
  return text === null || text === undefined ? 'NULL' : literal(text);
}

/** Packed texts as an SQL array. */
export function textArray(texts: readonly (string | null)[]): string {
  if (texts.length === 0) return "'{}'::text[]";
  const joined = texts.map((text) => text ?? NULL_MARK).join(SEPARATOR);
  return joined === ''
    ? '\'{""}\'::text[]'
    : `string_to_array(${literal(joined)},E'\\x1F',E'\\x02')`;
}

/** Whole numbers as an SQL array. */
export function numberArray(numbers: readonly number[], type: 'int' | 'bigint'): string {
  return `'{${numbers.join(',')}}'::${type}[]`;
}
