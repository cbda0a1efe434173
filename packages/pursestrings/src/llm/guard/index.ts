/** A guard around a client: the interface of the package budget-guard, on this package's ledger. */
export {
  BudgetExceededError,
  type RefusalDetails,
  UnknownModelError,
  UnknownUsageShapeError,
} from './errors.ts';
export {
  estimator,
  type EstimatorOptions,
  NEW_TOKENIZER_MULTIPLIER,
  tokenizerMultiplier,
} from './estimator.ts';
export {
  type AnswerOf,
  type ArgsOf,
  guard,
  guardAnthropic,
  type Guarded,
  guardGemini,
  guardOpenAI,
} from './guard.ts';
export {
  BudgetGuardHandler,
  budgetGuardHandler,
  type BudgetGuardHandlerOptions,
} from './langchain.ts';
export { guardLlamaIndex, type LlamaIndexModel } from './llamaindex.ts';
export { MemoryStore } from './memory-store.ts';
export { type GuardPeriod, periodKey } from './period.ts';
export { cost, definePrice, PRICES } from './prices.ts';
export { type RedisLike, redisStore, type RedisStoreOptions } from './redis-store.ts';
export { spendReport, spentTotal } from './spend-report.ts';
export {
  type AnthropicUsage,
  buildAnthropicUsage,
  buildOpenAIUsage,
  createFixedClock,
  FakeSpendStore,
  type OpenAIUsage,
  simulateConcurrentIncrements,
  type SpendOp,
} from './testing.ts';
export { closeStores, fileStore, type SpendSource } from './accounts.ts';
export type {
  CallArgs,
  CallTags,
  ExceededEvent,
  GuardInternals,
  GuardOptions,
  PriceRow,
  RejectedEvent,
  RetryStats,
  RetryStormEvent,
  SpendEvent,
  SpendStore,
  ThresholdEvent,
  UnknownModelPolicy,
  Usage,
} from './types.ts';
export { normalizeUsage } from './usage.ts';
export { budgetGuardMiddleware } from './vercel.ts';
