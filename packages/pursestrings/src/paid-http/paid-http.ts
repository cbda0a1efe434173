import { BudgetExceededError as PurseBudgetExceededError } from '../errors.ts';
import {
  authorizationOf,
  type Credential,
  type FoundCredential,
  resourceOf,
} from './credentials.ts';
import { domainOf } from './domain.ts';
import { L402ParseError, L402PaymentError } from './errors.ts';
import { Flights } from './flights.ts';
import { pay, type PayingDesk, unlessAborted } from './payment.ts';
import { readPaymentRequired } from './read-402.ts';
import { type PaymentQuote, quoteOf } from './quote.ts';
import type { GivenRequest } from './request.ts';
import { type Answer, type AuthorizationFor, sendWithCredentials } from './send.ts';
import type { Ask } from './terms.ts';

/** How requests are sent, and what is done with answers that ask for money. */
export interface PaidHttpSettings {
  readonly send: typeof fetch | undefined;
  readonly maxRetries: number;
  /** A 402 that asks for nothing understood here is an error, and not an answer for the caller. */
  readonly strict: boolean;
  /** The store of credentials is asked before the first request goes out. */
  readonly asksStoreFirst: boolean;
}

/** A `fetch` that pays: meets a 402, has it paid, and asks again with the credential. */
export class PaidHttp {
  readonly #desk: PayingDesk;
  readonly #settings: PaidHttpSettings;
  readonly #flights = new Flights();

  constructor(desk: PayingDesk, settings: PaidHttpSettings) {
    this.#desk = desk;
    this.#settings = settings;
  }

  /** What is held for payments whose outcome is not known yet. */
  get heldMsat(): number {
    return this.#desk.pending.heldMsat;
  }

  /** Sends a request, and pays for it where it must. */
  async fetch(given: GivenRequest): Promise<Response> {
    const send = this.#settings.send ?? globalThis.fetch;
    const call = new Call(this.#desk, this.#settings, this.#flights, given, send);
    try {
      return await call.run();
    } finally {
      given.forget();
    }
  }

  /** Sends a request without paying, and says what it would cost. */
  async quote(given: GivenRequest): Promise<PaymentQuote> {
    const send = this.#settings.send ?? globalThis.fetch;
    const call = new Call(this.#desk, this.#settings, this.#flights, given, send);
    try {
      const { ask, ...asked } = await call.ask();
      return { ...asked, payment: ask === null ? null : await quoteOf(this.#desk, ask) };
    } finally {
      given.forget();
    }
  }
}

/** One call of `fetch`, through as many requests and payments as it takes. */
class Call {
  readonly #desk: PayingDesk;
  readonly #settings: PaidHttpSettings;
  readonly #flights: Flights;
  readonly #given: GivenRequest;
  readonly #send: typeof fetch;
  readonly #startedAtMs = performance.now();
  /** What this call sends to the resources on its way. */
  readonly #sent = new Map<string, Credential>();
  /** Resources to which it sends what was paid for before it began. */
  readonly #kept = new Set<string>();
  /** Resources for which it was given what another call has paid for since it began. */
  readonly #shared = new Set<string>();
  /** Credentials that were old, or that this call has paid for. */
  #tries = 0;
  #parts: ReturnType<GivenRequest['parts']> | undefined;

  constructor(
    desk: PayingDesk,
    settings: PaidHttpSettings,
    flights: Flights,
    given: GivenRequest,
    send: typeof fetch,
  ) {
    this.#desk = desk;
    this.#settings = settings;
    this.#flights = flights;
    this.#given = given;
    this.#send = send;
  }

  async run(): Promise<Response> {
    let answer = await this.#first();
    for (;;) {
      const { response } = answer;
      const stale = this.#isStale(answer);
      // Some servers answer 401 to a credential that is used up, and say nothing of what they want.
      if (response.status !== 402 && !(response.status === 401 && stale)) return response;
      const refused = this.#dropRefused(answer);
      const ask = response.status === 402 ? await this.#readAsk(answer, !stale) : null;
      if (ask !== null) {
        this.#checkRepeatable(ask);
        // A body that breaks off, or has no end, is found out before anything is paid.
        await this.#takeApart();
        this.#sent.set(ask.resource, await this.#credentialFor(ask, refused));
        this.#given.signal?.throwIfAborted();
      } else if (stale && !this.#given.sendsOnce) {
        await response.body?.cancel();
      } else {
        return response;
      }
      answer = await this.#sendPaid();
    }
  }

  /** True when whoever answers was sent a credential that was kept from before this call. */
  #isStale({ url, authorization }: Answer): boolean {
    const resource = resourceOf(url);
    return (
      authorization !== null &&
      this.#kept.has(resource) &&
      authorization === this.#authorization(resource)
    );
  }

  /** Lets go of the credential that was refused, if one was sent. */
  #dropRefused({ url, authorization }: Answer): string | null {
    const resource = resourceOf(url);
    if (authorization === null || authorization !== this.#authorization(resource)) return null;
    this.#desk.credentials.drop(resource, authorization);
    this.#sent.delete(resource);
    this.#kept.delete(resource);
    return authorization;
  }

  /** Asks once, and reads what is wanted for it; the answer itself is left. */
  async ask(): Promise<{ readonly ask: Ask | null } & Omit<PaymentQuote, 'payment'>> {
    const answer = await this.#first();
    const { status, body } = answer.response;
    const ask = status === 402 ? await this.#readAsk(answer, true) : null;
    if (ask === null) {
      await body?.cancel().catch(() => undefined);
      return { status, ask, paidBefore: answer.authorization !== null && status !== 402 };
    }
    const known = await this.#find(ask.resource);
    const paidBefore = known !== null && authorizationOf(known.credential) !== answer.authorization;
    return { status, ask: paidBefore ? null : ask, paidBefore };
  }

  /** The first request goes out as it was given, unless its resource is paid for already. */
  async #first(): Promise<Answer> {
    const { url, authorized, sendsOnce } = this.#given;
    if (!authorized) {
      const resource = resourceOf(url);
      const known =
        this.#settings.asksStoreFirst || sendsOnce
          ? await this.#find(resource)
          : this.#desk.credentials.peek(resource);
      if (known !== null) {
        this.#tries += 1;
        this.#kept.add(resource);
        this.#sent.set(resource, known.credential);
        return this.#sendPaid();
      }
    }
    const response = await this.#given.send(this.#send);
    const from = response.url === '' ? url : new URL(response.url);
    return { response, url: from, authorization: null };
  }

  /** Asks the store for a credential, for as long as the caller waits: a store may be slow. */
  #find(resource: string): Promise<FoundCredential | null> {
    const { signal } = this.#given;
    const found = this.#desk.credentials.find(resource);
    return signal === null ? found : unlessAborted(found, signal);
  }

  async #sendPaid(): Promise<Answer> {
    const parts = await this.#takeApart();
    return sendWithCredentials(this.#send, this.#given.url, parts, this.#authorization);
  }

  #takeApart(): ReturnType<GivenRequest['parts']> {
    this.#parts ??= this.#given.parts();
    return this.#parts;
  }

