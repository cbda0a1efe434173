import type { ModelInfo } from '@pydantic/genai-prices';

/**
 * Words that name a variant with a price of its own, which is dearer than its model's most often:
 * so they are in names of all providers, such as `claude-opus-4.6-fast` and `gpt-5-pro`.
 */
const VARIANTS: ReadonlySet<string> = new Set([
  'audio',
  'deep',
  'fast',
  'image',
  'live',
  'max',
  'omni',
  'pro',
  'realtime',
  'research',
  'search',
  'speech',
  'tts',
  'turbo',
  'ultra',
  'video',
]);

/**
 * A further part of a version, such as `-1` after `claude-sonnet-5`; a date, a size and a revision
 * are none.
 */
const LATER_VERSION = /^[-.](?:\d(?![\da-z:])|\d\d(?![\da-z:]|-\d\d))/;

/**
 * True when the list took a name for a model by a part of it only, and the rest says that it is
 * another one, whose price nobody knows: the list finds models by what their names begin with or
 * hold.
 */
export function isAnotherModel(
  name: string,
  { id, match }: Pick<ModelInfo, 'id' | 'match'>,
): boolean {
  // Of a fine-tuned model's name only the base is OpenAI's: `ft:<base>:<owner>:…`.
  const asked = (name.startsWith('ft:') ? (name.split(':')[1] ?? name) : name).trim().toLowerCase();
  const patterns = textsIn(match);
  if (asked === id || patterns.includes(asked)) return false;
  const known = new Set(wordsOf([id, ...patterns].join(' ')));
  if (wordsOf(asked).some((word) => VARIANTS.has(word) && !known.has(word))) return true;
  // The longest part of the name that was found says where the rest begins.
  const found = [id, ...patterns].filter((pattern) => asked.includes(pattern));
  const longest = found.reduce((most, each) => (each.length > most.length ? each : most), '');
  if (longest === '') return false;
  return LATER_VERSION.test(asked.slice(asked.indexOf(longest) + longest.length));
}

/** Every text in a match, whatever its clauses are named. */
function textsIn(match: unknown): readonly string[] {
  if (typeof match === 'string') return [match.toLowerCase()];
  if (typeof match !== 'object' || match === null) return [];
  return Object.values(match).flatMap((inner) => textsIn(inner));
}

function wordsOf(text: string): readonly string[] {
  return text.split(/[^a-z0-9]+/);
}
