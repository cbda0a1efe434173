import { BudgetExceededError } from '../../../errors.ts';
import type { PurseError } from '../../../ledger/invalid.ts';
import type { JsonObject } from '../provider.ts';

/**
 * https://platform.claude.com/docs/en/api/errors: the SDK raises the error with this whole body as
 * its `error`.
 */
export function anthropicRefusalBody(error: PurseError): JsonObject {
  const { message } = error;
  const code = error.code.toLowerCase();
  if (BudgetExceededError.isInstance(error)) {
    const { denial, denials } = error;
    return errorBody({ type: 'billing_error', message, code, denial, denials });
  }
  const type = error.retryable ? 'api_error' : 'invalid_request_error';
  return errorBody({ type, message, code });
}

function errorBody(error: JsonObject): JsonObject {
  return { type: 'error', error, request_id: null };
}
