import { surroundings } from '../ambient-labels.ts';
import type { EmbeddedSpending } from '../embedded-spending.ts';
import { ConflictError, HoldNotFoundError } from '../errors.ts';
import { labelSet } from '../ledger/labels.ts';
import type { Rule } from '../ledger/limit.ts';
import { envelopeGroup, envelopeKey } from '../ledger/plan.ts';
import type { Rulebook } from '../ledger/policy.ts';
import type { Envelope } from '../ledger/records.ts';
import { contains, type Window } from '../ledger/window.ts';
import type { Purse } from '../purse.ts';
import { HEARTBEAT_MS, slotTtlMs } from './agent-slot.ts';
import { BeyondCap } from './beyond-cap.ts';
import { AGENT_LIMIT, BUDGET_LIMITS, DAY_LIMIT, RUNNING_LIMIT } from './budget.ts';
import { addUsage, type BudgetDesk, type Usage } from './budget-desk.ts';
import { usageAmounts, usageLabels } from './recording.ts';
import { type Agents, FiguresReader, type Standing } from './usage.ts';

/** A slot that was taken by `agentStarted`. */
interface Started {
  readonly id: string;
  /** When its agent must have ended, whether anybody said so or not. */
  readonly endsAtMs: number;
}

/**
 * Looks into a ledger inside the process. What was read is kept until the store says that something may
 * have changed; then a question reads the few envelopes that it is about. Its cost follows neither the
 * history nor, but for the list of all of them, the number of agents.
 */
export class EmbeddedDesk implements BudgetDesk {
  readonly #purse: Purse;
  readonly #spending: EmbeddedSpending;
  readonly #keys: EnvelopeKeys;
  readonly #maxTaskMs: number;
  /** When holds that had come due were last resolved: none can come due again in that millisecond. */
  #resolvedAtMs = Number.NEGATIVE_INFINITY;
  #standing: Standing = { dayTokens: 0, running: 0 };
  /** What the store's count of changes was, and the day's key, when the standing was read. */
  #standingAt = { changes: Number.NaN, dayKey: '' };
  #agents: Agents = new Map();
  /** What the store's count of changes was when the list of agents was right. */
  #listedAt = Number.NaN;
  #started: Started[] = [];
  readonly #beyond = new BeyondCap();
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(purse: Purse, spending: EmbeddedSpending, maxTaskMs: number) {
    this.#purse = purse;
    this.#spending = spending;
    this.#keys = new EnvelopeKeys(spending);
    this.#maxTaskMs = maxTaskMs;
  }

  get beyond(): number {
    return this.#beyond.countAt(this.#spending.now());
  }

  async prepared(): Promise<void> {
    // They are there.
  }

  async ready(): Promise<void> {
    // The ledger is there.
  }

