import { InvalidLabelError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import { FormFile, isObject } from './providers/provider.ts';
import type { JsonObject } from './providers/provider.ts';
import { parseJson } from './providers/read-json.ts';

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
  /** The body when it is text already: it can be looked at without using it up. */
  readonly plainBody: string | null;
  /** Reads the body, and uses it up. */
  readBody(): Promise<RequestBody>;
  /** Sends the request as it was given, only without the label header. */
  sendAsGiven(send: typeof fetch): Promise<Response>;
  /** Sends the request with this body in place of its own. */
  sendWith(send: typeof fetch, payload: Payload): Promise<Response>;
}

/** What goes out as a request's body. */
export type Payload = string | FormData | ArrayBuffer;

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
    readLabels: () => (labelText === null ? {} : parseLabels(labelText)),
    signed: (headers.get('authorization') ?? '').startsWith('AWS4-'),
    plainBody: typeof body === 'string' ? body : null,
    readBody: () => readBody(body ?? '', headers.get('content-type') ?? ''),
    sendAsGiven: (send) => send(target, labelText === null ? init : { ...init, headers: sent }),
    sendWith: (send, payload) => {
      // The length was the old body's; `fetch` knows the new one.
      const final = sent.has('content-length') ? without(sent, 'content-length') : sent;
      return send(target, { ...init, headers: final, body: payload });
    },
  };
}

async function readBody(
  body: NonNullable<FetchInit['body']>,
  contentType: string,
): Promise<RequestBody> {
  if (typeof body === 'string') return jsonBody(body);
  if (body instanceof FormData) return formBody(body, body);
  if (!contentType.startsWith('multipart/form-data'))
    return jsonBody(await new Response(body).text());
  const bytes = await new Response(body).arrayBuffer();
  const form = await new Response(bytes, { headers: { 'content-type': contentType } })
    .formData()
    .catch(() => null);
  if (form === null) return { fields: null, text: '', payload: bytes, isForm: true };
  return formBody(form, bytes);
}

function jsonBody(text: string): RequestBody {
  const json = parseJson(text);
  return { fields: isObject(json) ? json : null, text, payload: text, isForm: false };
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
