import { InvalidOptionError } from '../../errors.ts';
import { feeAt, feeField, type Fields, fieldsOf, hexAt, textAt } from './answer-fields.ts';
import {
  byRecord,
  checkedHash,
  failed,
  isRefusal,
  lookUpFailed,
  lookUpWithoutAnswer,
  unknown,
  withoutAnswer,
} from './payment-outcome.ts';
import { type WalletAnswer, type WalletConnection, WalletServer } from './wallet-server.ts';
import type {
  L402Wallet,
  LightningNetwork,
  LookUpOptions,
  PaidInvoice,
  PaymentState,
  PayOptions,
} from './wallet.ts';

/** How an LND node is reached. */
export interface LndOptions extends WalletConnection {
  /** Where its REST interface listens, such as `https://localhost:8080`. */
  readonly url: string;
  /**
   * The macaroon, in hex or base64. It needs `offchain:write` and `offchain:read`:
   * `lncli bakemacaroon offchain:read offchain:write`.
   */
  readonly macaroon: string | Uint8Array;
  /** How long LND tries to pay, in whole seconds; default 30. */
  readonly payTimeoutSeconds?: number;
  /** The most that routing may cost where a payment names no limit, in millisatoshis; default 3,000. */
  readonly maxFeeMsat?: number;
  /** The network that the node is on; invoices of another are then refused before paying. */
  readonly network?: LightningNetwork;
  /** An undici dispatcher for `fetch`, such as one that trusts the node's own certificate. */
  readonly dispatcher?: object;
}

/**
 * Pays by an LND node, over its REST interface. The fee limit is LND's own, to the millisatoshi, and
 * payments are looked up in LND's record of them.
 *
 * @throws InvalidOptionError for a URL, a macaroon or a number that cannot be meant.
 * @see https://lightning.engineering/api-docs/api/lnd/router/send-payment-v2/
 * @see https://lightning.engineering/api-docs/api/lnd/router/track-payment-v2/
 *
 * @example
 * ```ts
 * import { LndWallet } from 'pursestrings/l402';
 *
 * const wallet = new LndWallet({
 *   url: 'https://localhost:8080',
 *   macaroon: process.env['LND_MACAROON'] ?? '0201',
 * });
 * console.log(wallet.limitsFees); // true
 * ```
 */
export class LndWallet implements L402Wallet {
  readonly limitsFees = true;
  readonly network?: LightningNetwork;
  readonly #server: WalletServer;
  readonly #payTimeoutSeconds: number;
  readonly #maxFeeMsat: number;

