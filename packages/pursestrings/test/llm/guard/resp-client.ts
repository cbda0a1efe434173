import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { RedisLike } from '../../../src/llm/guard/index.ts';

/**
 * As much of a Redis client as the tests need: the protocol of RESP2
 * (https://redis.io/docs/latest/develop/reference/protocol-spec/) under the method names of
 * node-redis.
 */
export interface TestRedis extends RedisLike {
  /** Sends any command. */
  send(...command: string[]): Promise<unknown>;
  close(): void;
}

type Waiter = { resolve(value: unknown): void; reject(error: unknown): void };

export async function connectRedis(url: string): Promise<TestRedis> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect(Number(port || 6379), hostname);
  await once(socket, 'connect');
  const send = commandsOf(socket);
  if (pathname.length > 1) await send('SELECT', pathname.slice(1));
  return {
    send,
    close: () => socket.destroy(),
    incrByFloat: async (key, amount) => (await send('INCRBYFLOAT', key, String(amount))) as string,
    get: async (key) => (await send('GET', key)) as string | null,
    expire: (key, seconds) => send('EXPIRE', key, String(seconds)),
    scan: async (cursor, { MATCH, COUNT }) => {
      const reply = await send('SCAN', cursor, 'MATCH', MATCH, 'COUNT', String(COUNT));
      const [next, keys] = reply as [string, string[]];
      return { cursor: next, keys };
    },
  };
}

/** A server to test with: PURSE_TEST_REDIS_URL, else one that is started here for the tests. */
export async function testRedis(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const given = process.env['PURSE_TEST_REDIS_URL'];
  if (given !== undefined) return { url: given, stop: async () => undefined };
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    throw new Error('These tests need Redis: install redis-server, or set PURSE_TEST_REDIS_URL');
  }
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'purse-redis-'));
  const options = ['--port', String(port), '--save', '', '--dir', directory];
  const server = spawn('redis-server', options, { stdio: 'ignore' });
  const url = `redis://127.0.0.1:${port}`;
  await answering(url);
  return {
    url,
    stop: async () => {
      server.kill();
      await once(server, 'exit');
      rmSync(directory, { recursive: true });
    },
  };
}

async function answering(url: string): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    try {
      const redis = await connectRedis(url);
      await redis.send('PING');
      redis.close();
      return;
    } catch {
      await new Promise((wake) => setTimeout(wake, 20));
    }
  }
  throw new Error(`No Redis answers at ${url}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function commandsOf(socket: Socket): (...command: string[]) => Promise<unknown> {
  const waiting: Waiter[] = [];
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (data) => {
    text += String(data);
    for (let read = readReply(text, 0); read !== null; read = readReply(text, 0)) {
      text = text.slice(read.end);
      const waiter = waiting.shift();
      if (read.value instanceof Error) waiter?.reject(read.value);
      else waiter?.resolve(read.value);
    }
  });
  socket.on('error', (error) => {
    for (const waiter of waiting.splice(0)) waiter.reject(error);
  });
  return (...command) => {
    const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    socket.write(`*${command.length}\r\n${parts.join('')}`);
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  };
}

/** Reads one reply that is whole; null where more has to come. */
function readReply(text: string, start: number): { value: unknown; end: number } | null {
  const lineEnd = text.indexOf('\r\n', start);
  if (lineEnd < 0) return null;
  const line = text.slice(start + 1, lineEnd);
  let end = lineEnd + 2;
  switch (text[start]) {
    case '+':
      return { value: line, end };
    case '-':
      return { value: new Error(line), end };
    case ':':
      return { value: Number(line), end };
    case '$': {
      if (line === '-1') return { value: null, end };
      const bytes = text.slice(end, end + Number(line));
      end += Number(line) + 2;
      if (text.length < end) return null;
      return { value: Buffer.from(bytes, 'latin1').toString(), end };
    }
    default: {
      const items: unknown[] = [];
      for (let count = 0; count < Number(line); count += 1) {
        const item = readReply(text, end);
        if (item === null) return null;
        items.push(item.value);
        end = item.end;
      }
      return { value: items, end };
    }
  }
}
