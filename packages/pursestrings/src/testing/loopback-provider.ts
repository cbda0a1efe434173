import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { countPrompt, countWords, openTill } from './loopback-bill.ts';
import type { LoopbackBill, LoopbackRates, Till } from './loopback-bill.ts';

/** One request as the provider received it. */
export interface LoopbackRequest {
  /** 1 for the first request to `/chat/completions`, in the order of arrival. */
  readonly number: number;
  readonly headers: IncomingHttpHeaders;
  /** The JSON body, as sent. */
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * How one request is answered, and how the provider misbehaves while doing so. All fields are
 * optional.
 */
export interface LoopbackAnswer {
  /** The text of each choice; one word is one completion token. */
  readonly content?: string;
  readonly toolCalls?: readonly { readonly name: string; readonly arguments: string }[];
  /** Billed and reported in place of the counted prompt. */
  readonly promptTokens?: number;
  /** Billed and reported in place of the counted completion of all choices, even past the cap. */
  readonly completionTokens?: number;
  /** How much of the prompt is reported and billed as cached. */
  readonly cachedTokens?: number;
  /** Hidden tokens, reported and billed inside the completion count. */
  readonly reasoningTokens?: number;
  /** Answers with this status and an error in OpenAI's shape; nothing is billed. */
  readonly status?: number;
  /** With `status`: the `retry-after` header, in seconds. */
  readonly retryAfterSeconds?: number;
  /** Waits before anything is answered. */
  readonly delayMs?: number;
  /** Waits before each chunk of a stream. */
  readonly chunkDelayMs?: number;
  /** `none`: bills, but reports no usage. */
  readonly usage?: 'none';
  /** Bills, then sends half of the JSON body as if it were whole. */
  readonly malformed?: boolean;
  /** Bills, then closes the connection before or right after the headers. */
  readonly cut?: 'before-headers' | 'after-headers';
  /**
   * Closes the connection after so many chunks of a stream; bills what was generated until then.
   */
  readonly cutAfterChunks?: number;
  /** Sends nothing more after so many chunks of a stream, and keeps the connection open. */
  readonly stallAfterChunks?: number;
}

export interface LoopbackProviderOptions {
  readonly ratesUsdPerMillion: LoopbackRates;
  /** Decides each answer; a string is its content. Default: twenty words. */
  readonly answer?: (request: LoopbackRequest) => LoopbackAnswer | string;
  /** Counts the tokens of a text. Default: its words, which no byte-pair tokenizer counts lower. */
  readonly countTokens?: (text: string) => number;
}

export interface LoopbackProvider extends AsyncDisposable {
  /** The base URL for an SDK; it ends in `/v1`. */
  readonly url: string;
  /** Requests to `/chat/completions` so far, billed or not. */
  readonly requests: number;
  /** The last request received, or null before the first. */
  readonly lastRequest: LoopbackRequest | null;
  /** What the provider would invoice up to now. */
  readonly bill: LoopbackBill;
  /** Resolves once no request is being answered: then the bill is complete. */
  idle(): Promise<void>;
  /** Cuts every connection and stops listening. */
  close(): Promise<void>;
}

const DEFAULT_CONTENT: string = Array.from({ length: 20 }, (_, index) => `word${index + 1}`).join(
  ' ',
);

/**
 * Starts an HTTP server on 127.0.0.1 that speaks OpenAI's chat completions format, JSON and
 * server-sent
 * events, and keeps its own bill, in exact integers from the rates given here. It bills what a real
 * provider bills: every generated token, also of an answer that never arrived; nothing for an
 * error; and
 * of a stream whose client has left, what it generated until it noticed. It knows nothing of
 * purses, so
 * its bill can be held against a ledger.
 *
 * Tokens are words, plus 3 for each message and 3 for the reply, as OpenAI's chat format adds them.
 *
 * Format: https://platform.openai.com/docs/api-reference/chat
 *
 * @throws RangeError when a rate is negative, not a number, or has more than six decimals.
 * @example
 * ```ts
 * import { loopbackProvider } from 'pursestrings/testing';
 *
 * const provider = await loopbackProvider({ ratesUsdPerMillion: { input: 2.5, output: 10 } });
 * await fetch(`${provider.url}/chat/completions`, {
 *   method: 'POST',
 *   body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello' }] }),
 * });
 * console.log(provider.bill.usd); // 0.0002175
 * await provider.close();
 * ```
 */
export async function loopbackProvider(
  options: LoopbackProviderOptions,
): Promise<LoopbackProvider> {
  const till = openTill(options.ratesUsdPerMillion);
  const countTokens = options.countTokens ?? countWords;
  let lastRequest: LoopbackRequest | null = null;
  let requests = 0;
  let open = 0;
  let idlers: (() => void)[] = [];

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await readJson(incoming);
    if (incoming.method === 'GET') {
      sendJson(outgoing, 200, { object: 'list', data: [] });
      return;
    }
    if (!incoming.url?.split('?')[0]?.endsWith('/chat/completions') || body === null) {
      sendError(outgoing, { status: body === null ? 400 : 404 });
      return;
    }
    requests += 1;
    lastRequest = { number: requests, headers: incoming.headers, body };
    const given = options.answer?.(lastRequest) ?? {};
    const answer = typeof given === 'string' ? { content: given } : given;
    await answerRequest({ request: lastRequest, answer, outgoing, till, countTokens });
  }

