import { hash } from 'node:crypto';

import { labelsAround } from '../ambient-labels.ts';
import { describeLabels } from '../denial.ts';
import { InvalidOptionError, PurseError, shown } from '../ledger/invalid.ts';
import { labelSet } from '../ledger/labels.ts';
import type { Labels } from '../ledger/labels.ts';

/** When the same request counts as a loop. At least one of `repeats` and `failures` is given. */
export interface LoopBreakerOptions {
  /**
   * How often the same request may go out in a window, whatever becomes of it: a whole number from
   * 1 to 1,000. Tries that an SDK makes by itself count too.
   */
  readonly repeats?: number | undefined;
  /** How often in a row it may fail in a window: a whole number from 1 to 1,000. */
  readonly failures?: number | undefined;
  /** Milliseconds that are looked back: a whole number from 1 to 7 days. Default 60,000. */
  readonly windowMs?: number | undefined;
}

/** What is said of a loop that was found. */
export interface LoopFound {
  /** So often the request had gone out; `undefined` where it was stopped for its failures. */
  readonly repeats?: number | undefined;
  /** So often in a row it had failed; `undefined` where it was stopped for its repeats. */
  readonly failures?: number | undefined;
  readonly windowMs: number;
  readonly labels: Labels;
  readonly retryAt: Date;
}

/**
 * The same request, under the same labels, repeated or failed too often in a window, so it was not
 * sent and nothing was held. It is admitted again at `retryAt`; sent again before, it is refused
 * again, so `retryable` is false.
 *
 * @example
 * ```ts
 * import { LoopDetectedError } from 'pursestrings/llm';
 *
 * function isLoop(error: unknown): boolean {
 *   return LoopDetectedError.isInstance(error) && error.failures !== undefined;
 * }
 * ```
 */
export class LoopDetectedError extends PurseError {
  static override readonly brand: string = 'LoopDetectedError';
  readonly repeats: number | undefined;
  readonly failures: number | undefined;
  readonly windowMs: number;
  readonly labels: Labels;
  /** When the oldest try that counts leaves the window. */
  readonly retryAt: Date;

  constructor(found: LoopFound) {
    super('LOOP_DETECTED', messageOf(found));
    this.repeats = found.repeats;
    this.failures = found.failures;
    this.windowMs = found.windowMs;
    this.labels = found.labels;
    this.retryAt = found.retryAt;
  }
}

/** One try that was admitted. What became of it is said once; what is said later does nothing. */
export interface LoopEntry {
  failed(): void;
  succeeded(): void;
  /** It did not go out after all, as when it was over budget: then it does not count. */
  withdrawn(): void;
}

/** Requests told apart at one time; past so many the one that was quiet longest is forgotten. */
const MAX_REQUESTS = 10_000;

const MAX_COUNT = 1_000;
const DEFAULT_WINDOW_MS = 60_000;
const MAX_WINDOW_MS = 7 * 86_400_000;

/**
 * Stops the same request from going out again and again: the same text under the same labels
 * (those given, and those of `withLabels` around). It lives in one process, remembers at most 10,000
 * requests and, for each, the times of its last `repeats` tries and `failures` failures: of more
 * requests than that, the one that was quiet longest is forgotten.
 *
 * The window slides, and counts exactly: a request is admitted when fewer than `repeats` tries, and
 * fewer than `failures` failures since its last success, lie less than `windowMs` back. A try that
 * was refused does not count. Its cost is a hash of the request.
 *
 * @throws InvalidOptionError
 * @example
 * ```ts
 * import { LoopBreaker } from 'pursestrings/llm';
 *
 * const breaker = new LoopBreaker({ failures: 3, windowMs: 10_000 });
 * const entry = breaker.admit({ agent: 'a1' }, 'POST https://api.example.com {"question":1}');
 * entry.failed();
 * ```
 */
export class LoopBreaker {
  readonly #repeats: number | undefined;
  readonly #failures: number | undefined;
  readonly #windowMs: number;
  readonly #clock: () => number;
  readonly #calendar: () => number;
  /** Ordered by the last try, the quietest first. */
  readonly #histories = new Map<string, History>();
  #clockMs: number;
  #elapsedMs = 0;

  /** @param now The time in epoch milliseconds, for tests. It may jump; time never runs back. */
  constructor(options: LoopBreakerOptions, now?: () => number) {
    const { repeats, failures, windowMs = DEFAULT_WINDOW_MS } = options;
    if (repeats === undefined && failures === undefined) {
      throw new InvalidOptionError(
        'A loop breaker needs `repeats` or `failures`, such as { failures: 5 }',
      );
    }
    if (repeats !== undefined) checkWhole('repeats', repeats, MAX_COUNT);
    if (failures !== undefined) checkWhole('failures', failures, MAX_COUNT);
    checkWhole('windowMs', windowMs, MAX_WINDOW_MS);
    this.#repeats = repeats;
    this.#failures = failures;
    this.#windowMs = windowMs;
    this.#clock = now ?? (() => performance.now());
    this.#calendar = now ?? Date.now;
    this.#clockMs = this.#clock();
  }

