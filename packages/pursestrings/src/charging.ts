import type { Asking } from './asking.ts';
import { type Charge, toCharge } from './charge.ts';
import type { Announcer } from './events.ts';
import type { ChargeOperation, ChargeRecord } from './ledger/records.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { refusalOf } from './refusal.ts';
import type { Share } from './share.ts';

/** A spend that was not held, or whose hold nobody knows any more. */
export type Unheld = Pick<
  ChargeOperation,
  'id' | 'fresh' | 'amounts' | 'labels' | 'description' | 'late'
>;

/** Records spends that were not held, and announces every charge that was made here. */
export class Charging {
  readonly #asking: Asking;
  readonly #desk: PolicyDesk;
  readonly #announcer: Announcer;
  readonly #now: () => number;

  constructor(asking: Asking, desk: PolicyDesk, announcer: Announcer, now: () => number) {
    this.#asking = asking;
    this.#desk = desk;
    this.#announcer = announcer;
    this.#now = now;
  }

  /** Records a spend, by a plan that is made anew while the policy changes under it, and out of a share. */
  async charge(unheld: Unheld, share?: Share): Promise<Charge> {
    const { id, fresh, amounts, labels, description, late } = unheld;
    const planned = (revision: number | null): ChargeOperation => {
      const { lines } = this.#desk.plan(amounts, labels.labels, this.#now());
      return { kind: 'charge', id, fresh, amounts, labels, description, lines, revision, late };
    };
    const asking = share === undefined ? this.#asking.ask(planned) : share.charge(amounts, planned);
    const answer = asking instanceof Promise ? await asking : asking;
    if (answer.kind !== 'charged') throw refusalOf(id, answer, this.#desk.rulebook.units);
    return this.note(answer.charge, answer.replayed);
  }

  /** Announces a charge, unless it was made before. */
  note(record: ChargeRecord, replayed: boolean): Charge {
    const charge = toCharge(record, this.#desk.rulebook.units, replayed);
    if (replayed) return charge;
    this.#announcer.emit('charge', charge);
    if (charge.overrun) this.#announcer.emit('overrun', charge);
    for (const crossing of charge.crossed)
      this.#announcer.emit('threshold', { ...crossing, charge });
    return charge;
  }
}
