import { mayBeBilled as isByGateway } from '../gateway-status.ts';
import { neverLeft } from '../never-left.ts';

/** What SDKs and Node name errors of calls that were under way when they were given up. */
const UNDER_WAY: ReadonlySet<unknown> = new Set([
  'AbortError',
  'TimeoutError',
  'APIUserAbortError',
  'APIConnectionError',
  'APIConnectionTimeoutError',
]);

const CUT: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'UND_ERR_SOCKET']);

/**
 * True when the provider may have billed a call that failed: it was aborted, timed out or cut off
 * after it had left, or a gateway answered in the provider's stead. An error by the provider itself
 * is not billed, and one thrown by other code says nothing of a call.
 */
export function mayBeBilled(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || neverLeft(error)) return false;
  const status: unknown = Reflect.get(error, 'status') ?? Reflect.get(error, 'statusCode');
  if (typeof status === 'number') return isByGateway(status);
  if (UNDER_WAY.has(Reflect.get(error, 'name')) || UNDER_WAY.has(error.constructor?.name)) {
    return true;
  }
  if (CUT.has(Reflect.get(error, 'code'))) return true;
  const cause: unknown = Reflect.get(error, 'cause');
  return cause !== error && mayBeBilled(cause);
}