  readonly #authorization: AuthorizationFor = (resource) => {
    const credential = this.#sent.get(resource);
    return credential === undefined ? null : authorizationOf(credential);
  };

  /** Reads who asks for what; null for a 402 that is none of ours, or not the last word. */
  async #readAsk({ response, url }: Answer, isLast: boolean): Promise<Ask | null> {
    const { found, price, text, json } = await readPaymentRequired(response, this.#given.signal);
    const resource = resourceOf(url);
    if (found.kind === 'none') {
      if (!this.#settings.strict || !isLast) return null;
      if (PurseBudgetExceededError.from(json) !== null) return null;
      throw new L402ParseError(
        `${resource} answered 402 without a challenge of L402 in its headers or its body`,
        { body: text },
      );
    }
    if (found.kind === 'unreadable') {
      throw new L402ParseError(
        `The challenge of ${resource} cannot be read, for ${found.why}; nothing was paid`,
        { body: text },
      );
    }
    return {
      challenge: found.challenge,
      price,
      domain: domainOf(url),
      resource,
      url: url.href === this.#given.url.href ? this.#given.urlText : url.href,
      body: text,
      alone: this.#shared.has(resource),
    };
  }

  #checkRepeatable(ask: Ask): void {
    if (!this.#given.sendsOnce) return;
    throw new L402PaymentError(
      'BODY_NOT_REPEATABLE',
      `${ask.resource} asks for money, and the body of the request was a stream that is used up: ` +
        'nothing was paid; send a body that can be sent again, such as a string or bytes',
      { invoice: ask.challenge.invoice },
    );
  }

  /** Gets a credential: one that is there by now, or by one payment for all who ask for it. */
  async #credentialFor(ask: Ask, refused: string | null): Promise<Credential> {
    const { resource } = ask;
    this.#desk.pending.sweep();
    const known = await this.#find(resource);
    if (known !== null && authorizationOf(known.credential) !== refused) {
      const isNew = known.boughtAtMs >= this.#startedAtMs;
      if (!isNew || !this.#shared.has(resource)) {
        if (isNew) this.#shared.add(resource);
        else this.#countTry(ask);
        if (!isNew) this.#kept.add(resource);
        return known.credential;
      }
    }
    this.#checkTries(ask);
    // What another call paid for was refused to this one: the server wants each call paid for.
    const flights = ask.alone ? new Flights() : this.#flights;
    const { signal } = this.#given;
    const flight = await flights.join(resource, signal, (unwanted) =>
      pay(this.#desk, ask, unwanted),
    );
    if (flight.mine) this.#tries += 1;
    else this.#shared.add(resource);
    return flight.credential;
  }

  #countTry(ask: Ask): void {
    this.#checkTries(ask);
    this.#tries += 1;
  }

  #checkTries(ask: Ask): void {
    if (this.#tries > this.#settings.maxRetries) throw askedAgain(ask, this.#tries);
  }
}

function askedAgain(ask: Ask, tries: number): L402PaymentError {
  return new L402PaymentError(
    'CREDENTIAL_REFUSED',
    `${ask.resource} asks for money again, after ${tries} credential(s) that were paid for; ` +
      '`maxRetries` says how often that is paid again',
    { invoice: ask.challenge.invoice },
  );
}
