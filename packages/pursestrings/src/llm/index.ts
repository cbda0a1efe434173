export { calculateCost, estimateCall, readUsage } from './cost.ts';
export type { CallCost, CallEstimate, CostOptions, ProviderUsage } from './cost.ts';
export { describePrice, similarModels } from './prices/describe-price.ts';
export type {
  DescribedRates,
  ListedModel,
  PriceDescription,
  PriceStep,
} from './prices/describe-price.ts';
export { firstAffordable } from './first-affordable.ts';
export type { CandidateHold, CandidateSpend } from './first-affordable.ts';
export { LoopBreaker, LoopDetectedError } from './loop-breaker.ts';
export type { LoopBreakerOptions, LoopEntry, LoopFound } from './loop-breaker.ts';
export { meteredFetch } from './metered-fetch.ts';
export type { MeterOptions } from './metered-fetch.ts';
export { purseMiddleware } from './ai-sdk/middleware.ts';
export type {
  MiddlewareAnswer,
  MiddlewareModel,
  MiddlewareOptions,
  MiddlewareParams,
  MiddlewareStream,
  PurseMiddleware,
} from './ai-sdk/middleware.ts';
export type { ModelPrice, PriceBook } from './prices/price.ts';
export type { TokenRates } from './prices/rates.ts';
export type { Pieces, Usage } from './usage.ts';
export type { CeilingPrice, PriceSources } from './prices/price-list.ts';
export type { OnDenied } from './refusal.ts';
export { BudgetExceededError, PriceUnknownError } from '../errors.ts';
