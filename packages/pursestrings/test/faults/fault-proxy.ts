import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What becomes of the next answer on each connection that stands. */
type AnswerFate = 'whole' | 'cut' | 'truncated';

/** One client's connection, with the one to the server behind it. */
interface Link {
  readonly near: Socket;
  readonly far: Socket;
  /** Keeps its sockets, takes what comes, and hands nothing on. */
  silent: 'no' | 'answers' | 'all';
  next: AnswerFate;
}

interface ProxyState {
  delayMs: number;
  swallows: boolean;
}

/**
 * A proxy on loopback between a client and its server that does what networks do. It knows nothing
 * of what is said through it. Faults strike the connections that stand, and those that come later are
 * whole, but for `swallow` and `delay`.
 */
export class FaultProxy {
  readonly port: number;
  readonly #close: () => void;
  readonly #links: Set<Link>;
  readonly #state: ProxyState;

  static async to(port: number): Promise<FaultProxy> {
    const links = new Set<Link>();
    const state: ProxyState = { delayMs: 0, swallows: false };
    const server = createServer((near) => {
      near.setNoDelay(true);
      const far = connect(port, '127.0.0.1').setNoDelay(true);
      const link: Link = { near, far, silent: state.swallows ? 'all' : 'no', next: 'whole' };
      links.add(link);
      const end = (): void => {
        links.delete(link);
        near.destroy();
        far.destroy();
      };
      for (const socket of [near, far]) socket.on('error', end).on('close', end);
      near.on('data', (data: Buffer) => {
        if (link.silent !== 'all') later(state.delayMs, () => far.write(data));
      });
      far.on('data', (data: Buffer) => later(state.delayMs, () => answer(link, data, end)));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port: own } = server.address() as AddressInfo;
    return new FaultProxy(own, links, state, () => server.close());
  }

  private constructor(port: number, links: Set<Link>, state: ProxyState, close: () => void) {
    this.port = port;
    this.#links = links;
    this.#state = state;
    this.#close = close;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const { near } of this.#links) near.destroy();
  }

  /** Lets requests reach the server, and cuts each connection at the next answer, or in its middle. */
  cutAtAnswer(fate: 'cut' | 'truncated'): void {
    for (const link of this.#links) link.next = fate;
  }

  /** Leaves every connection half-open for good: nothing comes back; with `all`, nothing goes out. */
  silence(what: 'answers' | 'all'): void {
    for (const link of this.#links) link.silent = what;
  }

  /** From now on, or no longer: new connections are taken, and stay silent for good. */
  swallow(swallows: boolean): void {
    this.#state.swallows = swallows;
  }

  /** Hands everything on so much later, in its order. */
  delay(ms: number): void {
    this.#state.delayMs = ms;
  }

  close(): void {
    this.#close();
    this.cut();
  }
}

function answer(link: Link, data: Buffer, end: () => void): void {
  if (link.silent !== 'no' || link.near.destroyed) return;
  if (link.next === 'whole') return void link.near.write(data);
  if (link.next === 'cut') return end();
  // A part of the answer arrives, and then the end of the connection.
  link.near.end(data.subarray(0, Math.ceil(data.length / 2)), end);
}

function later(delayMs: number, work: () => void): void {
  if (delayMs === 0) work();
  else setTimeout(work, delayMs);
}
