import { InvalidOptionError } from '../../errors.ts';
import { type Fields, fieldsOf } from './answer-fields.ts';
import { quote } from './quote.ts';

/** What every wallet that is reached over HTTP can be told. */
export interface WalletConnection {
  /** Sends the requests, for a proxy or a certificate of one's own. Default: the global `fetch`. */
  readonly fetch?: typeof fetch;
  /** How long an answer is waited for, in milliseconds, 1 to 3,600,000; default 60,000. */
  readonly timeoutMs?: number;
}

/** What is asked of a wallet's server. */
export interface WalletRequest {
  readonly method: 'GET' | 'POST';
  /** Appended to the base URL, such as `/v2/router/send`. */
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** An answer whose body is one object; `{}` where it is none. */
export interface AnsweredFields {
  readonly status: number;
  readonly body: Fields;
}

/** How a wallet's server is reached. */
export interface WalletAddress {
  /** The wallet's name in messages. */
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What must never be shown, whoever says it. */
  readonly secret: string;
  /** Passed on to `fetch`, such as a dispatcher. */
  readonly init?: object;
}

/** No whole answer was had. `sent` is false when it is certain that the request never left. */
export class NoAnswer extends Error {
  readonly sent: boolean;

  constructor(message: string, sent: boolean, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'NoAnswer';
    this.sent = sent;
  }
}

/** The most that is read of one answer. LND lists every try of a payment, each with its route. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const MAX_TIMEOUT_MS = 3_600_000;

/**
 * A wallet's server over HTTP. It follows no redirect, reads no more than 8 MiB, waits no longer
 * than it was told, and shows its secret to nobody.
 */
export class WalletServer {
  readonly name: string;
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #secret: string;
  readonly #init: object;
  readonly #fetch: typeof fetch | undefined;
  readonly #timeoutMs: number;

  constructor(address: WalletAddress, connection: WalletConnection = {}) {
    this.name = address.name;
    this.#base = checkedUrl(address.name, address.url);
    this.#secret = checkedSecret(address.name, address.secret);
    this.#headers = address.headers;
    this.#init = address.init ?? {};
    this.#fetch = connection.fetch;
    this.#timeoutMs = checkedTimeout(address.name, connection.timeoutMs ?? 60_000);
  }

  /** @throws NoAnswer when there is none, also while its body is read. */
  async ask(request: WalletRequest): Promise<WalletAnswer> {
    const { method, path, body, signal } = request;
    if (signal?.aborted === true) throw new NoAnswer('the caller gave up before it began', false);
    const limit = AbortSignal.timeout(this.#timeoutMs);
    const either = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    const explain = (cause: unknown): NoAnswer => this.#noAnswer(cause, limit, signal);
    const send = this.#fetch ?? fetch;
    try {
      const response = await send(`${this.#base}${path}`, {
        ...this.#init,
        method,
        headers: {
          ...this.#headers,
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        redirect: 'manual',
        signal: either,
      });
      return new WalletAnswer(response, explain);
    } catch (cause) {
      throw explain(cause);
    }
  }

  /** Asks, and reads the answer as an object. @throws NoAnswer as `ask` does. */
  async askFields(request: WalletRequest): Promise<AnsweredFields> {
    const answer = await this.ask(request);
    return { status: answer.status, body: fieldsOf(await answer.json()) };
  }

  /** What the server said, short, on one line, without the secret: fit for a message. */
  quote(said: unknown): string {
    return quote(said, this.#secret);
  }

  #noAnswer(cause: unknown, limit: AbortSignal, signal: AbortSignal | undefined): NoAnswer {
    if (cause instanceof NoAnswer) return cause;
    if (signal?.aborted === true) return new NoAnswer('the caller stopped waiting for it', true);
    if (limit.aborted) {
      return new NoAnswer(`it did not answer in ${this.#timeoutMs} ms`, true);
    }
    const code = connectionCode(cause);
    // A `fetch` of the caller's may have tried before; then the last failure says nothing.
    const sent = this.#fetch !== undefined || !NEVER_CONNECTED.has(code);
    const why = code === '' ? '' : ` (${code})`;
    return new NoAnswer(sent ? `the connection failed${why}` : `it cannot be reached${why}`, sent);
  }
}

/** One answer of a wallet's server; its body is read once, whole or line by line. */
export class WalletAnswer {
  readonly status: number;
  readonly #response: Response;
  readonly #explain: (cause: unknown) => NoAnswer;

  constructor(response: Response, explain: (cause: unknown) => NoAnswer) {
    this.status = response.status;
    this.#response = response;
    this.#explain = explain;
  }

  /** The body as JSON; `undefined` when it is none. */
  async json(): Promise<unknown> {
    let text = '';
    for await (const part of this.#read()) text += part;
    return parsed(text);
  }

  /** The values of a body with one JSON value a line. Reading may stop at any of them. */
  async *jsonLines(): AsyncGenerator {
    let rest = '';
    for await (const part of this.#read()) {
      const lines = (rest + part).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.trim() !== '') yield parsed(line);
      }
    }
    if (rest.trim() !== '') yield parsed(rest);
  }

  async *#read(): AsyncGenerator<string> {
    if (this.#response.body === null) return;
    const reader = this.#response.body.getReader();
    const decoder = new TextDecoder();
    let bytes = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        bytes += value.byteLength;
        if (bytes > MAX_ANSWER_BYTES) throw new NoAnswer('its answer is over 8 MiB', true);
        yield decoder.decode(value, { stream: true });
      }
    } catch (cause) {
      throw this.#explain(cause);
    } finally {
      // Whoever stops reading early hangs up.
      reader.cancel().catch(() => undefined);
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Failures of making a connection: nothing was sent over it. */
const NEVER_CONNECTED: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** The code of what `fetch` failed by: it stands on the cause, or on each error of an aggregate. */
function connectionCode(error: unknown): string {
  let current = error;
  for (let depth = 0; depth < 4 && typeof current === 'object' && current !== null; depth += 1) {
    const { code, cause, errors } = current as {
      readonly code?: unknown;
      readonly cause?: unknown;
      readonly errors?: readonly unknown[];
    };
    if (typeof code === 'string' && code !== '') return code;
    current = cause ?? errors?.[0];
  }
  return '';
}

function checkedUrl(name: string, url: string): string {
  const parsedUrl = URL.canParse(url) ? new URL(url) : null;
  if (parsedUrl === null || !['http:', 'https:'].includes(parsedUrl.protocol)) {
    throw new InvalidOptionError(
      `The URL of the ${name} wallet is not an http or https URL; write it such as https://host:port.`,
    );
  }
  if (parsedUrl.username !== '' || parsedUrl.password !== '') {
    throw new InvalidOptionError(
      `The URL of the ${name} wallet carries a user or a password; give the secret by its own option.`,
    );
  }
  return `${parsedUrl.origin}${parsedUrl.pathname.replace(/\/+$/, '')}`;
}

/** The value is never repeated: a slip in a secret is still nearly the secret. */
function checkedSecret(name: string, secret: unknown): string {
  if (typeof secret === 'string' && /^[\x21-\x7E]{1,8192}$/.test(secret)) return secret;
  throw new InvalidOptionError(
    `The secret of the ${name} wallet is empty or not printable ASCII without spaces; ` +
      'give it as the wallet shows it.',
  );
}

function checkedTimeout(name: string, timeoutMs: number): number {
  if (Number.isSafeInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS) {
    return timeoutMs;
  }
  throw new InvalidOptionError(
    `timeoutMs of the ${name} wallet is ${timeoutMs}; it must be a whole number from 1 to 3,600,000.`,
  );
}
