import { InvalidOptionError } from '../../errors.ts';
import { feeField, type Fields, fieldsOf, hexAt, textAt } from './answer-fields.ts';
import {
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

/** How Blink is reached. */
export interface BlinkOptions extends WalletConnection {
  /** Default `https://api.blink.sv/graphql`; staging is `https://api.staging.blink.sv/graphql`. */
  readonly baseUrl?: string;
  /**
   * Asks Blink what routing will cost before each payment, so that a fee limit can be held and
   * heeded. It takes a round trip and a probe of the route. Default: only where a payment names a
   * limit, and `limitsFees` is false.
   */
  readonly probeFees?: boolean;
  /** The network that the account is on; invoices of another are then refused before paying. */
  readonly network?: LightningNetwork;
}

/**
 * Pays by a Blink account, over its public GraphQL API. The API takes no fee limit, but tells by a
 * probe what routing will cost, and charges what the probe found. Fees are whole satoshis.
 *
 * @param apiKey An API key with the scopes Read and Write.
 * @param walletId The id of the account's BTC wallet. A USD wallet can pay; its fee is not told in
 *   satoshis, and Blink probes no route for it.
 * @throws InvalidOptionError for a key, a URL or a number that cannot be meant.
 * @see https://dev.blink.sv/public-api-reference.html
 * @see https://github.com/blinkbitcoin/blink/blob/main/core/api/src/graphql/public/schema.graphql
 *
 * @example
 * ```ts
 * import { BlinkWallet } from 'pursestrings/l402';
 *
 * const wallet = new BlinkWallet(process.env['BLINK_API_KEY'] ?? 'blink_key', 'wallet-id');
 * console.log(wallet.limitsFees); // false
 * ```
 */
export class BlinkWallet implements L402Wallet {
  readonly limitsFees: boolean;
  readonly network?: LightningNetwork;
  readonly #server: WalletServer;
  readonly #walletId: string;

  constructor(apiKey: string, walletId: string, options: BlinkOptions = {}) {
    this.#server = new WalletServer(
      {
        name: 'Blink',
        url: graphqlUrl(options.baseUrl ?? 'https://api.blink.sv/graphql'),
        secret: apiKey,
        headers: { 'x-api-key': apiKey },
      },
      options,
    );
    if (typeof walletId !== 'string' || walletId.trim() === '') {
      throw new InvalidOptionError(
        'The id of the Blink wallet is empty; copy it from the dashboard, under your wallets.',
      );
    }
    this.#walletId = walletId;
    this.limitsFees = options.probeFees ?? false;
    if (options.network !== undefined) this.network = options.network;
  }

  async payInvoice(bolt11: string, options: PayOptions = {}): Promise<PaidInvoice> {
    const { maxFeeMsat, signal } = options;
    if (maxFeeMsat !== undefined) await this.#checkFee(bolt11, maxFeeMsat, signal);
    const payload = await this.#mutate('lnInvoicePaymentSend', PAY, bolt11, signal);
    const { status, transaction } = payload;
    const said = this.#errorsOf(payload);
    if (status === 'SUCCESS' || status === 'ALREADY_PAID') {
      const paid = paidBy(fieldsOf(transaction));
      if (paid !== null) return paid;
      throw unknown(bolt11, `Blink answered ${status} and named no preimage`);
    }
    // A payment with no status was refused by its input. One that is under way fails a second time.
    const refused = status === 'FAILURE' || (status == null && said !== undefined);
    if (!refused || /pending|transit/i.test(said ?? '')) {
      throw unknown(bolt11, `Blink answered ${this.#server.quote(status ?? said ?? 'nothing')}`);
    }
    throw failed('PAYMENT_FAILED', bolt11, `Blink did not pay: ${said ?? 'no reason given'}.`);
  }

  async lookUpPayment(paymentHash: string, options: LookUpOptions = {}): Promise<PaymentState> {
    const variables = { walletId: this.#walletId, paymentHash: checkedHash(paymentHash) };
    const { status, body } = await this.#post(LOOK_UP, variables, options.signal).catch(
      (cause: unknown) => {
        throw lookUpWithoutAnswer('Blink', cause);
      },
    );
    const account = fieldsOf(fieldsOf(fieldsOf(body['data'])['me'])['defaultAccount']);
    const list = fieldsOf(account['walletById'])['transactionsByPaymentHash'];
    if (!Array.isArray(list)) throw lookUpFailed('Blink', `its answer (${status}) is unreadable`);
    const sends = list.map(fieldsOf).filter(({ direction }) => direction === 'SEND');
    return stateOf(sends);
  }

  /** @throws L402PaymentError when the probe finds no price for the route, or one over the limit. */
  async #checkFee(
    bolt11: string,
    maxFeeMsat: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const payload = await this.#mutate('lnInvoiceFeeProbe', PROBE, bolt11, signal, true);
    const { amount } = payload;
    if (typeof amount !== 'number' || !Number.isSafeInteger(amount) || amount < 0) {
      const why = this.#errorsOf(payload) ?? 'its probe answered no amount';
      throw failed(
        'PAYMENT_FAILED',
        bolt11,
        `Blink cannot say what routing will cost: ${why}; pay without a fee limit, or try later.`,
      );
    }
    if (amount * 1000 <= maxFeeMsat) return;
    throw failed(
      'FEE_OVER_LIMIT',
      bolt11,
      `Routing would cost ${amount} sats and the limit is ${maxFeeMsat / 1000} sats; raise maxFee, or ` +
        'do without.',
    );
  }

  /** Asks a mutation about an invoice, and answers its payload. */
  async #mutate(
    name: string,
    query: string,
    bolt11: string,
    signal: AbortSignal | undefined,
    harmless = false,
  ): Promise<Fields> {
    const input = { walletId: this.#walletId, paymentRequest: bolt11 };
    const answer = await this.#post(query, { input }, signal).catch((cause: unknown) => {
      const error = withoutAnswer('Blink', bolt11, cause);
      throw harmless ? failed('WALLET_UNREACHABLE', bolt11, error.message) : error;
    });
    const payload = fieldsOf(answer.body['data'])[name];
    if (typeof payload === 'object' && payload !== null) return fieldsOf(payload);
    const errors = graphqlErrors(answer.body['errors']);
    const said = this.#server.quote(errors.message ?? `status ${answer.status}`);
    if (harmless || isRefusal(answer.status) || REFUSED_CODES.has(errors.code)) {
      throw failed(
        'WALLET_REFUSED',
        bolt11,
        `Blink refused: ${said}; check the API key and scopes.`,
      );
    }
    throw unknown(bolt11, `Blink answered without a result: ${said}`);
  }

  #post(
    query: string,
    variables: object,
    signal: AbortSignal | undefined,
  ): Promise<AnsweredFields> {
    return this.#server.askFields({ method: 'POST', path: '', body: { query, variables }, signal });
  }

  /** What a payload's `errors` say, fit for a message. */
  #errorsOf(payload: Fields): string | undefined {
    const { message } = graphqlErrors(payload['errors']);
    return message === undefined ? undefined : this.#server.quote(message);
  }
}

