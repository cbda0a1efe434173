/** What is known of a body that was read already. */
interface ReadBody {
  readonly bytes: ArrayBuffer;
  /** The bytes as JSON; undefined when they are none. */
  readonly json: unknown;
  /**
   * The body was read a second time, by the caller: a third time is an error, as with any
   * response.
   */
  taken: boolean;
  /** A response made of the bytes, once somebody asks for more than the bytes. */
  whole: Response | null;
}

const bodies = new WeakMap<Response, ReadBody>();

/**
 * What a response does once its body was read to settle its call: it can be read again, once, by
 * the caller. Making a new response of the bytes would do the same in five times the time.
 */
const READ_ALREADY: object & ThisType<Response> = {
  get body(): Response['body'] {
    const read = bodyOf(this);
    if (!read.taken || read.whole !== null) return wholeOf(this).body;
    // Whoever logs a response looks at its body, too: one that was read is there, and used.
    const whole = new Response(read.bytes);
    whole.arrayBuffer().catch(() => undefined);
    read.whole = whole;
    return whole.body;
  },
  get bodyUsed(): boolean {
    const { taken, whole } = bodyOf(this);
    return whole === null ? taken : whole.bodyUsed;
  },
  async json(): Promise<unknown> {
    const { json, whole } = bodyOf(this);
    if (whole !== null || json === undefined) return wholeOf(this).json();
    take(this);
    return json;
  },
  async arrayBuffer(): Promise<ArrayBuffer> {
    return bodyOf(this).whole === null ? take(this) : wholeOf(this).arrayBuffer();
  },
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.arrayBuffer());
  },
  async text(): Promise<string> {
    return wholeOf(this).text();
  },
  async blob(): Promise<Blob> {
    return wholeOf(this).blob();
  },
  async formData(): Promise<FormData> {
    return wholeOf(this).formData();
  },
  clone(): Response {
    return Object.defineProperty(wholeOf(this).clone(), 'url', { value: this.url });
  },
};
Object.setPrototypeOf(READ_ALREADY, Response.prototype);

/**
 * Gives a response back its body; `bytes` is what was read from it, and `json` what that means. A
 * response of another implementation, as another `fetch` gives, is made anew.
 */
export function withBody(response: Response, bytes: ArrayBuffer, json: unknown): Response {
  if (!(response instanceof Response)) return remade(response, bytes);
  bodies.set(response, { bytes, json, taken: false, whole: null });
  return Object.setPrototypeOf(response, READ_ALREADY) as Response;
}

/** A new response with the head of an old one. */
export function remade(head: Response, body: ReadableStream<Uint8Array> | ArrayBuffer): Response {
  const { status, statusText, headers, url } = head;
  const response = new Response(body, { status, statusText, headers: new Headers([...headers]) });
  return Object.defineProperty(response, 'url', { value: url });
}

function bodyOf(response: Response): ReadBody {
  const body = bodies.get(response);
  if (body === undefined) throw new TypeError('Illegal invocation');
  return body;
}

function take(response: Response): ArrayBuffer {
  const body = bodyOf(response);
  if (body.taken) throw new TypeError('Body is unusable: Body has already been read');
  body.taken = true;
  return body.bytes;
}

function wholeOf(response: Response): Response {
  const body = bodyOf(response);
  if (body.whole === null) {
    const { status, statusText, headers } = response;
    body.whole = new Response(take(response), { status, statusText, headers });
  }
  return body.whole;
}
