import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request to a wallet's server, read whole. */
export interface WalletCall {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Readonly<Record<string, unknown>>;
}

/** An answer: JSON, or a text as it stands. `open` keeps the connection after it. */
export interface WalletReply {
  readonly status: number;
  readonly body: unknown;
  readonly open?: true;
}

/** What goes wrong with the next requests that pay. */
export interface Faults {
  /** The connection is lost before or after the payment. */
  drop?: 'before' | 'after' | undefined;
  /** The payment is made and nothing is ever answered. */
  hang?: boolean;
  /** This is answered instead; `paid` says whether the payment is made first. */
  instead?: (WalletReply & { readonly paid?: true }) | undefined;
}

/** A wallet's server on a free port. */
export interface LoopbackWallet extends AsyncDisposable {
  readonly url: string;
  readonly calls: readonly WalletCall[];
  readonly faults: Faults;
}

/** Serves one wallet's API; `pays` tells requests that pay, on which faults act. */
export async function serveWallet(
  handle: (call: WalletCall) => WalletReply,
  pays: (call: WalletCall) => boolean,
): Promise<LoopbackWallet> {
  const calls: WalletCall[] = [];
  const faults: Faults = {};
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const call = await readCall(request);
    calls.push(call);
    const { drop, hang, instead } = pays(call) ? faults : {};
    if (drop === 'before') request.socket.destroy();
    else if (instead !== undefined && instead.paid === undefined) write(response, instead);
    else {
      const reply = handle(call);
      if (drop === 'after') request.socket.destroy();
      else if (hang !== true) write(response, instead ?? reply);
    }
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    faults,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

async function readCall(request: IncomingMessage): Promise<WalletCall> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    body: (text === '' ? {} : JSON.parse(text)) as WalletCall['body'],
  };
}

function write(response: ServerResponse, { status, body, open }: WalletReply): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json' });
  if (open === true) response.write(text);
  else response.end(text);
}
