import type { StreamReader } from '../providers/provider.ts';
import type { Settlement } from '../settlement.ts';
import type { StreamFilter } from './stream-filter.ts';
import type { CallSpan } from '../telemetry.ts';

/** What becomes of a stream that ends, however it ends. */
export interface StreamEnd {
  /** Something came: the call is alive. */
  alive(): void;
  /** `ended`: the source ended by itself. Else it failed, was aborted, or its consumer left. */
  settle(ended: boolean): Promise<void>;
  /** The source failed by itself; it is settled next. Not told of who aborted, or left. */
  failed?(error: unknown): void;
}

/**
 * Passes a stream on, unbuffered and byte for byte, except what the filter hides. It is settled
 * once: before its end is passed on, or when the consumer leaves, the signal aborts or the source
 * fails. Nothing of what passed is kept.
 */
export function passedThrough(
  source: ReadableStream<Uint8Array>,
  filter: StreamFilter,
  end: StreamEnd,
  signal: AbortSignal | null,
): ReadableStream<Uint8Array> {
  // Another implementation of fetch may give a stream of Node instead.
  const stream =
    source instanceof ReadableStream ? source : ReadableStream.from<Uint8Array>(source);
  const upstream = stream.getReader();
  const settle = (ended: boolean): Promise<void> => {
    signal?.removeEventListener('abort', onAbort);
    return end.settle(ended);
  };
  const onAbort = (): void => void settle(false);
  if (signal?.aborted === true) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        for (;;) {
          let next: Awaited<ReturnType<typeof upstream.read>>;
          try {
            next = await upstream.read();
          } catch (error) {
            if (signal?.aborted !== true) end.failed?.(error);
            await settle(false);
            throw error;
          }
          if (next.done) {
            const rest = filter.rest();
            if (rest.length > 0) controller.enqueue(rest);
            await settle(true);
            controller.close();
            return;
          }
          end.alive();
          const pieces = filter.pass(next.value);
          for (const piece of pieces) controller.enqueue(piece);
          if (pieces.length > 0) return;
        }
      },
      async cancel(reason) {
        await Promise.all([settle(false), upstream.cancel(reason)]);
      },
    },
    { highWaterMark: 0 },
  );
}

/** So much streamed text is kept to be counted; what is longer is bounded by its bytes. */
const MAX_TEXT_CHARACTERS = 1_048_576;

/** Gathers the text of one stream, to count its tokens if it is left. */
export class StreamedText {
  #pieces: string[] = [];
  #length = 0;
  /** Bytes of what was not kept. */
  beyondBytes = 0;

  add(piece: string): void {
    this.#length += piece.length;
    if (this.#length > MAX_TEXT_CHARACTERS) this.beyondBytes += Buffer.byteLength(piece);
    else this.#pieces.push(piece);
  }

  text(): string {
    return this.#pieces.join('');
  }
}

/**
 * How a metered call's stream is settled. One that ends by itself is charged what its usage says.
 * When it ends otherwise before the answer was complete, the provider may have gone on generating:
 * then all that was held is charged or, where the user gives the rest of such holds back (`text`
 * gathers what was streamed), what was seen. A stream that stalls renews its hold no more.
 */
export function streamEnd(
  reader: StreamReader,
  settlement: Settlement,
  text: StreamedText | null,
  span: CallSpan | null,
): StreamEnd {
  return {
    alive: () => settlement.renew(),
    failed: (error) => span?.failed(error),
    settle: (ended) => {
      const model = span === null ? null : (reader.answeredBy?.() ?? null);
      if (model !== null) span?.answeredBy(model);
      const usage = ended || reader.complete() ? reader.usage() : null;
      if (usage !== null) return settlement.used(usage);
      const workId = reader.workId?.() ?? null;
      if (workId !== null) return settlement.goesOn(workId);
      if (text === null) return settlement.unknown(reader.tokensSeen());
      return settlement.counted(text.text(), reader.tokensSeen(), text.beyondBytes);
    },
  };
}
