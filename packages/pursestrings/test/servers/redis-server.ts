import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A Redis (or Valkey) server that the tests started. */
export interface RedisProcess {
  readonly port: number;
  readonly url: string;
  readonly running: boolean;
  /** Runs a command by `redis-cli`, and answers what it said. */
  cli(...args: string[]): string;
  /** Ends it at once, as a power loss would: nothing is flushed. */
  kill(): Promise<void>;
  /** Stops it where it stands: it keeps its connections and answers nothing. */
  pause(): void;
  /** Lets it go on. */
  resume(): void;
  /** Starts it again on the same port, with what it had on disk. */
  start(): Promise<void>;
  /** Ends it and removes its directory. */
  stop(): Promise<void>;
}

/** Three primaries with a replica each. */
export interface RedisCluster {
  readonly nodes: readonly RedisProcess[];
  readonly ports: readonly number[];
  /** The node that is primary for a key. */
  primaryOf(key: string): RedisProcess;
  stop(): Promise<void>;
}

/** A primary with two replicas, and three Sentinels that watch them. */
export interface SentinelGroup {
  /** What the Sentinels call it. */
  readonly name: string;
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  /** The node that the Sentinels take for the primary. */
  primary(): RedisProcess;
  stop(): Promise<void>;
}

const INSTALL =
  'The tests need a Redis server: install redis-server (or valkey-server) 7 or later, or set PURSE_TEST_REDIS_URL or PURSE_TEST_REDIS_SERVER';

const HOST = '127.0.0.1';

/** The server that tests share: the one that is named, or at the default port, or one of our own. */
export async function sharedRedis(): Promise<{
  readonly url: string;
  readonly stop: () => Promise<void>;
}> {
  const named = process.env['PURSE_TEST_REDIS_URL'];
  const nothing = async (): Promise<void> => undefined;
  if (named !== undefined) return { url: named, stop: nothing };
  const another = process.env['PURSE_TEST_REDIS_SERVER'] !== undefined;
  if (!another && (await answers(6379))) return { url: 'redis://127.0.0.1:6379', stop: nothing };
  const started = await startRedis();
  return { url: started.url, stop: () => started.stop() };
}

/** Starts a server of the test's own on a free port. */
export function startRedis(args: readonly string[] = []): Promise<RedisProcess> {
  return startServer((directory, port) => [
    '--port',
    String(port),
    '--dir',
    directory,
    '--save',
    '',
    ...args,
  ]);
}

