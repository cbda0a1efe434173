import type { Denial } from '../../denial.ts';
import type { Amounts } from '../../ledger/amount.ts';
import type { Labels } from '../../ledger/labels.ts';
import type { Purse } from '../../purse.ts';
import {
  capLimitName,
  type CapRule,
  type LedgerStore,
  openCapPurse,
  PERIOD_LABEL,
} from './cap-purse.ts';
import { capDenial } from './errors.ts';
import { type MemoryTotals, stepsOf, usdOf } from './memory-store.ts';
import type { PurseSource } from './purse-account.ts';
import { featureKey, featureOf, projectPrefix, totalKey } from './store-keys.ts';
import { capSteps } from './store-account.ts';
import type { HoldRequest } from './account.ts';

/** Purses kept open for different caps; a guard that was used long ago opens its own again. */
const MAX_PURSES = 1_000;

/** What a charge is for that was added to a memory by hand. */
const BY_HAND = 'added by hand';

/** A ledger of guards: every project and period has one envelope in it. */
export class GuardLedger implements PurseSource {
  readonly lastAmounts: Amounts = { slots: 1 };
  readonly #open: () => Promise<LedgerStore>;
  /** The totals that are shown at once, where the ledger is a memory. */
  readonly #totals: MemoryTotals | null;
  readonly #purses = new Map<string, Promise<Purse>>();
  #carried: Promise<unknown> | null = null;

  constructor(open: () => Promise<LedgerStore>, totals: MemoryTotals | null) {
    this.#open = open;
    this.#totals = totals;
  }

  async purseFor(request: HoldRequest, soft: boolean): Promise<Purse> {
    const { period, timezone } = request;
    const purse = await this.#purse({ capSteps: capSteps(request), period, timezone, soft });
    const unposted = this.#totals?.takeUnposted(totalKey(request.project, request.span.key)) ?? 0;
    if (unposted > 0) {
      const description = BY_HAND;
      const charge = purse.charge({ usd: usdOf(unposted) }, this.labelsFor(request), {
        description,
      });
      this.#carried = Promise.all([this.#carried, charge]).finally(() => {
        this.#carried = null;
      });
    }
    if (this.#carried !== null) await this.#carried;
    return purse;
  }

  labelsFor({ project, feature, model, span }: HoldRequest): Labels {
    return { project, feature, model: labelOf(model), [PERIOD_LABEL]: span.key };
  }

  shown(denial: Denial, request: HoldRequest): Denial {
    if (denial.limit !== capLimitName(request.period)) return denial;
    const { cap, spent, held } = denial;
    return capDenial({
      project: request.project,
      capUsd: request.capUsd === Number.POSITIVE_INFINITY ? request.capUsd : cap,
      spentUsd: spent,
      heldUsd: held,
      requestedUsd: request.usd ?? 0,
      resetsAt: new Date(request.span.endMs),
    });
  }

  async spent(request: HoldRequest): Promise<number> {
    const { project, period, timezone, span } = request;
    if (this.#totals !== null) return usdOf(this.#totals.get(totalKey(project, span.key)));
    const purse = await this.#purse({ capSteps: capSteps(request), period, timezone, soft: false });
    const labels = { project, [PERIOD_LABEL]: span.key };
    for await (const { spent } of purse.balances({ limit: capLimitName(period), labels })) {
      return spent;
    }
    return 0;
  }

  async report(project: string, key: string): Promise<readonly (readonly [string, number])[]> {
    if (this.#totals !== null) {
      return this.#totals.entries(projectPrefix(project)).flatMap(([name, usd]) => {
        const feature = featureOf(name, project, key);
        return feature === null ? [] : [[feature, usd] as const];
      });
    }
    const { rows } = await this.#report(['feature', PERIOD_LABEL, 'project']);
    return rows
      .filter(({ labels }) => labels['project'] === project && labels[PERIOD_LABEL] === key)
      .filter(({ amounts }) => amounts['usd'] !== undefined)
      .map(({ labels, amounts }) => [labels['feature'] ?? '', amounts['usd'] ?? 0] as const);
  }

  async total(project: string, key: string): Promise<number> {
    if (this.#totals !== null) return usdOf(this.#totals.get(totalKey(project, key)));
    const { rows } = await this.#report([PERIOD_LABEL, 'project']);
    const row = rows.find(
      ({ labels }) => labels['project'] === project && labels[PERIOD_LABEL] === key,
    );
    return row?.amounts['usd'] ?? 0;
  }

  async #report(by: readonly string[]): ReturnType<Purse['report']> {
    const rule: CapRule = { capSteps: 0, period: 'daily', timezone: 'UTC', soft: true };
    return (await this.#purse(rule)).report({ by });
  }

  /** Keeps the totals of a memory by what is charged, however it came to be: also by expiry. */
  #watched(purse: Purse): Purse {
    const totals = this.#totals;
    if (totals === null) return purse;
    purse.on('charge', ({ amounts, labels, description }) => {
      if (description === BY_HAND) return;
      const { project = '', feature = '', [PERIOD_LABEL]: key = '' } = labels;
      const steps = stepsOf(amounts['usd'] ?? 0);
      totals.add(featureKey(project, feature, key), steps, true);
      totals.add(totalKey(project, key), steps, true);
    });
    return purse;
  }

  #purse(rule: CapRule): Promise<Purse> {
    const key = `${rule.capSteps} ${rule.period} ${rule.soft} ${rule.timezone}`;
    let purse = this.#purses.get(key);
    if (purse === undefined) {
      purse = this.#open().then(async (store) => this.#watched(await openCapPurse(store, rule)));
      if (this.#purses.size >= MAX_PURSES) this.#purses.clear();
      this.#purses.set(key, purse);
      // A purse that could not be opened is tried again at the next call.
      purse.catch(() => this.#purses.delete(key));
    }
    return purse;
  }
}

/** A model's name comes from the request, and a label's length is bounded. */
export function labelOf(model: string): string {
  return model.slice(0, 256).toWellFormed();
}
