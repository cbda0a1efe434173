export type FetchInput = Parameters<typeof fetch>[0];
export type FetchInit = NonNullable<Parameters<typeof fetch>[1]>;

/** What a request says of redirects. */
export type RedirectMode = NonNullable<FetchInit['redirect']>;

/** A request taken apart, so that it can be sent to another place with other headers. */
export interface RequestParts {
  readonly method: string;
  readonly headers: Headers;
  readonly body: NonNullable<FetchInit['body']> | null;
  readonly redirect: RedirectMode;
  /** What was given beside these: the signal, the cache mode, a dispatcher. */
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
  /** Sending it uses its body up, so that it can be sent once. */
  readonly sendsOnce: boolean;
  /** Sends it as it was given. */
  send(send: typeof fetch): Promise<Response>;
  /** Takes it apart, also after it was sent. Call it once. It rejects where the body cannot be read. */
  parts(): Promise<RequestParts>;
  /** Lets go of the body that is kept for sending it again. */
  forget(): void;
}

/**
 * Reads the arguments of a `fetch`: a URL or a `Request`, and what overrides it.
 *
 * @throws TypeError when the URL is none, or a request's body was used before, as `fetch` does.
 */
export function readGiven(input: FetchInput, init: FetchInit | undefined): GivenRequest {
  if (input instanceof Request) return givenRequest(input, init);
  return givenParts(input, init ?? {});
}

function givenParts(target: string | URL, init: FetchInit): GivenRequest {
  // Callers may change what they gave while this waits: pages are asked for by one URL that counts.
  const url = new URL(target);
  const urlText = typeof target === 'string' ? target : url.href;
  const headers = new Headers(init.headers);
  return {
    url,
    urlText,
    signal: init.signal ?? null,
    authorized: headers.has('authorization'),
    sendsOnce: !isRepeatable(init.body),
    send: (send) => send(urlText, init),
    parts: async () => {
      const { method = 'GET', body = null, redirect = 'follow', ...rest } = init;
      return { method, headers, body, redirect, rest };
    },
    forget: () => undefined,
  };
}

function givenRequest(input: Request, init: FetchInit | undefined): GivenRequest {
  const request = init === undefined ? input : new Request(input, init);
  const { url, method, headers, redirect, signal } = request;
  const sendsOnce = !isRepeatable(init?.body);
  // Whoever sends a request uses its body up, so a second branch of it waits here, unread.
  let kept = request.body === null || sendsOnce ? null : request.clone();
  return {
    url: new URL(url),
    urlText: url,
    signal,
    authorized: headers.has('authorization'),
    sendsOnce,
    send: (send) => send(request),
    parts: async () => ({
      method,
      headers: new Headers(headers),
      body: sendsOnce ? request.body : await bytesOf(kept, signal),
      redirect,
      rest: { ...settingsOf(request), ...(sendsOnce && { duplex: 'half' }) },
    }),
    forget: () => {
      if (kept?.bodyUsed === false) void kept.body?.cancel().catch(() => undefined);
      kept = null;
    },
  };
}

/** Reads a whole body; an abort lets go of what it comes from. */
async function bytesOf(request: Request | null, signal: AbortSignal): Promise<ArrayBuffer | null> {
  if (request === null || request.body === null) return null;
  const whole = request.body.pipeThrough(new TransformStream(), { signal });
  return new Response(whole).arrayBuffer();
}

function settingsOf(request: Request): FetchInit {
  const { signal, cache, credentials, integrity, keepalive, mode } = request;
  const { referrer, referrerPolicy } = request;
  return {
    signal,
    cache,
    credentials,
    integrity,
    keepalive,
    mode,
    referrer,
    referrerPolicy,
  };
}

/** True for a body that is the same however often it is sent; streams and iterators are not. */
function isRepeatable(body: FetchInit['body']): boolean {
  return (
    body === undefined ||
    body === null ||
    typeof body === 'string' ||
    body instanceof URLSearchParams ||
    body instanceof Blob ||
    body instanceof FormData ||
    body instanceof ArrayBuffer ||
    ArrayBuffer.isView(body)
  );
}
