import { type Charge, toCharge } from './charge.ts';
import type { Denials } from './denial.ts';
import type { Announcer } from './events.ts';
import type { ChargeRecord, Expiry } from './ledger/records.ts';
import { toDecimals } from './ledger/unit.ts';
import type { PolicyDesk } from './policy-desk.ts';
import type { QuietHoldEvent } from './telemetry.ts';

/** Says what came of operations, in the words of the purse's events. */
export class News {
  readonly #announcer: Announcer;
  readonly #desk: PolicyDesk;

  constructor(announcer: Announcer, desk: PolicyDesk) {
    this.#announcer = announcer;
    this.#desk = desk;
  }

  /** A charge stands. One that was made before is told of by whoever made it. */
  charged(record: ChargeRecord, replayed: boolean): Charge {
    const charge = toCharge(record, this.#desk.rulebook.units, replayed);
    if (replayed) return charge;
    this.#announcer.emit('charge', charge);
    if (charge.overrun) this.#announcer.emit('overrun', charge);
    for (const crossing of charge.crossed)
      this.#announcer.emit('threshold', { ...crossing, charge });
    return charge;
  }

  /** The same of one that was made just now, for whoever listens. */
  posted(record: ChargeRecord): void {
    if (this.#announcer.hearsOfCharges) this.charged(record, false);
  }

  denied(denials: Denials): void {
    this.#announcer.emit('denied', { ...denials[0], denials });
  }

  expired({ hold, charge }: Expiry): void {
    this.#announcer.emit('expired', {
      id: hold.id,
      amounts: toDecimals(hold.amounts, this.#desk.rulebook.units),
      labels: hold.labels.labels,
      ifAbandoned: hold.ifAbandoned,
      charge: charge === null ? null : this.charged(charge, false),
    });
  }

  /** What is counted and is no event. */
  countHold(event: QuietHoldEvent): void {
    this.#announcer.countHold?.(event);
  }

  /** Something failed of which no caller can be told. */
  failed(error: unknown): void {
    this.#announcer.emit('error', error);
  }
}
