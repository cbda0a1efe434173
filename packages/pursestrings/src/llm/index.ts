export { calculateCost, estimateCall, readUsage } from './cost.ts';
export type { CallCost, CallEstimate, CostOptions, ProviderUsage } from './cost.ts';
export { describePrice, similarModels } from './describe-price.ts';
export type { DescribedRates, ListedModel, PriceDescription, PriceStep } from './describe-price.ts';
export { firstAffordable } from './first-affordable.ts';
export type { CandidateHold, CandidateSpend } from './first-affordable.ts';
export { LoopBreaker, LoopDetectedError } from './loop-breaker.ts';
export type { LoopBreakerOptions, LoopEntry, LoopFound } from './loop-breaker.ts';
export { meteredFetch } from './metered-fetch.ts';
export type { MeterOptions } from './metered-fetch.ts';
export { purseMiddleware } from './middleware.ts';
export type {
  MiddlewareAnswer,
  MiddlewareModel,
  MiddlewareOptions,
  MiddlewareParams,
  MiddlewareStream,
  PurseMiddleware,
} from './middleware.ts';
export type { ModelPrice, PriceBook } from './price.ts';
export type { TokenRates } from './rates.ts';
export type { Pieces, Usage } from './usage.ts';
export type { CeilingPrice, PriceSources } from './price-list.ts';
export type { OnDenied } from './refusal.ts';
export { BudgetExceededError, PriceUnknownError } from '../errors.ts';
