import { createHash } from 'node:crypto';
import { InvalidOptionError } from '../errors.ts';
import { shown } from '../ledger/invalid.ts';

/** The namespace of an enforcer that names none. */
export const DEFAULT_NAMESPACE = 'default';

/** What the names of other namespaces begin with in a storage; no other name begins so. */
const MARK = 'ns/';

/** The ledgers of namespaces that cannot be a ledger's name, and of those that look like these. */
const HASHED = 'x-';

/** Checks a namespace. @throws InvalidOptionError */
export function checkedNamespace(namespace: string = DEFAULT_NAMESPACE): string {
  if (typeof namespace === 'string' && namespace.length <= 1024 && namespace.isWellFormed()) {
    return namespace;
  }
  throw new InvalidOptionError(
    `namespace is ${shown(namespace)}; it must be text of at most 1024 characters`,
  );
}

/** The ledger of a namespace, in a file. */
export function ledgerName(namespace: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(namespace) && !namespace.startsWith(HASHED)) return namespace;
  return `${HASHED}${createHash('sha256').update(namespace).digest('base64url')}`;
}

/**
 * Writes and reads the names of one namespace in a storage that knows no namespaces. Those of the
 * default one stand as they are, so that what others have written there is found.
 */
export class StoredNames {
  readonly #prefix: string;
  readonly #isDefault: boolean;

  constructor(namespace: string) {
    this.#prefix = `${MARK}${encodeURIComponent(namespace)}/`;
    this.#isDefault = namespace === DEFAULT_NAMESPACE;
  }

  write(name: string): string {
    return this.#isDefault && !name.startsWith(MARK) ? name : `${this.#prefix}${name}`;
  }

  /** The name itself; `null` for one of another namespace. */
  read(stored: string): string | null {
    if (stored.startsWith(this.#prefix)) return stored.slice(this.#prefix.length);
    return this.#isDefault && !stored.startsWith(MARK) ? stored : null;
  }
}
