import { createParser } from 'eventsource-parser';

import type { StreamReader } from '../providers/provider.ts';
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

/** The longest end of an event, CR LF CR LF, less the byte that completes it. */
const SEAM_BYTES = 3;

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Splits bytes into events, shows them to a reader, and gives back the bytes that may pass. Bytes
 * are read as Latin-1, one character each, so that positions in text and bytes are the same.
 */
export class EventFilter implements StreamFilter {
  readonly #reader: Pick<StreamReader, 'read'>;
  readonly #parser: ReturnType<typeof createParser>;
  /** What came of an event that is not complete. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  /** The last of it: the end of an event may lie across two chunks. */
  #seam = '';
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
    if (this.#goesOn(arrived)) {
      this.#keep(arrived);
      return [];
    }
    const bytes = this.#pieceBytes === 0 ? arrived : Buffer.concat([...this.#pieces, arrived]);
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
    this.#forget();
    if (seen < bytes.length) this.#keep(bytes.subarray(seen));
    return pieces;
  }

  /**
   * True when a chunk only adds to an event that has begun: then what came before is not read
   * again, or an event of many chunks would cost the square of its length.
   */
  #goesOn(arrived: Buffer): boolean {
    if (this.#pieceBytes === 0 || this.#pieceBytes + arrived.length > MAX_EVENT_BYTES) return false;
    EVENT_END.lastIndex = 0;
    return !EVENT_END.test(this.#seam + arrived.toString('latin1'));
  }

  /** Keeps a copy: the chunk goes on to somebody who may change it. */
  #keep(piece: Buffer): void {
    this.#pieces.push(Buffer.from(piece));
    this.#pieceBytes += piece.length;
    this.#seam = (this.#seam + piece.subarray(-SEAM_BYTES).toString('latin1')).slice(-SEAM_BYTES);
  }

  #forget(): void {
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#seam = '';
  }

  /** What is left when the source has ended, and may pass: an event that was never completed. */
  rest(): Uint8Array {
    const rest = Buffer.concat(this.#pieces);
    this.#forget();
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
