import type { Asking } from './asking.ts';
import type { Charge } from './charge.ts';
import type { ChargeOperation } from './ledger/records.ts';
import type { News } from './news.ts';
import { refusalOf } from './refusal.ts';
import type { Share } from './share.ts';
import type { SpendOperations, Unheld } from './spend-operations.ts';

/** Records spends that were not held. */
export class Charging {
  readonly #asking: Asking;
  readonly #operations: SpendOperations;
  readonly #news: News;

  constructor(asking: Asking, operations: SpendOperations, news: News) {
    this.#asking = asking;
    this.#operations = operations;
    this.#news = news;
  }

  /** Records a spend, out of a share if need be, by a plan that is made anew while the policy changes. */
  async charge(unheld: Unheld, share?: Share): Promise<Charge> {
    const planned = (revision: number | null): ChargeOperation =>
      this.#operations.charge(unheld, revision);
    const asking =
      share === undefined ? this.#asking.ask(planned) : share.charge(unheld.amounts, planned);
    const answer = asking instanceof Promise ? await asking : asking;
    if (answer.kind !== 'charged') throw refusalOf(unheld.id, answer, this.#operations.units);
    return this.#news.charged(answer.charge, answer.replayed);
  }
}
