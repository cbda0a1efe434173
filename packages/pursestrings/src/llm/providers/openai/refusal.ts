import { BudgetExceededError } from '../../../errors.ts';
import type { PurseError } from '../../../ledger/invalid.ts';
import type { JsonObject } from '../provider.ts';

/**
 * https://platform.openai.com/docs/guides/error-codes: the SDK raises the error with this object
 * as its `error`.
 */
export function openaiRefusalBody(error: PurseError): JsonObject {
  if (BudgetExceededError.isInstance(error)) {
    const { message, denial, denials } = error;
    const code = 'budget_exceeded';
    return { error: { message, type: code, param: null, code, denial, denials } };
  }
  const code = error.code.toLowerCase();
  return { error: { message: error.message, type: 'purse_error', param: null, code } };
}
