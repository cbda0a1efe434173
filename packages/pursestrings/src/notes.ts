import { InvalidOptionError } from './errors.ts';
import { shown } from './ledger/invalid.ts';
import { checkTtl } from './spend-options.ts';

/** How a note is kept. */
export interface NoteOptions {
  /** For how long, in milliseconds from now by the store's clock: 1 to 400 days. */
  readonly ttlMs: number;
}

const MAX_KEY_LENGTH = 256;
const MAX_TEXT_LENGTH = 65_536;

/** Checks the key of a note. @throws InvalidOptionError */
export function checkNoteKey(key: string): void {
  if (typeof key === 'string' && key !== '' && key.length <= MAX_KEY_LENGTH && key.isWellFormed()) {
    return;
  }
  throw new InvalidOptionError(
    `key is ${shown(key)}; it must be 1 to ${MAX_KEY_LENGTH} characters of Unicode text`,
  );
}

/**
 * Checks a note that is to be kept. What it says stands in no error, for it may be a secret.
 *
 * @throws InvalidOptionError
 */
export function checkedNote(text: string, options: NoteOptions | undefined): NoteOptions {
  if (typeof text !== 'string') {
    throw new InvalidOptionError(
      `text is ${text === undefined ? 'missing' : `of type ${typeof text}`}; a note is text, or null to take it away`,
    );
  }
  if (text.length > MAX_TEXT_LENGTH || !text.isWellFormed()) {
    throw new InvalidOptionError(
      `text has ${text.length} characters; a note is at most ${MAX_TEXT_LENGTH} characters of Unicode text`,
    );
  }
  const ttlMs = options?.ttlMs as number;
  checkTtl('ttlMs', ttlMs);
  return { ttlMs };
}
