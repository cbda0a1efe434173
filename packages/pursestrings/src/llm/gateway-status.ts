/**
 * Answers by a gateway that stopped waiting for the provider, which may have gone on and bill the
 * call: timeouts, bad gateways, and Cloudflare's own.
 * https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
 */
const UNKNOWN_STATUSES: ReadonlySet<number> = new Set([
  408, 499, 502, 504, 520, 521, 522, 523, 524,
]);

/** True for an error status behind which the call may have run. */
export function mayBeBilled(status: number): boolean {
  return UNKNOWN_STATUSES.has(status);
}
