import type { NWCClient } from '@getalby/sdk/nwc';

import { InvalidOptionError } from '../../errors.ts';
import { feeAt, feeField, type Fields, fieldsOf, hexAt, textAt } from './answer-fields.ts';
import { loadNwcSdk, type OpenNwcClient, openNwcClient } from './nwc-sdk.ts';
import { checkedHash, failed, lookUpFailed, unknown } from './payment-outcome.ts';
import { quote } from './quote.ts';
import type {
  L402Wallet,
  LightningNetwork,
  LookUpOptions,
  PaidInvoice,
  PaymentState,
  PayOptions,
} from './wallet.ts';

/** How a wallet is reached by Nostr Wallet Connect. */
export interface NwcOptions {
  /** How long an answer is waited for, in milliseconds, 1 to 60,000 (the SDK waits no longer). */
  readonly timeoutMs?: number;
  /** The network that the wallet is on; invoices of another are then refused before paying. */
  readonly network?: LightningNetwork;
}

/**
 * Pays by any wallet that speaks Nostr Wallet Connect (NIP-47), over a relay. NIP-47 has no fee
 * limit. The package `@getalby/sdk` is loaded on first use and must be installed. The relay's
 * connection is closed when it has been idle for two seconds, or by `close`.
 *
 * @param url The connection string, `nostr+walletconnect://<pubkey>?relay=…&secret=…`. It is a secret.
 * @throws InvalidOptionError for a connection string that cannot be one.
 * @see https://github.com/nostr-protocol/nips/blob/master/47.md
 *
 * @example
 * ```ts
 * import { NwcWallet } from 'pursestrings/l402';
 *
 * function connect(url: string): NwcWallet {
 *   return new NwcWallet(url, { timeoutMs: 30_000 });
 * }
 * ```
 */
export class NwcWallet implements L402Wallet, AsyncDisposable {
  readonly network?: LightningNetwork;
  readonly #url: string;
  readonly #secret: string;
  readonly #timeoutMs: number;
  #open: OpenNwcClient | null = null;
  #busy = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(url: string, options: NwcOptions = {}) {
    this.#url = url;
    this.#secret = checkedSecret(url);
    this.#timeoutMs = checkedTimeout(options.timeoutMs ?? 60_000);
    if (options.network !== undefined) this.network = options.network;
  }

  async payInvoice(bolt11: string, { signal }: PayOptions = {}): Promise<PaidInvoice> {
    const reply = await this.#ask(
      bolt11,
      (client) => client.payInvoice({ invoice: bolt11 }),
      signal,
    );
    if (reply.kind === 'result') {
      const { preimage, fees_paid } = fieldsOf(reply.result);
      const hex = hexAt(preimage);
      if (hex !== undefined) return { preimage: hex, ...feeField(feeAt(fees_paid)) };
      throw unknown(bolt11, 'The wallet answered the payment without a preimage');
    }
    const said = `The wallet did not pay: ${this.#quote(reply.said)}`;
    if (reply.kind === 'unsent') {
      throw failed(
        'WALLET_UNREACHABLE',
        bolt11,
        `${said}; check the relay and the connection string.`,
      );
    }
    if (reply.kind === 'refused' && REFUSALS.has(reply.code)) {
      throw failed('PAYMENT_FAILED', bolt11, `${said} (${reply.code}).`);
    }
    throw unknown(bolt11, said);
  }

  async lookUpPayment(paymentHash: string, options: LookUpOptions = {}): Promise<PaymentState> {
    const hash = checkedHash(paymentHash);
    const lookUp = (client: NWCClient) => client.lookupInvoice({ payment_hash: hash });
    const reply = await this.#ask(hash, lookUp, options.signal);
    if (reply.kind === 'result') {
      return readState(fieldsOf(reply.result), (said) => this.#quote(said));
    }
    if (reply.kind === 'refused' && reply.code === 'NOT_FOUND') return { state: 'unknown' };
    throw lookUpFailed('NWC', `it did not say: ${this.#quote(reply.said)}`);
  }

  /** Closes the relay's connection; the next payment opens it again. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    this.#open?.client.close();
    this.#open = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #quote(said: string): string {
    return quote(said, this.#secret);
  }

  /** Asks one thing about an invoice or a hash, for as long as the caller and the time limit allow. */
  async #ask(
    subject: string,
    question: (client: NWCClient) => Promise<unknown>,
    signal: AbortSignal | undefined,
  ): Promise<Reply> {
    if (signal?.aborted === true) {
      return { kind: 'unsent', said: 'the caller gave up before it began' };
    }
    const sdk = await loadNwcSdk();
    this.#open ??= openNwcClient(sdk, this.#url);
    clearTimeout(this.#idle);
    this.#busy += 1;
    const { client, onBroken } = this.#open;
    const { promise: broken, resolve } = Promise.withResolvers<Reply>();
    const stop = onBroken((request) => {
      // That another request could not be written says nothing of this one.
      if (!request.includes(subject)) return;
      resolve({ kind: 'unsent', said: 'the request could not be encrypted for its key' });
    });
    const limit = AbortSignal.timeout(this.#timeoutMs);
    const either = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    try {
      return await Promise.race([replyOf(question(client)), broken, given(either)]);
    } finally {
      stop();
      this.#rest();
    }
  }

  /** One question less is open; after the last, the connection is closed before long. */
  #rest(): void {
    this.#busy -= 1;
    if (this.#busy === 0) this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }
}

const IDLE_MS = 2000;

/** What came of a question. `refused` is the wallet's own answer; `silent` is anything else. */
type Reply =
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'refused'; readonly said: string; readonly code: string }
  | { readonly kind: 'unsent' | 'silent'; readonly said: string };

/** NIP-47's errors by which a wallet says that it did not try. `PAYMENT_FAILED` may be a time-out. */
const REFUSALS: ReadonlySet<string> = new Set([
  'INSUFFICIENT_BALANCE',
  'NOT_IMPLEMENTED',
  'QUOTA_EXCEEDED',
  'RATE_LIMITED',
  'RESTRICTED',
  'UNAUTHORIZED',
  'UNSUPPORTED_ENCRYPTION',
]);

/** Errors of the SDK by which it says that it got no further than the relay. */
const BEFORE_SENDING: ReadonlySet<string> = new Set([
  'Nip47NetworkError',
  'Nip47UnsupportedEncryptionError',
]);

async function replyOf(asked: Promise<unknown>): Promise<Reply> {
  try {
    return { kind: 'result', result: await asked };
  } catch (error) {
    const { constructor, code, message } = error as {
      readonly constructor: { readonly name: string };
      readonly code?: unknown;
      readonly message?: unknown;
    };
    const said = textAt(message) ?? 'no reason given';
    if (constructor.name === 'Nip47WalletError') {
      return { kind: 'refused', said, code: textAt(code) ?? 'OTHER' };
    }
    // These are thrown before the request is published.
    const unsent = BEFORE_SENDING.has(constructor.name) || said.startsWith('no info event');
    return { kind: unsent ? 'unsent' : 'silent', said };
  }
}

/** Answers once the signal is aborted, as a reply that never came. */
function given(signal: AbortSignal): Promise<Reply> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      resolve({ kind: 'silent', said: 'no answer came in time' });
    });
  });
}

