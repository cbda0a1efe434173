import { feeAt, feeField, type Fields, hexAt, textAt } from './answer-fields.ts';
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
import { type AnsweredFields, type WalletConnection, WalletServer } from './wallet-server.ts';
import type {
  L402Wallet,
  LightningNetwork,
  LookUpOptions,
  PaidInvoice,
  PaymentState,
  PayOptions,
} from './wallet.ts';

/** How an Alby Hub is reached. */
export interface AlbyOptions extends WalletConnection {
  /** The network that the hub is on; invoices of another are then refused before paying. */
  readonly network?: LightningNetwork;
}

/**
 * Pays by an Alby Hub, over its HTTP API. The hub takes no fee limit; it reserves 1 % or 10 sats by
 * itself and says what the fee was. Payments are looked up in the hub's list.
 *
 * @param token An access token of the hub, with full access.
 * @param hubUrl Where the hub is, such as `http://localhost:8080`. The default, `https://getalby.com`,
 *   was Alby's shared wallet, which is closed: name your hub, or use `NwcWallet`.
 * @throws InvalidOptionError for a token or a URL that cannot be meant.
 * @see https://github.com/getAlby/hub/blob/master/http/http_service.go
 * @see https://github.com/getAlby/hub/blob/master/api/models.go
 *
 * @example
 * ```ts
 * import { AlbyWallet } from 'pursestrings/l402';
 *
 * const wallet = new AlbyWallet(process.env['ALBY_TOKEN'] ?? 'token', 'http://localhost:8080');
 * ```
 */
export class AlbyWallet implements L402Wallet {
  readonly network?: LightningNetwork;
  readonly #server: WalletServer;

  constructor(token: string, hubUrl = 'https://getalby.com', options: AlbyOptions = {}) {
    this.#server = new WalletServer(
      {
        name: 'Alby',
        url: hubUrl,
        secret: token,
        headers: { authorization: `Bearer ${token}` },
      },
      options,
    );
    if (options.network !== undefined) this.network = options.network;
  }

  async payInvoice(bolt11: string, { signal }: PayOptions = {}): Promise<PaidInvoice> {
    let answer = await this.#post(`/api/payments/${encodeURIComponent(bolt11)}`, bolt11, signal);
    if (answer.status === 404 || answer.status === 405) {
      // There is no such route, so nothing was paid: the older API takes the invoice in the body.
      answer = await this.#post('/api/payments', bolt11, signal);
    }
    const { status, body } = answer;
    const error = textAt(body['error']) ?? (status < 300 ? undefined : textAt(body['message']));
    const said = `Alby did not pay: ${this.#server.quote(error ?? `status ${status}`)}`;
    if (isRefusal(status)) {
      throw failed('WALLET_REFUSED', bolt11, `${said}; check the token and the hub's address.`);
    }
    if (error !== undefined) {
      return await byRecord(this, { invoice: bolt11, status, said, signal });
    }
    const preimage = hexAt(body['payment_preimage']) ?? hexAt(body['preimage']);
    if (status >= 200 && status < 300 && preimage !== undefined) {
      return { preimage, ...feeField(feeAt(body['feesPaid'])) };
    }
    throw unknown(bolt11, `Alby answered ${status} and named no preimage`);
  }

  async lookUpPayment(paymentHash: string, options: LookUpOptions = {}): Promise<PaymentState> {
    const path = `/api/transactions/${checkedHash(paymentHash)}`;
    const { signal } = options;
    const { status, body } = await this.#server
      .askFields({ method: 'GET', path, signal })
      .catch((cause: unknown) => {
        throw lookUpWithoutAnswer('Alby', cause);
      });
    const message = textAt(body['message']) ?? '';
    // A route that does not exist is "Not Found" too, and says nothing of the payment.
    if (status >= 400 && /not found/i.test(message) && message !== 'Not Found') {
      return { state: 'unknown' };
    }
    if (status !== 200) {
      throw lookUpFailed('Alby', `it answered ${status}: ${this.#server.quote(body['message'])}`);
    }
    return this.#readState(body);
  }

  #readState(body: Fields): PaymentState {
    const { type, state, failureReason } = body;
    if (type === 'incoming') return { state: 'unknown' };
    const preimage = hexAt(body['preimage']);
    if (state === 'settled' && preimage !== undefined) {
      return { state: 'succeeded', preimage, ...feeField(feeAt(body['feesPaid'])) };
    }
    if (state === 'pending') return { state: 'in_flight' };
    const reason = textAt(failureReason);
    if (state === 'failed') {
      return { state, ...(reason !== undefined && { reason: this.#server.quote(reason) }) };
    }
    throw lookUpFailed('Alby', 'its answer has no readable state');
  }

  async #post(
    path: string,
    bolt11: string,
    signal: AbortSignal | undefined,
  ): Promise<AnsweredFields> {
    const body = { invoice: bolt11 };
    try {
      return await this.#server.askFields({ method: 'POST', path, body, signal });
    } catch (cause) {
      throw withoutAnswer('Alby', bolt11, cause);
    }
  }
}