  const server = createServer((incoming, outgoing) => {
    open += 1;
    serve(incoming, outgoing)
      .catch(() => outgoing.destroy())
      .finally(() => {
        open -= 1;
        if (open === 0) {
          for (const wake of idlers) wake();
          idlers = [];
        }
      });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    get requests() {
      return requests;
    },
    get lastRequest() {
      return lastRequest;
    },
    get bill() {
      return till.bill();
    },
    idle: () => (open === 0 ? Promise.resolve() : new Promise((wake) => idlers.push(wake))),
    close: () => closeServer(server),
    [Symbol.asyncDispose]: () => closeServer(server),
  };
}

interface Exchange {
  readonly request: LoopbackRequest;
  readonly answer: LoopbackAnswer;
  readonly outgoing: ServerResponse;
  readonly till: Till;
  readonly countTokens: (text: string) => number;
}

async function answerRequest(exchange: Exchange): Promise<void> {
  const { answer, outgoing, request } = exchange;
  if (answer.delayMs !== undefined) await sleep(answer.delayMs);
  if (answer.status !== undefined) {
    sendError(outgoing, answer);
  } else if (request.body.stream === true) {
    await streamCompletion(exchange);
  } else {
    await sendCompletion(exchange);
  }
}

async function sendCompletion(exchange: Exchange): Promise<void> {
  const { answer, outgoing, request } = exchange;
  const words = completionWords(answer, request.body);
  const choices = Array.from({ length: choiceCount(request.body) }, (_, index) => ({
    index,
    message: {
      role: 'assistant',
      content: answer.toolCalls === undefined ? words.kept.join('') : null,
      refusal: null,
      ...(answer.toolCalls === undefined ? {} : { tool_calls: toolCalls(answer) }),
    },
    logprobs: null,
    finish_reason: finishReason(answer, words.cut),
  }));
  const usage = ring(exchange, words.kept.length * choices.length);
  if (answer.cut === 'before-headers') {
    outgoing.destroy();
    return;
  }
  const body = JSON.stringify({
    ...envelope(request, 'chat.completion'),
    choices,
    ...(answer.usage === 'none' ? {} : { usage }),
  });
  const sent = answer.malformed === true ? body.slice(0, body.length / 2) : body;
  outgoing.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(answer.cut === 'after-headers' ? body : sent),
  });
  if (answer.cut === 'after-headers') {
    await new Promise((done) => outgoing.write(sent.slice(0, sent.length / 2), done));
    await sleep(10);
    outgoing.destroy();
    return;
  }
  outgoing.end(sent);
}