  constructor(options: LndOptions) {
    const { url, macaroon, network, dispatcher } = options;
    const hex = macaroonHex(macaroon);
    this.#server = new WalletServer(
      {
        name: 'LND',
        url,
        secret: hex,
        headers: { 'grpc-metadata-macaroon': hex },
        ...(dispatcher !== undefined && { init: { dispatcher } }),
      },
      options,
    );
    this.#payTimeoutSeconds = wholeNumber('payTimeoutSeconds', options.payTimeoutSeconds ?? 30, 1);
    this.#maxFeeMsat = wholeNumber('maxFeeMsat', options.maxFeeMsat ?? 3000, 0);
    if (network !== undefined) this.network = network;
  }

  async payInvoice(bolt11: string, options: PayOptions = {}): Promise<PaidInvoice> {
    const { signal } = options;
    const answer = await this.#server
      .ask({
        method: 'POST',
        path: '/v2/router/send',
        body: {
          payment_request: bolt11,
          fee_limit_msat: String(options.maxFeeMsat ?? this.#maxFeeMsat),
          timeout_seconds: this.#payTimeoutSeconds,
          no_inflight_updates: true,
        },
        signal,
      })
      .catch((cause: unknown) => {
        throw withoutAnswer('LND', bolt11, cause);
      });
    const update = await this.#lastUpdate(answer, bolt11);
    const { result } = fieldsOf(update);
    if (result !== undefined) return this.#readPayment(fieldsOf(result), bolt11);
    const message = errorIn(update);
    const said = `LND did not pay: ${this.#server.quote(message ?? `status ${answer.status}`)}`;
    if (isRefusal(answer.status) || NO_PERMISSION.test(message ?? '')) {
      throw failed('WALLET_REFUSED', bolt11, `${said}; check the macaroon and the invoice.`);
    }
    if (message === undefined) throw unknown(bolt11, `LND answered ${answer.status}`);
    return await byRecord(this, { invoice: bolt11, status: answer.status, said, signal });
  }

  async lookUpPayment(paymentHash: string, options: LookUpOptions = {}): Promise<PaymentState> {
    // The gateway takes base64 for URLs with its padding only: 32 bytes end in one `=`.
    const hash = `${Buffer.from(checkedHash(paymentHash), 'hex').toString('base64url')}=`;
    try {
      const answer = await this.#server.ask({
        method: 'GET',
        path: `/v2/router/track/${hash}`,
        signal: options.signal,
      });
      // What stands now comes first; the stream goes on until the payment is done.
      for await (const update of answer.jsonLines()) return this.#readState(update, answer.status);
      throw lookUpFailed('LND', `it answered ${answer.status} without a word`);
    } catch (cause) {
      throw isOurs(cause) ? cause : lookUpWithoutAnswer('LND', cause);
    }
  }

  /** The last update says how it ended; one that says "in flight" was sent although not asked for. */
  async #lastUpdate(answer: WalletAnswer, bolt11: string): Promise<unknown> {
    let last: unknown;
    try {
      for await (const update of answer.jsonLines()) {
        last = update;
        if (isFinal(update)) return update;
      }
    } catch (cause) {
      throw withoutAnswer('LND', bolt11, cause);
    }
    return last;
  }

  #readPayment(payment: Fields, bolt11: string): PaidInvoice {
    const { status, failure_reason: reason } = payment;
    if (status === 'FAILED') {
      const why = this.#server.quote(textAt(reason) ?? 'no reason given');
      throw failed(
        'PAYMENT_FAILED',
        bolt11,
        `LND could not pay the invoice: ${why}; raise the fee limit, or try again later.`,
      );
    }
    const preimage = hexAt(payment['payment_preimage']);
    if (status === 'SUCCEEDED' && preimage !== undefined) {
      return { preimage, ...feeField(feeAt(payment['fee_msat'])) };
    }
    throw unknown(bolt11, `LND's last word was ${this.#server.quote(status ?? 'nothing')}`);
  }

  #readState(update: unknown, httpStatus: number): PaymentState {
    const { result } = fieldsOf(update);
    if (result === undefined) {
      const said = errorIn(update) ?? `status ${httpStatus}`;
      // A route that does not exist is "Not Found" by the same code, and says nothing of a payment.
      if (/isn't initiated/.test(said)) return { state: 'unknown' };
      throw lookUpFailed('LND', `it said: ${this.#server.quote(said)}`);
    }
    const { status, failure_reason: reason, payment_preimage, fee_msat } = fieldsOf(result);
    const preimage = hexAt(payment_preimage);
    if (status === 'SUCCEEDED' && preimage !== undefined) {
      return { state: 'succeeded', preimage, ...feeField(feeAt(fee_msat)) };
    }
    if (status === 'FAILED') return { state: 'failed', reason: this.#server.quote(reason) };
    if (status === 'IN_FLIGHT' || status === 'INITIATED') return { state: 'in_flight' };
    throw lookUpFailed('LND', `its answer has no readable status`);
  }
}

/** LND checks the macaroon before anything else, and says so by a plain error. */
const NO_PERMISSION = /macaroon|permission denied|verification failed/i;

/** The gateway puts the error of a stream under `error`, and that of a plain call at the top. */
function errorIn(update: unknown): string | undefined {
  const { error } = fieldsOf(update);
  const { message } = typeof error === 'object' ? fieldsOf(error) : fieldsOf(update);
  return textAt(message) ?? textAt(error);
}

function isFinal(update: unknown): boolean {
  const { result, error } = fieldsOf(update);
  const { status } = fieldsOf(result);
  return error !== undefined || status === 'SUCCEEDED' || status === 'FAILED';
}

function isOurs(error: unknown): boolean {
  return error instanceof Error && 'outcome' in error;
}

/** Callers without types may give anything. */
function macaroonHex(macaroon: unknown): string {
  if (macaroon instanceof Uint8Array) return Buffer.from(macaroon).toString('hex');
  const text = typeof macaroon === 'string' ? macaroon.trim() : '';
  if (/^([0-9a-f]{2})+$/i.test(text)) return text.toLowerCase();
  if (/^[\w+/-]+={0,2}$/.test(text)) return Buffer.from(text, 'base64').toString('hex');
  throw new InvalidOptionError(
    'The macaroon of the LND wallet is neither hex nor base64; give what `xxd -p admin.macaroon` prints.',
  );
}

function wholeNumber(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new InvalidOptionError(
    `${name} of the LND wallet is ${value}; it must be a whole number from ${least}.`,
  );
}
