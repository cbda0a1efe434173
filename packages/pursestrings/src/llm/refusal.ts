import { BudgetExceededError } from '../errors.ts';
import { PurseError } from '../ledger/invalid.ts';
import type { Provider } from './providers/provider.ts';

/** How a refusal reaches the caller of `fetch`. */
export type OnDenied = 'respond' | 'throw';

/**
 * Payment required for a refusal, unavailable for a store that is down, bad request for the rest.
 */
function statusOf(error: PurseError): number {
  if (BudgetExceededError.isInstance(error)) return 402;
  return error.retryable ? 503 : 400;
}

/**
 * Refuses a call before anything went out. `respond` answers in the provider's own error shape and
 * says whether a retry can help, so that an SDK raises its own error at once; `throw` rejects with
 * the error itself. What is no error of this package, such as an abort, is thrown either way.
 */
export function refuse(error: unknown, provider: Provider, onDenied: OnDenied): Response {
  if (onDenied === 'throw' || !PurseError.isInstance(error)) throw error;
  return new Response(JSON.stringify(provider.refusalBody(error)), {
    status: statusOf(error),
    headers: {
      'content-type': 'application/json',
      'x-should-retry': String(error.retryable),
      ...provider.refusalHeaders?.(error),
    },
  });
}
