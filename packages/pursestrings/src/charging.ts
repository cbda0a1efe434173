import type { Asking } from './asking.ts';
import type { Charge } from './charge.ts';
import type { News } from './news.ts';
import { refusalOf } from './refusal.ts';
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

  /** Records a spend by a plan that is made anew while the policy changes under it. */
  async charge(unheld: Unheld): Promise<Charge> {
    const asking = this.#asking.ask((revision) => this.#operations.charge(unheld, revision));
    const answer = asking instanceof Promise ? await asking : asking;
    if (answer.kind !== 'charged') throw refusalOf(unheld.id, answer, this.#operations.units);
    return this.#news.charged(answer.charge, answer.replayed);
  }
}
