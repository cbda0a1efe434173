import { InvalidOptionError } from '../errors.ts';
import type { Decimal } from '../ledger/amount.ts';
import { shown } from '../ledger/invalid.ts';
import { type Labels, labelSet, NO_LABELS } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import { checkMs } from '../purse-options.ts';
import { Credentials, type TokenStore } from './credentials.ts';
import { parseDomainPattern } from './domain.ts';
import { PaidHttp } from './paid-http.ts';
import type { PayingDesk } from './payment.ts';
import { type PaymentDesk, PendingPayments, type Spend } from './pending.ts';
import { purseTokens } from './purse-tokens.ts';
import { readGiven } from './request.ts';
import { type Ask, type PaymentTerms, satsOption } from './terms.ts';
import type { L402Wallet, LightningNetwork } from './wallets/wallet.ts';

/** Labels that say who was paid, and for what. */
const OWN_LABELS = ['domain', 'url', 'payee'];

const NETWORKS: readonly LightningNetwork[] = ['bitcoin', 'testnet', 'signet', 'regtest'];

/** How requests are paid for. Only `wallet` is required. */
export interface PaidFetchOptions {
  /** What pays: one of the wallets here, or anything with `payInvoice`. */
  readonly wallet: L402Wallet;
  /**
   * Labels of every payment, beside `domain`, `url` and `payee`. By them a process knows its own
   * payments again after a restart: wallets that are not the same need labels that differ.
   */
  readonly labels?: Labels;
  /** An invoice over this many satoshis is refused, whatever is left. Default: none is. */
  readonly maxPerPayment?: Decimal;
  /**
   * The most satoshis that routing one payment may cost, which are held beside its amount. Default:
   * 3, or 1 % of the amount where that is more. A wallet without `limitsFees` heeds no such limit,
   * and nothing is held for it.
   */
  readonly maxFee?: Decimal;
  /** The network that money is on: invoices of another are refused. Default: the wallet's, if it says. */
  readonly network?: LightningNetwork;
  /**
   * Who may be paid: hosts (`api.example.com`), hosts on one port (`localhost:8080`), all hosts below
   * one (`*.example.com`). Default: everybody.
   */
  readonly domains?: readonly string[];
  /**
   * Where credentials are kept, by origin and path: in the purse's store, for every process that
   * shares it (`purse`, the default), or until this process ends (`memory`).
   */
  readonly credentials?: 'purse' | 'memory';
  /** Keeps credentials instead of the purse. It is asked before the first request goes out. */
  readonly tokenStore?: TokenStore;
  /** How often one call pays again for what is refused, 0 to 100. Default 1. */
  readonly maxRetries?: number;
  /** How long a wallet may take, in milliseconds, 1 to 3,600,000. Default 120,000. */
  readonly paymentTimeoutMs?: number;
  /** Sends the requests. Default: the global `fetch`, at the time of the call. */
  readonly fetch?: typeof fetch;
  /**
   * Awaited before each payment, with the amount of its invoice, when its money is held. A throw
   * refuses the payment, and `fetch` rejects with what was thrown.
   */
  readonly beforePayment?: (sats: number, url: string) => unknown;
  /** Called after each payment, with its amount and fee. What it throws is an `error` event. */
  readonly onSpend?: (sats: number, url: string) => unknown;
  /** Called before a `BudgetExceededError` is thrown, with what was asked. */
  readonly onBudgetExceeded?: (url: string, sats: number) => unknown;
}

