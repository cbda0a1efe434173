import { createHash } from 'node:crypto';
import { InvalidOptionError } from '../errors.ts';
import type { Decimal } from '../ledger/amount.ts';
import { shown } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Limit } from '../ledger/limit.ts';
import { openPurse, type Purse } from '../purse.ts';
import { type Domain, domainOf, type DomainPattern, parseDomainPattern } from './domain.ts';
import { toSats } from './held-payment.ts';
import { type PaidFetchOptions, paidHttp, readOptions } from './paid-fetch.ts';
import type { PaidHttp } from './paid-http.ts';
import type { Spend } from './pending.ts';
import { readGiven } from './request.ts';
import { satsOption } from './terms.ts';

/** How a client pays. Only `wallet` is required. */
export interface L402ClientOptions extends PaidFetchOptions {
  /** The most satoshis that this client may spend in all, fees included. Default: no cap. */
  readonly budgetSats?: Decimal;
  /**
   * The most satoshis by domain: a host on any port (`api.example.com`), one port of it
   * (`api.example.com:8443`), or all hosts below one together (`*.example.com`). Each is tested for
   * itself, beside `budgetSats`. Default: none.
   */
  readonly budgetPerDomain?: Readonly<Record<string, Decimal>>;
  /**
   * A purse to spend from together with others. The budgets are laid over its limits, for spends of
   * this client alone, and last as long as the ledger: a client with the same `labels` goes on where
   * this one stopped. Default: a purse in memory, of this client's own.
   */
  readonly purse?: Purse;
}

/** What a client has spent. */
export interface SpendingReport {
  /** In satoshis, fees included. */
  readonly total: number;
  /**
   * What `budgetSats` leaves, without what is held for payments whose outcome is not known yet;
   * Infinity where only domains have budgets.
   */
  readonly remaining: number;
  readonly byDomain: Readonly<Record<string, number>>;
  /** The latest payments, at most 100,000, the oldest first. `ts` is in epoch milliseconds. */
  readonly transactions: readonly {
    readonly url: string;
    readonly sats: number;
    readonly ts: number;
  }[];
}

const TOTAL = 'l402 client';
const MAX_LISTED = 100_000;

/** A budget of one domain. */
interface DomainCap {
  readonly pattern: DomainPattern;
  readonly limit: Limit;
}

/**
 * A client that pays L402 paywalls within budgets: the interface of the package `l402-kit`, on the
 * ledger. Any number of calls may share it at the same time: they cannot pass a budget together, and
 * no reserve has to be kept for that.
 *
 * @example
 * ```ts
 * import { BudgetExceededError, L402Client } from 'pursestrings/l402';
 *
 * const client = new L402Client({
 *   wallet: { payInvoice: async (bolt11) => ({ preimage: await payWithMyNode(bolt11) }) },
 *   budgetSats: 1_000,
 *   budgetPerDomain: { 'api.example.com': 200, '*.example.org': 100 },
 *   onSpend: (sats, url) => console.log(`${sats} sats for ${url}`),
 * });
 * declare function payWithMyNode(bolt11: string): Promise<string>;
 *
 * async function read(url: string): Promise<string | null> {
 *   try {
 *     return await (await client.fetch(url)).text();
 *   } catch (error) {
 *     if (!(error instanceof BudgetExceededError)) throw error;
 *     console.log(client.spendingReport());
 *     return null;
 *   }
 * }
 * ```
 */
export class L402Client {
  readonly #options: L402ClientOptions;
  readonly #budgetMsat: number | null;
  readonly #caps: readonly DomainCap[];
  readonly #byDomain = new Map<string, number>();
  readonly #spends: { url: string; sats: number; ts: number }[] = [];
  #totalMsat = 0;
  /** What others had spent of the same budget when this client began. */
  #earlierMsat = 0;
  #opened: Promise<PaidHttp> | undefined;
  #http: PaidHttp | undefined;

  /** @throws InvalidOptionError for an option that is out of its range; InvalidLabelError */
  constructor(options: L402ClientOptions) {
    readOptions(options);
    this.#options = options;
    this.#budgetMsat = budgetOf('budgetSats', options.budgetSats);
    this.#caps = domainCaps(options.budgetPerDomain ?? {}, options.labels ?? {});
  }

  /**
   * A `fetch` that pays. It may be handed on without its client.
   *
   * @throws BudgetExceededError when a price does not fit a budget: nothing was spent.
   * @throws L402PaymentError, L402ParseError, StoreError, and what `fetch` and `beforePayment` throw
   */
  readonly fetch: typeof fetch = async (input, init) => {
    const given = readGiven(input, init);
    const http = this.#http ?? (await this.#open());
    return http.fetch(given);
  };

