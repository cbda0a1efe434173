import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** A script in a process of its own that says things line by line. */
export interface Child {
  readonly process: ChildProcess;
  /** Waits for a line of standard output. Rejects when the child ends without another. */
  line(): Promise<string>;
  say(line: string): void;
  /** Waits until the child has ended. */
  ended(): Promise<void>;
}

/**
 * Starts a script that stands beside the tests. It does not outlive the test. With a directory to
 * keep compiled code in, the next child is there much sooner. `flags` are Node's own.
 */
export function startChild(
  script: URL,
  args: readonly string[],
  compiled = '',
  flags: readonly string[] = [],
): Child {
  const child = spawn(process.execPath, [...flags, fileURLToPath(script), ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', NODE_COMPILE_CACHE: compiled },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = once(child, 'close');
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  // A child that was killed reads no more.
  child.stdin.on('error', () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    process: child,
    line: async () => {
      const next = await lines.next();
      if (next.done === true)
        throw new Error(`the child ended and said nothing more: ${complaint}`);
      return next.value;
    },
    say: (line) => void child.stdin.write(`${line}\n`),
    ended: async () => {
      await ended;
    },
  };
}
