import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { attosFor, stepsOf } from './openai-bill.ts';
import type { Counts } from './openai-bill.ts';
import { billResponse } from './openai-exchange.ts';
import type { Exchange, StoredResponse } from './openai-exchange.ts';
import { serveMedia } from './openai-media.ts';
import { serveResponse } from './openai-response.ts';
import { sendError, sendJson, words } from './openai-wire.ts';
import type { Body, PeerAnswer, PeerRequest } from './openai-wire.ts';

export type { PeerAnswer, PeerRequest } from './openai-wire.ts';

/** A server on the loopback interface that speaks OpenAI's wire formats and keeps its own bill. */
export interface OpenaiPeer {
  /** The base URL for an SDK; it ends in `/v1`. */
  readonly url: string;
  /** Requests that could cost something. */
  readonly requests: number;
  readonly lastRequest: PeerRequest | null;
  /** What was billed, each call rounded up to steps of 1e-8 USD. */
  readonly steps: bigint;
  /** Calls billed. */
  readonly billed: number;
  /** Ends a response in the background: `completed` bills it, the others do not. */
  finish(id: string, status?: 'completed' | 'failed'): void;
  /** Resolves once no request is being answered: then the bill is complete. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenaiPeerOptions {
  readonly answer?: (request: PeerRequest) => PeerAnswer | string;
}

export async function openaiPeer(options: OpenaiPeerOptions = {}): Promise<OpenaiPeer> {
  const stored = new Map<string, StoredResponse>();
  let lastRequest: PeerRequest | null = null;
  let requests = 0;
  let steps = 0n;
  let billed = 0;
  let open = 0;
  let idlers: (() => void)[] = [];
  const bill = (model: string, counts: Counts, moreAttos = 0n): void => {
    steps += stepsOf(attosFor(model, counts) + moreAttos);
    billed += 1;
  };
  const pieces = (attos: bigint): void => {
    steps += stepsOf(attos);
    billed += 1;
  };

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const path = (incoming.url ?? '').split('?')[0] ?? '';
    const body = await readBody(incoming);
    const [, id, cancels] = /\/responses\/([^/]+)(\/cancel)?$/.exec(path) ?? [];
    if (id !== undefined && id !== 'compact') {
      serveStored(stored, id, cancels !== undefined, incoming, outgoing);
      return;
    }
    requests += 1;
    lastRequest = { path, body };
    const given = options.answer?.(lastRequest) ?? {};
    const answer = typeof given === 'string' ? { text: given } : given;
    const exchange: Exchange = { request: lastRequest, answer, outgoing, bill, stored };
    if (answer.status !== undefined) sendError(outgoing, answer.status);
    else if (/\/responses(\/compact)?$/.test(path)) await serveResponse(exchange);
    else await serveMedia(exchange, pieces);
  }

  const server = createServer((incoming, outgoing) => {
    open += 1;
    serve(incoming, outgoing)
      .catch(() => outgoing.destroy())
      .finally(() => {
        open -= 1;
        if (open > 0) return;
        for (const wake of idlers) wake();
        idlers = [];
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
    get steps() {
      return steps;
    },
    get billed() {
      return billed;
    },
    finish: (id, status = 'completed') => finish(stored, id, status, bill),
    idle: () => (open === 0 ? Promise.resolve() : new Promise((wake) => idlers.push(wake))),
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((closed) => server.close(() => closed()));
    },
  };
}

function finish(
  stored: Map<string, StoredResponse>,
  id: string,
  status: 'completed' | 'failed',
  bill: Exchange['bill'],
): void {
  const entry = stored.get(id);
  if (entry === undefined) throw new Error(`The peer knows no ${id}`);
  entry.response = { ...entry.response, status };
  if (status === 'failed') return;
  const request = { path: '/v1/responses', body: entry.body };
  const { answer } = entry;
  const used = billResponse(bill, { request, answer }, words(answer.text ?? 'done now').length);
  const cached = answer.cachedTokens ?? 0;
  entry.response.output = [...(answer.items ?? [])];
  entry.response.usage = {
    input_tokens: used.input + cached,
    input_tokens_details: { cached_tokens: cached },
    output_tokens: used.output,
    output_tokens_details: { reasoning_tokens: answer.reasoningTokens ?? 0 },
    total_tokens: used.input + cached + used.output,
  };
}

function serveStored(
  stored: Map<string, StoredResponse>,
  id: string,
  cancels: boolean,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): void {
  const entry = stored.get(id);
  if (entry === undefined) {
    sendError(outgoing, 404);
    return;
  }
  if (cancels) entry.response = { ...entry.response, status: 'cancelled' };
  if (incoming.url?.includes('stream=true') !== true) {
    sendJson(outgoing, 200, entry.response);
    return;
  }
  const type = `response.${String(entry.response.status)}`;
  const data = JSON.stringify({ type, sequence_number: 9, response: entry.response });
  outgoing.writeHead(200, { 'content-type': 'text/event-stream' });
  outgoing.end(`event: ${type}\ndata: ${data}\n\n`);
}

async function readBody(incoming: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const type = incoming.headers['content-type'] ?? '';
  if (!type.startsWith('multipart/form-data')) {
    const text = Buffer.concat(chunks).toString();
    return text === '' ? {} : (JSON.parse(text) as Body);
  }
  const response = new Response(Buffer.concat(chunks), { headers: { 'content-type': type } });
  const form = await response.formData();
  return Object.fromEntries(form.entries());
}