  /** What this client has spent; `null` where it has no budget. */
  spendingReport(): SpendingReport | null {
    const { budgetPerDomain = {} } = this.#options;
    if (this.#budgetMsat === null && Object.keys(budgetPerDomain).length === 0) return null;
    const held = this.#http?.heldMsat ?? 0;
    const left = (this.#budgetMsat ?? Infinity) - this.#earlierMsat - this.#totalMsat - held;
    return {
      total: this.#totalMsat / 1_000,
      remaining: Math.max(0, left) / 1_000,
      byDomain: Object.fromEntries(
        this.#byDomain.entries().map(([host, msat]) => [host, msat / 1_000]),
      ),
      transactions: this.#spends.map((spend) => ({ ...spend })),
    };
  }

  /** Opens the purse at the first call; a failure is met by the next call too. */
  #open(): Promise<PaidHttp> {
    this.#opened ??= this.#openPurse()
      .then((purse) => {
        this.#http = paidHttp(purse, this.#options, {
          strict: true,
          labelsOf: ({ domain }) => this.#labelsOf(domain),
          spent: (spend) => this.#note(spend),
        });
        return this.#http;
      })
      .catch((error: unknown) => {
        this.#opened = undefined;
        throw error;
      });
    return this.#opened;
  }

  async #openPurse(): Promise<Purse> {
    const { purse, labels = {} } = this.#options;
    const limits = this.#caps.map(({ limit }) => limit);
    if (this.#budgetMsat !== null && this.#budgetMsat !== Infinity) {
      limits.unshift(capLimit(TOTAL, this.#budgetMsat, labels));
    }
    if (purse === undefined) return openPurse({ limits, uncovered: 'allow' });
    if (limits.length === 0) return purse;
    const overlaid = await purse.withLimits(limits);
    for await (const { limit, spent } of overlaid.balances({ limit: TOTAL, labels })) {
      if (limit === TOTAL) this.#earlierMsat = Math.round(spent * 1_000);
    }
    return overlaid;
  }

  /** Labels that the budgets of domains are told by, where a budget is about this one. */
  #labelsOf(domain: Domain): Labels {
    const labels: Record<string, string> = {};
    for (const { pattern } of this.#caps) {
      if (pattern.kind === 'host and port') labels['domain_port'] = domain.hostAndPort;
      if (pattern.kind !== 'below') continue;
      const parts = domain.host.split('.');
      if (parts.length > pattern.depth) {
        labels[belowLabel(pattern.depth)] = parts.slice(-pattern.depth).join('.');
      }
    }
    return labels;
  }

  #note({ url, resource, msat }: Spend): void {
    this.#totalMsat += msat;
    const { host } = domainOf(new URL(resource));
    this.#byDomain.set(host, (this.#byDomain.get(host) ?? 0) + msat);
    this.#spends.push({ url, sats: msat / 1_000, ts: Date.now() });
    if (this.#spends.length > MAX_LISTED) this.#spends.shift();
  }
}

/** Reads a budget: an amount, or Infinity for none that binds. */
function budgetOf(name: string, value: Decimal | undefined): number | null {
  return value === Infinity ? Infinity : satsOption(name, value);
}

function domainCaps(
  budgets: Readonly<Record<string, Decimal>>,
  labels: Labels,
): readonly DomainCap[] {
  const named = new Map<string, string>();
  return Object.entries(budgets).flatMap(([key, value]) => {
    const pattern = parseDomainPattern(key);
    const name = limitName(pattern);
    const other = named.get(name);
    if (other !== undefined) {
      throw new InvalidOptionError(
        `budgetPerDomain names one domain twice, as ${shown(other)} and ${shown(key)}; keep one`,
      );
    }
    named.set(name, key);
    const msat = budgetOf(`budgetPerDomain[${shown(key)}]`, value);
    if (msat === null || msat === Infinity) return [];
    return [{ pattern, limit: capLimit(name, msat, { ...labels, ...whereOf(pattern) }) }];
  });
}

/** Names of limits have a bound that host names may pass. */
function limitName({ kind, name }: DomainPattern): string {
  const domain = kind === 'below' ? `*.${name}` : name;
  if (domain.length <= 100) return `${TOTAL} ${domain}`;
  return `${TOTAL} ${createHash('sha256').update(domain).digest('hex')}`;
}

function whereOf(pattern: DomainPattern): Labels {
  switch (pattern.kind) {
    case 'host':
      return { domain: pattern.name };
    case 'host and port':
      return { domain_port: pattern.name };
    case 'below':
      return { [belowLabel(pattern.depth)]: pattern.name };
  }
}

/** The label that carries the last so many parts of a host that has more. */
function belowLabel(depth: number): string {
  return `domain_below_${depth}`;
}

function capLimit(name: string, capMsat: number, where: Labels): Limit {
  return {
    name,
    cap: { sats: toSats(capMsat) },
    ...(Object.keys(where).length > 0 && { where }),
  };
}
