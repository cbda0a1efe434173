import type { StreamReader } from '../providers/provider.ts';
import type { StreamFilter } from './stream-filter.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** A longer element is passed on unread. */
const MAX_ELEMENT_BYTES = 64 * 1_048_576;

const NOTHING: Uint8Array = new Uint8Array();

/**
 * Shows each object of a JSON array that comes in pieces to a reader, one character a byte, and
 * passes every byte on at once. Gemini streams so where the request does not ask for events:
 * https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
 */
export class JsonArrayFilter implements StreamFilter {
  readonly #reader: Pick<StreamReader, 'read'>;
  /** How many brackets and braces are open: the array is the first. */
  #depth = 0;
  #inString = false;
  #escaped = false;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(reader: Pick<StreamReader, 'read'>) {
    this.#reader = reader;
  }

  pass(chunk: Uint8Array): readonly Uint8Array[] {
    // Where the part of the chunk that belongs to an element begins.
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at];
      if (this.#inString) {
        this.#readInString(byte);
      } else if (byte === QUOTE) {
        this.#inString = true;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        this.#depth += 1;
        if (this.#depth === 2) start = at;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        this.#depth -= 1;
        if (this.#depth === 1) {
          this.#keep(chunk.subarray(start, at + 1));
          this.#show();
        }
      }
    }
    // The chunk goes on to somebody who may change it.
    if (this.#depth >= 2) this.#keep(chunk.slice(start));
    return [chunk];
  }

  rest(): Uint8Array {
    return NOTHING;
  }

  #readInString(byte: number | undefined): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#inString = false;
  }

  #keep(piece: Uint8Array): void {
    this.#pendingBytes += piece.length;
    if (this.#pendingBytes > MAX_ELEMENT_BYTES) this.#pending = [];
    else this.#pending.push(piece);
  }

  #show(): void {
    const element = Buffer.concat(this.#pending).toString('latin1');
    const whole = this.#pendingBytes <= MAX_ELEMENT_BYTES;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (whole) this.#reader.read(element);
  }
}
