import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { onTestFinished } from 'vitest';

type Json = Readonly<Record<string, unknown>>;

export interface GeminiRequest {
  readonly number: number;
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Json;
}

/** How one request is answered. */
export interface GeminiAnswer {
  /** The chunks of a stream; an answer that is not streamed is the last one. */
  readonly chunks: readonly Json[];
  /** What the peer bills for it, in picodollars. */
  readonly picos?: bigint;
  readonly status?: number;
  /** Closes the connection after so many chunks. */
  readonly cutAfterChunks?: number;
  /** Keeps the connection open, in silence, after so many chunks. */
  readonly stallAfterChunks?: number;
}

export interface GeminiPeer {
  readonly url: string;
  readonly requests: readonly GeminiRequest[];
  /** What it would invoice, in picodollars. */
  readonly billedPicos: bigint;
}

/**
 * A server on the loopback that speaks Gemini's wire format, whole, as events and as an array, and
 * keeps its own bill: https://ai.google.dev/api/generate-content. It ends with the test.
 */
export async function geminiPeer(
  answer: (request: GeminiRequest) => GeminiAnswer,
): Promise<GeminiPeer> {
  const requests: GeminiRequest[] = [];
  let billedPicos = 0n;
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const url = new URL(incoming.url ?? '/', 'http://peer');
      const body = await readBody(incoming);
      const { pathname: path, search: query } = url;
      const { headers } = incoming;
      const request = { number: requests.length + 1, path, query, headers, body };
      requests.push(request);
      const given = answer(request);
      billedPicos += given.picos ?? 0n;
      await send(outgoing, given, path.endsWith(':streamGenerateContent'), query);
    })().catch(() => outgoing.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    get billedPicos() {
      return billedPicos;
    },
  };
}

async function readBody(incoming: IncomingMessage): Promise<Json> {
  const parts: Buffer[] = [];
  for await (const part of incoming) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString() || '{}') as Json;
}

async function send(
  outgoing: ServerResponse,
  answer: GeminiAnswer,
  streamed: boolean,
  query: string,
): Promise<void> {
  const { chunks, status = 200 } = answer;
  const type = 'application/json; charset=UTF-8';
  if (!streamed || status !== 200) {
    outgoing.writeHead(status, { 'content-type': type });
    if (answer.cutAfterChunks === 0) outgoing.destroy();
    else outgoing.end(JSON.stringify(chunks.at(-1), null, 2));
    return;
  }
  const events = query.includes('alt=sse');
  outgoing.writeHead(200, { 'content-type': events ? 'text/event-stream' : type });
  for (const [index, chunk] of chunks.entries()) {
    if (index === answer.cutAfterChunks) {
      outgoing.destroy();
      return;
    }
    if (index === answer.stallAfterChunks) return;
    const text = events
      ? `data: ${JSON.stringify(chunk)}\r\n\r\n`
      : `${index === 0 ? '[' : ',\r\n'}${JSON.stringify(chunk, null, 2)}`;
    outgoing.write(text);
    await new Promise((wake) => setTimeout(wake, 1));
  }
  outgoing.end(events ? '' : '\n]\n');
}

/** An answer of some text, in as many chunks as it has words, with a usage that grows. */
export function geminiText(
  text: string,
  usage: Json,
  more: { readonly candidate?: Json; readonly picos?: bigint } = {},
): GeminiAnswer {
  const words = text.split(' ');
  const chunks = words.map((word, index) => {
    const last = index === words.length - 1;
    const parts = [{ text: index === 0 ? word : ` ${word}` }];
    const candidate = { content: { parts, role: 'model' }, index: 0 };
    return {
      candidates: [last ? { ...candidate, finishReason: 'STOP', ...more.candidate } : candidate],
      usageMetadata: last ? usage : { ...usage, candidatesTokenCount: index + 1 },
      modelVersion: 'gemini-test',
      responseId: 'r-1',
    };
  });
  return more.picos === undefined ? { chunks } : { chunks, picos: more.picos };
}
