import type { Clock } from '../clock.ts';

/** A clock that moves only when it is told to. */
export interface ManualClock extends Clock {
  /** Moves on (or, by a negative number, back) by milliseconds. */
  advance(byMs: number): void;
  /** Stands at a time. */
  set(time: Date | number | string): void;
}

/**
 * Makes a clock for tests: it stands at `start` until it is moved.
 *
 * @param start A date, epoch milliseconds or an ISO time. Default 2026-01-01T00:00:00Z.
 * @throws RangeError for a time that is none.
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { manualClock } from 'pursestrings/testing';
 *
 * const clock = manualClock('2026-03-29T00:30:00Z');
 * const purse = await openPurse({ clock, limits: [{ name: 'h', cap: { calls: 1 }, per: 'hour' }] });
 * await purse.charge({ calls: 1 });
 * clock.advance(3_600_000);
 * await purse.reserve({ calls: 1 }); // a new hour
 * ```
 */
export function manualClock(start: Date | number | string = '2026-01-01T00:00:00Z'): ManualClock {
  let nowMs = epochMs(start);
  return {
    now: () => nowMs,
    advance: (byMs) => {
      nowMs = epochMs(nowMs + byMs);
    },
    set: (time) => {
      nowMs = epochMs(time);
    },
  };
}

function epochMs(time: Date | number | string): number {
  const epoch = new Date(time).getTime();
  if (Number.isNaN(epoch)) throw new RangeError(`${String(time)} is no time that a clock can show`);
  return epoch;
}
