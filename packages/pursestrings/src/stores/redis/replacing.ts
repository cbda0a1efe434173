import type { RedisConnection } from './connection.ts';

/** What the packages differ in when one client takes the place of another. */
export interface ClientKind<C extends object> {
  /** What the caller calls it: `redis`, `ioredis`. */
  readonly name: string;
  sender(client: C): RedisConnection['send'];
  /** Opens a client like this one; undefined where that cannot be done. */
  duplicate(client: C): C | undefined;
  destroy(client: C): void;
}

/** How each kind of client says that its owner has closed it. */
const CLOSED_EVENTS = ['end', 'disconnect'] as const;

/**
 * Speaks through a client, and through another like it once a call hangs on it: a connection that is
 * half-open never says so. A client of the caller's is left alone then, for others may use it; the
 * one in its place is closed with it, or with the store.
 */
export function replaceable<C extends object>(
  client: C,
  owned: boolean,
  kind: ClientKind<C>,
): RedisConnection {
  const first = { client, send: kind.sender(client) };
  let current = first;
  const use = (next: typeof first): void => {
    const before = current;
    current = next;
    if (before !== next && (owned || before !== first)) kind.destroy(before.client);
  };
  if (!owned && 'on' in client) {
    const { on } = client as { on: (event: string, listener: () => void) => unknown };
    // Each command says by itself that it failed; without a listener Node would end the process.
    on.call(client, 'error', () => undefined);
    for (const event of CLOSED_EVENTS) on.call(client, event, () => use(first));
  }
  return {
    client: kind.name,
    send: (key, command, wait) => current.send(key, command, wait),
    dropper: () => {
      const used = current;
      return () => {
        // Many calls hang on one connection, and only one of them finds it in use still.
        if (current !== used) return;
        const fresh = kind.duplicate(used.client);
        if (fresh !== undefined) use({ client: fresh, send: kind.sender(fresh) });
      };
    },
    close: async () => {
      if (owned) kind.destroy(current.client);
      else use(first);
    },
  };
}
