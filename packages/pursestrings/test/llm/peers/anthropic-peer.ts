import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { messageFor, sleep, streamMessage, words } from './anthropic-wire.ts';
import type { PeerAnswer, PeerRequest, PeerUsage } from './anthropic-wire.ts';

export type { PeerAnswer, PeerRequest } from './anthropic-wire.ts';

/** USD per one million tokens, at most six decimals. */
export interface AnthropicRates {
  readonly input: string;
  readonly cacheWrite5m: string;
  readonly cacheWrite1h: string;
  readonly cacheRead: string;
  readonly output: string;
}

/**
 * Claude Haiku 4.5: https://platform.claude.com/docs/en/about-claude/pricing, 2026-11-22.
 */
export const HAIKU_4_5: AnthropicRates = {
  input: '1',
  cacheWrite5m: '1.25',
  cacheWrite1h: '2',
  cacheRead: '0.1',
  output: '5',
};

/** USD 10 for 1,000 searches, in attodollars. Same source. */
const ATTOS_PER_SEARCH = 10n ** 16n;

export interface AnthropicPeerOptions {
  readonly rates?: AnthropicRates;
  readonly answer?: (request: PeerRequest) => PeerAnswer | string;
  /** How the results of batches are written: whole (default), or cut after so many bytes. */
  readonly cutResultsAfter?: () => number | null;
}

/** A server on the loopback interface that speaks Anthropic's wire format and keeps its own bill. */
export interface AnthropicPeer extends AsyncDisposable {
  /** To be used as the SDK's `baseURL`. */
  readonly url: string;
  /** Requests for messages, answered or not. */
  readonly requests: number;
  /** Requests of every kind, as `POST /v1/messages`. */
  readonly log: readonly string[];
  readonly lastRequest: PeerRequest | null;
  /** Messages billed. */
  readonly billed: number;
  /** All that was billed, in attodollars, exactly. */
  readonly attos: bigint;
  /** The same in steps of 1e-8 USD, each call's bill rounded up. */
  readonly steps: bigint;
  /** Resolves when no request is under way. */
  idle(): Promise<void>;
  /** Ends a batch: its results can be read. `outcomes` says what became of each request. */
  endBatch(id: string, outcomes?: readonly BatchOutcome[]): void;
  close(): Promise<void>;
}

export type BatchOutcome = 'succeeded' | 'errored' | 'canceled' | 'expired';

interface Batch {
  readonly id: string;
  readonly requests: readonly {
    readonly custom_id: string;
    readonly params: PeerRequest['body'];
  }[];
  outcomes: readonly BatchOutcome[] | null;
  lines: string[];
}

/** Starts the peer. */
export async function anthropicPeer(options: AnthropicPeerOptions = {}): Promise<AnthropicPeer> {
  const state = new Peer(options);
  const server = createServer((incoming, outgoing) => void state.serve(incoming, outgoing));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    const closed = new Promise((done) => server.close(done));
    server.closeAllConnections();
    await closed;
  };
  return {
    url: state.url,
    get requests() {
      return state.requests;
    },
    get log() {
      return state.log;
    },
    get lastRequest() {
      return state.lastRequest;
    },
    get billed() {
      return state.billed;
    },
    get attos() {
      return state.attos;
    },
    get steps() {
      return state.steps;
    },
    idle: () => state.idle(),
    endBatch: (id, outcomes) => state.endBatch(id, outcomes),
    close,
    [Symbol.asyncDispose]: close,
  };
}

class Peer {
  readonly #options: AnthropicPeerOptions;
  readonly #batches = new Map<string, Batch>();
  readonly log: string[] = [];
  url = '';
  requests = 0;
  lastRequest: PeerRequest | null = null;
  billed = 0;
  attos = 0n;
  steps = 0n;
  #open = 0;
  #idlers: (() => void)[] = [];

  constructor(options: AnthropicPeerOptions) {
    this.#options = options;
  }

  idle(): Promise<void> {
    return this.#open === 0 ? Promise.resolve() : new Promise((wake) => this.#idlers.push(wake));
  }

