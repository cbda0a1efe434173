import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const PROTOCOL_3 = 196_608;
const SSL_REQUEST = 80_877_103;

/** Statements of a client whose end the server tells with a ReadyForQuery: Query and Sync. */
const ASKS: ReadonlySet<string> = new Set(['Q', 'S']);

/** Calls back with each whole message of a stream: its kind, and its bytes. */
class Messages {
  #rest: Buffer = Buffer.alloc(0);
  /** The first message of a client has no kind. */
  #started: boolean;
  readonly #take: (kind: string, message: Buffer) => void;

  constructor(started: boolean, take: (kind: string, message: Buffer) => void) {
    this.#started = started;
    this.#take = take;
  }

  add(data: Buffer): void {
    this.#rest = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    for (;;) {
      const head = this.#started ? 1 : 0;
      if (this.#rest.length < head + 4) return;
      const length = head + this.#rest.readInt32BE(head);
      if (this.#rest.length < length) return;
      const message = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      const kind = head === 1 ? String.fromCharCode(message[0] ?? 0) : '';
      if (kind === '' && message.readInt32BE(4) === PROTOCOL_3) this.#started = true;
      this.#take(kind, message);
    }
  }
}

function message(kind: string, body: Buffer): Buffer {
  const head = Buffer.alloc(kind.length + 4);
  head.write(kind, 0, 'latin1');
  head.writeInt32BE(body.length + 4, kind.length);
  return Buffer.concat([head, body]);
}

function parameters(pairs: readonly string[]): Buffer {
  return Buffer.from(`${pairs.join('\0')}\0`);
}

/** One client: which connection it has at the moment, and how many answers it waits for. */
interface Guest {
  readonly socket: Socket;
  readonly unsent: Buffer[];
  connection: Connection | undefined;
  answersDue: number;
}

/** One connection to the server, and the client that has it. */
interface Connection {
  readonly socket: Socket;
  guest: Guest | undefined;
}

/**
 * A pooler in transaction mode, as PgBouncer is: a client has a connection from its first message to
 * the end of its transaction, and the next time another one. It speaks the wire format of
 * https://www.postgresql.org/docs/15/protocol-message-formats.html with clients and with a server
 * that trusts its user.
 */
export class TransactionPooler {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The one that has been idle longest is given away first. */
  readonly #idle: Connection[] = [];
  readonly #waiting: Guest[] = [];
  readonly #target: URL;

  constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  /** Opens so many connections to the server, and answers with the URL of the pooler. */
  async listen(size: number): Promise<string> {
    for (let count = 0; count < size; count += 1) this.#idle.push(await this.#connect());
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const url = new URL(this.#target);
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  async #connect(): Promise<Connection> {
    const { hostname, port, username, pathname } = this.#target;
    const socket = connect(Number(port), hostname);
    this.#keep(socket);
    const version = Buffer.alloc(4);
    version.writeInt32BE(PROTOCOL_3);
    const who = parameters(['user', username, 'database', pathname.slice(1), '']);
    socket.write(message('', Buffer.concat([version, who])));
    const connection: Connection = { socket, guest: undefined };
    await new Promise<void>((ready, fail) => {
      socket.on('error', fail);
      const messages = new Messages(true, (kind, whole) => {
        connection.guest?.socket.write(whole);
        if (kind !== 'Z') return;
        ready();
        this.#answered(connection, String.fromCharCode(whole[5] ?? 0));
      });
      socket.on('data', (data) => messages.add(data));
    });
    return connection;
  }

  #welcome(socket: Socket): void {
    this.#keep(socket);
    const guest: Guest = { socket, unsent: [], connection: undefined, answersDue: 0 };
    const messages = new Messages(false, (kind, whole) => {
      if (kind === '') this.#start(socket, whole.readInt32BE(4));
      else if (kind === 'X') socket.end();
      else this.#pass(guest, kind, whole);
    });
    socket.on('data', (data) => messages.add(data));
  }

  #start(socket: Socket, request: number): void {
    if (request === SSL_REQUEST) {
      socket.write('N');
      return;
    }
    socket.write(message('R', Buffer.alloc(4)));
    const settings = [
      ['server_version', '15.0'],
      ['client_encoding', 'UTF8'],
      ['standard_conforming_strings', 'on'],
    ];
    for (const pair of settings) socket.write(message('S', parameters(pair)));
    socket.write(message('K', Buffer.alloc(8)));
    socket.write(message('Z', Buffer.from('I')));
  }

  #pass(guest: Guest, kind: string, whole: Buffer): void {
    if (ASKS.has(kind)) guest.answersDue += 1;
    if (guest.connection !== undefined) {
      guest.connection.socket.write(whole);
      return;
    }
    guest.unsent.push(whole);
    if (guest.unsent.length === 1) this.#waiting.push(guest);
    this.#handOut();
  }

  #handOut(): void {
    while (this.#waiting.length > 0) {
      const connection = this.#idle.shift();
      const guest = connection === undefined ? undefined : this.#waiting.shift();
      if (connection === undefined || guest === undefined) return;
      connection.guest = guest;
      guest.connection = connection;
      for (const whole of guest.unsent.splice(0)) connection.socket.write(whole);
    }
  }

  /** The server is ready for more: outside a transaction its connection is for somebody else. */
  #answered(connection: Connection, status: string): void {
    const { guest } = connection;
    if (guest === undefined) return;
    guest.answersDue -= 1;
    if (status !== 'I' || guest.answersDue > 0) return;
    connection.guest = undefined;
    guest.connection = undefined;
    this.#idle.push(connection);
    this.#handOut();
  }
}