async function startServer(
  settingsFor: (directory: string, port: number) => readonly string[],
): Promise<RedisProcess> {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'purse-redis-'));
  const settings = settingsFor(directory, port);
  let running = await launch(settings, port);
  const end = async (): Promise<void> => {
    if (running.exitCode !== null || running.signalCode !== null) return;
    const ended = once(running, 'close');
    running.kill('SIGKILL');
    await ended;
  };
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get running() {
      return running.exitCode === null && running.signalCode === null;
    },
    cli: (...words) =>
      execFileSync(cliBinary(), ['-p', String(port), ...words], { encoding: 'utf8' }).trim(),
    kill: end,
    pause: () => void running.kill('SIGSTOP'),
    resume: () => void running.kill('SIGCONT'),
    start: async () => {
      running = await launch(settings, port);
    },
    stop: async () => {
      await end();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Starts a cluster of three primaries and three replicas, and waits until it is whole. */
export async function startCluster(): Promise<RedisCluster> {
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1500'];
  const nodes: RedisProcess[] = [];
  for (let count = 0; count < 6; count += 1) nodes.push(await startRedis(settings));
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`);
  const create = ['--cluster', 'create', ...hosts, '--cluster-replicas', '1', '--cluster-yes'];
  execFileSync(cliBinary(), create);
  for (const node of nodes) {
    await until(() => node.cli('cluster', 'info').includes('cluster_state:ok'));
    await until(() => node.cli('cluster', 'nodes').split('slave').length === 4);
  }
  return {
    nodes,
    ports: nodes.map(({ port }) => port),
    primaryOf: (key) => {
      const up = nodes.filter((node) => node.running);
      const slot = Number(up[0]?.cli('cluster', 'keyslot', key));
      const primary = up.find(({ cli }) => holdsSlot(cli('cluster', 'nodes'), slot));
      if (primary === undefined) throw new Error(`no node has slot ${slot}`);
      return primary;
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

/** Starts a primary, two replicas and three Sentinels, and waits until all know of each other. */
export async function startSentinelGroup(): Promise<SentinelGroup> {
  const name = 'purse';
  const primary = await startRedis();
  const replicaOf = ['--replicaof', `${HOST} ${primary.port}`, '--repl-diskless-sync-delay', '0'];
  const nodes = [primary, await startRedis(replicaOf), await startRedis(replicaOf)];
  const sentinels: RedisProcess[] = [];
  for (let count = 0; count < 3; count += 1)
    sentinels.push(await startSentinel(name, primary.port));
  for (const { cli } of sentinels) {
    await until(() => {
      const said = cli('sentinel', 'master', name);
      return /num-slaves\s+2\s/.test(said) && /num-other-sentinels\s+2\s/.test(said);
    });
  }
  await until(() => primary.cli('info', 'replication').split('state=online').length === 3);
  return {
    name,
    sentinels: sentinels.map(({ port }) => ({ host: HOST, port })),
    primary: () => {
      const said = sentinels[0]?.cli('sentinel', 'get-master-addr-by-name', name) ?? '';
      const node = nodes.find(({ port }) => said.split('\n')[1] === String(port));
      if (node === undefined) throw new Error(`the Sentinels name ${said}, which is none of ours`);
      return node;
    },
    stop: async () => {
      await Promise.all([...sentinels, ...nodes].map((node) => node.stop()));
    },
  };
}

/** A Sentinel keeps what it learns in its configuration, so it has a file of its own. */
function startSentinel(name: string, primaryPort: number): Promise<RedisProcess> {
  return startServer((directory, port) => {
    const file = join(directory, 'sentinel.conf');
    const settings = [
      `port ${port}`,
      `dir ${directory}`,
      `sentinel monitor ${name} ${HOST} ${primaryPort} 2`,
      `sentinel down-after-milliseconds ${name} 800`,
      `sentinel failover-timeout ${name} 2000`,
    ];
    writeFileSync(file, `${settings.join('\n')}\n`);
    return [file, '--sentinel'];
  });
}

/** Waits until something is so; 30 seconds at the most. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await isSo()) return;
    await sleep(50);
  }
  throw new Error(`waited 30 seconds in vain for ${isSo.toString()}`);
}

/** True when the node that says this is the primary of a slot. */
function holdsSlot(nodes: string, slot: number): boolean {
  const myself = nodes.split('\n').find((line) => line.includes('myself'));
  if (myself === undefined || !myself.includes('master')) return false;
  return myself
    .split(' ')
    .slice(8)
    .some((range) => {
      const [from, to = from] = range.split('-').map(Number);
      return from !== undefined && to !== undefined && slot >= from && slot <= to;
    });
}

async function launch(settings: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn(serverBinary(), settings, { stdio: 'ignore' });
  await until(() => {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
    return answers(port);
  });
  return child;
}

/** PURSE_TEST_REDIS_SERVER names another server to test with, such as Valkey's. */
function serverBinary(): string {
  const named = process.env['PURSE_TEST_REDIS_SERVER'];
  return firstInstalled(named === undefined ? ['redis-server', 'valkey-server'] : [named]);
}

function cliBinary(): string {
  return firstInstalled(['redis-cli', 'valkey-cli']);
}

function firstInstalled(names: readonly string[]): string {
  for (const name of names) {
    try {
      execFileSync(name, ['--version']);
      return name;
    } catch {
      // The next one, then.
    }
  }
  throw new Error(INSTALL);
}

/** True when a server answers PING on a port, and has its data. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const settle = (said: boolean): void => {
      socket.destroy();
      resolve(said);
    };
    socket.once('data', (data: Buffer) => settle(data.toString().startsWith('+PONG')));
    socket.once('error', () => settle(false));
    socket.setTimeout(1000, () => settle(false));
  });
}

async function freePort(): Promise<number> {
  // A cluster node also listens on its port plus 10,000.
  for (;;) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    server.close();
    await once(server, 'close');
    if (typeof address === 'object' && address !== null && address.port < 55_000) {
      return address.port;
    }
  }
}
