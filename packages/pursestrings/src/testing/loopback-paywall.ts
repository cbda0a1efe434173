import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { isMacaroonOf, type MacaroonTerms, mintMacaroon } from './loopback-macaroon.ts';

/** What a loopback paywall sells, and for how much. */
export interface LoopbackPaywallOptions {
  /** What each page costs, in millisatoshis: a whole number from 1. Default 10,000. */
  readonly priceMsat?: number;
  /** What the wallet is charged for routing each payment, in millisatoshis. Default 0. */
  readonly feeMsat?: number;
  /** What a page says, as JSON, by its path. Default: the path. */
  readonly page?: (path: string) => unknown;
}

/** What was paid, by the wallet's own account. */
export interface PaywallBill {
  readonly payments: number;
  readonly amountMsat: number;
  readonly feeMsat: number;
}

/** A server that sells pages over L402, and a wallet that pays for them. */
export interface LoopbackPaywall extends AsyncDisposable {
  /** The base URL; each path below it is a page. */
  readonly url: string;
  /** Where the wallet speaks LNbits' API: for `LnbitsWallet`, or `purse fetch`. */
  readonly walletUrl: string;
  /** The wallet's admin key. */
  readonly walletKey: string;
  readonly bill: PaywallBill;
  /** Pages that were handed out. */
  readonly pages: number;
  close(): Promise<void>;
}

interface Sold extends MacaroonTerms {
  readonly rootKey: Buffer;
  readonly path: string;
  readonly invoice: string;
  readonly preimage: string;
  readonly paymentHash: string;
}

/**
 * Starts a paid API and a wallet for tests: challenges, invoices, macaroons, credentials and the
 * wallet's API are the real formats; only the Lightning between them is not there, for the wallet knows
 * the preimages. The invoices are on regtest, so no other wallet can pay them.
 *
 * @throws TypeError when `priceMsat` or `feeMsat` is out of range.
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { LnbitsWallet, paidFetch } from 'pursestrings/l402';
 * import { loopbackPaywall } from 'pursestrings/testing';
 *
 * await using paywall = await loopbackPaywall({ priceMsat: 10_000 });
 * const purse = await openPurse({ limits: [{ name: 'day', cap: { sats: 25 }, per: 'day' }] });
 * const wallet = new LnbitsWallet({ url: paywall.walletUrl, apiKey: paywall.walletKey });
 * const fetchPaid = paidFetch(purse, { wallet });
 * await fetchPaid(`${paywall.url}/a`);
 * await fetchPaid(`${paywall.url}/b`);
 * await fetchPaid(`${paywall.url}/c`).catch((error) => console.log(error.remaining)); // 5
 * await purse.close();
 * ```
 */
export async function loopbackPaywall(
  options: LoopbackPaywallOptions = {},
): Promise<LoopbackPaywall> {
  const { priceMsat = 10_000, feeMsat = 0 } = options;
  if (!Number.isSafeInteger(priceMsat) || priceMsat < 1) {
    throw new TypeError(`priceMsat is ${priceMsat}; it must be a whole number from 1.`);
  }
  if (!Number.isSafeInteger(feeMsat) || feeMsat < 0) {
    throw new TypeError(`feeMsat is ${feeMsat}; it must be a whole number from 0.`);
  }
  // Signing takes a module of WebAssembly, which nobody else needs who imports this package.
  const { signInvoice } = await import('./loopback-invoice.ts');
  const paywall = new Paywall({ ...options, priceMsat, feeMsat }, signInvoice);
  await paywall.listen();
  return paywall;
}

/** The node that is paid. */
const NODE_KEY = '2a'.repeat(32);
const WALLET_PATH = '/wallet';

