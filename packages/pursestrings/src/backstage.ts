import type { Surroundings } from './ambient-labels.ts';
import { type Balance, type BalancesQuery, readBalancesAtOnce } from './balance.ts';
import type { EmbeddedSpending } from './embedded-spending.ts';
import type { Announcer } from './events.ts';
import type { Amounts } from './ledger/amount.ts';
import type { Limit } from './ledger/limit.ts';
import { withLimits, withUnits } from './ledger/policy.ts';
import type { UnitOptions } from './ledger/unit.ts';
import type { PolicyDesk } from './policy-desk.ts';
import type { PurseSettings } from './purse-options.ts';
import type { Shared } from './shares.ts';
import type { Spending } from './spending.ts';
import type { LedgerStore } from './stores/store.ts';

/** What a purse is made of, for those who stand on it. */
export interface PurseParts {
  readonly store: LedgerStore;
  readonly desk: PolicyDesk;
  readonly spending: Spending;
  readonly settings: PurseSettings;
  readonly announcer: Announcer;
  /** @throws StoreError when the purse is closed. */
  readonly assertOpen: () => void;
}

/** What interfaces that stand on a purse need of it, and its users do not. */
export class Backstage {
  readonly #parts: PurseParts;

  constructor(parts: PurseParts) {
    this.#parts = parts;
  }

  /**
   * The same spending without waiting, for interfaces that are synchronous; `null` where the store is
   * reached over a network.
   *
   * @throws StoreError when the purse is closed.
   */
  get synchronous(): EmbeddedSpending | null {
    this.#parts.assertOpen();
    return this.#parts.spending.synchronous;
  }

  /** Announces a failure that no caller can be told of, as the purse's `error` event. */
  failed(error: unknown): void {
    this.#parts.announcer.emit('error', error);
  }

  /** True when the ledger ends with this process: nobody else will ever see it. */
  get endsWithProcess(): boolean {
    return this.#parts.store.name === 'memory';
  }

  /** Reads balances in as few round trips as can be, with holds that have come due among them. */
  async balancesAtOnce(query: BalancesQuery): Promise<readonly Balance[]> {
    const { desk, spending, store } = this.#parts;
    for (;;) {
      const { rulebook } = desk;
      const read = await readBalancesAtOnce(store, rulebook, query, spending.now());
      const { revision } = rulebook.policy;
      if (read.revisions.values().every((standing) => standing === revision)) return read.balances;
      await desk.reload();
    }
  }

  /** Resolves holds that are past their time. */
  resolveDue(): Promise<void> {
    return this.#parts.spending.resolveDue();
  }

  /** Adds units and limits in one step, as `openPurse` does. */
  async adopt(
    units: Readonly<Record<string, UnitOptions>>,
    limits: readonly Limit[],
  ): Promise<void> {
    const { desk, settings, spending } = this.#parts;
    const { timeZone } = settings;
    await desk.change((policy) => withLimits(withUnits(policy, units), limits, timeZone));
    spending.policyChanged();
  }

  /** Sets money aside for work that makes spends of its own. */
  openShare(amounts: Amounts, around: Surroundings, ttlMs: number): Promise<Shared> {
    return this.#parts.spending.openShare(amounts, around, ttlMs);
  }
}
