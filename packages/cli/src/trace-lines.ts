import { createReadStream } from 'node:fs';
import { whyUnreadable } from './data-file.ts';
import { InputError } from './input-error.ts';

/** One line of a file, without its line end. `text` is null for a line that is too long to keep. */
export interface Line {
  readonly number: number;
  readonly text: string | null;
}

/** The most characters that one line may have; nothing that a row needs is nearly as long. */
export const MAX_LINE_LENGTH: number = 1024 * 1024;

/** What the lines are of. */
export interface LinesOptions {
  readonly noun?: string;
  readonly maxLength?: number;
}

/**
 * Reads a file line by line, in pieces, so that a file of any size takes little memory. A byte
 * order mark is dropped, lines may end in LF or CRLF, and the last one need not end at all.
 *
 * @param path The file, or `-` for what is piped in.
 * @throws InputError when the file cannot be read.
 */
export async function* readLines(
  path: string,
  onProgress: (bytes: number) => void,
  { noun = 'trace', maxLength = MAX_LINE_LENGTH }: LinesOptions = {},
): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8');
  let number = 0;
  let rest = '';
  let overlong = false;
  let bytes = 0;
  const line = (text: string): Line => {
    number += 1;
    const tooLong = overlong || text.length > maxLength;
    overlong = false;
    return { number, text: tooLong ? null : text.replace(/\r$/, '') };
  };
  for await (const chunk of chunksOf(path, noun)) {
    bytes += chunk.length;
    onProgress(bytes);
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) yield line(text);
    if (rest.length > maxLength) {
      overlong = true;
      rest = '';
    }
  }
  rest += decoder.decode();
  if (rest !== '' || overlong) yield line(rest);
}

async function* chunksOf(path: string, noun: string): AsyncGenerator<Buffer> {
  try {
    const file =
      path === '-' ? process.stdin : createReadStream(path, { highWaterMark: 256 * 1024 });
    for await (const chunk of file) yield chunk as Buffer;
  } catch (cause) {
    throw new InputError(`Cannot read the ${noun} ${path}: ${whyUnreadable(cause)}.`, { cause });
  }
}
