import { isObject } from '../providers/provider.ts';
import type { AdmittedCall } from './spend-guard.ts';
import { StreamUsage } from './stream-usage.ts';

/** A call whose stream is to be settled. */
type StreamedCall = Pick<AdmittedCall<never, never>, 'used' | 'unseen' | 'left'>;

/** True for what can be iterated over as it arrives. */
export function isStream(value: unknown): value is AsyncIterable<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof Reflect.get(value, Symbol.asyncIterator) === 'function'
  );
}

/**
 * The same stream, whose end settles its call: reading it to its end, leaving it, an error, and an
 * abort by its controller. `hidesUsage`: the chunk that holds nothing but the usage is kept back,
 * because nobody but the guard asked for it. `rawOf` finds the provider's chunk in a framework's.
 */
export function guardedStream<T extends AsyncIterable<unknown>>(
  stream: T,
  call: StreamedCall,
  hidesUsage: boolean,
  rawOf: (chunk: unknown) => unknown = (chunk) => chunk,
): T {
  const usage = new StreamUsage(rawOf);
  const iterate = (): AsyncIterator<unknown> =>
    meteredIterator(stream[Symbol.asyncIterator](), call, usage, hidesUsage);
  settleOnAbort(stream, call, usage);
  if (stream instanceof ReadableStream) return readable(iterate()) as unknown as T;
  return withIterator(stream, iterate);
}

/** The same object, that iterates otherwise. All else is its own. */
function withIterator<T extends AsyncIterable<unknown>>(
  stream: T,
  iterate: () => AsyncIterator<unknown>,
): T {
  let own: AsyncIterator<unknown> | undefined;
  const guarded: T = new Proxy(stream, {
    get(target, name) {
      if (name === Symbol.asyncIterator || name === 'iterator') return iterate;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name === 'tee') return () => tee(target, iterate());
      if (name === 'toReadableStream') return () => jsonLines(iterate(), target);
      if (name === 'next' || name === 'return' || name === 'throw') {
        // An iterator is read by its own methods.
        own ??= iterate();
        const method = own[name];
        return method === undefined ? undefined : method.bind(own);
      }
      if (name === Symbol.asyncDispose) {
        return async () => void (await (own ?? iterate()).return?.());
      }
      return (...parts: unknown[]): unknown => Reflect.apply(value, target, parts);
    },
  });
  return guarded;
}

/** How long the usage of a finished answer is waited for, once its reader has gone. */
const USAGE_WAIT_MS = 1_000;
const MAX_CHUNKS_AFTER_END = 3;

function meteredIterator(
  source: AsyncIterator<unknown>,
  call: StreamedCall,
  usage: StreamUsage,
  hidesUsage: boolean,
): AsyncIterator<unknown> {
  const settle = (ended: boolean): Promise<void> => {
    const seen = usage.usage();
    if (seen !== null) return call.used(seen);
    return ended ? call.unseen(null) : call.left();
  };
  return {
    async next(): Promise<IteratorResult<unknown>> {
      for (;;) {
        let result: IteratorResult<unknown>;
        try {
          result = await source.next();
        } catch (error) {
          await settle(false);
          throw error;
        }
        if (result.done === true) {
          await settle(true);
          return result;
        }
        usage.observe(result.value);
        if (!hidesUsage || !holdsOnlyUsage(result.value)) return result;
      }
    },
    async return(value?: unknown): Promise<IteratorResult<unknown>> {
      try {
        if (usage.lacksOnlyUsage()) await readOn(source, usage);
      } finally {
        await settle(false);
      }
      return (await source.return?.(value)) ?? { done: true, value };
    },
    async throw(error?: unknown): Promise<IteratorResult<unknown>> {
      await settle(false);
      if (source.throw === undefined) throw error;
      return source.throw(error);
    },
  };
}

/** Reads what follows the end of an answer, for the usage in it; gives up after a second. */
async function readOn(source: AsyncIterator<unknown>, usage: StreamUsage): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((wake) => {
    timer = setTimeout(() => wake(null), USAGE_WAIT_MS);
  });
  try {
    for (let count = 0; count < MAX_CHUNKS_AFTER_END && usage.usage() === null; count += 1) {
      const next = source.next();
      next.catch(() => undefined);
      const result = await Promise.race([next, late]);
      if (result === null || result.done === true) return;
      usage.observe(result.value);
    }
  } catch {
    // The usage never came; the call is charged as one that was left.
  } finally {
    clearTimeout(timer);
  }
}

/** OpenAI's last chunk, where the usage is asked for, has no choices. */
function holdsOnlyUsage(chunk: unknown): boolean {
  if (!isObject(chunk)) return false;
  const { choices, usage } = chunk;
  return Array.isArray(choices) && choices.length === 0 && isObject(usage);
}

/** An abort ends the provider's work, whoever reads on. */
function settleOnAbort(stream: object, call: StreamedCall, usage: StreamUsage): void {
  const controller: unknown = Reflect.get(stream, 'controller');
  if (!(controller instanceof AbortController)) return;
  const settle = (): void => {
    const seen = usage.usage();
    void (seen === null ? call.left() : call.used(seen));
  };
  if (controller.signal.aborted) settle();
  else controller.signal.addEventListener('abort', settle, { once: true });
}

/** Two streams of the same chunks; each is kept until both have read it. */
function tee<T extends AsyncIterable<unknown>>(stream: T, source: AsyncIterator<unknown>): [T, T] {
  const waiting: [Promise<IteratorResult<unknown>>[], Promise<IteratorResult<unknown>>[]] = [
    [],
    [],
  ];
  const left: [boolean, boolean] = [false, false];
  const branch = (mine: 0 | 1, other: 0 | 1): AsyncIterator<unknown> => ({
    next() {
      if (left[mine]) return Promise.resolve({ done: true, value: undefined });
      const kept = waiting[mine].shift();
      if (kept !== undefined) return kept;
      const result = source.next();
      if (!left[other]) waiting[other].push(result);
      return result;
    },
    async return(value?: unknown) {
      left[mine] = true;
      waiting[mine].length = 0;
      if (left[other]) await source.return?.();
      return { done: true, value };
    },
  });
  const first = branch(0, 1);
  const second = branch(1, 0);
  return [withIterator(stream, () => first), withIterator(stream, () => second)];
}

/** The chunks as lines of JSON, as the SDKs write them. */
function jsonLines(source: AsyncIterator<unknown>, stream: object): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const lines: AsyncIterator<Uint8Array> = {
    async next() {
      const { done, value } = await source.next();
      if (done === true) return { done, value };
      return { value: encoder.encode(`${JSON.stringify(value)}\n`) };
    },
    async return() {
      const controller: unknown = Reflect.get(stream, 'controller');
      await source.return?.();
      if (controller instanceof AbortController) controller.abort();
      return { done: true, value: undefined };
    },
  };
  return readable(lines);
}

/** What an iterator gives, as a stream that is read on demand. */
function readable<Chunk>(source: AsyncIterator<Chunk>): ReadableStream<Chunk> {
  return new ReadableStream<Chunk>(
    {
      async pull(reader) {
        const { done, value } = await source.next();
        if (done === true) reader.close();
        else reader.enqueue(value);
      },
      async cancel() {
        await source.return?.();
      },
    },
    // Nothing is read ahead of who asks.
    { highWaterMark: 0 },
  );
}
