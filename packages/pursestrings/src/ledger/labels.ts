import { flat } from './flat.ts';
import { InvalidLabelError, shown } from './invalid.ts';

/** Who and what a spend is for: `{ agent: 'researcher', task: 't-9' }`. */
export type Labels = Readonly<Record<string, string>>;

/** The most labels one spend may carry, and the lengths of their names and values. */
export const MAX_LABELS = 32;
export const MAX_LABEL_NAME_LENGTH = 64;
export const MAX_LABEL_VALUE_LENGTH = 1024;

/** Labels in their one written form: equal sets of labels have equal keys, and no others do. */
export interface LabelSet {
  readonly labels: Labels;
  readonly key: string;
}

/** No labels at all. */
export const NO_LABELS: LabelSet = { labels: Object.freeze({}), key: '{}' };

/**
 * Copies labels, ordered by name, and writes their key. Labels whose value is `undefined` count
 * as absent.
 *
 * @throws InvalidLabelError for a value that is not a string, or past a bound.
 */
export function labelSet(labels: Labels): LabelSet {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) {
    throw new InvalidLabelError(
      `Labels must be an object such as { agent: 'a1' }, not ${shown(labels)}`,
    );
  }
  const names = inOrder(Object.keys(labels));
  const copy: Record<string, string> = {};
  let key = '';
  let count = 0;
  for (const name of names) {
    const value = labels[name];
    if (value === undefined) continue;
    key += `${count === 0 ? '' : ','}${writtenName(name)}:${writtenValue(name, value)}`;
    define(copy, name, value);
    count += 1;
  }
  if (count === 0) return NO_LABELS;
  if (count > MAX_LABELS) {
    throw new InvalidLabelError(`A spend carries at most ${MAX_LABELS} labels; these are ${count}`);
  }
  return { labels: copy, key: flat(`{${key}}`) };
}

/** Sorts names, which mostly come sorted or few. */
function inOrder(names: string[]): string[] {
  for (let index = 1; index < names.length; index += 1) {
    if ((names[index] as string) < (names[index - 1] as string)) return names.sort();
  }
  return names;
}

/** Sets a property of an object, also one whose name has a meaning of its own. */
function define(object: Record<string, string>, name: string, value: string): void {
  if (name !== '__proto__') object[name] = value;
  else Object.defineProperty(object, name, { value, enumerable: true });
}

/** Reads back what `labelSet` wrote. */
export function labelSetFromKey(key: string): LabelSet {
  if (key === '{}') return NO_LABELS;
  return { labels: key.includes('\\') ? readEscaped(key) : (JSON.parse(key) as Labels), key };
}

/** One text in JSON. */
const TEXT = /"(?:[^"\\]|\\.)*"/g;

/**
 * Reads names and values one by one. V8's `JSON.parse` may take a property name with an escape in it
 * for another one that it has met before: https://github.com/nodejs/node/issues/63785
 */
function readEscaped(key: string): Labels {
  const texts = (key.match(TEXT) ?? []).map((text) => JSON.parse(text) as string);
  const labels: Record<string, string> = {};
  for (let index = 0; index < texts.length; index += 2) {
    define(labels, texts[index] as string, texts[index + 1] as string);
  }
  return labels;
}

/** A label's value; a label that is not there counts as `''` (rule 10). */
export function labelValue(labels: Labels, name: string): string {
  return Object.hasOwn(labels, name) ? (labels[name] as string) : '';
}

/** True when `labels` carries every label in `where`. */
export function carries(labels: Labels, where: Labels): boolean {
  for (const name of Object.keys(where)) {
    if (labelValue(labels, name) !== where[name]) return false;
  }
  return true;
}

/** Text that stands in JSON as it is: printable ASCII without quotes and backslashes. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** Checks a label's name and writes it as JSON. */
function writtenName(name: string): string {
  const plain = PLAIN.test(name);
  if (name === '' || name.length > MAX_LABEL_NAME_LENGTH || !(plain || name.isWellFormed())) {
    throw new InvalidLabelError(
      `Label name ${JSON.stringify(name.slice(0, 80))} must be 1 to ${MAX_LABEL_NAME_LENGTH} characters of Unicode text`,
    );
  }
  return plain ? `"${name}"` : JSON.stringify(name);
}

/** Checks a label's value and writes it as JSON. */
function writtenValue(name: string, value: unknown): string {
  if (typeof value !== 'string') {
    throw new InvalidLabelError(
      `Label ${JSON.stringify(name)} is ${shown(value)}, which is not a string; write it as text`,
    );
  }
  const plain = PLAIN.test(value);
  if (value.length > MAX_LABEL_VALUE_LENGTH || !(plain || value.isWellFormed())) {
    throw new InvalidLabelError(
      `Label ${JSON.stringify(name)} has a value of ${value.length} characters (${JSON.stringify(value.slice(0, 40))}…); ` +
        `at most ${MAX_LABEL_VALUE_LENGTH} characters of Unicode text can be kept`,
    );
  }
  return plain ? `"${value}"` : JSON.stringify(value);
}
