import { surroundings } from './ambient-labels.ts';
import { InvalidOptionError, InvariantError, StoreError } from './errors.ts';
import type { Labels } from './ledger/labels.ts';
import { joinPlans, type Plan, type Planner, planner } from './ledger/plan.ts';
import { compilePolicy, type Policy, type Rulebook, samePolicy } from './ledger/policy.ts';
import type { StepAmounts } from './ledger/unit.ts';
import { type EmbeddedStore, isEmbedded, type LedgerStore } from './stores/store.ts';

/** The most characters of a policy, written as JSON. */
const MAX_POLICY_LENGTH = 8_000_000;

/** How often a change of policy is tried against other writers. */
const MAX_WRITES = 64;

/** The policy as this process knows it, ready for planning; kept up with the store's. */
export class PolicyDesk {
  readonly #store: LedgerStore;
  readonly #embedded: EmbeddedStore | null;
  #rulebook: Rulebook;
  #plan: Planner;

  private constructor(store: LedgerStore, policy: Policy) {
    this.#store = store;
    this.#embedded = isEmbedded(store) ? store : null;
    this.#rulebook = compilePolicy(policy);
    this.#plan = planner(this.#rulebook);
  }

  static async open(store: LedgerStore): Promise<PolicyDesk> {
    return new PolicyDesk(store, await store.readPolicy());
  }

  /** The same where the store is inside the process. */
  static openSync(store: EmbeddedStore): PolicyDesk {
    return new PolicyDesk(store, store.readPolicySync());
  }

  get rulebook(): Rulebook {
    return this.#rulebook;
  }

  /**
   * Plans a spend. What is spent inside the work of an agent that another one started inside its own
   * is the money of both: it falls in the envelopes of either, in each of them once.
   */
  plan(
    amounts: StepAmounts,
    labels: Labels,
    nowMs: number,
    ancestors: readonly Labels[] = surroundings().ancestors,
  ): Plan {
    const own = this.#plan(amounts, labels, nowMs);
    if (ancestors.length === 0) return own;
    return joinPlans(
      own,
      ancestors.map((theirs) => this.#plan(amounts, theirs, nowMs)),
    );
  }

  /** Takes over the policy that stands in the store. */
  async reload(): Promise<void> {
    if (this.#embedded !== null) this.reloadSync();
    else this.#use(await this.#store.readPolicy());
  }

  /** The same where the store is inside the process. */
  reloadSync(): void {
    this.#use(this.#inside.readPolicySync());
  }

  /**
   * Takes over the policy that stands in the store when its revision is another one: where a store is
   * reached over a network, the policy itself is read only then.
   *
   * @returns the store's time; `null` where the store is inside the process.
   */
  async refresh(): Promise<number | null> {
    if (this.#embedded !== null) {
      this.reloadSync();
      return null;
    }
    const { revision, nowMs } = await this.#store.readBalances({ keys: [] });
    if (revision !== this.#rulebook.policy.revision) await this.reload();
    return nowMs;
  }

  /**
   * Changes the policy, over again when another process was quicker. A change that alters nothing
   * writes nothing; one that does not compile is refused whole.
   */
  async change(edit: (policy: Policy) => Policy): Promise<void> {
    for (let attempt = 0; attempt < MAX_WRITES; attempt += 1) {
      const standing = await this.#store.readPolicy();
      const wanted = this.#edited(standing, edit);
      if (wanted === null) return;
      const written = await this.#store.writePolicy(wanted.policy, standing.revision);
      if (this.#isWritten(wanted, written, standing)) return;
    }
    throw changedByOthers();
  }

  /** The same where the store is inside the process. */
  changeSync(edit: (policy: Policy) => Policy): void {
    const store = this.#inside;
    for (let attempt = 0; attempt < MAX_WRITES; attempt += 1) {
      const standing = store.readPolicySync();
      const wanted = this.#edited(standing, edit);
      if (wanted === null) return;
      const written = store.writePolicySync(wanted.policy, standing.revision);
      if (this.#isWritten(wanted, written, standing)) return;
    }
    throw changedByOthers();
  }

  /** The policy that is to stand, compiled; `null` when it stands already. */
  #edited(standing: Policy, edit: (policy: Policy) => Policy): Rulebook | null {
    const wanted = edit(standing);
    const rulebook = compilePolicy(wanted);
    checkSize(wanted);
    if (!samePolicy(standing, wanted)) return rulebook;
    this.#use(standing);
    return null;
  }

  /** True when what stands was written here; then it is taken over. */
  #isWritten(wanted: Rulebook, written: Policy, standing: Policy): boolean {
    if (written.revision !== standing.revision + 1) return false;
    if (!samePolicy(written, wanted.policy)) return false;
    this.#take({ ...wanted, policy: written });
    return true;
  }

  get #inside(): EmbeddedStore {
    if (this.#embedded !== null) return this.#embedded;
    throw new InvariantError(`A ${this.#store.name} store cannot be asked without waiting`);
  }

  #use(policy: Policy): void {
    if (policy.revision === this.#rulebook.policy.revision) return;
    this.#take(compilePolicy(policy));
  }

  #take(rulebook: Rulebook): void {
    this.#rulebook = rulebook;
    this.#plan = planner(rulebook);
  }
}

function changedByOthers(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'contended',
    `The policy was changed by others ${MAX_WRITES} times in a row; try again when it is quieter`,
    { retryable: true },
  );
}

function checkSize(policy: Policy): void {
  const { length } = JSON.stringify(policy);
  if (length > MAX_POLICY_LENGTH) {
    throw new InvalidOptionError(
      `The policy would be ${length} characters long, and a ledger keeps at most ${MAX_POLICY_LENGTH}; ` +
        `remove limits or freezes, or shorten their lists`,
    );
  }
}
