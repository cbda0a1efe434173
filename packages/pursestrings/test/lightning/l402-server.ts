import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { importMacaroon, newMacaroon } from 'macaroon';

/** What a server needs to sell: invoices, and nothing else. The node is never asked who has paid. */
export interface InvoiceMaker {
  invoice(amountMsat: number): string;
  hashOf(invoice: string): string;
}

/** A server that sells pages for real credentials. */
export interface L402Server extends AsyncDisposable {
  readonly url: string;
  /** The pages that were handed out, by path. */
  readonly sold: readonly string[];
  /** Why credentials were refused, in words. */
  readonly refusals: readonly string[];
}

/**
 * Sells every page of a service for an amount. A credential is a macaroon whose identifier holds the
 * payment hash, with caveats, and the preimage: whoever has both has paid.
 *
 * @see https://github.com/lightninglabs/L402/blob/master/protocol-specification.md
 */
export async function openL402Server(
  maker: InvoiceMaker,
  priceMsat: number,
  service = 'weather',
): Promise<L402Server> {
  const rootKeys = new Map<string, Buffer>();
  const sold: string[] = [];
  const refusals: string[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = new URL(request.url ?? '/', 'http://l402').pathname;
    const why = refusalOf(request.headers.authorization, path, service, rootKeys);
    if (why === null) {
      sold.push(path);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ path, sky: 'clear' }));
      return;
    }
    if (request.headers.authorization !== undefined) refusals.push(why);
    const invoice = maker.invoice(priceMsat);
    const macaroon = mint(maker.hashOf(invoice), path, service, rootKeys);
    // Aperture answers both names of the scheme, the older one first.
    response.writeHead(402, [
      'www-authenticate',
      `LSAT macaroon="${macaroon}", invoice="${invoice}"`,
      'www-authenticate',
      `L402 macaroon="${macaroon}", invoice="${invoice}"`,
    ]);
    response.end('payment required\n');
  };
  const server = createServer(answer);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sold,
    refusals,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** The identifier is a version of two bytes, the payment hash, and a token id of 32 bytes. */
function mint(
  paymentHash: string,
  path: string,
  service: string,
  rootKeys: Map<string, Buffer>,
): string {
  const tokenId = randomBytes(32);
  const rootKey = randomBytes(32);
  rootKeys.set(tokenId.toString('hex'), rootKey);
  const identifier = Buffer.concat([Buffer.alloc(2), Buffer.from(paymentHash, 'hex'), tokenId]);
  const macaroon = newMacaroon({ identifier, location: 'l402', rootKey, version: 2 });
  macaroon.addFirstPartyCaveat(`services=${service}:0`);
  macaroon.addFirstPartyCaveat(`path=${path}`);
  return Buffer.from(macaroon.exportBinary()).toString('base64');
}

/** Says why a request may not have a page; `null` when it may. */
function refusalOf(
  authorization: string | undefined,
  path: string,
  service: string,
  rootKeys: ReadonlyMap<string, Buffer>,
): string | null {
  const sent = /^L402 (?<token>[\w+/=-]+):(?<preimage>[0-9a-f]{64})$/.exec(authorization ?? '');
  if (sent?.groups === undefined) return 'no credential';
  try {
    const macaroon = importMacaroon(Buffer.from(sent.groups['token'] ?? '', 'base64'));
    const identifier = Buffer.from(macaroon.identifier);
    const rootKey = rootKeys.get(identifier.subarray(34).toString('hex'));
    if (identifier.length !== 66 || rootKey === undefined) return 'an unknown token';
    const known = new Set([`services=${service}:0`, `path=${path}`]);
    macaroon.verify(rootKey, (caveat) => (known.has(caveat) ? null : `${caveat} does not hold`));
    const preimage = Buffer.from(sent.groups['preimage'] ?? '', 'hex');
    const hash = createHash('sha256').update(preimage).digest();
    return hash.equals(identifier.subarray(2, 34)) ? null : 'a preimage of another payment';
  } catch (error) {
    return String(error);
  }
}
