import type { Surroundings } from './ambient-labels.ts';
import { type Balance, type BalancesQuery, readBalancesAtOnce } from './balance.ts';
import type { Amounts } from './ledger/amount.ts';
import type { Limit } from './ledger/limit.ts';
import { withLimits, withUnits } from './ledger/policy.ts';
import type { UnitOptions } from './ledger/unit.ts';
import type { PolicyDesk } from './policy-desk.ts';
import type { PurseSettings } from './purse-options.ts';
import type { Shared } from './shares.ts';
import type { Spending } from './spending.ts';
import type { LedgerStore } from './stores/store.ts';

/** What interfaces that stand on a purse need of it, and its users do not. */
export class Backstage {
  readonly #store: LedgerStore;
  readonly #desk: PolicyDesk;
  readonly #spending: Spending;
  readonly #settings: PurseSettings;

  constructor(store: LedgerStore, desk: PolicyDesk, spending: Spending, settings: PurseSettings) {
    this.#store = store;
    this.#desk = desk;
    this.#spending = spending;
    this.#settings = settings;
  }

  /** True when the ledger ends with this process: nobody else will ever see it. */
  get endsWithProcess(): boolean {
    return this.#store.name === 'memory';
  }

  /** Reads balances in as few round trips as can be, with holds that have come due among them. */
  async balancesAtOnce(query: BalancesQuery): Promise<readonly Balance[]> {
    for (;;) {
      const { rulebook } = this.#desk;
      const read = await readBalancesAtOnce(this.#store, rulebook, query, this.#spending.now());
      const { revision } = rulebook.policy;
      if (read.revisions.values().every((standing) => standing === revision)) return read.balances;
      await this.#desk.reload();
    }
  }

  /** Resolves holds that are past their time. */
  resolveDue(): Promise<void> {
    return this.#spending.resolveDue();
  }

  /** Adds units and limits in one step, as `openPurse` does. */
  async adopt(
    units: Readonly<Record<string, UnitOptions>>,
    limits: readonly Limit[],
  ): Promise<void> {
    const { timeZone } = this.#settings;
    await this.#desk.change((policy) => withLimits(withUnits(policy, units), limits, timeZone));
    this.#spending.policyChanged();
  }

  /** Sets money aside for work that makes spends of its own. */
  openShare(amounts: Amounts, around: Surroundings, ttlMs: number): Promise<Shared> {
    return this.#spending.openShare(amounts, around, ttlMs);
  }
}
