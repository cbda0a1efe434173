import type { Scheme } from './challenge.ts';

/** What a payment bought: it opens a resource until the server refuses it. */
export interface Credential {
  readonly scheme: Scheme;
  readonly token: string;
  /** 32 bytes in hex, lower case. */
  readonly preimage: string;
}

/** Names what a credential belongs to: an origin and a path, without query and fragment. */
export function resourceOf(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** Writes a credential as an `Authorization` header. */
export function authorizationOf({ scheme, token, preimage }: Credential): string {
  return `${scheme} ${token}:${preimage}`;
}

/** A token and a preimage, as stores of tokens keep them. */
export interface StoredToken {
  readonly macaroon: string;
  readonly preimage: string;
  /** Which name of the scheme the server knows it by. Default `'L402'`. */
  readonly scheme?: 'L402' | 'LSAT';
}

/**
 * Where credentials are kept, if not in the purse. It is asked by origin and path, such as
 * `https://api.example.com/weather`.
 *
 * @example
 * ```ts
 * import type { TokenStore } from 'pursestrings/l402';
 *
 * const tokens = new Map<string, { macaroon: string; preimage: string }>();
 * const tokenStore: TokenStore = {
 *   get: (url) => tokens.get(url),
 *   set: (url, token) => void tokens.set(url, token),
 * };
 * ```
 */
export interface TokenStore {
  get(url: string): StoredToken | null | undefined | Promise<StoredToken | null | undefined>;
  set(url: string, token: StoredToken): unknown;
}

/** As many credentials are kept at hand. */
const MAX_AT_HAND = 10_000;

/** A credential that was found. */
export interface FoundCredential {
  readonly credential: Credential;
  /** When it was bought here, by `performance.now()`; -Infinity for one that a store kept. */
  readonly boughtAtMs: number;
}

/** Credentials by resource: some at hand, all of them in a store. */
export class Credentials {
  readonly #store: TokenStore | null;
  readonly #failed: (error: unknown) => void;
  readonly #atHand = new Map<string, FoundCredential>();
  readonly #refused = new Map<string, string>();

  /** The store is the ledger's own: what it keeps outlives whatever befalls this process. */
  readonly durable: boolean;

  constructor(store: TokenStore | null, durable: boolean, failed: (error: unknown) => void) {
    this.#store = store;
    this.durable = durable;
    this.#failed = failed;
  }

  /** The credential at hand. */
  peek(resource: string): FoundCredential | null {
    return this.#atHand.get(resource) ?? null;
  }

  /** The credential at hand, or else in the store. A store that fails has none. */
  async find(resource: string): Promise<FoundCredential | null> {
    const atHand = this.peek(resource);
    if (atHand !== null || this.#store === null) return atHand;
    try {
      const credential = readStored(await this.#store.get(resource));
      if (credential === null || this.#refused.get(resource) === authorizationOf(credential)) {
        return null;
      }
      const found = { credential, boughtAtMs: Number.NEGATIVE_INFINITY };
      remember(this.#atHand, resource, found);
      return found;
    } catch (error) {
      this.#failed(error);
      return null;
    }
  }

  /** Keeps a credential. It is at hand whatever the store says. */
  async keep(resource: string, credential: Credential): Promise<void> {
    remember(this.#atHand, resource, { credential, boughtAtMs: performance.now() });
    const { scheme, token: macaroon, preimage } = credential;
    try {
      const stored = { macaroon, preimage, ...(scheme === 'LSAT' && { scheme }) };
      await this.#store?.set(resource, stored);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Lets go of a credential that was refused, unless another has taken its place. */
  drop(resource: string, authorization: string): void {
    remember(this.#refused, resource, authorization);
    const atHand = this.#atHand.get(resource);
    if (atHand !== undefined && authorizationOf(atHand.credential) === authorization) {
      this.#atHand.delete(resource);
    }
  }
}

/** Puts an entry last, and forgets the first one when there are too many. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= MAX_AT_HAND) return;
  for (const first of map.keys()) {
    map.delete(first);
    return;
  }
}

/** Reads what a store answers: it may be anything, and it goes into a header. */
function readStored(stored: unknown): Credential | null {
  if (typeof stored !== 'object' || stored === null) return null;
  const { macaroon, preimage, scheme } = stored as Partial<Record<string, unknown>>;
  if (typeof macaroon !== 'string' || !/^[\w.~+/-]+=*$/.test(macaroon)) return null;
  if (typeof preimage !== 'string' || !/^[0-9a-fA-F]{64}$/.test(preimage)) return null;
  return {
    scheme: scheme === 'LSAT' ? 'LSAT' : 'L402',
    token: macaroon,
    preimage: preimage.toLowerCase(),
  };
}
