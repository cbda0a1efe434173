import { BudgetExceededError } from '../../../errors.ts';
import type { PurseError } from '../../../ledger/invalid.ts';
import type { JsonObject } from '../provider.ts';

/**
 * https://cloud.google.com/apis/design/errors#error_model: the SDK raises an error whose message is
 * this body as text.
 */
export function googleRefusalBody(error: PurseError): JsonObject {
  const info = {
    '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
    reason: error.code,
    domain: 'pursestrings',
  };
  const { message } = error;
  if (BudgetExceededError.isInstance(error)) {
    const { denial, denials } = error;
    const details = [{ ...info, denial, denials }];
    return { error: { code: 402, message, status: 'FAILED_PRECONDITION', details } };
  }
  const status = error.retryable ? 'UNAVAILABLE' : 'INVALID_ARGUMENT';
  return { error: { code: error.retryable ? 503 : 400, message, status, details: [info] } };
}
