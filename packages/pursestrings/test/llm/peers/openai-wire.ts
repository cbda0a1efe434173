import type { ServerResponse } from 'node:http';

/** The JSON body of a request, or the fields of its form. */
export type Body = Readonly<Record<string, unknown>>;

export interface PeerRequest {
  readonly path: string;
  readonly body: Body;
}

/** How one request is answered. All fields are optional. */
export interface PeerAnswer {
  /** One word is one output token. */
  readonly text?: string;
  /** Uncached input; default: the words of the body. */
  readonly inputTokens?: number;
  readonly cachedTokens?: number;
  readonly cacheWriteTokens?: number;
  /** Hidden tokens inside the output. */
  readonly reasoningTokens?: number;
  /** Image tokens of the input, or of each image that is made. */
  readonly inputImageTokens?: number;
  readonly outputImageTokens?: number;
  readonly seconds?: number;
  readonly serviceTier?: string;
  /** Items before the message: calls of hosted tools. */
  readonly items?: readonly object[];
  /** Answers with this status and an error; nothing is billed. */
  readonly status?: number;
  /** `none`: bills, but says nothing; an object is said in its place. */
  readonly usage?: 'none' | object;
  /** The response fails before anything is counted; nothing is billed. */
  readonly fails?: boolean;
  /** Closes the connection after so many deltas, and bills what was written. */
  readonly cutAfter?: number;
  /** Waits before each delta. */
  readonly deltaMs?: number;
}

/** What a call used, as the peer's till takes it. */
export interface Used {
  readonly input: number;
  readonly output: number;
}

/** The usage of a response, in the names of the wire. */
export function responseUsage(answer: PeerAnswer, { input, output }: Used): object {
  const cached = answer.cachedTokens ?? 0;
  const written = answer.cacheWriteTokens ?? 0;
  const all = input + cached + written;
  return {
    input_tokens: all,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: written },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: answer.reasoningTokens ?? 0 },
    total_tokens: all + output,
  };
}

/** A response object: https://developers.openai.com/api/reference/resources/responses */
export function responseObject(id: string, body: Body, more: object): Record<string, unknown> {
  return {
    id,
    object: 'response',
    created_at: 1_795_000_000,
    status: 'in_progress',
    background: body.background === true,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    // What is asked for by its alias is answered by a dated name.
    model: `${String(body.model)}-2026-01-01`,
    output: [],
    parallel_tool_calls: true,
    previous_response_id: body.previous_response_id ?? null,
    service_tier: 'default',
    temperature: 1,
    text: body.text ?? { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: body.tools ?? [],
    top_p: 1,
    usage: null,
    metadata: {},
    ...more,
  };
}

export function messageItem(text: string, status: string): object {
  const content = text === '' ? [] : [{ type: 'output_text', text, annotations: [] }];
  return { id: 'msg_1', type: 'message', role: 'assistant', status, content };
}

/** Writes server-sent events; false once nobody listens any more. */
export class EventWriter {
  readonly #outgoing: ServerResponse;
  #sequence = 0;

  constructor(outgoing: ServerResponse) {
    this.#outgoing = outgoing;
    outgoing.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    outgoing.flushHeaders();
  }

  async send(type: string, fields: object): Promise<boolean> {
    const data = JSON.stringify({ type, sequence_number: this.#sequence, ...fields });
    this.#sequence += 1;
    return this.sendRaw(`event: ${type}\ndata: ${data}\n\n`);
  }

  async sendRaw(text: string): Promise<boolean> {
    if (this.#outgoing.destroyed) return false;
    await new Promise<void>((sent) => void this.#outgoing.write(text, () => sent()));
    return !this.#outgoing.destroyed;
  }

  end(): void {
    this.#outgoing.end();
  }

  async cut(): Promise<void> {
    // What was written is given a moment to leave: a cut loses the future, not the past.
    await sleep(10);
    this.#outgoing.destroy();
  }
}

export function sendJson(outgoing: ServerResponse, status: number, body: object): void {
  outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function sendError(outgoing: ServerResponse, status: number): void {
  const message = `The peer was told to answer ${status}.`;
  sendJson(outgoing, status, { error: { message, type: 'server_error', param: null, code: null } });
}

export function words(text: string): readonly string[] {
  return text.match(/\S+\s*/g) ?? [];
}

export function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
