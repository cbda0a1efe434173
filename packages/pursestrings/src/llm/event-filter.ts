import { createParser } from 'eventsource-parser';

import type { StreamReader } from './providers/provider.ts';
import type { StreamFilter } from './stream-filter.ts';

/**
 * The end of an event: an empty line, in each of the three ways to end a line. A last CR may yet
 * become CR LF.
 */
const EVENT_END = /(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n|$))/g;

/**
 * An event is kept until it is complete, to know whether the caller may see it; longer ones pass
 * at once.
 */
const MAX_EVENT_BYTES = 8 * 1_048_576;

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Splits bytes into events, shows them to a reader, and gives back the bytes that may pass. Bytes
 * are read as Latin-1, one character each, so that positions in text and bytes are the same.
 */
export class EventFilter implements StreamFilter {
  readonly #reader: Pick<StreamReader, 'read'>;
  readonly #parser: ReturnType<typeof createParser>;
  #pending: Buffer = NOTHING;
  #hidden = false;

  constructor(reader: Pick<StreamReader, 'read'>) {
    this.#reader = reader;
    this.#parser = createParser({
      onEvent: ({ data }) => {
        if (this.#reader.read(data)) this.#hidden = true;
      },
    });
  }

  /** Takes a chunk; gives what may be passed on now: most often the chunk itself. */
  pass(chunk: Uint8Array): readonly Uint8Array[] {
    const arrived = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const bytes = this.#pending.length === 0 ? arrived : Buffer.concat([this.#pending, arrived]);
    const text = bytes.toString('latin1');
    const pieces: Uint8Array[] = [];
    let passed = 0;
    let seen = 0;
    EVENT_END.lastIndex = 0;
    while (EVENT_END.test(text)) {
      const end = EVENT_END.lastIndex;
      if (this.#hides(text.slice(seen, end))) {
        if (seen > passed) pieces.push(bytes.subarray(passed, seen));
        passed = end;
      }
      seen = end;
    }
    if (bytes.length - seen > MAX_EVENT_BYTES) seen = bytes.length;
    if (seen > passed) {
      // The chunk that came is passed on as it came, unless something of it stays behind.
      const whole = passed === 0 && seen === chunk.byteLength && bytes === arrived;
      pieces.push(whole ? chunk : bytes.subarray(passed, seen));
    }
    this.#pending = seen === bytes.length ? NOTHING : Buffer.from(bytes.subarray(seen));
    return pieces;
  }

  /** What is left when the source has ended, and may pass: an event that was never completed. */
  rest(): Uint8Array {
    const rest = this.#pending;
    this.#pending = NOTHING;
    return this.#hides(rest.toString('latin1')) ? NOTHING : rest;
  }

  /** Shows an event to the reader; true when the caller is not to see it. */
  #hides(event: string): boolean {
    this.#hidden = false;
    // The parser would wait to see what follows a last CR; here it is known to end the line.
    this.#parser.feed(event.includes('\r') ? event.replace(/\r\n?/g, '\n') : event);
    return this.#hidden;
  }
}
