import { createHash } from 'node:crypto';
import type { Purse } from '../purse.ts';
import type { StoredToken, TokenStore } from './credentials.ts';

/** Credentials are kept as long as a store keeps anything: servers say when they are over. */
const KEPT_MS = 400 * 86_400_000;

/** Keeps credentials in the purse's store, for every process that shares it. */
export function purseTokens(purse: Purse): TokenStore {
  return {
    async get(url): Promise<StoredToken | null> {
      const text = await purse.readNote(noteKey(url));
      return text === null ? null : (JSON.parse(text) as StoredToken);
    },
    async set(url, token): Promise<void> {
      await purse.writeNote(noteKey(url), JSON.stringify(token), { ttlMs: KEPT_MS });
    },
  };
}

/** Keys have a bound, and URLs have none. */
function noteKey(url: string): string {
  return `l402:${createHash('sha256').update(url).digest('hex')}`;
}
