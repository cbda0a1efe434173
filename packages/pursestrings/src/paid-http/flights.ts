import type { Credential } from './credentials.ts';
import { unlessAborted } from './payment.ts';

/** A payment that callers wait for. */
interface Flight {
  readonly credential: Promise<Credential>;
  readonly controller: AbortController;
  waiting: number;
}

/** Payments under way by resource, so that requests for one resource pay once. */
export class Flights {
  readonly #byResource = new Map<string, Flight>();

  /**
   * Joins the payment that is under way for a resource, or begins one. It goes on while anybody
   * waits for it, and is told when nobody does any more.
   *
   * @throws what the payment throws, or the signal's reason.
   */
  async join(
    resource: string,
    signal: AbortSignal | null,
    begin: (signal: AbortSignal) => Promise<Credential>,
  ): Promise<{ readonly credential: Credential; readonly mine: boolean }> {
    for (;;) {
      signal?.throwIfAborted();
      const flying = this.#byResource.get(resource);
      const wasGivenUp = flying?.controller.signal.aborted === true;
      try {
        const credential = await wait(flying ?? this.#begin(resource, begin), signal);
        return { credential, mine: flying === undefined };
      } catch (error) {
        // What ended because others gave it up says nothing to who asked after that.
        if (!wasGivenUp || signal?.aborted === true) throw error;
      }
    }
  }

  #begin(resource: string, begin: (signal: AbortSignal) => Promise<Credential>): Flight {
    const controller = new AbortController();
    const credential = begin(controller.signal).finally(() => this.#byResource.delete(resource));
    const flight = { credential, controller, waiting: 0 };
    this.#byResource.set(resource, flight);
    credential.catch(() => undefined);
    return flight;
  }
}

async function wait(flight: Flight, signal: AbortSignal | null): Promise<Credential> {
  if (signal === null) {
    flight.waiting += 1;
    return flight.credential;
  }
  flight.waiting += 1;
  try {
    return await unlessAborted(flight.credential, signal);
  } catch (error) {
    flight.waiting -= 1;
    if (signal.aborted && flight.waiting === 0) flight.controller.abort(signal.reason);
    throw error;
  }
}