/**
 * Makes a `fetch` that pays L402 paywalls over Lightning, and cannot be drained.
 *
 * An answer 402 with a challenge (`WWW-Authenticate: L402 …`, its older name `LSAT`, or a JSON body
 * with `macaroon` and `invoice`) is met so: the invoice is read, its amount and the most that routing
 * may cost are held in the ledger (`sats`, to the millisatoshi, with the labels `domain`, `url` and
 * `payee`), the wallet pays, the preimage is checked, what was really paid is settled with a receipt
 * in the journal, and the request goes out again with the credential. All other answers pass as they
 * are, also a 402 of anybody else.
 *
 * What counts is the invoice, never what is said beside it. Invoices without an amount, of 0 sats,
 * expired, of another network, paid before, over `maxPerPayment` or at odds with the stated price are
 * refused unpaid, each by an error whose `code` says which.
 *
 * One invoice is paid once, by however many processes share the ledger. A payment whose outcome is
 * unknown stays held; the next request for the same resource has it looked up first, also in another
 * process, and nothing more is paid there until it is known.
 *
 * A credential belongs to an origin and a path. It is sent there, and on to where that redirects on
 * the same origin; to no other origin, ever. Requests for one resource at the same time pay once.
 * Whoever asks for the money is charged as the `domain`, also after redirects.
 *
 * A request that carries an `Authorization` of its own is sent as it is. Only where that is answered
 * by a challenge, the credential takes its place: a request has room for one of them.
 *
 * @throws InvalidOptionError when an option is out of its range.
 * @throws (the fetch) BudgetExceededError when a price does not fit what is left; L402PaymentError
 *   when a payment was refused, failed, or has an unknown outcome; L402ParseError for a challenge
 *   that cannot be read; StoreError; what the inner fetch rejects with.
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { paidFetch } from 'pursestrings/l402';
 *
 * const purse = await openPurse({
 *   limits: [
 *     { name: 'all', cap: { sats: 1_000 }, per: 'day' },
 *     { name: 'each site', cap: { sats: 100 }, per: 'day', each: ['domain'] },
 *   ],
 * });
 * const fetchPaid = paidFetch(purse, {
 *   wallet: { payInvoice: async (bolt11) => ({ preimage: await payWithMyNode(bolt11) }) },
 *   labels: { agent: 'researcher' },
 *   maxPerPayment: 50,
 * });
 * declare function payWithMyNode(bolt11: string): Promise<string>;
 *
 * async function weather(city: string): Promise<unknown> {
 *   const answer = await fetchPaid(`https://weather.example.com/now?city=${city}`);
 *   return answer.json();
 * }
 * ```
 */
export function paidFetch(purse: Purse, options: PaidFetchOptions): typeof fetch {
  const http = paidHttp(purse, options, {});
  return async (input, init) => http.fetch(readGiven(input, init));
}

/** What became of the payments whose outcome was unknown. */
export interface ResolvedPayments {
  /** Made, and settled now. */
  readonly settled: number;
  /** Failed for good: their money is free again. */
  readonly released: number;
  /** Nobody knows yet. */
  readonly pending: number;
}

/**
 * Looks up to 100 payments up whose outcome is unknown, as after a crash, and settles or releases
 * them. `paidFetch` does it by itself when it next meets a 402; this is for whoever wants to know now.
 *
 * @throws InvalidOptionError for a wallet that cannot look payments up, InvalidLabelError, StoreError
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { type L402Wallet, resolvePayments } from 'pursestrings/l402';
 *
 * async function onStart(wallet: L402Wallet): Promise<void> {
 *   const purse = await openPurse({ store: 'sqlite:./purse.db' });
 *   const { settled, released, pending } = await resolvePayments(purse, { wallet });
 *   console.log(`${settled} were made, ${released} were not, ${pending} are still on their way`);
 * }
 * ```
 */
export async function resolvePayments(
  purse: Purse,
  options: Pick<PaidFetchOptions, 'wallet' | 'labels' | 'credentials' | 'tokenStore'>,
): Promise<ResolvedPayments> {
  const desk = deskOf(purse, options, () => undefined);
  if (options.wallet.lookUpPayment === undefined) {
    throw new InvalidOptionError(
      'wallet has no lookUpPayment(); give one that can look payments up',
    );
  }
  const counts = await new PendingPayments(desk).resolveAll();
  return { settled: counts.made, released: counts.free, pending: counts.unknown };
}

/** What more a client on top needs. */
export interface PaidHttpExtras {
  readonly strict?: boolean;
  readonly labelsOf?: (ask: Ask) => Labels;
  readonly spent?: (spend: Spend) => void;
}