  /**
   * Counts one try of a request, before anything is spent on it.
   *
   * @param request Whatever makes two requests the same: its method, URL and body, or the name of a
   * feature and a model.
   * @throws LoopDetectedError when it repeated or failed too often: nothing was counted.
   * @throws InvalidLabelError
   */
  admit(labels: Labels, request: string): LoopEntry {
    const who = labelSet(labelsAround(labels));
    // No label writes a line break as it is, so nothing else comes to the same text.
    const key = hash('sha256', `${who.key}\n${request}`, 'base64');
    const history = this.#historyOf(key);
    const nowMs = this.#nowMs();
    const since = nowMs - this.#windowMs;
    const repeated = history.tries?.fullSince(since) ?? null;
    const failed = history.failures?.fullSince(since) ?? null;
    if (repeated !== null || failed !== null) {
      // The later of the two is when both have room.
      const waitMs = Math.max(repeated ?? since, failed ?? since) - since;
      throw new LoopDetectedError({
        repeats: repeated === null ? undefined : this.#repeats,
        failures: repeated === null ? this.#failures : undefined,
        windowMs: this.#windowMs,
        labels: who.labels,
        retryAt: new Date(this.#calendar() + Math.ceil(waitMs)),
      });
    }
    history.tries?.add(nowMs);
    return this.#entry(history, nowMs);
  }

  #historyOf(key: string): History {
    const known = this.#histories.get(key);
    const history = known ?? {
      tries: this.#repeats === undefined ? null : new LastTimes(this.#repeats),
      failures: this.#failures === undefined ? null : new LastTimes(this.#failures),
    };
    if (known !== undefined) this.#histories.delete(key);
    else if (this.#histories.size >= MAX_REQUESTS) {
      const [quietest] = this.#histories.keys();
      if (quietest !== undefined) this.#histories.delete(quietest);
    }
    this.#histories.set(key, history);
    return history;
  }

  #entry({ tries, failures }: History, triedMs: number): LoopEntry {
    let open = true;
    const once = (act: () => void) => (): void => {
      if (open) act();
      open = false;
    };
    return {
      failed: once(() => failures?.add(this.#nowMs())),
      succeeded: once(() => failures?.clear()),
      withdrawn: once(() => tries?.remove(triedMs)),
    };
  }

  /** Time since this began. A clock that is set back stands still for that moment. */
  #nowMs(): number {
    const clockMs = this.#clock();
    this.#elapsedMs += Math.max(0, clockMs - this.#clockMs);
    this.#clockMs = clockMs;
    return this.#elapsedMs;
  }
}

interface History {
  readonly tries: LastTimes | null;
  readonly failures: LastTimes | null;
}

/** The last so many times of something, in a ring that grows only as far as it is used. */
class LastTimes {
  readonly #size: number;
  #times: number[] = [];
  /** Where the oldest time is, once the ring is full. */
  #oldest = 0;

  constructor(size: number) {
    this.#size = size;
  }

  add(timeMs: number): void {
    if (this.#times.length < this.#size) {
      this.#times.push(timeMs);
      return;
    }
    this.#times[this.#oldest] = timeMs;
    this.#oldest = (this.#oldest + 1) % this.#size;
  }

  /** What was pushed out for it had left the window, so nothing is missing without it. */
  remove(timeMs: number): void {
    const inOrder = [...this.#times.slice(this.#oldest), ...this.#times.slice(0, this.#oldest)];
    const at = inOrder.lastIndexOf(timeMs);
    if (at >= 0) inOrder.splice(at, 1);
    this.#times = inOrder;
    this.#oldest = 0;
  }

  clear(): void {
    this.#times = [];
    this.#oldest = 0;
  }

  /** The oldest time, when there are as many as there may be, all after `sinceMs`; else null. */
  fullSince(sinceMs: number): number | null {
    const oldest = this.#times[this.#oldest];
    const full = this.#times.length === this.#size;
    return full && oldest !== undefined && oldest > sinceMs ? oldest : null;
  }
}

function checkWhole(name: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return;
  throw new InvalidOptionError(
    `\`${name}\` is ${shown(value)}; it must be a whole number from 1 to ${most}`,
  );
}

function messageOf({ repeats, failures, windowMs, labels, retryAt }: LoopFound): string {
  const what =
    repeats === undefined ? `failed ${failures} times in a row` : `went out ${repeats} times`;
  const under = Object.keys(labels).length === 0 ? '' : ` for ${describeLabels(labels)}`;
  return (
    `The same request${under} ${what} within ${windowMs / 1000} s, which looks like a loop, so it ` +
    `was not sent: change the request, or try again at ${retryAt.toISOString()}`
  );
}
