/** For tests: of agents under caps, of stores, of anything that a clock moves. */
export { balancesOf, type Command, CommandRunner, runOnModel } from './commands.ts';
export type { ConformanceCase, MakeStore } from './conformance/case.ts';
export {
  LedgerModel,
  type ModelAmounts,
  type ModelLabels,
  type ModelLimit,
  type ModelReserve,
  type Outcome,
} from './ledger-model.ts';
export type { LoopbackRates } from './loopback-bill.ts';
export {
  loopbackPaywall,
  type LoopbackPaywall,
  type LoopbackPaywallOptions,
  type PaywallBill,
} from './loopback-paywall.ts';
export {
  type LoopbackAnswer,
  loopbackProvider,
  type LoopbackProvider,
  type LoopbackProviderOptions,
  type LoopbackRequest,
} from './loopback-provider.ts';
export { type ManualClock, manualClock } from './manual-clock.ts';
export { type Draw, MODEL_LIMITS, randomCommand, seededDraw } from './random-commands.ts';
export { storeConformance, type StoreConformanceOptions } from './store-conformance.ts';