  standing(): Standing {
    const { dayKey } = this.#look();
    const { store } = this.#spending;
    const changes = store.changeCount();
    const at = this.#standingAt;
    if (at.changes !== changes || at.dayKey !== dayKey) this.#readStanding(changes);
    const { beyond } = this;
    if (beyond === 0) return this.#standing;
    return { ...this.#standing, running: this.#standing.running + beyond };
  }

  agentTokens(agentId: string): number {
    const { agentGroup } = this.#look();
    if (this.#spending.store.changeCount() !== this.#listedAt) {
      return this.#envelopeOf(agentId, agentGroup)?.spent ?? 0;
    }
    return this.#agents.get(agentId)?.total ?? 0;
  }

  agents(): Agents {
    this.#look();
    const changes = this.#spending.store.changeCount();
    if (changes !== this.#listedAt) this.#list(changes);
    return this.#agents;
  }

  async firstTask(agentId: string): Promise<string | undefined> {
    return this.#firstTask(agentId);
  }

  record(usage: Usage): void {
    const first = this.#firstTask(usage.agentId) ?? usage.taskId;
    const { store } = this.#spending;
    const before = store.changeCount();
    this.#spending.charge(usageAmounts(usage), labelSet(usageLabels(usage, first)));
    // One change more, and it was this one. Inside the work of a sub-agent it counted for others too.
    const own = store.changeCount() === before + 1 && surroundings().ancestors.length === 0;
    if (!own || this.#listedAt !== before) return;
    addUsage({ dayTokens: 0, agents: this.#agents }, usage);
    this.#listedAt = before + 1;
  }

  started(): void {
    const nowMs = this.#spending.now();
    this.#started = this.#started.filter(({ endsAtMs }) => endsAtMs > nowMs);
    const ttlMs = this.#slotTtlMs(this.#maxTaskMs);
    const taken = this.#spending.reserve({ slots: 1 }, NOBODY, { ttlMs, tentative: true });
    const endsAtMs = nowMs + this.#maxTaskMs;
    if (taken.ok) this.#started.push({ id: taken.hold.id, endsAtMs });
    else this.#beyond.add(endsAtMs);
    if (!this.#purse.backstage.endsWithProcess) {
      this.#heartbeat ??= setInterval(() => this.#beat(), HEARTBEAT_MS).unref();
    }
  }

  stopped(): void {
    const nowMs = this.#spending.now();
    if (this.#beyond.remove(nowMs)) return;
    let last = this.#started.pop();
    while (last !== undefined && last.endsAtMs <= nowMs) last = this.#started.pop();
    if (last !== undefined) this.#release(last);
    if (this.#started.length === 0) this.#rest();
  }

  async flush(): Promise<void> {
    // Nothing waits.
  }

  async close(): Promise<void> {
    this.#rest();
    for (const started of this.#started.splice(0)) this.#release(started);
    this.#beyond.clear();
  }

  #readStanding(changes: number): void {
    // Another process may have changed the policy, and with it the keys.
    this.#spending.refresh();
    const { dayKey, runningKey } = this.#keys.at(this.#spending.now());
    const { items } = this.#spending.store.readBalancesSync({ keys: [runningKey, dayKey] });
    const running = items.find(({ limit }) => limit === RUNNING_LIMIT)?.held ?? 0;
    const dayTokens = items.find(({ limit }) => limit === DAY_LIMIT)?.spent ?? 0;
    this.#standing = { dayTokens, running };
    this.#standingAt = { changes, dayKey };
  }

  /** The keys of now, once nobody dead is counted any more. */
  #look(): CurrentKeys {
    const nowMs = this.#spending.now();
    if (nowMs !== this.#resolvedAtMs) {
      this.#spending.resolveDue();
      this.#resolvedAtMs = nowMs;
    }
    return this.#keys.at(nowMs);
  }

  #list(changes: number): void {
    const reader = new FiguresReader();
    for (const balance of this.#spending.balances({ limit: BUDGET_LIMITS })) reader.add(balance);
    this.#agents = reader.agents;
    this.#listedAt = changes;
  }

  #firstTask(agentId: string): string | undefined {
    const known = this.#agents.get(agentId)?.taskId;
    if (known !== undefined && known !== '') return known;
    // Who has used nothing has done nothing first: all the others need not be listed to see that.
    if (this.#envelopeOf(agentId, this.#look().agentGroup) === undefined) return undefined;
    const first = this.agents().get(agentId)?.taskId;
    return first === '' ? undefined : first;
  }

  #envelopeOf(agentId: string, agentGroup: string): Envelope | undefined {
    const key = envelopeKey(agentGroup, [agentId]);
    return this.#spending.store.readBalancesSync({ keys: [key] }).items[0];
  }

  #slotTtlMs(leftMs: number): number {
    return Math.max(1, Math.min(slotTtlMs(this.#purse), Math.ceil(leftMs)));
  }

  /** Keeps the slots of agents that may still run. */
  #beat(): void {
    const nowMs = this.#spending.now();
    const running = this.#started.filter(({ endsAtMs }) => endsAtMs > nowMs);
    this.#started = running.filter(({ id, endsAtMs }) => {
      try {
        this.#spending.extend(id, this.#slotTtlMs(endsAtMs - nowMs));
        return true;
      } catch (error) {
        return !isGone(error);
      }
    });
    if (this.#started.length === 0) this.#rest();
  }

  #release({ id }: Started): void {
    try {
      this.#spending.release(id);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  #rest(): void {
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
  }
}

/** The keys of the envelopes that a budget is about, in their current windows. */
interface CurrentKeys {
  readonly runningKey: string;
  readonly dayKey: string;
  readonly agentGroup: string;
}

/** Finds those keys, and keeps them as long as the policy and the day are the same. */
class EnvelopeKeys {
  readonly #spending: EmbeddedSpending;
  #rulebook: Rulebook | undefined;
  #day: Window | undefined;
  #keys: CurrentKeys = { runningKey: '', dayKey: '', agentGroup: '' };

  constructor(spending: EmbeddedSpending) {
    this.#spending = spending;
  }

  at(nowMs: number): CurrentKeys {
    const { rulebook } = this.#spending;
    const current = this.#day !== undefined && contains(this.#day, nowMs);
    if (rulebook !== this.#rulebook || !current) this.#find(rulebook, nowMs);
    return this.#keys;
  }

  #find(rulebook: Rulebook, nowMs: number): void {
    const groups = new Map(rulebook.rules.map((rule) => [rule.limit.name, groupOf(rule, nowMs)]));
    this.#rulebook = rulebook;
    this.#day = groups.get(DAY_LIMIT)?.window;
    this.#keys = {
      runningKey: groups.get(RUNNING_LIMIT)?.group ?? '',
      dayKey: groups.get(DAY_LIMIT)?.group ?? '',
      agentGroup: groups.get(AGENT_LIMIT)?.group ?? '',
    };
  }
}

function groupOf(rule: Rule, nowMs: number): { readonly group: string; readonly window: Window } {
  const window = rule.findWindow(nowMs);
  return { group: envelopeGroup(rule.caps[0]?.keyPrefix ?? '', window), window };
}

function isGone(error: unknown): boolean {
  return ConflictError.isInstance(error) || HoldNotFoundError.isInstance(error);
}

const NOBODY = labelSet({});
