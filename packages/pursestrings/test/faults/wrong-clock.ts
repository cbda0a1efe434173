/**
 * Loaded by `node --import` before anything else: the wall clock of the process is as wrong as
 * `setClockError` says, in every way that JavaScript can read it. Timers are not concerned.
 */
const RightDate = Date;
let errorMs = 0;

/** Sets how far the clock is ahead of the right time, in milliseconds; it jumps there. */
function setClockError(ms: number): void {
  errorMs = ms;
}

class WrongDate extends RightDate {
  constructor(...given: readonly unknown[]) {
    if (given.length === 0) super(WrongDate.now());
    else super(...(given as [number]));
  }

  static override now(): number {
    return RightDate.now() + errorMs;
  }
}

globalThis.Date = new Proxy(WrongDate, {
  // Without `new`, it is the time as text.
  apply: () => new WrongDate().toString(),
}) as unknown as DateConstructor;
Object.assign(globalThis, { setClockError });
