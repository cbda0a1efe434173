import { feeAt, feeField, type Fields, fieldsOf, hexAt, textAt } from './answer-fields.ts';
import {
  byRecord,
  checkedHash,
  failed,
  isRefusal,
  lookUpFailed,
  lookUpWithoutAnswer,
  paymentHashOf,
  type Refusal,
  unknown,
  withoutAnswer,
} from './payment-outcome.ts';
import { type WalletConnection, WalletServer } from './wallet-server.ts';
import type {
  L402Wallet,
  LightningNetwork,
  LookUpOptions,
  PaidInvoice,
  PaymentState,
  PayOptions,
} from './wallet.ts';

/** How an LNbits wallet is reached. */
export interface LnbitsOptions extends WalletConnection {
  /** Where LNbits is, such as `https://lnbits.example`. */
  readonly url: string;
  /** The wallet's admin key; the invoice key cannot pay. */
  readonly apiKey: string;
  /** The network that LNbits pays on; invoices of another are then refused before paying. */
  readonly network?: LightningNetwork;
}

/**
 * Pays by a wallet of LNbits. How much a fee may be is a setting of that server ("reserve fee"), and
 * no request can change it: this wallet takes no fee limit. The fee is known once it is paid; it
 * includes the server's service fee, where it takes one.
 *
 * @throws InvalidOptionError for a key or a URL that cannot be meant.
 * @see https://github.com/lnbits/lnbits/blob/main/lnbits/core/views/payment_api.py
 * @see https://github.com/lnbits/lnbits/blob/main/lnbits/core/services/payments.py
 *
 * @example
 * ```ts
 * import { LnbitsWallet } from 'pursestrings/l402';
 *
 * const wallet = new LnbitsWallet({ url: 'https://lnbits.example', apiKey: 'admin-key' });
 * ```
 */
export class LnbitsWallet implements L402Wallet {
  readonly network?: LightningNetwork;
  readonly #server: WalletServer;

  constructor(options: LnbitsOptions) {
    const { url, apiKey, network } = options;
    this.#server = new WalletServer(
      { name: 'LNbits', url, secret: apiKey, headers: { 'x-api-key': apiKey } },
      options,
    );
    if (network !== undefined) this.network = network;
  }

  async payInvoice(bolt11: string, { signal }: PayOptions = {}): Promise<PaidInvoice> {
    const path = '/api/v1/payments';
    const { status, body } = await this.#server
      .askFields({ method: 'POST', path, body: { out: true, bolt11 }, signal })
      .catch((cause: unknown) => {
        throw withoutAnswer('LNbits', bolt11, cause);
      });
    if (status === 200 || status === 201) {
      return await this.#readPaid(body, { invoice: bolt11, status, said: TAKEN, signal });
    }
    const detail = textAt(body['detail']);
    const said = `LNbits did not pay: ${this.#server.quote(detail ?? `status ${status}`)}`;
    if (isRefusal(status)) {
      throw failed('WALLET_REFUSED', bolt11, `${said}; check that the key is the admin key.`);
    }
    if (body['status'] === 'failed') throw failed('PAYMENT_FAILED', bolt11, `${said}.`);
    if (detail === undefined || body['status'] === 'pending') throw unknown(bolt11, said);
    return await byRecord(this, { invoice: bolt11, status, said, signal });
  }

  async lookUpPayment(paymentHash: string, options: LookUpOptions = {}): Promise<PaymentState> {
    const path = `/api/v1/payments/${checkedHash(paymentHash)}`;
    const { signal } = options;
    const { status, body } = await this.#server
      .askFields({ method: 'GET', path, signal })
      .catch((cause: unknown) => {
        throw lookUpWithoutAnswer('LNbits', cause);
      });
    const detail = textAt(body['detail']);
    if (status === 404 && /does not exist/i.test(detail ?? '')) return { state: 'unknown' };
    if (status === 200 && typeof body['paid'] === 'boolean') return this.#readState(body);
    throw lookUpFailed('LNbits', `it answered ${status}: ${this.#server.quote(detail)}`);
  }

  /** Newer versions answer the payment as it stands, older ones its hash alone. */
  async #readPaid(body: Fields, taken: Refusal): Promise<PaidInvoice> {
    const preimage = hexAt(body['preimage']);
    if (body['status'] === 'success' && preimage !== undefined) {
      return { preimage, ...feeField(feeAt(body['fee'])) };
    }
    const isIts = hexAt(body['payment_hash']) === paymentHashOf(taken.invoice);
    if (!isIts) throw unknown(taken.invoice, taken.said);
    return await byRecord(this, taken);
  }

  #readState(body: Fields): PaymentState {
    const details = fieldsOf(body['details']);
    // The other side of a payment inside one LNbits goes by the same hash.
    if (typeof details['amount'] === 'number' && details['amount'] > 0) return { state: 'unknown' };
    const preimage = hexAt(body['preimage']) ?? hexAt(details['preimage']);
    if (body['paid'] === true) {
      if (preimage === undefined) throw lookUpFailed('LNbits', 'it is paid and has no preimage');
      return { state: 'succeeded', preimage, ...feeField(feeAt(details['fee'])) };
    }
    const failedFor = body['status'] === 'failed' || details['status'] === 'failed';
    return failedFor ? { state: 'failed' } : { state: 'in_flight' };
  }
}

/** The answer to a payment that was begun, and may have failed since. */
const TAKEN = 'LNbits took the payment and has not said that it is paid';