/** Makes what `paidFetch` and `L402Client` fetch by. @throws InvalidOptionError */
export function paidHttp(
  purse: Purse,
  options: PaidFetchOptions,
  extras: PaidHttpExtras,
): PaidHttp {
  const terms = readOptions(options);
  const { maxRetries = 1, paymentTimeoutMs = 120_000, onSpend, onBudgetExceeded } = options;
  const desk = deskOf(purse, options, (spend) => {
    extras.spent?.(spend);
    call(purse, () => onSpend?.(spend.msat / 1_000, spend.url));
  });
  const paying: PayingDesk = {
    ...desk,
    terms,
    pending: new PendingPayments(desk),
    paymentTimeoutMs,
    labelsOf: extras.labelsOf ?? ((): Labels => NO_LABELS.labels),
    beforePayment: async (sats, url) => {
      await options.beforePayment?.(sats, url);
    },
    exceeded: (url, sats) => call(purse, () => onBudgetExceeded?.(url, sats)),
  };
  const asksStoreFirst = options.tokenStore !== undefined;
  const { fetch: send } = options;
  const { strict = false } = extras;
  return new PaidHttp(paying, { send, maxRetries, strict, asksStoreFirst });
}

/** What payments are looked up by, as callers give it. */
type DeskOptions = Pick<PaidFetchOptions, 'wallet' | 'labels' | 'credentials' | 'tokenStore'>;

function deskOf(purse: Purse, options: DeskOptions, spent: (spend: Spend) => void): PaymentDesk {
  checkDeskOptions(options);
  const { wallet, labels = {}, credentials = 'purse' } = options;
  const failed = (error: unknown): void => purse.backstage.failed(error);
  const durable = options.tokenStore === undefined && credentials === 'purse';
  const store = durable ? purseTokens(purse) : (options.tokenStore ?? null);
  return {
    purse,
    wallet,
    labels: labelSet(labels).labels,
    credentials: new Credentials(store, durable, failed),
    spent,
    failed,
  };
}

function checkDeskOptions(options: DeskOptions): void {
  if (typeof options?.wallet?.payInvoice !== 'function') {
    throw new InvalidOptionError(
      `wallet is ${shown(options?.wallet)}; it must have payInvoice(bolt11)`,
    );
  }
  const { labels = {}, credentials = 'purse', tokenStore } = options;
  if (credentials !== 'purse' && credentials !== 'memory') {
    throw new InvalidOptionError(
      `credentials is ${shown(credentials)}; it must be 'purse' or 'memory'`,
    );
  }
  const reserved = OWN_LABELS.find((name) => labels[name] !== undefined);
  if (reserved !== undefined) {
    throw new InvalidOptionError(
      `labels names ${shown(reserved)}, which every payment says for itself; give it another name`,
    );
  }
  labelSet(labels);
  if (tokenStore === undefined) return;
  if (typeof tokenStore.get === 'function' && typeof tokenStore.set === 'function') return;
  throw new InvalidOptionError(
    `tokenStore is ${shown(tokenStore)}; it must have get(url) and set(url, token)`,
  );
}

/**
 * Checks all options of a fetch, without a purse, and reads what may be paid by them.
 *
 * @throws InvalidOptionError, InvalidLabelError
 */
export function readOptions(options: PaidFetchOptions): PaymentTerms {
  checkDeskOptions(options);
  const { wallet, network = null, domains, maxRetries = 1, paymentTimeoutMs = 120_000 } = options;
  if (!Number.isInteger(maxRetries) || maxRetries < 0 || maxRetries > 100) {
    throw new InvalidOptionError(
      `maxRetries is ${shown(maxRetries)}; it must be a whole number from 0 to 100`,
    );
  }
  checkMs('paymentTimeoutMs', paymentTimeoutMs, 1, 3_600_000);
  if (network !== null && !NETWORKS.includes(network)) {
    throw new InvalidOptionError(
      `network is ${shown(network)}; it must be one of ${NETWORKS.join(', ')}`,
    );
  }
  return {
    wallet,
    network,
    maxPerPaymentMsat: satsOption('maxPerPayment', options.maxPerPayment),
    maxFeeMsat: satsOption('maxFee', options.maxFee),
    domains: domains === undefined ? null : domains.map(parseDomainPattern),
  };
}

/** Calls a user's callback. What it throws, now or later, is told of and changes nothing. */
function call(purse: Purse, callback: () => unknown): void {
  try {
    const answer = callback();
    if (answer instanceof Promise) answer.catch((error: unknown) => purse.backstage.failed(error));
  } catch (error) {
    purse.backstage.failed(error);
  }
}
