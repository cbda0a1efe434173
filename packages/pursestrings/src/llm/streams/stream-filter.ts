import { AwsEventFilter } from './aws-event-filter.ts';
import { EventFilter } from './event-filter.ts';
import { JsonArrayFilter } from './json-array-filter.ts';
import { LineFilter } from './line-filter.ts';
import type { StreamReader } from '../providers/provider.ts';

/** Shows what is in a stream to a reader, and lets pass what its consumer may see. */
export interface StreamFilter {
  /** Takes a chunk; gives what may be passed on now: most often the chunk itself. */
  pass(chunk: Uint8Array): readonly Uint8Array[];
  /** What is left when the source has ended, and may pass. */
  rest(): Uint8Array;
}

/** Who is shown the events of a stream. */
export interface EventTaker extends Pick<StreamReader, 'read'> {
  /** The stream may come as one JSON array, whose elements are its events. */
  readonly takesArray?: boolean;
}

/**
 * Opens the filter for a stream's format, by its content type; null for a body that is no stream
 * of events. `streamed` says that the request asked for a stream: then one whose type is lost, or
 * plain text, is taken for events.
 */
export function openFilter(
  contentType: string,
  reader: EventTaker,
  streamed: boolean,
): StreamFilter | null {
  const type = contentType.toLowerCase();
  if (type.includes('text/event-stream')) return new EventFilter(reader);
  if (type.includes('application/vnd.amazon.eventstream')) return new AwsEventFilter(reader);
  if (/application\/(?:x-)?(?:ndjson|jsonl|json-?lines)|json-seq/.test(type)) {
    return new LineFilter(reader);
  }
  if (!streamed) return null;
  if (reader.takesArray === true && type.startsWith('application/json')) {
    return new JsonArrayFilter(reader);
  }
  // SDKs do not look at the type of a stream that they asked for, and some proxies lose it.
  return type === '' || type.startsWith('text/') ? new EventFilter(reader) : null;
}
