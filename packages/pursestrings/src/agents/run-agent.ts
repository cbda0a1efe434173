import { type Surroundings, surroundings, within } from '../ambient-labels.ts';
import { BudgetExceededError, InvalidOptionError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import type { Amounts } from '../ledger/amount.ts';
import { shown } from '../ledger/invalid.ts';
import type { Denial, Denials } from '../denial.ts';
import { type Labels, labelSet } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import type { Share } from '../share.ts';
import { AgentSlot, slotTtlMs } from './agent-slot.ts';
import { AgentTimeLimitError } from './errors.ts';

/** Who is to run, for what, how long and with how much. */
export interface AgentOptions {
  /** The label `agent` of every spend inside: limits with `each: ['agent']` bind it. */
  readonly agent: string;
  /** The label `task` of every spend inside. Default: the task that surrounds the call. */
  readonly task?: string;
  /** After so long the agent's signal aborts, and the journal says so. In milliseconds, from 1. */
  readonly maxDurationMs?: number;
  /**
   * Money that is set aside for this run: out of the share of the run that surrounds the call, or else
   * out of what the limits leave. Nothing inside can hold more of these units than that, and nobody
   * else can take it; what is not spent goes back where it came from. Default: it spends as its
   * surroundings do.
   */
  readonly share?: Amounts;
  /** More labels for every spend inside. */
  readonly labels?: Labels;
  /** Ends the run when it aborts. */
  readonly signal?: AbortSignal;
}

/** What the work of an agent is told. */
export interface AgentRun {
  readonly agent: string;
  readonly task: string | undefined;
  /** Hand it to whatever takes a while: it aborts when the agent must stop. */
  readonly signal: AbortSignal;
}

/** Whether an agent may run, and the slot it has. */
export type Spawned =
  | { readonly allowed: true; readonly slot: AgentSlot }
  | { readonly allowed: false; readonly reason: string; readonly denial: Denial };

/**
 * Runs an agent: takes a slot (unit `slots`) and starts in one step, works under the agent's labels,
 * and gives the slot back however the work ends. A limit on `slots` says how many may run at a time.
 *
 * An agent started inside the work of another is that one's sub-agent: what it spends falls in the
 * envelopes of both, its `share` comes out of its parent's, and it ends with its parent.
 *
 * When the time limit passes, the signal aborts and the work has a second to end. Then this rejects.
 *
 * @throws BudgetExceededError when no slot is free, or the share is not to be had: nothing ran.
 * @throws AgentTimeLimitError; what aborted the signal, when the work does not end for it; what the
 *   work throws
 * @throws InvalidOptionError, InvalidLabelError, InvalidAmountError, StoreError
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { runAgent } from 'pursestrings/agents';
 *
 * const purse = await openPurse({
 *   limits: [
 *     { name: 'running', cap: { slots: 10 } },
 *     { name: 'day', cap: { tokens: 10_000_000 }, per: 'day' },
 *     { name: 'agent', cap: { tokens: 2_000_000 }, each: ['agent'] },
 *   ],
 * });
 * const spec = { agent: 'planner', task: 't-9', maxDurationMs: 600_000, share: { tokens: 50_000 } };
 * await runAgent(purse, spec, async () => {
 *   await runAgent(purse, { agent: 'reader', share: { tokens: 5_000 } }, async () => {
 *     await purse.charge({ tokens: 1_200 }); // counts for reader, planner, t-9 and the day
 *   });
 * });
 * ```
 */
export async function runAgent<T>(
  purse: Purse,
  options: AgentOptions,
  work: (run: AgentRun) => Promise<T>,
): Promise<T> {
  const spawned = await spawn(purse, options);
  if (!spawned.ok) throw new BudgetExceededError(spawned.denials);
  const { slot } = spawned;
  slot.keepProcess();
  let error: unknown;
  try {
    const { agent, task, signal } = slot;
    const working = slot.run(async () => work({ agent, task, signal }));
    const result = await Promise.race([working, leftBehind(slot)]);
    if (!timedOut(slot)) return result;
  } catch (thrown) {
    error = thrown;
  } finally {
    // A ledger that cannot be told of the end must not hide what came of the work.
    await slot[Symbol.asyncDispose]();
  }
  if (!timedOut(slot)) throw error;
  throw slot.signal.reason;
}

/**
 * Takes a slot for an agent, when one is free. The slot is kept by a heartbeat until `stop()`; work
 * inside `slot.run()` carries the agent's labels.
 *
 * @throws InvalidOptionError, InvalidLabelError, InvalidAmountError, StoreError
 * @example
 * ```ts
 * import { openPurse } from 'pursestrings';
 * import { trySpawn } from 'pursestrings/agents';
 *
 * const purse = await openPurse({ limits: [{ name: 'running', cap: { slots: 1 } }] });
 * const first = await trySpawn(purse, { agent: 'a1' });
 * const second = await trySpawn(purse, { agent: 'a2' });
 * if (!second.allowed) console.log(second.reason); // Maximum concurrent agents reached (1)
 * if (first.allowed) await first.slot.stop();
 * ```
 */
export async function trySpawn(purse: Purse, options: AgentOptions): Promise<Spawned> {
  const spawned = await spawn(purse, options);
  if (spawned.ok) return { allowed: true, slot: spawned.slot };
  const denial = spawned.denials[0];
  return { allowed: false, reason: reasonOf(denial), denial };
}

/** Why an agent may not run, as an orchestrator says it. */
export function reasonOf(denial: Denial): string {
  if (denial.unit !== 'slots' || denial.reason !== 'exceeds') return denial.message;
  return `Maximum concurrent agents reached (${denial.cap})`;
}

async function spawn(
  purse: Purse,
  options: AgentOptions,
): Promise<{ readonly ok: true; readonly slot: AgentSlot } | Refused> {
  checkOptions(options);
  const outside = surroundings();
  const around = surroundingsOf(options, outside);
  const ttlMs = slotTtlMs(purse);
  const reserved = await within({ ...around, ancestors: NONE }, () =>
    purse.tryReserve({ slots: 1 }, undefined, { ttlMs, ...signalOf(options) }),
  );
  if (!reserved.ok) return { ok: false, denials: [reserved.denial, ...reserved.denials.slice(1)] };
  const { hold } = reserved;
  const shared = await carve(purse, options, around, hold, ttlMs);
  if (!shared.ok) return shared;
  const { share } = shared;
  const slot = new AgentSlot({
    agent: options.agent,
    task: around.labels['task'],
    hold,
    ttlMs,
    share,
    around: share === undefined ? around : { ...around, share },
    maxDurationMs: options.maxDurationMs,
    signals: [outside.signal, options.signal].filter((signal) => signal !== undefined),
  });
  if (!slot.signal.aborted) return { ok: true, slot };
  // Whoever asked has ended meanwhile: nothing is to be begun any more.
  await slot.stop();
  throw slot.signal.reason;
}

interface Refused {
  readonly ok: false;
  readonly denials: Denials;
}

/** Sets the share aside; the slot goes back when it is not to be had. */
async function carve(
  purse: Purse,
  { share }: AgentOptions,
  around: Surroundings,
  hold: Hold,
  ttlMs: number,
): Promise<{ readonly ok: true; readonly share: Share | undefined } | Refused> {
  if (share === undefined) return { ok: true, share: undefined };
  try {
    const opened = await purse.backstage.openShare(share, around, ttlMs);
    if (!opened.ok) await hold.release();
    return opened;
  } catch (error) {
    await hold.release().catch((failure: unknown) => hold.failed(failure));
    throw error;
  }
}

/** What surrounds the work of an agent. Who started it inside their own work pays with it. */
function surroundingsOf(
  { agent, task, labels }: AgentOptions,
  outside: Surroundings,
): Surroundings {
  const own = labelSet({ ...labels, agent, ...(task !== undefined && { task }) }).labels;
  const all = { ...outside.labels, ...own };
  const ancestors =
    outside.agent === undefined ? outside.ancestors : [...outside.ancestors, outside.agent];
  return { ...outside, labels: all, agent: all, ancestors };
}

/** Rejects when an agent was told to end, has not, and its slot is given back all the same. */
async function leftBehind(slot: AgentSlot): Promise<never> {
  await slot.ended;
  throw slot.signal.reason;
}

function timedOut({ signal }: AgentSlot): boolean {
  return AgentTimeLimitError.isInstance(signal.reason);
}

function signalOf({ signal }: AgentOptions): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function checkOptions({ agent, task, maxDurationMs }: AgentOptions): void {
  checkName('agent', agent);
  if (task !== undefined) checkName('task', task);
  if (maxDurationMs === undefined) return;
  if (
    !(typeof maxDurationMs === 'number' && maxDurationMs >= 1 && Number.isFinite(maxDurationMs))
  ) {
    throw new InvalidOptionError(
      `maxDurationMs is ${shown(maxDurationMs)}; it must be a number of milliseconds from 1`,
    );
  }
}

function checkName(option: string, name: unknown): void {
  if (typeof name === 'string' && name !== '') return;
  throw new InvalidOptionError(
    `${option} is ${shown(name)}; it must be a name of its own, as text`,
  );
}

const NONE: readonly never[] = [];