  async serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.#open += 1;
    try {
      let text = '';
      for await (const chunk of incoming.setEncoding('utf8')) text += chunk;
      const path = incoming.url?.split('?')[0] ?? '';
      this.log.push(`${incoming.method} ${path}`);
      await this.#route(incoming, path, text, outgoing);
    } catch {
      outgoing.destroy();
    } finally {
      this.#open -= 1;
      if (this.#open === 0) for (const wake of this.#idlers.splice(0)) wake();
    }
  }

  async #route(
    incoming: IncomingMessage,
    path: string,
    text: string,
    outgoing: ServerResponse,
  ): Promise<void> {
    const { method, headers } = incoming;
    if (path.startsWith('/v1/messages/batches')) {
      this.#serveBatches(method ?? '', path, text, outgoing);
    } else if (method === 'GET' && path === '/v1/models') {
      sendJson(outgoing, 200, { data: [], has_more: false, first_id: null, last_id: null });
    } else if (method === 'POST' && path === '/v1/messages/count_tokens') {
      sendJson(outgoing, 200, { input_tokens: words(text).length });
    } else if (method === 'POST' && path === '/v1/messages') {
      this.requests += 1;
      const body = JSON.parse(text) as PeerRequest['body'];
      this.lastRequest = { number: this.requests, headers, body };
      await this.#answer(this.lastRequest, outgoing);
    } else {
      sendError(outgoing, 404, 'not_found_error');
    }
  }

  async #answer(request: PeerRequest, outgoing: ServerResponse): Promise<void> {
    const given = this.#options.answer?.(request) ?? {};
    const answer = typeof given === 'string' ? { text: given } : given;
    if (answer.delayMs !== undefined) await sleep(answer.delayMs);
    if (answer.status !== undefined) {
      if (answer.retryAfterSeconds !== undefined) {
        outgoing.setHeader('retry-after', String(answer.retryAfterSeconds));
      }
      sendError(outgoing, answer.status, answer.status === 529 ? 'overloaded_error' : 'api_error');
      return;
    }
    const message = messageFor(request, answer, null);
    this.#ring(message.usage);
    if (answer.cut === 'before-headers') {
      outgoing.destroy();
    } else if (request.body.stream === true) {
      await streamMessage(message, answer, outgoing);
    } else if (answer.cut === 'after-headers') {
      const whole = JSON.stringify(toldBy(message, answer));
      outgoing.writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(whole),
      });
      await new Promise((done) => outgoing.write(whole.slice(0, whole.length / 2), done));
      await sleep(10);
      outgoing.destroy();
    } else {
      sendJson(outgoing, 200, toldBy(message, answer));
    }
  }

  #serveBatches(method: string, path: string, text: string, outgoing: ServerResponse): void {
    const [, id, action] = /^\/v1\/messages\/batches(?:\/([^/]+)(?:\/(\w+))?)?$/.exec(path) ?? [];
    if (method === 'POST' && id === undefined) {
      const { requests } = JSON.parse(text) as { requests: Batch['requests'] };
      const batch = {
        id: `msgbatch_${this.#batches.size + 1}`,
        requests,
        outcomes: null,
        lines: [],
      };
      this.#batches.set(batch.id, batch);
      sendJson(outgoing, 200, this.#describe(batch));
      return;
    }
    const batch = this.#batches.get(id ?? '');
    if (batch === undefined) {
      sendError(outgoing, 404, 'not_found_error');
    } else if (action === 'results') {
      this.#sendResults(batch, outgoing);
    } else if (method === 'DELETE') {
      sendJson(outgoing, 200, { id, type: 'message_batch_deleted' });
    } else {
      sendJson(outgoing, 200, this.#describe(batch));
    }
  }

  endBatch(id: string, outcomes?: readonly BatchOutcome[]): void {
    const batch = this.#batches.get(id);
    if (batch === undefined) throw new Error(`There is no batch ${id}`);
    batch.outcomes = batch.requests.map((_, index) => outcomes?.[index] ?? 'succeeded');
    batch.lines = batch.requests.map((request, index) => {
      const type = batch.outcomes?.[index] ?? 'succeeded';
      return JSON.stringify({
        custom_id: request.custom_id,
        result: this.#resultOf(request.params, type),
      });
    });
  }

  #resultOf(body: PeerRequest['body'], type: BatchOutcome): object {
    if (type === 'errored') {
      const error = { type: 'invalid_request_error', message: 'It was told to fail.' };
      return { type, error: { type: 'error', error, request_id: null } };
    }
    if (type !== 'succeeded') return { type };
    const request = { number: 0, headers: {}, body };
    const given = this.#options.answer?.(request) ?? {};
    const answer = typeof given === 'string' ? { text: given } : given;
    const message = messageFor(request, answer, 'batch');
    this.#ring(message.usage);
    return { type, message: toldBy(message, answer) };
  }

  #sendResults(batch: Batch, outgoing: ServerResponse): void {
    const body = Buffer.from(batch.lines.map((line) => `${line}\n`).join(''));
    outgoing.writeHead(200, {
      'content-type': 'application/x-jsonl',
      'content-length': body.length,
    });
    const cut = this.#options.cutResultsAfter?.() ?? null;
    if (cut === null) {
      outgoing.end(body);
    } else {
      outgoing.write(body.subarray(0, cut), () => setTimeout(() => outgoing.destroy(), 10));
    }
  }

  #describe({ id, requests, outcomes }: Batch): object {
    const tally = (type: BatchOutcome): number =>
      outcomes?.filter((outcome) => outcome === type).length ?? 0;
    return {
      id,
      type: 'message_batch',
      processing_status: outcomes === null ? 'in_progress' : 'ended',
      request_counts: {
        processing: outcomes === null ? requests.length : 0,
        succeeded: tally('succeeded'),
        errored: tally('errored'),
        canceled: tally('canceled'),
        expired: tally('expired'),
      },
      results_url: outcomes === null ? null : `${this.url}/v1/messages/batches/${id}/results`,
      created_at: '2026-11-22T00:00:00Z',
      expires_at: '2026-11-23T00:00:00Z',
      ended_at: outcomes === null ? null : '2026-11-22T01:00:00Z',
      archived_at: null,
      cancel_initiated_at: null,
    };
  }

  /** Bills a usage. */
  #ring(usage: PeerUsage): void {
    const rates = this.#options.rates ?? HAIKU_4_5;
    const { cache_creation: kept } = usage;
    let attos =
      BigInt(usage.input_tokens) * attosPerToken(rates.input) +
      BigInt(usage.cache_read_input_tokens) * attosPerToken(rates.cacheRead) +
      BigInt(kept.ephemeral_5m_input_tokens) * attosPerToken(rates.cacheWrite5m) +
      BigInt(kept.ephemeral_1h_input_tokens) * attosPerToken(rates.cacheWrite1h) +
      BigInt(usage.output_tokens) * attosPerToken(rates.output);
    if (usage.service_tier === 'batch') attos /= 2n;
    if (usage.speed === 'fast') attos *= 2n;
    if (usage.inference_geo === 'us') attos = (attos * 11n) / 10n;
    attos += BigInt(usage.server_tool_use?.web_search_requests ?? 0) * ATTOS_PER_SEARCH;
    this.billed += 1;
    this.attos += attos;
    this.steps += (attos + 10n ** 10n - 1n) / 10n ** 10n;
  }
}

function toldBy(message: object, { told }: PeerAnswer): object {
  return told === undefined ? message : { ...message, usage: told };
}

/** One dollar a million tokens is 10^12 attodollars a token. */
function attosPerToken(usdPerMillion: string): bigint {
  const [whole = '0', fraction = ''] = usdPerMillion.split('.');
  return BigInt(whole + fraction.padEnd(6, '0')) * 10n ** 6n;
}

function sendError(outgoing: ServerResponse, status: number, type: string): void {
  const error = { type, message: `The peer was told to answer ${status}.` };
  sendJson(outgoing, status, { type: 'error', error, request_id: 'req_1' });
}

function sendJson(outgoing: ServerResponse, status: number, body: object): void {
  outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
