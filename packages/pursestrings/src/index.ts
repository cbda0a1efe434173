/** Spend control for AI agents: every spend is held before it happens and settled after. */
export { withLabels } from './ambient-labels.ts';
export type { Balance, BalancesQuery, BalanceStatus } from './balance.ts';
export type { Charge } from './charge.ts';
export type { Clock } from './clock.ts';
export {
  BudgetExceededError,
  ConflictError,
  HoldNotFoundError,
  InvalidAmountError,
  InvalidLabelError,
  InvalidLimitError,
  InvalidOptionError,
  InvalidUnitError,
  InvariantError,
  PriceUnknownError,
  PurseError,
  type Recorded,
  StoreError,
  type StoreErrorCode,
  type StoreFailure,
} from './errors.ts';
export type { ExpiredEvent, PurseEvents, ThresholdEvent } from './events.ts';
export type { Hold, RenameOptions, SettleOptions } from './hold.ts';
export type { Amounts, Decimal } from './ledger/amount.ts';
export type { Denial } from './denial.ts';
export type { Labels } from './ledger/labels.ts';
export type { Limit } from './ledger/limit.ts';
export type { Freeze } from './ledger/policy.ts';
export type { Crossing, IfAbandoned } from './ledger/records.ts';
export type { Report, ReportRow } from './ledger/report.ts';
export type { UnitOptions } from './ledger/unit.ts';
export type { Every, Period } from './ledger/window.ts';
export { exportLedger } from './moving/export-ledger.ts';
export { type Imported, importLedger, type ImportOptions } from './moving/import-ledger.ts';
export type { NoteOptions } from './notes.ts';
export { openPurse, type Purse } from './purse.ts';
export type {
  Health,
  HealthOptions,
  HoldsQuery,
  JournalOptions,
  PurseOptions,
  ReportQuery,
} from './purse-options.ts';
export { sats, tokens, usd } from './shorthand.ts';
export type { ChargeOptions, ReserveOptions, TakeUpOptions } from './spend-options.ts';
export type { LedgerStore } from './stores/store.ts';
export type { Mismatch, Verification } from './verification.ts';
