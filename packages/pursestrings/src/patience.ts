import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError, type StoreErrorCode } from './errors.ts';

/** How long a purse waits for a store that is reached over a network, and how long it asks again. */
export interface Patience {
  /** How long one asking may take, in milliseconds. */
  readonly operationTimeoutMs: number;
  /** For so long after something was first asked it is asked again, in milliseconds. */
  readonly retryForMs: number;
}

/** The patience of a purse that was told nothing else. */
export const DEFAULT_PATIENCE: Patience = { operationTimeoutMs: 5000, retryForMs: 15_000 };

const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 1000;

/**
 * Waits for a call, but not for ever. When the time is up the call's signal aborts, and what the
 * call still does is nobody's concern any more.
 *
 * @param code What no answer in time means: for a call that writes nothing, `STORE_UNAVAILABLE`.
 * @throws StoreError when no answer came in time; what the call throws.
 */
export async function inTime<T>(
  call: (signal: AbortSignal) => Promise<T>,
  timeoutMs: number,
  code: 'OUTCOME_UNKNOWN' | 'STORE_UNAVAILABLE' = 'OUTCOME_UNKNOWN',
): Promise<T> {
  const controller = new AbortController();
  if (timeoutMs === Number.POSITIVE_INFINITY) return call(controller.signal);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = noAnswer(code, timeoutMs);
      reject(error);
      controller.abort(error);
    }, timeoutMs);
  });
  try {
    return await Promise.race([call(controller.signal), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Reads something long, of which no part may keep us waiting for ever. It may take as long as it
 * takes, as long as it goes on.
 *
 * @throws StoreError `STORE_UNAVAILABLE` when nothing has come for so long; what the reading throws.
 */
export async function* readInTime<T>(
  read: (signal: AbortSignal) => AsyncIterable<T>,
  stallMs: number,
): AsyncGenerator<T> {
  const controller = new AbortController();
  const iterator = read(controller.signal)[Symbol.asyncIterator]();
  let waiting: { readonly sinceMs: number; readonly reject: (error: unknown) => void } | undefined;
  // One timer for the whole: there may be millions of records.
  const watch = setInterval(() => {
    if (waiting === undefined || performance.now() - waiting.sinceMs < stallMs) return;
    const error = noAnswer('STORE_UNAVAILABLE', stallMs);
    waiting.reject(error);
    controller.abort(error);
  }, stallMs / 4);
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<T>>((resolve, reject) => {
        waiting = { sinceMs: performance.now(), reject };
        iterator.next().then(resolve, reject);
      });
      waiting = undefined;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    clearInterval(watch);
    // One that hangs ends when its connection does; whoever stops early waits for the rest.
    const ended = iterator.return?.();
    if (controller.signal.aborted) ended?.catch(() => undefined);
    else await ended;
  }
}

/**
 * Asks something that may be asked any number of times, until it is answered or the patience ends.
 *
 * @throws what the last asking threw.
 */
export async function askUntilAnswered<T>(
  call: (signal: AbortSignal) => Promise<T>,
  { operationTimeoutMs, retryForMs }: Patience,
  code?: 'OUTCOME_UNKNOWN' | 'STORE_UNAVAILABLE',
): Promise<T> {
  const deadlineMs = performance.now() + retryForMs;
  for (let failures = 1; ; failures += 1) {
    try {
      return await inTime(call, operationTimeoutMs, code);
    } catch (error) {
      const pause = pauseMs(failures);
      if (!mayAskAgain(error) || performance.now() + pause > deadlineMs) throw error;
      await sleep(pause);
    }
  }
}

/** True for a failure that may be over when the same is asked once more. */
export function mayAskAgain(error: unknown): boolean {
  return StoreError.isInstance(error) && (error.retryable || isUnknown(error));
}

/** True when nobody knows whether what was asked has happened. */
export function isUnknown(error: unknown): boolean {
  return StoreError.isInstance(error) && error.code === 'OUTCOME_UNKNOWN';
}

/** How long to wait after so many failures in a row: random, so that callers do not come back in step. */
export function pauseMs(failures: number): number {
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(failures, 16), LONGEST_PAUSE_MS);
  return longest / 2 + (Math.random() * longest) / 2;
}

function noAnswer(code: StoreErrorCode, timeoutMs: number): StoreError {
  return new StoreError(
    code,
    'unreachable',
    `The store gave no answer within ${timeoutMs} ms; check it, or raise operationTimeoutMs`,
    { retryable: true },
  );
}
