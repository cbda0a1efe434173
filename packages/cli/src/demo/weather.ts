import { BudgetExceededError, type Purse } from 'pursestrings';
import { LnbitsWallet, paidFetch } from 'pursestrings/l402';
import { loopbackPaywall } from 'pursestrings/testing';
import { type AgentName, labelsOf } from './plan.ts';

/** What the weather API says it was paid, in millisatoshis. */
export interface WeatherBill {
  readonly payments: number;
  readonly amountMsat: number;
  readonly feeMsat: number;
}

/** The paid API that agents buy from. */
export interface WeatherApi {
  /** A `fetch` that pays for an agent, under the same purse as its calls. */
  open(purse: Purse, name: AgentName): typeof fetch;
  readonly url: string;
  readonly bill: WeatherBill;
  close(): Promise<void>;
}

/** No whole satoshis, so that every millisatoshi has to be counted. */
const PRICE_MSAT = 24_690;
const FEE_MSAT = 67;

/** After so many calls an agent wants to know the weather. */
export const CALLS_PER_FORECAST = 3;

/**
 * Starts a paid API in this process, which sells by L402, and the wallet that pays for it. Both keep
 * an account that knows nothing of the ledger.
 */
export async function startWeather(): Promise<WeatherApi> {
  const paywall = await loopbackPaywall({
    priceMsat: PRICE_MSAT,
    feeMsat: FEE_MSAT,
    page: (path) => ({ path, sky: 'clear', celsius: 18 }),
  });
  const wallet = new LnbitsWallet({ url: paywall.walletUrl, apiKey: paywall.walletKey });
  return {
    // Each forecast is bought once, so no credential is worth keeping.
    open: (purse, name) =>
      paidFetch(purse, { wallet, labels: labelsOf(name), credentials: 'memory' }),
    url: paywall.url,
    get bill() {
      return paywall.bill;
    },
    close: () => paywall.close(),
  };
}

/** Buys one forecast; false when the purse does not leave so much. */
export async function buyForecast(
  fetchPaid: typeof fetch,
  url: string,
  { agent }: AgentName,
  turn: number,
): Promise<boolean> {
  try {
    const answer = await fetchPaid(`${url}/${agent}/hour-${turn}`);
    await answer.json();
    return true;
  } catch (error) {
    if (BudgetExceededError.from(error) === null) throw error;
    return false;
  }
}
