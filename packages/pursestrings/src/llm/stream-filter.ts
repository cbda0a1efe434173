import { EventFilter } from './event-filter.ts';
import { LineFilter } from './line-filter.ts';
import type { StreamReader } from './providers/provider.ts';

/** Shows what is in a stream to a reader, and lets pass what its consumer may see. */
export interface StreamFilter {
  /** Takes a chunk; gives what may be passed on now: most often the chunk itself. */
  pass(chunk: Uint8Array): readonly Uint8Array[];
  /** What is left when the source has ended, and may pass. */
  rest(): Uint8Array;
}

/**
 * Opens the filter for a stream's format, by its content type; null for a body that is no stream
 * of events. `streamed` says that the request asked for a stream.
 */
export function openFilter(
  contentType: string,
  reader: Pick<StreamReader, 'read'>,
  streamed: boolean,
): StreamFilter | null {
  if (contentType.includes('text/event-stream')) return new EventFilter(reader);
  if (/application\/(?:x-)?(?:ndjson|jsonl|json-?lines)|json-seq/.test(contentType)) {
    return new LineFilter(reader);
  }
  return null;
}
