import { randomUUID } from 'node:crypto';
import { flat } from './ledger/flat.ts';

let lastMs = Number.NaN;
let timePart = '';

/**
 * Makes a new id, a UUID of version 7: milliseconds since the Unix epoch, then 74 random bits
 * (https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7). Those that are made one after the other lie
 * side by side in an index. The random bits are those of Node's own UUID, which keeps some at hand:
 * an id is most of what a spend in memory would cost otherwise.
 */
export function newId(): string {
  const nowMs = Math.max(0, Date.now());
  if (nowMs !== lastMs) {
    const digits = nowMs.toString(16).padStart(12, '0');
    timePart = flat(`${digits.slice(0, 8)}-${digits.slice(8)}-7`);
    lastMs = nowMs;
  }
  // The version's digit is the fifteenth character; what comes after it is random, and the variant.
  return flat(timePart + randomUUID().slice(15));
}