class Paywall implements LoopbackPaywall {
  url = '';
  walletUrl = '';
  pages = 0;
  readonly walletKey: string = randomUUID().replaceAll('-', '');
  readonly #options: LoopbackPaywallOptions & {
    readonly priceMsat: number;
    readonly feeMsat: number;
  };
  readonly #signInvoice: typeof import('./loopback-invoice.ts').signInvoice;
  readonly #server: Server;
  readonly #byToken = new Map<string, Sold>();
  readonly #byInvoice = new Map<string, Sold>();
  readonly #paid = new Map<string, Sold>();

  constructor(
    options: LoopbackPaywallOptions & { readonly priceMsat: number; readonly feeMsat: number },
    signInvoice: typeof import('./loopback-invoice.ts').signInvoice,
  ) {
    this.#options = options;
    this.#signInvoice = signInvoice;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  get bill(): PaywallBill {
    const { priceMsat, feeMsat } = this.#options;
    const payments = this.#paid.size;
    return { payments, amountMsat: payments * priceMsat, feeMsat: payments * feeMsat };
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    this.walletUrl = `${this.url}${WALLET_PATH}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', this.url);
    const body = await text(request);
    if (pathname.startsWith(`${WALLET_PATH}/`))
      this.#answerWallet(request, response, pathname, body);
    else if (this.#isPaid(request.headers.authorization, pathname)) {
      this.pages += 1;
      write(response, 200, this.#options.page?.(pathname) ?? { path: pathname });
    } else this.#challenge(response, pathname);
  }

  #challenge(response: ServerResponse, path: string): void {
    const preimage = randomBytes(32);
    const paymentHash = createHash('sha256').update(preimage).digest('hex');
    // A version of two bytes, the payment hash, and an id.
    const identifier = Buffer.concat([
      Buffer.alloc(2),
      Buffer.from(paymentHash, 'hex'),
      randomBytes(32),
    ]);
    const terms = { location: 'loopback', identifier, caveats: [`path=${path}`] };
    const rootKey = randomBytes(32);
    const invoice = this.#signInvoice({
      amountMsat: this.#options.priceMsat,
      paymentHash,
      paymentSecret: randomBytes(32).toString('hex'),
      description: path.slice(0, 100),
      expirySeconds: 600,
      nodeKey: NODE_KEY,
    });
    const token = mintMacaroon(terms, rootKey);
    const sold = {
      ...terms,
      rootKey,
      path,
      invoice,
      preimage: preimage.toString('hex'),
      paymentHash,
    };
    this.#byToken.set(token, sold);
    this.#byInvoice.set(invoice, sold);
    response.setHeader('www-authenticate', `L402 macaroon="${token}", invoice="${invoice}"`);
    write(response, 402, { error: 'payment required' });
  }

  #isPaid(authorization: string | undefined, path: string): boolean {
    const [, token = '', preimage = ''] =
      /^L402 (\S+):([0-9a-f]{64})$/.exec(authorization ?? '') ?? [];
    const sold = this.#byToken.get(token);
    if (sold === undefined || sold.path !== path) return false;
    const hash = createHash('sha256').update(Buffer.from(preimage, 'hex')).digest('hex');
    return hash === sold.paymentHash && isMacaroonOf(token, sold, sold.rootKey);
  }

  /** Pays and looks up as LNbits does. */
  #answerWallet(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    body: string,
  ): void {
    if (request.headers['x-api-key'] !== this.walletKey) {
      write(response, 401, { detail: 'Invalid key type.' });
      return;
    }
    const hash = /^\/wallet\/api\/v1\/payments\/([0-9a-f]{64})$/.exec(path)?.[1];
    if (request.method === 'POST' && path === `${WALLET_PATH}/api/v1/payments`) {
      const sold = this.#byInvoice.get((JSON.parse(body) as { bolt11: string }).bolt11);
      if (sold === undefined) write(response, 520, { detail: 'No route.', status: 'failed' });
      else if (this.#paid.has(sold.paymentHash)) {
        write(response, 520, { detail: 'Payment already paid.', status: 'success' });
      } else {
        this.#paid.set(sold.paymentHash, sold);
        write(response, 201, this.#paymentOf(sold));
      }
      return;
    }
    const sold = this.#paid.get(hash ?? '');
    if (sold === undefined) write(response, 404, { detail: 'Payment does not exist.' });
    else
      write(response, 200, { paid: true, preimage: sold.preimage, details: this.#paymentOf(sold) });
  }

  #paymentOf({ paymentHash, preimage, invoice }: Sold): object {
    const { priceMsat, feeMsat } = this.#options;
    return {
      checking_id: paymentHash,
      payment_hash: paymentHash,
      amount: -priceMsat,
      fee: -feeMsat,
      bolt11: invoice,
      status: 'success',
      preimage,
    };
  }
}

function write(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
