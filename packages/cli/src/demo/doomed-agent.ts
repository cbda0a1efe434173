import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Purse } from 'pursestrings';
import { InputError } from '../input-error.ts';
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

/** Says that the agent streams: it has its hold, and the others may begin. */
export type OnStreaming = () => void;

/** How the doomed agent ended. */
export interface Death {
  /** `null` when it left inside this process. */
  readonly pid: number | null;
  readonly pieces: number;
}

/** A process that is not in the middle of its stream by then never will be. */
const MAX_WAIT_MS = 15_000;

/**
 * Runs the doomed agent as a process of its own on the same store, and kills it with SIGKILL in
 * the middle of a stream: nothing in it gets to settle, release or say goodbye.
 */
export async function killMidStream(
  orders: DoomedOrders,
  onStreaming: OnStreaming,
): Promise<Death> {
  const path = fileURLToPath(import.meta.resolve('./doomed-process.js'));
  const child = fork(path, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  try {
    child.send(orders);
    const pieces = await new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(couldNot(`it had not streamed enough after ${MAX_WAIT_MS} ms`));
      }, MAX_WAIT_MS);
      child.on('message', (word: DoomedWord) => {
        if ('failed' in word) reject(couldNot(word.failed));
        else if (word.pieces < PIECES_BEFORE_KILL) onStreaming();
        else resolve(word.pieces);
      });
      child.once('error', reject);
      void gone.then(() => {
        clearTimeout(timer);
        reject(couldNot('it ended by itself'));
      });
    });
    return { pid: child.pid ?? null, pieces };
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
}

function couldNot(reason: string): InputError {
  return new InputError(`The agent that was to be killed could not get that far: ${reason}.`, {
    code: 'DEMO_FAILED',
  });
}

/** For a store that only this process can see: the agent drops its connection and leaves. */
export async function leaveMidStream(
  purse: Purse,
  plan: DemoPlan,
  endpoint: Endpoint,
  onStreaming: OnStreaming,
): Promise<Death> {
  const departure = new AbortController();
  let pieces = 0;
  try {
    await streamLong(purse, plan, endpoint, departure.signal, (count) => {
      pieces = count;
      if (count === 1) onStreaming();
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
