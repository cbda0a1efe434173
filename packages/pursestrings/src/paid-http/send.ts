import { resourceOf } from './credentials.ts';
import type { FetchInit, RedirectMode, RequestParts } from './request.ts';

/** Gives the `Authorization` that a resource, an origin and a path, was paid for; null without. */
export type AuthorizationFor = (resource: string) => string | null;

/** What came of sending a request, and who answered. */
export interface Answer {
  readonly response: Response;
  /** Where the answer comes from, after redirects. */
  readonly url: URL;
  /** The `Authorization` that the one who answered was sent; null for none of ours. */
  readonly authorization: string | null;
}

/** As many as `fetch` follows: https://fetch.spec.whatwg.org/#http-redirect-fetch */
const MAX_REDIRECTS = 20;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** One stage of the way that a request takes. */
interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: RequestParts['body'];
}

/**
 * Sends a request with credentials, and follows redirects here: what was paid for goes to the
 * resource that asked for it, on to places of the same origin, and never to another origin. In all
 * else redirects are followed as `fetch` does.
 *
 * @throws TypeError for too many redirects, or one that cannot be followed; what `send` throws.
 */
export async function sendWithCredentials(
  send: typeof fetch,
  start: URL,
  parts: RequestParts,
  authorizationFor: AuthorizationFor,
): Promise<Answer> {
  const { method, headers, body } = parts;
  const redirect = parts.redirect === 'error' ? 'error' : 'manual';
  let hop: Hop = { url: start, method, headers, body };
  let carried: string | null = null;
  for (let count = 0; ; count += 1) {
    carried = authorizationFor(resourceOf(hop.url)) ?? carried;
    const response = await send(hop.url.href, hopInit(parts.rest, hop, redirect, carried));
    const location = response.headers.get('location');
    if (parts.redirect !== 'follow' || !REDIRECTS.has(response.status) || location === null) {
      if (count > 0) Object.defineProperty(response, 'redirected', { value: true });
      return { response, url: hop.url, authorization: carried };
    }
    if (count === MAX_REDIRECTS) throw new TypeError(`${start.host} redirected too often`);
    await response.body?.cancel();
    const next = nextHop(hop, response.status, location);
    if (next.url.origin !== hop.url.origin) carried = null;
    hop = next;
  }
}

function hopInit(
  rest: FetchInit,
  { method, headers, body }: Hop,
  redirect: RedirectMode,
  authorization: string | null,
): FetchInit {
  if (authorization === null) return { ...rest, method, headers, body, redirect };
  const authorized = new Headers(headers);
  authorized.set('authorization', authorization);
  return { ...rest, method, headers: authorized, body, redirect };
}

/** Where a redirect leads, and with what. */
function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(location, hop.url.href);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError(`${hop.url.host} redirected to a place that cannot be fetched`);
  }
  const headers = new Headers(hop.headers);
  const upper = hop.method.toUpperCase();
  const becomesGet =
    (status === 303 && upper !== 'GET' && upper !== 'HEAD') ||
    ((status === 301 || status === 302) && upper === 'POST');
  if (url.origin !== hop.url.origin) dropAll(headers, PRIVATE_HEADERS);
  if (becomesGet) {
    dropAll(headers, BODY_HEADERS);
    return { url, method: 'GET', headers, body: null };
  }
  if (hop.body instanceof ReadableStream) {
    throw new TypeError(`${hop.url.host} redirected a request whose body was a stream`);
  }
  return { url, method: hop.method, headers, body: hop.body };
}

/** What a redirect to another origin must not take along. */
const PRIVATE_HEADERS = ['authorization', 'cookie', 'host', 'proxy-authorization'];

const BODY_HEADERS = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-type',
];

function dropAll(headers: Headers, names: readonly string[]): void {
  for (const name of names) headers.delete(name);
}