/** What is asked of each transaction. */
const SETTLEMENT = `direction
      settlementFee
      settlementCurrency
      settlementVia {
        ... on SettlementViaLn { preImage }
        ... on SettlementViaIntraLedger { preImage }
      }`;

const PAY = `mutation Pay($input: LnInvoicePaymentInput!) {
  lnInvoicePaymentSend(input: $input) {
    status
    errors { message code }
    transaction {
      ${SETTLEMENT}
    }
  }
}`;

const PROBE = `mutation Probe($input: LnInvoiceFeeProbeInput!) {
  lnInvoiceFeeProbe(input: $input) { amount errors { message code } }
}`;

const LOOK_UP = `query LookUp($walletId: WalletId!, $paymentHash: PaymentHash!) {
  me { defaultAccount { walletById(walletId: $walletId) {
    transactionsByPaymentHash(paymentHash: $paymentHash) {
      status
      ${SETTLEMENT}
    }
  } } }
}`;

/** By these the server says that it did not run the mutation. */
const REFUSED_CODES: ReadonlySet<string> = new Set([
  'BAD_USER_INPUT',
  'FORBIDDEN',
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'UNAUTHENTICATED',
  'UNAUTHORIZED',
]);

function graphqlErrors(value: unknown): { readonly message?: string; readonly code: string } {
  const errors = Array.isArray(value) ? value.map(fieldsOf) : [];
  const texts = errors.flatMap(({ message }) => textAt(message) ?? []);
  const [first = {}] = errors;
  const code = textAt(first['code']) ?? textAt(fieldsOf(first['extensions'])['code']) ?? '';
  return texts.length === 0 ? { code } : { message: texts.join(' '), code };
}

function paidBy(transaction: Fields): PaidInvoice | null {
  const preimage = hexAt(fieldsOf(transaction['settlementVia'])['preImage']);
  return preimage === undefined ? null : { preimage, ...feeField(feeMsatOf(transaction)) };
}

/** Only a BTC wallet's fee is in satoshis; that of a USD wallet is in cents. */
function feeMsatOf(transaction: Fields): number | undefined {
  const { settlementFee, settlementCurrency } = transaction;
  if (settlementCurrency !== 'BTC' || !Number.isSafeInteger(settlementFee)) return undefined;
  return Math.abs(settlementFee as number) * 1000;
}

function stateOf(sends: readonly Fields[]): PaymentState {
  if (sends.length === 0) return { state: 'unknown' };
  const done = sends.find(({ status }) => status === 'SUCCESS');
  const paid = done === undefined ? null : paidBy(done);
  if (paid !== null) return { state: 'succeeded', ...paid };
  if (sends.every(({ status }) => status === 'FAILURE')) return { state: 'failed' };
  return { state: 'in_flight' };
}

function graphqlUrl(url: string): string {
  return URL.canParse(url) && new URL(url).pathname === '/' ? new URL('/graphql', url).href : url;
}
