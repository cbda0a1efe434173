import { type Surroundings, surroundings } from './ambient-labels.ts';
import type { Asking } from './asking.ts';
import type { Denials } from './denial.ts';
import { labelSet } from './ledger/labels.ts';
import type { Expiry, ReserveOperation } from './ledger/records.ts';
import type { StepAmounts } from './ledger/unit.ts';
import type { News } from './news.ts';
import { refusalOf } from './refusal.ts';
import { Share, SHARE_SAID, type ShareDesk } from './share.ts';
import type { PolicyDesk } from './policy-desk.ts';
import type { SpendOperations } from './spend-operations.ts';

/** What the shares of a purse work with. */
export interface SharesContext {
  readonly asking: Asking;
  readonly desk: PolicyDesk;
  readonly operations: SpendOperations;
  readonly news: News;
  readonly now: () => number;
}

/** A share, or why it is not to be had. */
export type Shared =
  | { readonly ok: true; readonly share: Share }
  | { readonly ok: false; readonly denials: Denials };

/** The shares of one purse. */
export class Shares {
  readonly #context: SharesContext;
  readonly #desk: ShareDesk;

  constructor(context: SharesContext) {
    this.#context = context;
    const { asking, desk, now } = context;
    this.#desk = { asking, desk, now, open: new Set() };
  }

  /** The share that surrounds a spend, where it is of this purse and of one of the units. */
  around(amounts: StepAmounts): Share | undefined {
    const { share } = surroundings();
    return share?.isOf(this.#desk) === true && share.concerns(amounts) ? share : undefined;
  }

  /**
   * Sets money aside for work that makes spends of its own: out of the share that surrounds the call,
   * where there is one, or out of what the limits leave.
   */
  async open(
    amounts: StepAmounts,
    { labels: given, ancestors }: Surroundings,
    ttlMs: number,
  ): Promise<Shared> {
    const { desk, now, news, operations } = this.#context;
    const labels = labelSet(given);
    const terms = { amounts, labels, ancestors, ttlMs };
    const planNow = () => desk.plan(amounts, labels.labels, now(), ancestors);
    let plan = planNow();
    const planned = (id: string): ReserveOperation => {
      plan = planNow();
      const reservation = { id, amounts, labels, options: { id, ttlMs } };
      return { ...operations.reserve(reservation, plan), said: SHARE_SAID };
    };
    const opened = await Share.open(this.#desk, terms, this.around(amounts), planned);
    if (opened instanceof Share) return { ok: true, share: opened };
    if (opened.kind !== 'denied' && opened.kind !== 'over_share') {
      throw refusalOf('share', opened, operations.units);
    }
    const reservation = { id: '', amounts, labels, options: {} };
    const denials: Denials =
      opened.kind === 'over_share'
        ? [opened.denial]
        : operations.denials(opened, reservation, plan);
    news.denied(denials);
    return { ok: false, denials };
  }

  /** Takes notice of a hold that expired. Answers true when it only set a share aside. */
  noteExpiry(expiry: Expiry): boolean {
    for (const share of this.#desk.open) share.expired(expiry);
    return expiry.hold.said === SHARE_SAID;
  }
}
