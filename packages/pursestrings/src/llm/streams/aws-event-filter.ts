import { crc32 } from 'node:zlib';

import { EventStreamCodec } from '@smithy/eventstream-codec';

import type { StreamReader } from '../providers/provider.ts';
import type { StreamFilter } from './stream-filter.ts';

/** The lengths of the message and of its headers, and a checksum of the two. */
const PRELUDE_BYTES = 12;
const LEAST_MESSAGE_BYTES = 16;

/** The format allows a payload of 16 MiB and headers of 128 KiB. */
const MOST_MESSAGE_BYTES = 17 * 1_048_576;

const NOTHING: Buffer = Buffer.alloc(0);

const codec: EventStreamCodec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString(),
  (text) => Buffer.from(text),
);

/**
 * Shows the messages of AWS's binary event stream to a reader, each as JSON text of one byte a
 * character: `{"<event type>":<payload>}`. Every byte is passed on at once, as it came. What
 * follows a broken message is not read: nobody knows where the next one begins.
 *
 * Format: https://smithy.io/2.0/aws/amazon-eventstream.html
 */
export class AwsEventFilter implements StreamFilter {
  readonly #reader: Pick<StreamReader, 'read'>;
  #pending: Buffer = NOTHING;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #broken = false;

  constructor(reader: Pick<StreamReader, 'read'>) {
    this.#reader = reader;
  }

  pass(chunk: Uint8Array): readonly Uint8Array[] {
    if (!this.#broken) this.#take(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    return [chunk];
  }

  rest(): Uint8Array {
    return NOTHING;
  }

  #take(arrived: Buffer): void {
    const waiting = this.#wanted() - this.#pending.length - this.#pieceBytes;
    if (arrived.length < waiting) {
      // The chunk goes on to somebody who may change it.
      this.#pieces.push(Buffer.from(arrived));
      this.#pieceBytes += arrived.length;
      return;
    }
    const first = this.#pending.length === 0 && this.#pieces.length === 0;
    let bytes = first ? arrived : Buffer.concat([this.#pending, ...this.#pieces, arrived]);
    this.#pieces = [];
    this.#pieceBytes = 0;
    while (!this.#broken && bytes.length >= PRELUDE_BYTES) {
      const length = messageLength(bytes);
      if (length === null) {
        this.#broken = true;
      } else if (bytes.length < length) {
        break;
      } else {
        this.#show(bytes.subarray(0, length));
        bytes = bytes.subarray(length);
      }
    }
    this.#pending = this.#broken || bytes.length === 0 ? NOTHING : Buffer.from(bytes);
  }

  /** How many bytes must be there before anything can be read. */
  #wanted(): number {
    if (this.#pending.length < PRELUDE_BYTES) return PRELUDE_BYTES;
    return messageLength(this.#pending) ?? 0;
  }

  #show(bytes: Buffer): void {
    try {
      const { headers, body } = codec.decode(bytes);
      const type = headers[':event-type'] ?? headers[':exception-type'] ?? headers[':error-code'];
      const payload = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      const text = payload.length === 0 ? 'null' : payload.toString('latin1');
      this.#reader.read(`{${JSON.stringify(type?.value)}:${text}}`);
    } catch {
      this.#broken = true;
    }
  }
}

/** The length of the message that these bytes begin; null when they are no beginning of one. */
function messageLength(bytes: Buffer): number | null {
  const length = bytes.readUInt32BE(0);
  const fits = length >= LEAST_MESSAGE_BYTES && length <= MOST_MESSAGE_BYTES;
  return fits && crc32(bytes.subarray(0, 8)) === bytes.readUInt32BE(8) ? length : null;
}
