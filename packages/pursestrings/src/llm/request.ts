import { InvalidLabelError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';

/** What a caller gave to `fetch`, read as far as it is needed to judge it. */
export interface FetchRequest {
  readonly url: URL;
  readonly method: string;
  readonly signal: AbortSignal | null;
  /** The labels of the header `x-purse-labels`. */
  readonly labels: Labels;
  /** The body when it is text already: it can be looked at without using it up. */
  readonly plainBody: string | null;
  /** Reads the body, and uses it up. */
  readText(): Promise<string>;
  /** Sends the request as it was given, only without the label header. */
  sendAsGiven(send: typeof fetch): Promise<Response>;
  /** Sends the request with this body in place of its own. */
  sendWith(send: typeof fetch, text: string): Promise<Response>;
}

type FetchInput = Parameters<typeof fetch>[0];
type FetchInit = NonNullable<Parameters<typeof fetch>[1]>;

/**
 * Labels for one request, `feature=chat, agent=a1`; names and values may be percent-encoded. Never
 * sent.
 */
const LABEL_HEADER = 'x-purse-labels';

/**
 * Reads the arguments of a `fetch`: a URL or a `Request`, and a body of any kind.
 *
 * @throws TypeError when the URL is none, as `fetch` does.
 * @throws InvalidLabelError when the label header cannot be read.
 */
export function readRequest(input: FetchInput, init: FetchInit | undefined): FetchRequest {
  if (typeof input === 'string' || input instanceof URL) return readParts(input, init ?? {});
  const given = init === undefined ? input : new Request(input, init);
  const parts = readParts(given.url, {
    ...init,
    method: given.method,
    headers: given.headers,
    signal: given.signal,
    redirect: given.redirect,
    credentials: given.credentials,
    integrity: given.integrity,
    keepalive: given.keepalive,
    referrer: given.referrer,
    referrerPolicy: given.referrerPolicy,
    ...(given.body === null ? {} : { body: given.body, duplex: 'half' }),
  });
  const sendAsGiven = (send: typeof fetch): Promise<Response> =>
    send(new Request(given, { headers: without(given.headers, LABEL_HEADER) }));
  return { ...parts, sendAsGiven };
}

function readParts(target: string | URL, init: FetchInit): FetchRequest {
  const url = typeof target === 'string' ? new URL(target) : target;
  const headers = init.headers instanceof Headers ? init.headers : new Headers(init.headers);
  const labelText = headers.get(LABEL_HEADER);
  const sent = labelText === null ? headers : without(headers, LABEL_HEADER);
  const { body } = init;
  return {
    url,
    method: (init.method ?? 'GET').toUpperCase(),
    signal: init.signal ?? null,
    labels: labelText === null ? {} : parseLabels(labelText),
    plainBody: typeof body === 'string' ? body : null,
    readText: async () => {
      if (typeof body === 'string') return body;
      return body === undefined || body === null ? '' : new Response(body).text();
    },
    sendAsGiven: (send) => send(target, labelText === null ? init : { ...init, headers: sent }),
    sendWith: (send, text) => {
      // The length was the old body's; `fetch` knows the new one.
      const final = sent.has('content-length') ? without(sent, 'content-length') : sent;
      return send(target, { ...init, headers: final, body: text });
    },
  };
}

function without(headers: Headers, name: string): Headers {
  const copy = new Headers(headers);
  copy.delete(name);
  return copy;
}

function parseLabels(text: string): Labels {
  const labels: Record<string, string> = {};
  for (const pair of text.split(',')) {
    if (pair.trim() === '') continue;
    const at = pair.indexOf('=');
    const name = at < 0 ? '' : decode(pair.slice(0, at).trim());
    if (name === '') {
      throw new InvalidLabelError(
        `The header ${LABEL_HEADER} is ${JSON.stringify(text)}: write \`name=value\` pairs ` +
          'between commas',
      );
    }
    Object.defineProperty(labels, name, {
      value: decode(pair.slice(at + 1).trim()),
      enumerable: true,
    });
  }
  return labels;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
