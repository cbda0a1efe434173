/** A synchronous budget enforcer, with the interface that its users know, on the ledger. */
export { InvalidAmountError } from '../errors.ts';
export { BudgetEnforcer } from './budget-enforcer.ts';
export { BudgetExceededError } from './errors.ts';
export { type BudgetStorage, MemoryStorage, type MemoryStorageOptions } from './storage.ts';
export type {
  BudgetCheckResult,
  BudgetEnforcerConfig,
  BudgetUtilization,
  CheckReason,
  CommitOptions,
  CommitResult,
  EnvelopeConfig,
  PendingCommit,
  Period,
  SpendingEnvelope,
  Transaction,
  TransactionFilter,
} from './types.ts';
