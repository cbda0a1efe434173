import type { Amounts } from '../../src/ledger/amount.ts';
import { Auditor, type Audit, type LedgerRecord } from '../../src/ledger/audit.ts';
import { type Labels, labelSet } from '../../src/ledger/labels.ts';
import type { Limit } from '../../src/ledger/limit.ts';
import { type Plan, type Planner, planner } from '../../src/ledger/plan.ts';
import {
  compilePolicy,
  EMPTY_POLICY,
  type Policy,
  type Rulebook,
  withLimits,
} from '../../src/ledger/policy.ts';
import type {
  Answer,
  ChargeRecord,
  Envelope,
  Expiry,
  IfAbandoned,
  Operation,
} from '../../src/ledger/records.ts';
import { toStepAmounts } from '../../src/ledger/unit.ts';
import { memory } from '../../src/stores/memory.ts';
import type { EmbeddedStore, Retention } from '../../src/stores/store.ts';
import { type ManualClock, manualClock } from '../../src/testing/manual-clock.ts';

/** How a reserve is asked for. */
export interface Asked {
  readonly id?: string;
  readonly ifAbandoned?: IfAbandoned;
  readonly ttlMs?: number;
  readonly description?: string;
}

/** The pure core over a store in memory, without a purse: plans, applies, and shows what came of it. */
export class LedgerDesk {
  readonly clock: ManualClock;
  readonly store: EmbeddedStore;
  readonly expiries: Expiry[] = [];
  #rulebook: Rulebook;
  #plan: Planner;
  #count = 0;

  constructor(limits: readonly Limit[], start = '2026-03-10T12:00:00Z', retention: Retention = {}) {
    this.clock = manualClock(start);
    this.store = memory({ ...retention, clock: this.clock });
    this.#rulebook = compilePolicy(EMPTY_POLICY);
    this.#plan = planner(this.#rulebook);
    this.change((policy) => withLimits(policy, limits, 'UTC'));
  }

  get rulebook(): Rulebook {
    return this.#rulebook;
  }

  change(edit: (policy: Policy) => Policy): void {
    const standing = this.store.readPolicySync();
    this.#rulebook = compilePolicy(this.store.writePolicySync(edit(standing), standing.revision));
    this.#plan = planner(this.#rulebook);
  }

  plan(amounts: Amounts, labels: Labels = {}): Plan {
    const steps = toStepAmounts(amounts, this.#rulebook.units);
    return this.#plan(steps, labelSet(labels).labels, this.clock.now());
  }

  apply(operation: Operation): Answer {
    const { answers, expiries } = this.store.applySync([operation]);
    this.expiries.push(...expiries);
    return answers.at(0) as Answer;
  }

  /** Puts a reserve together, to be applied now or later. */
  reserving(amounts: Amounts, labels: Labels = {}, asked: Asked = {}): Operation {
    const plan = this.plan(amounts, labels);
    const { units, policy } = this.#rulebook;
    const steps = toStepAmounts(amounts, units);
    return {
      kind: 'reserve',
      id: asked.id ?? this.newId(),
      fresh: false,
      amounts: steps,
      labels: labelSet(labels),
      description: asked.description,
      ifAbandoned: asked.ifAbandoned ?? 'release',
      ttlMs: asked.ttlMs ?? 600_000,
      occupied: steps.map(({ unit }) => unit).filter((unit) => units.get(unit)?.occupied),
      said: `${asked.ttlMs ?? ''}/${asked.ifAbandoned ?? ''}`,
      lines: plan.lines,
      revision: policy.revision,
      refusal: plan.freeze === undefined ? (plan.uncovered ? 'uncovered' : null) : 'frozen',
    };
  }

  reserve(amounts: Amounts, labels: Labels = {}, asked: Asked = {}): Answer {
    return this.apply(this.reserving(amounts, labels, asked));
  }

  settle(id: string, amounts: Amounts = {}, labels?: Labels): Answer {
    const steps = toStepAmounts(amounts, this.#rulebook.units);
    const hold = this.store.readHoldsSync({ id }).items[0];
    const beyond = Object.fromEntries(
      Object.entries(amounts).filter(([name]) => !hold?.amounts.some(({ unit }) => unit === name)),
    );
    return this.apply({
      kind: 'settle',
      id,
      amounts: steps,
      labels: labelSet({ ...hold?.labels.labels, ...labels }),
      description: undefined,
      ifUnresolved: false,
      lines: this.plan(beyond, hold?.labels.labels).lines,
      revision: null,
    });
  }

  release(id: string): Answer {
    return this.apply({ kind: 'release', id });
  }

  extend(id: string, ttlMs: number): Answer {
    return this.apply({ kind: 'extend', id, ttlMs });
  }

  rename(id: string, newId: string, ttlMs: number | null = null): Answer {
    return this.apply({ kind: 'rename', id, newId, ttlMs });
  }

  charge(amounts: Amounts, labels: Labels = {}, id: string = this.newId()): Answer {
    return this.apply({
      kind: 'charge',
      id,
      fresh: false,
      amounts: toStepAmounts(amounts, this.#rulebook.units),
      labels: labelSet(labels),
      description: undefined,
      lines: this.plan(amounts, labels).lines,
      revision: null,
      late: false,
    });
  }

  envelopes(): readonly Envelope[] {
    return this.store.readBalancesSync({}).items;
  }

  /** The envelopes of one limit as `spent/held`, by their values. */
  balances(limit: string): Record<string, string> {
    return Object.fromEntries(
      this.envelopes()
        .filter((envelope) => envelope.limit === limit)
        .map(({ values, spent, held }) => [values.join('+'), `${spent}/${held}`]),
    );
  }

  journal(): readonly ChargeRecord[] {
    return this.store.readJournalSync({ order: 'oldest' }).items;
  }

  async records(): Promise<LedgerRecord[]> {
    const records: LedgerRecord[] = [];
    for await (const record of this.store.readLedger()) records.push(record);
    return records;
  }

  async audit(): Promise<Audit> {
    return auditOf(await this.records());
  }

  newId(): string {
    this.#count += 1;
    return `id-${this.#count}`;
  }
}

/** Audits records as they are. */
export function auditOf(records: readonly LedgerRecord[]): Audit {
  const auditor = new Auditor();
  for (const record of records) auditor.add(record);
  return auditor.finish();
}

/** The charge that an answer brings. */
export function chargeOf(answer: Answer): ChargeRecord {
  if (answer.kind !== 'charged') throw new Error(`the answer was ${answer.kind}`);
  return answer.charge;
}
