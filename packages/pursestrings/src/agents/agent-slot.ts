import { type Surroundings, within } from '../ambient-labels.ts';
import { ConflictError, HoldNotFoundError, PurseError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import { describeLabels } from '../denial.ts';
import type { Purse } from '../purse.ts';
import type { Share } from '../share.ts';
import { MAX_TTL_MS } from '../spend-options.ts';
import { AgentTimeLimitError } from './errors.ts';

/** How often an agent that runs says so. */
export const HEARTBEAT_MS = 5000;

/**
 * How long a slot is kept without a word: two heartbeats may be lost, and with the way to the store a
 * dead agent's slot is back within 15 seconds.
 */
export const SLOT_TTL_MS = 14_000;

/** How long a slot is kept at a time: one that nobody else can see ends with its process. */
export function slotTtlMs(purse: Purse): number {
  return purse.backstage.endsWithProcess ? MAX_TTL_MS : SLOT_TTL_MS;
}

/** How long work that was told to end may still go on before it is left behind. */
const GRACE_MS = 1000;

/** The longest that a timer of the platform can be set to. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The label that says how a run ended, where that is recorded. */
const ENDED_LABEL = 'ended';

/** What a slot is made of. */
export interface SlotParts {
  readonly agent: string;
  readonly task: string | undefined;
  readonly hold: Hold;
  /** How long the hold is kept open by a heartbeat. */
  readonly ttlMs: number;
  readonly share: Share | undefined;
  /** What surrounds the agent's work, but for the slot's own signal. */
  readonly around: Surroundings;
  readonly maxDurationMs: number | undefined;
  /** What ends the agent besides: its parent's signal, its caller's. */
  readonly signals: readonly AbortSignal[];
}

/**
 * A place among the agents that may run at a time. It is a hold that this process keeps open by a
 * heartbeat: when the process dies, the place comes back by itself within 15 seconds.
 *
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { trySpawn } from 'pursestrings/agents';
 *
 * const purse = await openPurse({ limits: [{ name: 'agents', cap: { slots: 10 } }] });
 * const spawned = await trySpawn(purse, { agent: 'researcher', maxDurationMs: 60_000 });
 * if (spawned.allowed) {
 *   await using slot = spawned.slot;
 *   await slot.run(async () => fetch('https://example.com', { signal: slot.signal }).catch(() => null));
 * }
 * ```
 */
export class AgentSlot implements AsyncDisposable {
  readonly agent: string;
  readonly task: string | undefined;
  /**
   * Aborts when the time limit has passed, the slot was lost or stopped, its labels are frozen, or
   * the signal of its caller or of its parent aborts. After that the work can hold no more money.
   */
  readonly signal: AbortSignal;
  /** Settled once the slot is given back. @internal */
  readonly ended: Promise<void>;
  readonly #parts: SlotParts;
  readonly #controller = new AbortController();
  readonly #upstream: AbortSignal;
  readonly #heartbeat: NodeJS.Timeout;
  #timeLimit: NodeJS.Timeout | undefined;
  #grace: NodeJS.Timeout | undefined;
  #beating = false;
  #stopping: Promise<void> | undefined;
  #resolveEnded: () => void = () => undefined;

  /** @internal Slots come from `trySpawn` and `runAgent`. */
  constructor(parts: SlotParts) {
    this.#parts = parts;
    this.agent = parts.agent;
    this.task = parts.task;
    this.signal = this.#controller.signal;
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#upstream = AbortSignal.any([parts.hold.signal, ...parts.signals]);
    this.#heartbeat = setInterval(() => void this.#beat(), HEARTBEAT_MS).unref();
    if (parts.maxDurationMs !== undefined) this.#startClock(parts.maxDurationMs);
    if (this.#upstream.aborted) this.#upstreamAborted();
    else this.#upstream.addEventListener('abort', this.#upstreamAborted, { once: true });
  }

  /** Works as the agent: every spend inside carries its labels and comes out of its share. */
  run<T>(work: () => T): T {
    return within({ ...this.#parts.around, signal: this.signal }, work);
  }

  /**
   * Gives the slot back, and what is left of the agent's share. Again: nothing happens.
   *
   * @throws StoreError when the ledger cannot be told; the slot then comes back by itself.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#end();
    return this.#stopping;
  }

  /** `stop`, without a word about a failure that would hide why the work was left: it is announced. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch((error: unknown) => this.#parts.hold.failed(error));
  }

  /** Lets the time limit keep the process alive, as work that is awaited does. @internal */
  keepProcess(): void {
    this.#timeLimit?.ref();
  }

  #startClock(leftMs: number): void {
    const stepMs = Math.min(leftMs, MAX_TIMER_MS);
    this.#timeLimit = setTimeout(() => {
      if (leftMs > stepMs) this.#startClock(leftMs - stepMs);
      else this.#abort(this.#timeLimitError());
    }, stepMs).unref();
  }

  readonly #upstreamAborted = (): void => this.#abort(this.#upstream.reason);

  /** Tells the work to end. A while later the slot is given back, whether it has or not. */
  #abort(reason: unknown): void {
    if (this.signal.aborted) return;
    this.#controller.abort(reason);
    if (this.#stopping !== undefined) return;
    this.#grace = setTimeout(() => {
      void this[Symbol.asyncDispose]();
    }, GRACE_MS);
  }

  async #beat(): Promise<void> {
    if (this.#beating || this.#stopping !== undefined) return;
    this.#beating = true;
    const { hold, share, ttlMs } = this.#parts;
    try {
      await Promise.all([hold.extend(ttlMs), share?.keepAside(ttlMs)]);
    } catch (error) {
      // A store that does not answer is asked again; when the hold's time has passed, its signal aborts.
      const lost = ConflictError.isInstance(error) || HoldNotFoundError.isInstance(error);
      if (lost) this.#abort(slotLost(hold));
      else hold.failed(error);
    }
    this.#beating = false;
  }

  async #end(): Promise<void> {
    const { hold, share } = this.#parts;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#timeLimit);
    clearTimeout(this.#grace);
    this.#upstream.removeEventListener('abort', this.#upstreamAborted);
    this.#controller.abort(agentEnded(hold));
    try {
      await Promise.all([share?.close(), this.#giveBack()]);
    } finally {
      this.#resolveEnded();
    }
  }

  /** A time limit that passed is told in the journal; the slot itself leaves no trace there. */
  async #giveBack(): Promise<void> {
    const { hold } = this.#parts;
    const reason: unknown = this.signal.reason;
    if (!AgentTimeLimitError.isInstance(reason)) return hold.release();
    const labels = { [ENDED_LABEL]: 'time_limit' };
    await hold.settle(undefined, { labels, description: reason.message });
  }

  #timeLimitError(): AgentTimeLimitError {
    const { maxDurationMs = 0, hold } = this.#parts;
    return new AgentTimeLimitError(describeLabels(hold.labels), maxDurationMs);
  }
}

function slotLost({ labels }: Hold): PurseError {
  return new PurseError(
    'SLOT_LOST',
    `The slot of ${describeLabels(labels)} was lost: no heartbeat reached the ledger in time. ` +
      `Start the agent again, and let nothing stop its process for ${SLOT_TTL_MS} ms`,
  );
}

function agentEnded({ labels }: Hold): PurseError {
  return new PurseError(
    'AGENT_ENDED',
    `The run of ${describeLabels(labels)} has ended; start another one to spend more`,
  );
}
