import { BudgetExceededError } from '../../../errors.ts';
import type { PurseError } from '../../../ledger/invalid.ts';
import type { JsonObject } from '../provider.ts';

/**
 * https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization:
 * the SDK names its error by the header, and takes the fields of the body over.
 */
export function awsRefusalBody(error: PurseError): JsonObject {
  const { message } = error;
  const plain = { __type: exceptionName(error), message };
  if (!BudgetExceededError.isInstance(error)) return plain;
  const { denial, denials } = error;
  return { ...plain, denial, denials };
}

/** https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization */
export function awsRefusalHeaders(error: PurseError): Readonly<Record<string, string>> {
  return { 'x-amzn-errortype': exceptionName(error) };
}

function exceptionName(error: PurseError): string {
  if (BudgetExceededError.isInstance(error)) return 'BudgetExceededException';
  return error.retryable ? 'ServiceUnavailableException' : 'ValidationException';
}
