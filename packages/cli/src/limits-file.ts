import { InvalidLimitError, type Limit } from 'pursestrings';
import { checkKeys, isMapping, readDataFile } from './data-file.ts';
import { InputError, messageOf } from './input-error.ts';

/**
 * Reads a limits file: `limits:` and a list of limits, in YAML or JSON. What a limit may say is
 * for the library to judge (`namingFile` adds the file to what it says); this reads the shape.
 *
 * @throws InputError that names the file, and the limit.
 */
export function readLimitsFile(path: string): readonly Limit[] {
  const data = readDataFile(path, 'limits file');
  const example = '`limits:` and a list, such as `- { name: day, cap: { usd: 50 }, per: day }`';
  if (!isMapping(data)) throw new InputError(`${path}: a limits file must have ${example}.`);
  checkKeys(data, ['limits'], path);
  return limitsOf(data['limits'], path, example);
}

/** Checks that a value is a list of limits, each a mapping with a name. */
export function limitsOf(value: unknown, place: string, example?: string): readonly Limit[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new InputError(
      `${place}: \`limits\` must be a list of limits; write ${example ?? 'one'}.`,
    );
  }
  return value.map((item: unknown, index) => {
    const ordinal = `${place}: limit ${index + 1} of ${value.length}`;
    if (!isMapping(item)) {
      throw new InputError(`${ordinal} is not a mapping; write \`name\`, \`cap\` and the rest.`);
    }
    if (typeof item['name'] !== 'string') {
      const problem = item['name'] === undefined ? 'has no' : 'has no text as its';
      throw new InputError(`${ordinal} ${problem} \`name\`; give it one that is unique.`);
    }
    return item as unknown as Limit;
  });
}

/** Runs work that may find fault with limits, and adds the file they stand in to what it says. */
export async function namingFile<T>(path: string | null, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (path === null || !InvalidLimitError.isInstance(error)) throw error;
    throw new InputError(`${path}: ${messageOf(error)}`, { code: error.code, cause: error });
  }
}
