type FetchInput = Parameters<typeof fetch>[0];
type FetchInit = NonNullable<Parameters<typeof fetch>[1]>;

/** A body that can be sent any number of times. */
export type RepeatableBody =
  | string
  | Blob
  | FormData
  | URLSearchParams
  | ArrayBuffer
  | NodeJS.ArrayBufferView<ArrayBuffer>
  | null;

/** A request as it can be sent again: to another place, with other headers. */
export interface RepeatableRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly body: RepeatableBody;
  readonly redirect: RequestRedirect;
  /** All else that was given: the signal, the cache mode, a dispatcher. */
  readonly rest: FetchInit;
}

/** What a caller gave to `fetch`. */
export interface GivenRequest {
  readonly url: URL;
  /** The URL as it was given, for callbacks and errors. */
  readonly urlText: string;
  readonly signal: AbortSignal | null;
  /** It carries an `Authorization` of the caller's own. */
  readonly authorized: boolean;
  /** Its body is used up by sending it, so that it can be sent once. */
  readonly sendsOnce: boolean;
  /** Sends it as it was given. */
  send(send: typeof fetch): Promise<Response>;
  /**
   * Reads what it takes to send it again, also after it was sent.
   *
   * @throws The signal's reason, or what its body throws.
   */
  repeatable(): Promise<RepeatableRequest>;
  /** Forgets the body that was kept for sending it again. */
  forget(): void;
}

/**
 * Reads the arguments of a `fetch`: a URL or a `Request`, and what overrides it.
 *
 * @throws TypeError when the URL is none, as `fetch` does.
 */
export function readGiven(input: FetchInput, init: FetchInit | undefined): GivenRequest {
  if (typeof input === 'string' || input instanceof URL) return fromParts(input, init ?? {});
  return fromRequest(input, init);
}

/** The parts of a request that are told apart from all else. */
type KnownParts = 'method' | 'headers' | 'body' | 'redirect' | 'duplex';

function fromParts(target: string | URL, init: FetchInit): GivenRequest {
  const { method, headers, body, redirect, duplex: _, ...rest } = init as FetchInit & {
    readonly duplex?: string;
  } & Record<KnownParts, never>;
  const url = typeof target === 'string' ? new URL(target) : target;
  const given = body as FetchInit['body'];
  return {
    url,
    urlText: typeof target === 'string' ? target : target.href,
    signal: init.signal ?? null,
    authorized: headers !== undefined && new Headers(headers).has('authorization'),
    sendsOnce: !isRepeatable(given),
    send: (send) => send(target, init),
    repeatable: async () => ({
      method: normalMethod(method),
      headers: headersWithType(headers, given),
      body: (given ?? null) as RepeatableBody,
      redirect: redirect ?? 'follow',
      rest,
    }),
    forget: () => undefined,
  };
}

function fromRequest(input: Request, init: FetchInit | undefined): GivenRequest {
  const request = init === undefined ? input : new Request(input, init);
  const sendsOnce = init?.body !== undefined && !isRepeatable(init.body);
  // Whoever sends a request uses up its body. A branch of it waits here, unread.
  let kept = request.body === null || sendsOnce ? null : request.clone();
  const { method, headers, redirect, signal } = request;
  return {
    url: new URL(request.url),
    urlText: request.url,
    signal,
    authorized: headers.has('authorization'),
    sendsOnce,
    send: (send) => send(request),
    repeatable: async () => ({
      method,
      headers: new Headers(headers),
      body: kept === null ? null : await kept.arrayBuffer(),
      redirect,
      rest: {
        ...withoutParts(init),
        signal,
        cache: request.cache,
        credentials: request.credentials,
        integrity: request.integrity,
        keepalive: request.keepalive,
        mode: request.mode,
        referrer: request.referrer,
        referrerPolicy: request.referrerPolicy,
      },
    }),
    forget: () => {
      void kept?.body?.cancel().catch(() => undefined);
      kept = null;
    },
  };
}