function readState(fields: Fields, say: (text: string) => string): PaymentState {
  const { type, state, preimage, fees_paid, settled_at: settledAt } = fields;
  if (type === 'incoming') return { state: 'unknown' };
  const hex = hexAt(preimage);
  // `state` came late to NIP-47; before it, a payment with a time of settlement was settled.
  const settled = state === 'settled' || (state === undefined && Number(settledAt ?? 0) > 0);
  if (settled && hex !== undefined) {
    return { state: 'succeeded', preimage: hex, ...feeField(feeAt(fees_paid)) };
  }
  if (state === 'failed') return { state: 'failed' };
  if (state === 'pending' || (state === undefined && !settled)) return { state: 'in_flight' };
  throw lookUpFailed('NWC', `its state is ${say(String(state))} and it has no preimage`);
}

/** Callers without types may give anything. */
function checkedSecret(url: unknown): string {
  const given = typeof url === 'string' ? url : '';
  const text = given.replace(/^(nostr\+walletconnect|nostrwalletconnect):(\/\/)?/, 'http://');
  const parsed = URL.canParse(text) ? new URL(text) : null;
  const secret = parsed?.searchParams.get('secret') ?? '';
  const relay = parsed?.searchParams.get('relay') ?? '';
  const known = parsed !== null && text !== given && /^[0-9a-f]{64}$/.test(parsed.host);
  if (known && /^[0-9a-f]{64}$/i.test(secret) && /^wss?:\/\//.test(relay)) return secret;
  // The value is not repeated: it holds the secret.
  throw new InvalidOptionError(
    'The connection string of the NWC wallet is not one; give it as the wallet shows it: ' +
      'nostr+walletconnect://<64 hex digits>?relay=wss://…&secret=<64 hex digits>.',
  );
}

function checkedTimeout(timeoutMs: number): number {
  if (Number.isSafeInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= 60_000) return timeoutMs;
  throw new InvalidOptionError(
    `timeoutMs of the NWC wallet is ${timeoutMs}; it must be a whole number from 1 to 60,000.`,
  );
}
