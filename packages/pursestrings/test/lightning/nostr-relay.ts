import type { AddressInfo } from 'node:net';

import { type WebSocket, WebSocketServer } from 'ws';

/** A signed event, as far as a relay looks into it. */
export interface NostrEvent {
  readonly id: string;
  readonly kind: number;
  readonly pubkey: string;
  readonly tags: readonly (readonly string[])[];
}

type Filter = Readonly<Record<string, readonly (string | number)[] | number>>;

/** A Nostr relay of one process: NIP-01's REQ, EVENT and CLOSE. */
export interface NostrRelay extends AsyncDisposable {
  readonly url: string;
  /** Passes an event on, as if it had been published. */
  inject: (event: NostrEvent) => void;
  /** Says of an event whether it is passed on; one that is not is lost after it was accepted. */
  passes: (event: NostrEvent) => boolean;
  /** Says whether an event is accepted. */
  accepts: (event: NostrEvent) => boolean;
}

/** Opens a relay on a free port. */
export async function openRelay(): Promise<NostrRelay> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => {
    server.once('listening', resolve);
  });
  const stored: NostrEvent[] = [];
  const subscriptions = new Map<WebSocket, Map<string, readonly Filter[]>>();
  const relay: NostrRelay = {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    inject: (event) => passOn(event),
    passes: () => true,
    accepts: () => true,
    [Symbol.asyncDispose]: async () => {
      for (const client of server.clients) client.terminate();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
  const passOn = (event: NostrEvent): void => {
    stored.push(event);
    for (const [peer, filters] of subscriptions) {
      for (const [id, some] of filters) {
        if (some.some((filter) => matches(filter, event))) say(peer, 'EVENT', id, event);
      }
    }
  };
  const publish = (socket: WebSocket, event: NostrEvent): void => {
    const accepted = relay.accepts(event);
    say(socket, 'OK', event.id, accepted, accepted ? '' : 'blocked: not today');
    if (accepted && relay.passes(event)) passOn(event);
  };
  server.on('connection', (socket) => {
    const own = new Map<string, readonly Filter[]>();
    subscriptions.set(socket, own);
    socket.on('close', () => subscriptions.delete(socket));
    socket.on('message', (data) => {
      const [verb, first, ...rest] = JSON.parse((data as Buffer).toString()) as [
        string,
        never,
        ...never[],
      ];
      if (verb === 'EVENT') publish(socket, first);
      if (verb === 'CLOSE') own.delete(first);
      if (verb !== 'REQ') return;
      own.set(first, rest);
      const found = stored.filter((event) => rest.some((filter) => matches(filter, event)));
      for (const event of found) say(socket, 'EVENT', first, event);
      say(socket, 'EOSE', first);
    });
  });
  return relay;
}

function say(socket: WebSocket, ...message: readonly unknown[]): void {
  socket.send(JSON.stringify(message));
}

function matches(filter: Filter, event: NostrEvent): boolean {
  return Object.entries(filter).every(([name, wanted]) => {
    if (!Array.isArray(wanted)) return true;
    if (name === 'ids') return wanted.includes(event.id);
    if (name === 'kinds') return wanted.includes(event.kind);
    if (name === 'authors') return wanted.includes(event.pubkey);
    return event.tags.some(
      ([tag, value]) => `#${tag ?? ''}` === name && value !== undefined && wanted.includes(value),
    );
  });
}
