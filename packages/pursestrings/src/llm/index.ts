export { calculateCost, estimateCall, readUsage } from './cost.ts';
export type { CallCost, CallEstimate, CostOptions, OpenAIChatUsage } from './cost.ts';
export { meteredFetch } from './metered-fetch.ts';
export type { MeterOptions } from './metered-fetch.ts';
export type { ModelPrice, PriceBook, TokenRates, Usage } from './price.ts';
export type { CeilingPrice, PriceSources } from './price-list.ts';
export type { OnDenied } from './refusal.ts';
export { BudgetExceededError, PriceUnknownError } from '../errors.ts';
