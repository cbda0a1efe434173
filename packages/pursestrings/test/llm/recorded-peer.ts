import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { onTestFinished } from 'vitest';

/** A request as it arrived. */
export interface ArrivedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What is answered: JSON, or the data of the events of a stream, in the order they are sent. */
export type RecordedAnswer =
  | { readonly status?: number; readonly json: unknown }
  | {
      readonly events: readonly (object | string)[];
      /** Cuts the connection after so many events. */
      readonly cutAfter?: number;
      /** Keeps the connection open after so many events. */
      readonly stallAfter?: number;
    };

export interface RecordedPeer {
  readonly url: string;
  readonly requests: readonly ArrivedRequest[];
}

/** Serves recorded answers over loopback HTTP; it ends with the test. */
export async function recordedPeer(
  answer: (request: ArrivedRequest) => RecordedAnswer,
): Promise<RecordedPeer> {
  const requests: ArrivedRequest[] = [];
  const server = createServer((incoming, outgoing) => {
    let text = '';
    incoming.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    incoming.on('end', () => {
      const body = JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>;
      const request = { path: incoming.url ?? '', headers: incoming.headers, body };
      requests.push(request);
      send(outgoing, answer(request)).catch(() => outgoing.destroy());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, requests };
}

async function send(outgoing: ServerResponse, answer: RecordedAnswer): Promise<void> {
  if ('json' in answer) {
    const { status = 200, json } = answer;
    outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json));
    return;
  }
  outgoing.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  for (const [index, event] of answer.events.entries()) {
    if (index === answer.stallAfter) return;
    if (index === answer.cutAfter) {
      await new Promise((wake) => setTimeout(wake, 10));
      outgoing.destroy();
      return;
    }
    const text = typeof event === 'string' ? event : `data: ${JSON.stringify(event)}`;
    outgoing.write(`${text}\n\n`);
  }
  outgoing.end();
}
