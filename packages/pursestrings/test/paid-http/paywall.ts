import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import type { MintedInvoice } from './invoices.ts';

/** A request as the server saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly authorization: string | null;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Answers a request. */
export type Page = (request: SeenRequest, response: ServerResponse) => void | Promise<void>;

/** A server of one test. */
export interface Paywall {
  readonly url: string;
  readonly port: number;
  readonly seen: SeenRequest[];
}

/** Serves pages, by path, on a free port; `*` is for all other paths. */
export async function serve(pages: Readonly<Record<string, Page>>): Promise<Paywall> {
  const seen: SeenRequest[] = [];
  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      host: incoming.headers.host ?? '',
      authorization: incoming.headers.authorization ?? null,
      headers: incoming.headers,
      body: await text(incoming),
    };
    seen.push(request);
    const page = pages[request.path.split('?')[0] ?? ''] ?? pages['*'];
    if (page === undefined) response.writeHead(404).end();
    else await page(request, response);
  };
  const server = createServer((incoming, response) => {
    answer(incoming, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, seen };
}

/** How an honest page sells itself. */
export interface PageTerms {
  readonly mint: () => MintedInvoice;
  readonly scheme?: 'L402' | 'LSAT';
  /** Each credential opens it once. */
  readonly once?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: (invoice: MintedInvoice, token: string) => unknown;
  readonly content?: string;
}

/** A page that keeps its word: a new invoice for each challenge, open to whoever paid one. */
export function paidPage(terms: PageTerms): Page & { readonly challenges: MintedInvoice[] } {
  const { scheme = 'L402', once = false, content = 'the goods' } = terms;
  const open = new Map<string, string>();
  const challenges: MintedInvoice[] = [];
  const page: Page = (request, response) => {
    const sent = /^(?<scheme>\S+) (?<token>[^:]+):(?<preimage>[0-9a-f]{64})$/.exec(
      request.authorization ?? '',
    )?.groups;
    const hash = open.get(sent?.['token'] ?? '');
    const preimage = Buffer.from(sent?.['preimage'] ?? '', 'hex');
    if (
      sent?.['scheme'] === scheme &&
      createHash('sha256').update(preimage).digest('hex') === hash
    ) {
      if (once) open.delete(sent['token'] ?? '');
      response.writeHead(200, { 'content-type': 'text/plain' }).end(content);
      return;
    }
    const invoice = terms.mint();
    const token = Buffer.from(randomUUID()).toString('base64');
    open.set(token, invoice.paymentHash);
    challenges.push(invoice);
    const body = terms.body?.(invoice, token);
    response.writeHead(402, {
      ...(body === undefined || terms.headers !== undefined
        ? { 'www-authenticate': challengeOf(invoice.bolt11, token, scheme) }
        : {}),
      ...terms.headers,
      'content-type': 'application/json',
    });
    response.end(body === undefined ? 'payment required' : JSON.stringify(body));
  };
  return Object.assign(page, { challenges });
}

/** Writes a challenge as a header. */
export function challengeOf(
  invoice: string,
  token: string = Buffer.from(randomUUID()).toString('base64'),
  scheme = 'L402',
): string {
  return `${scheme} macaroon="${token}", invoice="${invoice}"`;
}

/** A page that always wants the same header, or body, met. */
export function wants(headers: Readonly<Record<string, string>>, body: unknown = ''): Page {
  return (_request, response) => {
    response.writeHead(402, { 'content-type': 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
}
