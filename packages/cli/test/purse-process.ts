import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { run } from '../src/program.ts';

const BIN = fileURLToPath(new URL('../bin/purse.js', import.meta.url));
const TRACE = fileURLToPath(
  new URL('../../../../shared/data/azure-llm-trace-2023-code.csv', import.meta.url),
);

/** How a run of `purse` ended, and what it wrote. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built `purse`. */
export function purse(
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [BIN, ...args],
      {
        cwd: options.cwd ?? tmpdir(),
        env: { ...process.env, ...options.env },
        maxBuffer: 64 * 1024 * 1024,
      },
      (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

/** Runs the same program inside this process: quicker, for what needs no process of its own. */
export async function purseHere(args: readonly string[]): Promise<Ended> {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  let answer = 0;
  const status = await run(args, {
    print: (text) => void stdout.push(text),
    write: (bytes) => void stdout.push(Buffer.from(bytes).toString()),
    note: (text) => void stderr.push(text),
    paint: (_, text) => text,
    progress: () => {},
    answerNo: () => {
      answer = 1;
    },
    columns: 100,
  });
  return { status: status || answer, stdout: stdout.join('\n'), stderr: stderr.join('\n') };
}

/** Runs `purse … --json` inside this process. */
export async function purseJsonHere<T>(args: readonly string[]): Promise<T> {
  return parsed<T>(args, await purseHere([...args, '--json']));
}

/** Runs `purse … --json`, which must end with status 0, and reads what it printed. */
export async function purseJson<T>(args: readonly string[]): Promise<T> {
  return parsed<T>(args, await purse([...args, '--json']));
}

function parsed<T>(args: readonly string[], { status, stdout, stderr }: Ended): T {
  if (status !== 0) throw new Error(`purse ${args.join(' ')} ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

/** Makes a directory that is gone when the test is. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'purse-cli-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Writes a file into a directory and gives its path. */
export function writeTo(directory: string, name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** The production trace where there is one, else one of the same form that is made up. */
export function tracePath(directory: string): string {
  return existsSync(TRACE) ? TRACE : writeTo(directory, 'made-up.csv', madeUpTrace());
}

function madeUpTrace(): string {
  const lines = ['TIMESTAMP,ContextTokens,GeneratedTokens'];
  let state = 12_345n;
  const next = (below: number): number => {
    state = (state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) % 2n ** 64n;
    return Number((state >> 33n) % BigInt(below));
  };
  let atMs = Date.UTC(2023, 10, 16, 18, 17, 3);
  for (let row = 0; row < 3000; row += 1) {
    atMs += next(2400);
    const time = new Date(atMs).toISOString().replace('T', ' ').replace('Z', '');
    lines.push(`${time}${String(next(10_000)).padStart(4, '0')},${next(7500)},${next(700)}`);
  }
  return lines.join('\r\n');
}
