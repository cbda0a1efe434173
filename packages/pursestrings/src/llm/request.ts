import { InvalidLabelError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import { FormFile, isObject } from './providers/provider.ts';
import type { JsonObject } from './providers/provider.ts';
import { decoded, parseJson } from './providers/read-json.ts';

/** What a caller gave to `fetch`, read as far as it is needed to judge it. */
export interface FetchRequest {
  readonly url: URL;
  readonly method: string;
  readonly signal: AbortSignal | null;
  /**
   * Reads the labels of the header `x-purse-labels`.
   *
   * @throws InvalidLabelError when it cannot be read.
   */
  readLabels(): Labels;
  /** The body is signed: another one would be refused. */
  readonly signed: boolean;
  /** Looks at the beginning of a body without using it up; null when that is not possible. */
  peekBody(): Promise<string | null>;
  /**
   * Reads the body, and uses it up.
   *
   * @throws The signal's reason when it aborts before the body is there.
   */
  readBody(): Promise<RequestBody>;
  /** Sends the request as it was given, only without the label header. */
  sendAsGiven(send: typeof fetch): Promise<Response>;
  /** Sends the request with this body in place of its own. */
  sendWith(send: typeof fetch, payload: Payload): Promise<Response>;
}

/** What goes out as a request's body. */
export type Payload = string | FormData | Uint8Array<ArrayBuffer>;

/** A request's body, read. */
export interface RequestBody {
  /** Its fields; null when it is neither a JSON object nor a form. */
  readonly fields: JsonObject | null;
  /** Its text, or the text of a form's fields. */
  readonly text: string;
  /** The body as it was given. */
  readonly payload: Payload;
  /** It is a form, which is sent as it is. */
  readonly isForm: boolean;
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
  const peekBody = async (): Promise<string | null> => {
    if (given.body === null || !JSON_TYPE.test(given.headers.get('content-type') ?? ''))
      return null;
    return unlessAborted(beginning(given.clone().body), given.signal);
  };
  return { ...parts, sendAsGiven, peekBody };
}

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i;

/** So much of a body is looked at. */
const PEEKED_BYTES = 65_536;

/** Reads the beginning of a stream, and leaves the rest. */
async function beginning(stream: ReadableStream<Uint8Array> | null): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of stream ?? []) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= PEEKED_BYTES) break;
  }
  return Buffer.concat(pieces).toString();
}

/** The beginning of a body that lies in memory. */
async function peeked(body: FetchInit['body']): Promise<string | null> {
  if (typeof body === 'string') return body.slice(0, PEEKED_BYTES);
  if (body instanceof Blob) return body.slice(0, PEEKED_BYTES).text();
  const bytes = bytesOf(body);
  return bytes === null ? null : Buffer.from(bytes.subarray(0, PEEKED_BYTES)).toString();
}

function bytesOf(body: FetchInit['body']): Uint8Array | null {
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (!ArrayBuffer.isView(body)) return null;
  return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
}

/** What comes of some work, or the signal's reason when that comes first. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | null): Promise<T> {
  if (signal === null) return work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function readParts(target: string | URL, init: FetchInit): FetchRequest {
  const url = typeof target === 'string' ? new URL(target) : target;
  const headers = init.headers instanceof Headers ? init.headers : new Headers(init.headers);
  const labelText = headers.get(LABEL_HEADER);
  const sent = labelText === null ? headers : without(headers, LABEL_HEADER);
  const { body } = init;
  const signal = init.signal ?? null;
  return {
    url,
    method: (init.method ?? 'GET').toUpperCase(),
    signal,
    readLabels: () => (labelText === null ? {} : parseLabels(labelText)),
    signed: (headers.get('authorization') ?? '').startsWith('AWS4-'),
    peekBody: () => peeked(body),
    readBody: () => readBody(body ?? '', headers.get('content-type') ?? '', signal),
    sendAsGiven: (send) => send(target, labelText === null ? init : { ...init, headers: sent }),
    sendWith: (send, payload) => {
      // The length was the old body's; `fetch` knows the new one.
      let final = sent.has('content-length') ? without(sent, 'content-length') : sent;
      if (body instanceof Blob && body.type !== '' && !sent.has('content-type')) {
        // `fetch` takes the type of a blob from it, and what is sent is none.
        final = new Headers(final);
        final.set('content-type', body.type);
      }
      return send(target, { ...init, headers: final, body: payload });
    },
  };
}

async function readBody(
  body: NonNullable<FetchInit['body']>,
  contentType: string,
  signal: AbortSignal | null,
): Promise<RequestBody> {
  if (typeof body === 'string') return jsonBody(body, body);
  if (body instanceof FormData) return formBody(body, body);
  // A stream may stall, and `fetch` itself does not read it yet.
  const bytes = new Uint8Array(await unlessAborted(new Response(body).arrayBuffer(), signal));
  if (!/^multipart\/form-data/i.test(contentType)) {
    return jsonBody(Buffer.from(bytes.buffer).toString(), bytes);
  }
  const form = await new Response(bytes, { headers: { 'content-type': contentType } })
    .formData()
    .catch(() => null);
  if (form === null) return { fields: null, text: '', payload: bytes, isForm: true };
  return formBody(form, bytes);
}

function jsonBody(text: string, payload: Payload): RequestBody {
  const json = parseJson(text);
  return { fields: isObject(json) ? json : null, text, payload, isForm: false };
}

/** A form as an object: a field given more than once, or named `name[]`, is a list. */
function formBody(form: FormData, payload: Payload): RequestBody {
  const fields = new Map<string, unknown>();
  for (const [key, value] of form.entries()) {
    const name = key.replace(/\[\]$/, '');
    const field =
      typeof value === 'string' ? value : new FormFile(value.name, value.type, value.size);
    const before = fields.get(name);
    if (Array.isArray(before)) before.push(field);
    else if (before !== undefined) fields.set(name, [before, field]);
    else fields.set(name, name === key ? field : [field]);
  }
  const object = Object.fromEntries(fields);
  return { fields: object, text: JSON.stringify(object), payload, isForm: true };
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
    const name = at < 0 ? '' : decoded(pair.slice(0, at).trim());
    if (name === '') {
      throw new InvalidLabelError(
        `The header ${LABEL_HEADER} is ${JSON.stringify(text)}: write \`name=value\` pairs ` +
          'between commas',
      );
    }
    Object.defineProperty(labels, name, {
      value: decoded(pair.slice(at + 1).trim()),
      enumerable: true,
    });
  }
  return labels;
}
