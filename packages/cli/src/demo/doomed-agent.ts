import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Purse } from 'pursestrings';
import { type Endpoint, openClient } from './agent.ts';
import { type DemoPlan, PIECES_BEFORE_KILL } from './plan.ts';
import { LONG_PROMPT } from './provider.ts';

/** What the process of the doomed agent is told. */
export interface DoomedOrders {
  readonly plan: DemoPlan;
  readonly endpoint: Endpoint;
  readonly store: string;
  readonly ledger: string | undefined;
}

/** What it says before it dies: how many pieces it has read, or why it could not. */
export type DoomedWord = { readonly pieces: number } | { readonly failed: string };

/** How the doomed agent ended. */
export interface Death {
  /** `null` when it left inside this process. */
  readonly pid: number | null;
  readonly pieces: number;
}

/** A process that has not begun to stream by then never will. */
const MAX_WAIT_MS = 15_000;

/**
 * Runs the doomed agent as a process of its own on the same store, and kills it with SIGKILL in
 * the middle of a stream: nothing in it gets to settle, release or say goodbye.
 */
export async function killMidStream(orders: DoomedOrders): Promise<Death> {
  const path = fileURLToPath(import.meta.resolve('./doomed-process.js'));
  const child = fork(path, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  try {
    child.send(orders);
    const pieces = await new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`The doomed agent did not begin to stream in ${MAX_WAIT_MS} ms.`));
      }, MAX_WAIT_MS);
      child.on('message', (word: DoomedWord) => {
        clearTimeout(timer);
        if ('pieces' in word) resolve(word.pieces);
        else reject(new Error(`The doomed agent could not begin: ${word.failed}`));
      });
      child.once('error', reject);
      void gone.then(() => {
        clearTimeout(timer);
        reject(new Error('The doomed agent ended before it was killed.'));
      });
    });
    return { pid: child.pid ?? null, pieces };
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
}

/** For a store that only this process can see: the agent drops its connection and leaves. */
export async function leaveMidStream(
  purse: Purse,
  plan: DemoPlan,
  endpoint: Endpoint,
): Promise<Death> {
  const departure = new AbortController();
  let pieces = 0;
  try {
    await streamLong(purse, plan, endpoint, departure.signal, (count) => {
      pieces = count;
      if (count === PIECES_BEFORE_KILL) departure.abort();
    });
  } catch (error) {
    if (!departure.signal.aborted) throw error;
  }
  return { pid: null, pieces };
}

/** Makes one streamed call with a long answer and counts the pieces as they come. */
export async function streamLong(
  purse: Purse,
  plan: DemoPlan,
  endpoint: Endpoint,
  signal: AbortSignal,
  onPiece: (count: number) => void,
): Promise<void> {
  const client = openClient(purse, plan, plan.doomed, endpoint);
  const stream = await client.chat.completions.create(
    {
      model: plan.model,
      messages: [{ role: 'user', content: LONG_PROMPT }],
      max_completion_tokens: plan.maxOutputTokens,
      stream: true,
    },
    { signal },
  );
  let count = 0;
  for await (const piece of stream) {
    if (piece.choices.length === 0) continue;
    count += 1;
    onPiece(count);
  }
}
