import type { Decimal } from '../../ledger/amount.ts';
import { scaled } from '../prices/rates.ts';
import { isObject } from './provider.ts';
import type { JsonObject } from './provider.ts';
import { count } from './read-json.ts';

/**
 * What a host says a call cost, in USD, by a usage object: undefined when it does not, null when
 * what it says is not all.
 */
export function reportedCost(usage: JsonObject): Decimal | undefined | null {
  const ticks = count(usage.cost_in_usd_ticks);
  // A tick is 1e-10 USD: https://docs.x.ai/developers/cost-tracking
  if (ticks !== undefined && ticks > 0) return `${ticks}e-10`;
  if (isObject(usage.cost)) {
    // Perplexity itemises it: https://docs.perplexity.ai/api-reference/chat-completions-post
    const total = usage.cost.total_cost;
    return isAmount(total) && total > 0 ? exact(total) : undefined;
  }
  return typeof usage.is_byok === 'boolean' || isObject(usage.cost_details)
    ? routedCost(usage)
    : undefined;
}

/**
 * OpenRouter's account of a call, by the fields that are its alone. Where the key of the model's
 * provider is the caller's own, `cost` is OpenRouter's fee, and the provider bills beside it.
 * https://openrouter.ai/docs/use-cases/usage-accounting#cost-breakdown
 */
function routedCost({ cost, is_byok, cost_details }: JsonObject): Decimal | undefined | null {
  if (!isAmount(cost)) return undefined;
  if (is_byok === false) return exact(cost);
  const upstream = isObject(cost_details) ? cost_details.upstream_inference_cost : undefined;
  if (isAmount(upstream)) {
    return `${scaled(exact(cost), 18, 'up') + scaled(exact(upstream), 18, 'up')}e-18`;
  }
  return is_byok === true ? null : exact(cost);
}

/** Digits past the fifteenth are the noise of binary arithmetic: they must not cost a step. */
function exact(amount: number): number {
  return Number(amount.toPrecision(15));
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
