/**
 * Failures of looking a host up, connecting to it or agreeing on a secret: no request was sent
 * yet.
 */
const BEFORE_SENDING: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_INVALID_URL',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_INVALID_ARG',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** A connection that broke can fail with the same codes as one that was never made. */
const LATER_CALLS: ReadonlySet<unknown> = new Set(['read', 'write', 'shutdown']);

/** What `fetch` says of a URL with a user's name in it, which it does not send at all. */
const WITH_CREDENTIALS = /^Request cannot be constructed from a URL that includes credentials/;

const BEFORE_SENDING_CALLS: ReadonlySet<unknown> = new Set(['connect', 'getaddrinfo']);

/** Nothing that `fetch` rejects with nests deeper. */
const MAX_DEPTH = 5;

/**
 * True when a rejected fetch says for certain that no request was sent, by the code that Node gives
 * its cause. Every other failure may have come after the provider had the request.
 */
export function neverLeft(error: unknown, depth: number = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > MAX_DEPTH) return false;
  const syscall: unknown = Reflect.get(error, 'syscall');
  if (LATER_CALLS.has(syscall)) return false;
  if (BEFORE_SENDING.has(Reflect.get(error, 'code'))) return true;
  if (BEFORE_SENDING_CALLS.has(syscall)) return true;
  if (error instanceof TypeError && WITH_CREDENTIALS.test(error.message)) return true;
  // Connecting to several addresses of one host fails as a group.
  const errors: unknown = Reflect.get(error, 'errors');
  if (Array.isArray(errors) && errors.length > 0) {
    return errors.every((each) => neverLeft(each, depth + 1));
  }
  return neverLeft(Reflect.get(error, 'cause'), depth + 1);
}
