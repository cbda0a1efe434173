import type { CountHold } from './telemetry.ts';
import type { Charge } from './charge.ts';
import type { Denial } from './denial.ts';
import { InvalidOptionError } from './ledger/invalid.ts';
import type { Labels } from './ledger/labels.ts';

/** What a purse announces. Each event fires once per ledger: in the process that made it happen. */
export interface PurseEvents {
  /** Money was recorded as spent. */
  charge: Charge;
  /** A spend was refused: the first denial, and all of them. */
  denied: Denial & { readonly denials: readonly Denial[] };
  /** A charge was the first in its window to reach a fraction of a cap. */
  threshold: ThresholdEvent;
  /** A charge took an envelope past its cap. */
  overrun: Charge;
  /** A hold passed its time with nobody settling it. */
  expired: ExpiredEvent;
  /** Labels were frozen by this process. */
  frozen: { readonly where: Labels; readonly reason?: string };
  /** Something failed where no caller could be told: a listener that threw, an abandoned hold. */
  error: unknown;
}

/** A warning that was reached. */
export interface ThresholdEvent {
  readonly limit: string;
  readonly unit: string;
  /** The fraction of the cap: one of the limit's `warnAt`. */
  readonly fraction: number;
  readonly charge: Charge;
}

/** A hold that expired, and what became of it. */
export interface ExpiredEvent {
  readonly id: string;
  /** Decimals by unit. */
  readonly amounts: Readonly<Record<string, number>>;
  readonly labels: Labels;
  readonly ifAbandoned: 'release' | 'charge';
  /** The charge, when it was charged. */
  readonly charge: Charge | null;
}

/** The most listeners that one purse takes for one event. */
export const MAX_LISTENERS = 1000;

type Listener = (payload: never) => unknown;

/** Hands events to listeners. A listener that throws harms nobody: its error becomes an `error` event. */
export class Announcer {
  /** Is told of what happens to holds and is no event; null when nobody counts. */
  countHold: CountHold | null = null;
  readonly #listeners = new Map<keyof PurseEvents, Set<Listener>>();
  readonly #observers = new Map<keyof PurseEvents, Set<Listener>>();

  on<E extends keyof PurseEvents>(
    event: E,
    listener: (payload: PurseEvents[E]) => void,
  ): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    if (listeners.size >= MAX_LISTENERS) {
      throw new InvalidOptionError(
        `A purse takes at most ${MAX_LISTENERS} listeners for '${event}'; call what on() returns to take one away`,
      );
    }
    // Each call gets an entry of its own, so that a listener given twice is also taken away twice.
    const entry: Listener = (payload) => listener(payload);
    listeners.add(entry);
    return () => void listeners.delete(entry);
  }

  /** The same for a part of the purse itself: it does not count among its users' listeners. */
  observe<E extends keyof PurseEvents>(
    event: E,
    listener: (payload: PurseEvents[E]) => void,
  ): () => void {
    const observers = this.#observers.get(event) ?? new Set();
    this.#observers.set(event, observers.add(listener));
    return () => void observers.delete(listener);
  }

  /** True when somebody would be told of a charge. */
  get hearsOfCharges(): boolean {
    return this.#hears('charge') || this.#hears('overrun') || this.#hears('threshold');
  }

  emit<E extends keyof PurseEvents>(event: E, payload: PurseEvents[E]): void {
    const observers = this.#observers.get(event);
    if (observers !== undefined) this.#tell(event, payload, observers);
    const listeners = this.#listeners.get(event);
    if (listeners !== undefined) this.#tell(event, payload, listeners);
  }

  #hears(event: keyof PurseEvents): boolean {
    return (this.#listeners.get(event)?.size ?? 0) + (this.#observers.get(event)?.size ?? 0) > 0;
  }

  #tell<E extends keyof PurseEvents>(
    event: E,
    payload: PurseEvents[E],
    listeners: Iterable<Listener>,
  ): void {
    for (const listener of listeners) {
      try {
        const answer = listener(payload as never);
        if (answer instanceof Promise) answer.catch((error: unknown) => this.#failed(event, error));
      } catch (error) {
        this.#failed(event, error);
      }
    }
  }

  #failed(event: keyof PurseEvents, error: unknown): void {
    if (event !== 'error') this.emit('error', error);
  }
}
