import { NOWHERE, type Surroundings, surroundings, within } from '../ambient-labels.ts';
import { StoreError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import { type Labels, labelSet } from '../ledger/labels.ts';
import { isUnknown } from '../patience.ts';
import type { Purse } from '../purse.ts';
import { newId } from '../new-id.ts';
import { HEARTBEAT_MS, SLOT_TTL_MS } from './agent-slot.ts';
import { BeyondCap } from './beyond-cap.ts';
import { BUDGET_LIMITS } from './budget.ts';
import { addUsage, type BudgetDesk, type Usage } from './budget-desk.ts';
import { usageAmounts, usageLabels } from './recording.ts';
import { type Agents, type Figures, FiguresReader, type Standing } from './usage.ts';

/** A question is answered from figures that are at most so old. */
const MAX_AGE_MS = 250;

/** How often slots of the dead are looked for. */
const RESOLVE_EVERY_MS = 500;

/** How long the ledger is left alone between two looks, at the most. */
const PAUSE_MS = 80;

/** When nobody has asked anything for so long, nobody looks any more. */
const IDLE_MS = 600_000;

/** The most that may wait to be written. */
const MAX_WAITING = 100_000;

/** Something that was said here and is to be written to the ledger. */
type Said = Recorded | { readonly kind: 'started' | 'stopped' };

interface Recorded {
  readonly kind: 'recorded';
  readonly id: string;
  readonly usage: Usage;
  readonly around: Surroundings;
}

/** A slot that was taken by `agentStarted`. */
interface Started {
  readonly hold: Hold;
  readonly endsAtMs: number;
}

/**
 * Looks at a ledger that is reached over a network, and keeps figures of it at hand. One loop does
 * everything in turn: it writes what was said here, then reads the figures, then rests. So nothing of
 * this process is under way while figures are read, and what was said since is added to them: they are
 * what the ledger held less than 250 ms ago, and all that this process has said. Figures that are older
 * answer no question.
 */
export class SharedDesk implements BudgetDesk {
  readonly #purse: Purse;
  readonly #adopt: () => Promise<void>;
  readonly #maxTaskMs: number;
  #adopted: Promise<void> | undefined;
  #figures: (Figures & { dayTokens: number; running: number }) | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #waiting: Said[] = [];
  /** How much is being written now. */
  #writing = 0;
  /** Agents that were started here, and not stopped. */
  #startedHere = 0;
  #started: Started[] = [];
  readonly #beyond = new BeyondCap();
  #beatAtMs = 0;
  #resolveAtMs = 0;
  #pauseMs = PAUSE_MS;
  #loop: Promise<void> | undefined;
  #resting: { readonly timer: NodeJS.Timeout; readonly resolve: () => void } | undefined;
  #askedAtMs = 0;
  #closed = false;
  #failure: unknown;
  #listeners: (() => void)[] = [];

  /** @param adopt Puts the budget's limits into the ledger. */
  constructor(purse: Purse, adopt: () => Promise<void>, maxTaskMs: number) {
    this.#purse = purse;
    this.#adopt = adopt;
    this.#maxTaskMs = maxTaskMs;
    this.#wake();
  }

  get beyond(): number {
    return this.#beyond.countAt(performance.now());
  }

  prepared(): Promise<void> {
    this.#adopted ??= this.#adopt().catch((error: unknown) => {
      this.#adopted = undefined;
      throw error;
    });
    return this.#adopted;
  }

  /** Waits for figures. @throws StoreError when the ledger cannot be read. */
  async ready(): Promise<void> {
    while (this.#figures === undefined || this.#age() > MAX_AGE_MS) {
      this.#wake();
      await this.#nextTurn();
    }
  }

  standing(): Standing {
    const { dayTokens, running } = this.#current();
    return { dayTokens, running };
  }

  agentTokens(agentId: string): number {
    return this.#current().agents.get(agentId)?.total ?? 0;
  }

  agents(): Agents {
    return this.#current().agents;
  }

  async firstTask(agentId: string): Promise<string | undefined> {
    const known = this.#figures?.agents.get(agentId)?.taskId;
    if (known !== undefined && known !== '') return known;
    await this.ready();
    const first = this.#figures?.agents.get(agentId)?.taskId;
    return first === '' ? undefined : first;
  }

  record(usage: Usage): void {
    // What cannot be written is refused here, where somebody is told.
    labelSet(usageLabels(usage, usage.taskId));
    this.#say({ kind: 'recorded', id: newId(), usage, around: surroundings() });
  }

  started(): void {
    this.#say({ kind: 'started' });
    this.#startedHere += 1;
  }

  stopped(): void {
    if (this.#startedHere === 0) return;
    this.#say({ kind: 'stopped' });
    this.#startedHere -= 1;
  }

  async flush(): Promise<void> {
    while (this.#unwritten > 0) {
      this.#wake();
      await this.#nextTurn();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    try {
      if (this.#unwritten > 0) await this.flush();
    } finally {
      this.#closed = true;
      this.#wakeUp();
      await this.#loop;
      const held = this.#started.splice(0);
      await Promise.all(held.map(({ hold }) => hold.abandon()));
    }
  }

  get #unwritten(): number {
    return this.#waiting.length + this.#writing;
  }

  #age(): number {
    return performance.now() - this.#readAtMs;
  }

  #current(): Figures {
    this.#wake();
    const ageMs = this.#age();
    if (this.#figures !== undefined && ageMs <= MAX_AGE_MS) return this.#figures;
    const known =
      this.#figures === undefined
        ? 'have not been read yet'
        : `were last read ${Math.round(ageMs)} ms ago`;
    throw new StoreError(
      'STORE_UNAVAILABLE',
      'unreachable',
      `The figures of the shared ledger ${known}, and none older than ${MAX_AGE_MS} ms are used; ` +
        `wait for ready(), or use trySpawn() and summary()`,
      { retryable: true, cause: this.#failure },
    );
  }

  #say(said: Said): void {
    if (this.#unwritten >= MAX_WAITING) {
      throw new StoreError(
        'STORE_UNAVAILABLE',
        'overloaded',
        `${MAX_WAITING} records already wait for the ledger; wait for flush(), or use record()`,
        { retryable: true, cause: this.#failure },
      );
    }
    this.#waiting.push(said);
    if (this.#figures !== undefined) take(this.#figures, said);
    this.#wake();
    this.#wakeUp();
  }

  /** Sees to it that the loop runs. It belongs to nobody's work, whoever wakes it. */
  #wake(): void {
    this.#askedAtMs = performance.now();
    if (this.#closed) throw closed();
    this.#loop ??= within(NOWHERE, async () => {
      while (this.#isNeeded()) {
        await this.#turn();
        if (this.#waiting.length === 0 || this.#failure !== undefined) await this.#rest();
      }
      this.#loop = undefined;
    });
  }

  #isNeeded(): boolean {
    if (this.#closed) return false;
    const idle = performance.now() - this.#askedAtMs > IDLE_MS;
    return !idle || this.#waiting.length > 0 || this.#started.length > 0;
  }

  async #turn(): Promise<void> {
    try {
      await this.prepared();
      // An agent's first task may have been recorded by others, or before this process began.
      if (this.#age() > MAX_AGE_MS) await this.#read();
      await this.#write();
      await this.#beat();
      await this.#read();
      this.#failure = undefined;
    } catch (error) {
      this.#failure = error;
    }
    for (const listener of this.#listeners.splice(0)) listener();
  }

  /** Waits for the end of the turn that is under way. @throws what it failed of */
  async #nextTurn(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#listeners.push(resolve));
    this.#wakeUp();
    await ended;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #write(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#writing = batch.length;
    const failed: Said[] = [];
    let failure: unknown;
    const attempt = async (said: Said, write: () => Promise<void>): Promise<void> => {
      try {
        await write();
      } catch (error) {
        failure = error;
        // The same id again: it happens once. What can never be written is not kept.
        const again = StoreError.isInstance(error) && (error.retryable || isUnknown(error));
        if (again) failed.push(said);
      }
    };
    const records = batch.filter((said) => said.kind === 'recorded');
    await Promise.all(records.map((said) => attempt(said, () => this.#charge(said))));
    for (const said of batch) {
      if (said.kind === 'started') await attempt(said, () => this.#start());
      if (said.kind === 'stopped') await attempt(said, () => this.#stop());
    }
    this.#waiting = [...failed, ...this.#waiting];
    this.#writing = 0;
    if (failure !== undefined) throw failure;
  }

  async #charge({ id, usage, around }: Recorded): Promise<void> {
    const first = this.#figures?.agents.get(usage.agentId)?.taskId ?? usage.taskId;
    await within(around, () => {
      const labels: Labels = usageLabels(usage, first === '' ? usage.taskId : first);
      return this.#purse.charge(usageAmounts(usage), labels, { id });
    });
  }

  async #start(): Promise<void> {
    const options = { ttlMs: SLOT_TTL_MS, tentative: true };
    const taken = await this.#purse.tryReserve({ slots: 1 }, {}, options);
    const endsAtMs = performance.now() + this.#maxTaskMs;
    if (taken.ok) this.#started.push({ hold: taken.hold, endsAtMs });
    else this.#beyond.add(endsAtMs);
  }

  async #stop(): Promise<void> {
    if (this.#beyond.remove(performance.now())) return;
    await this.#started.pop()?.hold.abandon();
  }

  /** Keeps the slots of agents that may still run. */
  async #beat(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs < this.#beatAtMs) return;
    this.#beatAtMs = nowMs + HEARTBEAT_MS;
    const running = this.#started.filter(({ endsAtMs }) => endsAtMs > nowMs);
    const kept = await Promise.all(running.map(({ hold }) => this.#keep(hold)));
    this.#started = running.filter((_, index) => kept[index]);
  }

  async #keep(hold: Hold): Promise<boolean> {
    try {
      await hold.extend(SLOT_TTL_MS);
      return true;
    } catch (error) {
      return StoreError.isInstance(error);
    }
  }

  async #read(): Promise<void> {
    if (performance.now() >= this.#resolveAtMs) {
      this.#resolveAtMs = performance.now() + RESOLVE_EVERY_MS;
      await this.#purse.backstage.resolveDue();
    }
    const begunMs = performance.now();
    const reader = new FiguresReader();
    for (const balance of await this.#purse.backstage.balancesAtOnce({ limit: BUDGET_LIMITS })) {
      reader.add(balance);
    }
    reader.running += this.beyond;
    for (const said of this.#waiting) take(reader, said);
    this.#figures = reader;
    this.#readAtMs = begunMs;
    // The next reading has to be there before this one is too old.
    const tookMs = performance.now() - begunMs;
    this.#pauseMs = Math.min(PAUSE_MS, Math.max(1, MAX_AGE_MS - 4 * tookMs));
  }

  async #rest(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#pauseMs);
      // A process that has nothing else to do may end, unless somebody waits for this.
      if (this.#unwritten === 0 && this.#listeners.length === 0) timer.unref();
      this.#resting = { timer, resolve };
    });
    clearTimeout(this.#resting?.timer);
    this.#resting = undefined;
  }

  /** Ends the rest: somebody waits. While the ledger does not answer it is left its pause. */
  #wakeUp(): void {
    if (this.#failure === undefined || this.#closed) this.#resting?.resolve();
    else this.#resting?.timer.ref();
  }
}

/** Takes notice of what was said here and is not written yet. */
function take(figures: Figures & { dayTokens: number; running: number }, said: Said): void {
  if (said.kind === 'recorded') addUsage(figures, said.usage);
  else if (said.kind === 'started') figures.running += 1;
  else figures.running = Math.max(0, figures.running - 1);
}

function closed(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'closed',
    'This budget service is closed; make another one',
  );
}