async function streamCompletion(exchange: Exchange): Promise<void> {
  const { answer, outgoing, request } = exchange;
  const words = completionWords(answer, request.body);
  const choices = choiceCount(request.body);
  const options = request.body.stream_options;
  const withUsage =
    typeof options === 'object' &&
    options !== null &&
    Reflect.get(options, 'include_usage') === true;
  if (answer.cut === 'before-headers') {
    ring(exchange, words.kept.length * choices);
    outgoing.destroy();
    return;
  }
  outgoing.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  outgoing.flushHeaders();
  const chunk = (index: number, delta: object, finish: string | null): string =>
    event({
      ...envelope(request, 'chat.completion.chunk'),
      choices: [{ index, delta, logprobs: null, finish_reason: finish }],
      ...(withUsage ? { usage: null } : {}),
    });
  let generated = 0;
  const closed = new Promise((done) => outgoing.once('close', done));
  const send = async (text: string): Promise<boolean> => {
    if (outgoing.destroyed) return false;
    if (!outgoing.write(text)) {
      await Promise.race([new Promise((done) => outgoing.once('drain', done)), closed]);
    }
    return !outgoing.destroyed;
  };
  const deltas = answer.toolCalls === undefined ? words.kept : toolCalls(answer);
  let alive = answer.cut !== 'after-headers';
  for (let index = 0; index < choices && alive; index += 1) {
    alive = await send(chunk(index, { role: 'assistant', content: '' }, null));
    for (const [position, delta] of deltas.entries()) {
      if (!alive) break;
      if (answer.chunkDelayMs !== undefined) await sleep(answer.chunkDelayMs);
      if (generated === answer.stallAfterChunks) await closed;
      if (generated === answer.cutAfterChunks || outgoing.destroyed) {
        alive = false;
        break;
      }
      generated += 1;
      const piece =
        typeof delta === 'string'
          ? { content: delta }
          : { tool_calls: [{ index: position, ...delta }] };
      alive = await send(chunk(index, piece, null));
    }
    if (alive) alive = await send(chunk(index, {}, finishReason(answer, words.cut)));
  }
  const counted = answer.toolCalls === undefined ? generated : words.kept.length * choices;
  const usage = ring(exchange, counted);
  if (!alive) {
    // What was written is given a moment to leave: a cut loses the future, not the past.
    await sleep(10);
    outgoing.destroy();
    return;
  }
  if (withUsage && answer.usage !== 'none') {
    await send(event({ ...envelope(request, 'chat.completion.chunk'), choices: [], usage }));
  }
  outgoing.end('data: [DONE]\n\n');
}

/** Enters the call into the bill and gives its usage in OpenAI's shape. */
function ring(exchange: Exchange, counted: number): Record<string, unknown> {
  const { answer, request } = exchange;
  const reasoning = answer.reasoningTokens ?? 0;
  const promptTokens = answer.promptTokens ?? countPrompt(request.body, exchange.countTokens);
  const completionTokens = answer.completionTokens ?? counted + reasoning;
  const cachedTokens = answer.cachedTokens ?? 0;
  exchange.till.ring({ request: request.number, promptTokens, cachedTokens, completionTokens });
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoning, audio_tokens: 0 },
  };
}

function completionWords(
  answer: LoopbackAnswer,
  body: Readonly<Record<string, unknown>>,
): { readonly kept: readonly string[]; readonly cut: boolean } {
  const text = answer.toolCalls?.map((call) => call.arguments).join(' ') ?? answer.content;
  const words = (text ?? DEFAULT_CONTENT).match(/\S+\s*/g) ?? [];
  const cap = body.max_completion_tokens ?? body.max_tokens;
  if (typeof cap !== 'number' || words.length <= cap) return { kept: words, cut: false };
  return { kept: words.slice(0, cap), cut: true };
}

function choiceCount(body: Readonly<Record<string, unknown>>): number {
  return typeof body.n === 'number' ? body.n : 1;
}

function toolCalls(answer: LoopbackAnswer): object[] {
  return (answer.toolCalls ?? []).map((call, index) => ({
    id: `call_${index + 1}`,
    type: 'function',
    function: call,
  }));
}

function finishReason(answer: LoopbackAnswer, cut: boolean): string {
  if (answer.toolCalls !== undefined) return 'tool_calls';
  return cut ? 'length' : 'stop';
}

function envelope(request: LoopbackRequest, object: string): Record<string, unknown> {
  const { model } = request.body;
  return { id: `chatcmpl-${request.number}`, object, created: 1_700_000_000, model };
}

function event(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

function sendError(outgoing: ServerResponse, answer: LoopbackAnswer): void {
  const status = answer.status ?? 500;
  if (answer.retryAfterSeconds !== undefined) {
    outgoing.setHeader('retry-after', String(answer.retryAfterSeconds));
  }
  const type = status >= 500 ? 'server_error' : 'invalid_request_error';
  const message = `The loopback provider was told to answer ${status}.`;
  sendJson(outgoing, status, { error: { message, type, param: null, code: null } });
}

function sendJson(outgoing: ServerResponse, status: number, body: object): void {
  outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function readJson(incoming: IncomingMessage): Promise<Record<string, unknown> | null> {
  let text = '';
  for await (const chunk of incoming.setEncoding('utf8')) text += chunk;
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}

function closeServer(server: Server): Promise<void> {
  return new Promise((closed) => {
    server.close(() => closed());
    server.closeAllConnections();
  });
}
