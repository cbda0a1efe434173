import type { StreamReader } from '../providers/provider.ts';
import type { StreamFilter } from './stream-filter.ts';

const LINE_FEED = 0x0a;

/** A longer line is passed on unread. */
const MAX_LINE_BYTES = 64 * 1_048_576;

const NOTHING: Uint8Array = new Uint8Array();

/**
 * Shows each line of a stream of JSON lines to a reader and passes every byte on at once. Lines are
 * read as UTF-8. Format: https://jsonlines.org/
 */
export class LineFilter implements StreamFilter {
  readonly #reader: Pick<StreamReader, 'read'>;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(reader: Pick<StreamReader, 'read'>) {
    this.#reader = reader;
  }

  pass(chunk: Uint8Array): readonly Uint8Array[] {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      if (end < 0) break;
      this.#keep(chunk.subarray(start, end));
      this.#show();
      start = end + 1;
    }
    // The chunk goes on to somebody who may change it.
    if (start < chunk.length) this.#keep(chunk.slice(start));
    return [chunk];
  }

  rest(): Uint8Array {
    this.#show();
    return NOTHING;
  }

  #keep(piece: Uint8Array): void {
    this.#pendingBytes += piece.length;
    if (this.#pendingBytes > MAX_LINE_BYTES) this.#pending = [];
    else this.#pending.push(piece);
  }

  #show(): void {
    const line = Buffer.concat(this.#pending).toString().trim();
    this.#pending = [];
    this.#pendingBytes = 0;
    if (line !== '') this.#reader.read(line);
  }
}
