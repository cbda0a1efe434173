import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { EventStreamCodec } from '@smithy/eventstream-codec';
import { onTestFinished } from 'vitest';

type Json = Readonly<Record<string, unknown>>;

export interface BedrockRequest {
  readonly number: number;
  /** As in the URL, percent-encoded. */
  readonly modelId: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Json;
}

/** How one request is answered. */
export interface BedrockAnswer {
  readonly words?: readonly string[];
  /** With `metrics` and a stop reason around it, in the answer or its metadata event. */
  readonly usage?: unknown;
  /** What stands beside the usage. */
  readonly more?: Json;
  /** What the peer bills for it, in picodollars. */
  readonly picos?: bigint;
  readonly status?: number;
  readonly cutAfterEvents?: number;
  readonly stallAfterEvents?: number;
  /** Ends the stream with an exception in the place of its usage. */
  readonly exception?: string;
}

export interface BedrockPeer {
  readonly url: string;
  readonly requests: readonly BedrockRequest[];
  /** What it would invoice, in picodollars. */
  readonly billedPicos: bigint;
}

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString(),
  (text) => Buffer.from(text),
);

/** Writes one message of AWS's event stream. */
export function awsEvent(type: string, payload: unknown, kind: 'event' | 'exception'): Buffer {
  const text = (value: string): { type: 'string'; value: string } => ({ type: 'string', value });
  const headers = {
    [kind === 'event' ? ':event-type' : ':exception-type']: text(type),
    ':content-type': text('application/json'),
    ':message-type': text(kind),
  };
  return Buffer.from(codec.encode({ headers, body: Buffer.from(JSON.stringify(payload)) }));
}

/** The messages of one streamed answer. */
export function converseEvents(answer: BedrockAnswer): Buffer[] {
  const { words = ['one', ' two'], usage, more, exception } = answer;
  const deltas = words.map((text) =>
    awsEvent('contentBlockDelta', { contentBlockIndex: 0, delta: { text }, p: 'abcd' }, 'event'),
  );
  const end =
    exception === undefined
      ? awsEvent('metadata', { usage, metrics: { latencyMs: 7 }, ...more }, 'event')
      : awsEvent(exception, { message: 'no more' }, 'exception');
  return [
    awsEvent('messageStart', { role: 'assistant' }, 'event'),
    ...deltas,
    awsEvent('contentBlockStop', { contentBlockIndex: 0 }, 'event'),
    awsEvent('messageStop', { stopReason: 'end_turn' }, 'event'),
    end,
  ];
}

/**
 * A server on the loopback that speaks Bedrock's Converse, whole and as a binary event stream, and
 * keeps its own bill. It ends with the test.
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
 */
export async function bedrockPeer(
  answer: (request: BedrockRequest) => BedrockAnswer,
): Promise<BedrockPeer> {
  const requests: BedrockRequest[] = [];
  let billedPicos = 0n;
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const [, modelId = '', operation] = /\/model\/([^/]+)\/(.+)$/.exec(incoming.url ?? '') ?? [];
      const body = await readBody(incoming);
      const { headers } = incoming;
      const request = { number: requests.length + 1, modelId, headers, body };
      requests.push(request);
      const given = answer(request);
      billedPicos += given.picos ?? 0n;
      if (operation === 'converse-stream' && given.status === undefined) {
        await stream(outgoing, given);
      } else {
        sendJson(outgoing, given);
      }
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

function sendJson(outgoing: ServerResponse, answer: BedrockAnswer): void {
  const { words = ['one', ' two'], usage, more, status = 200, cutAfterEvents } = answer;
  const type = status === 503 ? 'ServiceUnavailableException' : 'ValidationException';
  const head = { 'content-type': 'application/json' };
  outgoing.writeHead(status, status === 200 ? head : { ...head, 'x-amzn-errortype': type });
  if (cutAfterEvents === 0) {
    outgoing.destroy();
    return;
  }
  const message = { role: 'assistant', content: [{ text: words.join('') }] };
  const whole = { output: { message }, stopReason: 'end_turn', usage, metrics: { latencyMs: 7 } };
  outgoing.end(JSON.stringify(status === 200 ? { ...whole, ...more } : { message: 'no' }));
}

async function stream(outgoing: ServerResponse, answer: BedrockAnswer): Promise<void> {
  outgoing.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' });
  for (const [index, event] of converseEvents(answer).entries()) {
    if (index === answer.cutAfterEvents) {
      outgoing.destroy();
      return;
    }
    if (index === answer.stallAfterEvents) return;
    outgoing.write(event);
    await new Promise((wake) => setTimeout(wake, 1));
  }
  outgoing.end();
}
