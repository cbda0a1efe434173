import { surroundings } from './ambient-labels.ts';
import { InvalidOptionError, StoreError } from './errors.ts';
import type { Labels } from './ledger/labels.ts';
import { joinPlans, type Plan, type Planner, planner } from './ledger/plan.ts';
import { compilePolicy, type Policy, type Rulebook, samePolicy } from './ledger/policy.ts';
import type { StepAmounts } from './ledger/unit.ts';
import { isEmbedded, type LedgerStore } from './stores/store.ts';

/** The most characters of a policy, written as JSON. */
const MAX_POLICY_LENGTH = 8_000_000;

/** How often a change of policy is tried against other writers. */
const MAX_WRITES = 64;

/** The policy as this process knows it, ready for planning; kept up with the store's. */
export class PolicyDesk {
  readonly #store: LedgerStore;
  #rulebook: Rulebook;
  #plan: Planner;

  private constructor(store: LedgerStore, policy: Policy) {
    this.#store = store;
    this.#rulebook = compilePolicy(policy);
    this.#plan = planner(this.#rulebook);
  }

  static async open(store: LedgerStore): Promise<PolicyDesk> {
    return new PolicyDesk(store, await store.readPolicy());
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
    this.#use(
      isEmbedded(this.#store) ? this.#store.readPolicySync() : await this.#store.readPolicy(),
    );
  }

  /**
   * Takes over the policy that stands in the store when its revision is another one: where a store is
   * reached over a network, the policy itself is read only then.
   *
   * @returns the store's time; `null` where the store is inside the process.
   */
  async refresh(): Promise<number | null> {
    if (isEmbedded(this.#store)) {
      await this.reload();
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
      const wanted = edit(standing);
      const rulebook = compilePolicy(wanted);
      checkSize(wanted);
      if (samePolicy(standing, wanted)) return this.#use(standing);
      const written = await this.#store.writePolicy(wanted, standing.revision);
      if (written.revision === standing.revision + 1 && samePolicy(written, wanted)) {
        return this.#take({ ...rulebook, policy: written });
      }
    }
    throw new StoreError(
      'STORE_UNAVAILABLE',
      'contended',
      `The policy was changed by others ${MAX_WRITES} times in a row; try again when it is quieter`,
      { retryable: true },
    );
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

function checkSize(policy: Policy): void {
  const { length } = JSON.stringify(policy);
  if (length > MAX_POLICY_LENGTH) {
    throw new InvalidOptionError(
      `The policy would be ${length} characters long, and a ledger keeps at most ${MAX_POLICY_LENGTH}; ` +
        `remove limits or freezes, or shorten their lists`,
    );
  }
}
