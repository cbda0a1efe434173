import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const DEFAULT_URL = 'postgres://postgres@127.0.0.1:5432/test';

/** A server of a test's own, which the test may kill. */
export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  /** Starts it, again if need be, and waits until it takes connections. */
  start(): Promise<void>;
  /** Ends every process of it at once, as a power cut would. */
  kill(): Promise<void>;
  /** Stops every process of it where it stands: it keeps its connections and answers nothing. */
  pause(): void;
  /** Lets them go on. */
  resume(): void;
  /** Kills it and takes its directory away. */
  remove(): Promise<void>;
}

/** The URL of a server for tests: the one that is named, the one at the usual place, or one of our own. */
export async function postgresUrl(): Promise<{ url: string; stop: () => Promise<void> }> {
  const named = process.env['PURSE_TEST_POSTGRES_URL'];
  if (named !== undefined && named !== '') return { url: named, stop: async () => undefined };
  if (await answers(5432)) {
    const database = (await hasDatabase('test')) ? 'test' : 'postgres';
    return { url: DEFAULT_URL.replace(/test$/, database), stop: async () => undefined };
  }
  const server = await postgresServer();
  await server.start();
  return { url: server.url, stop: () => server.remove() };
}

/** Makes a server in a new directory; it does not run yet. */
export async function postgresServer(settings: readonly string[] = []): Promise<PostgresServer> {
  const bin = binaries();
  const owner = ownerIds();
  const directory = await mkdtemp(join(tmpdir(), 'purse-postgres-'));
  if (owner !== undefined) await chown(directory, owner.uid, owner.gid);
  await chmod(directory, 0o700);
  const data = join(directory, 'data');
  const as = owner === undefined ? {} : owner;
  const made = spawnSync(join(bin, 'initdb'), ['-D', data, '-A', 'trust', '-U', 'postgres', '-N'], {
    ...as,
    cwd: directory,
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  let running: ReturnType<typeof spawn> | undefined;
  const launch = async (): Promise<boolean> => {
    const options = [
      '-D',
      data,
      '-p',
      String(port),
      '-k',
      directory,
      '-c',
      'listen_addresses=127.0.0.1',
    ];
    const child = spawn(
      join(bin, 'postgres'),
      [...options, ...settings.flatMap((setting) => ['-c', setting])],
      { ...as, cwd: directory, stdio: 'ignore' },
    );
    running = child;
    while (child.exitCode === null && child.signalCode === null) {
      if (isReady(bin, port)) return true;
      await sleep(50);
    }
    return false;
  };
  const start = async (): Promise<void> => {
    // A server that was killed leaves processes that keep its memory for a moment.
    for (let tries = 0; tries < 100; tries += 1) {
      if (await launch()) return;
      await sleep(100);
    }
    throw new Error(`postgres does not start in ${data}`);
  };
  const kill = async (): Promise<void> => {
    const child = running;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    // Backends lead sessions of their own; they end when their postmaster is gone.
    process.kill(child.pid, 'SIGKILL');
    await gone;
    while (await answers(port)) await sleep(20);
  };
  const signalAll = (signal: 'SIGSTOP' | 'SIGCONT'): void => {
    const pid = running?.pid ?? 0;
    const { stdout } = spawnSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' });
    for (const each of [pid, ...stdout.split('\n').map(Number)]) {
      if (each > 0) process.kill(each, signal);
    }
  };
  const remove = async (): Promise<void> => {
    await kill();
    await sleep(100);
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    start,
    kill,
    pause: () => signalAll('SIGSTOP'),
    resume: () => signalAll('SIGCONT'),
    remove,
  };
}

/** The newest installed server. */
function binaries(): string {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root)
    ? readdirSync(root)
        .map(Number)
        .sort((a, b) => b - a)
    : [];
  const bin = versions.map((version) => join(root, String(version), 'bin'));
  const found = bin.find((path) => existsSync(join(path, 'initdb')));
  if (found !== undefined) return found;
  throw new Error(
    'These tests need PostgreSQL 15 or later: set PURSE_TEST_POSTGRES_URL, or install it (Debian: apt-get install postgresql)',
  );
}

/** Postgres refuses to run as root: then it runs as the user that its package made. */
function ownerIds(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = ['-u', '-g'].map((which) =>
    Number(spawnSync('id', [which, 'postgres'], { encoding: 'utf8' }).stdout),
  );
  if (!uid || !gid)
    throw new Error("There is no user 'postgres' to run a server as, and root may not");
  return { uid, gid };
}

function isReady(bin: string, port: number): boolean {
  return (
    spawnSync(join(bin, 'pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(port)]).status === 0
  );
}

async function hasDatabase(name: string): Promise<boolean> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: DEFAULT_URL.replace(/test$/, 'postgres') });
  await client.connect();
  try {
    const { rows } = await client.query(`SELECT 1 FROM pg_database WHERE datname = '${name}'`);
    return rows.length > 0;
  } finally {
    await client.end();
  }
}

/** True when something listens at a port of this machine. */
export async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** A port that nobody listens at. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
