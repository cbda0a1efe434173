import { StoreError } from '../../errors.ts';
import { MAX_ENVELOPE_STEPS } from '../../ledger/amount.ts';
import { shown } from '../../ledger/invalid.ts';
import { reasonOf, warnOf } from './announce.ts';
import { capDenial } from './errors.ts';
import { usdOf, stepsOf } from './memory-store.ts';
import { featureKey, featureOf, lastKey, projectPrefix, totalKey } from './store-keys.ts';
import {
  type Ask,
  type Refusal,
  reportOf,
  type Slip,
  type Spent,
  type Taken,
  type Till,
} from './till.ts';
import type { SpendStore } from './types.ts';

const tills = new WeakMap<SpendStore, StoreTill>();

/** The till of a store: one for each, so that all guards of a store wait for each other. */
export function storeTill(store: SpendStore): Till {
  const till = tills.get(store) ?? new StoreTill(store);
  tills.set(store, till);
  return till;
}

/** While other processes take too, what is left changes between looking and taking. */
const MAX_ROUNDS = 20;

/** A count of one, in the steps of a store that counts USD. */
const ONE = stepsOf(1);

/**
 * Spend in a store that can only add. A hold is added to the project's total first, and the total
 * that the store answers decides: what does not fit is taken back. So the test needs no lock across
 * processes, only an `add` that is atomic; within this process one step follows the other.
 */
class StoreTill implements Till {
  readonly #store: SpendStore;
  /** Steps held by this process, by the key that they are part of. */
  readonly #held = new Map<string, number>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: SpendStore) {
    this.#store = store;
  }

  take(ask: Ask): Promise<Taken> {
    return this.#inTurn(async () => {
      const key = totalKey(ask.project, ask.span.key);
      const cap = capSteps(ask);
      const wanted = ask.usd === null ? Number.POSITIVE_INFINITY : stepsOf(ask.usd);
      let total = await this.#read(key);
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        const whole = total + wanted <= cap;
        const amount = whole ? wanted : cap - total;
        if (ask.whole ? !whole : total >= cap) break;
        const last = whole ? null : await this.#takeLast(ask);
        if (!whole && last === null) break;
        const after = amount === 0 ? total : await this.#add(key, amount);
        if (after <= cap) return { ok: true, slip: this.#slip(ask, key, amount, last) };
        await this.#add(key, -amount);
        if (last !== null) await this.#add(last, -ONE);
        total = after - amount;
      }
      return { ok: false, refusal: this.#refusal(ask, key, total) };
    });
  }

  takeAnyway(ask: Ask): Promise<Slip> {
    return this.#inTurn(async () => {
      const key = totalKey(ask.project, ask.span.key);
      const amount = ask.usd === null ? 0 : stepsOf(ask.usd);
      if (amount > 0) await this.#add(key, amount);
      return this.#slip(ask, key, amount, null);
    });
  }

  async report(project: string, key: string): Promise<Record<string, number>> {
    const entries = await this.#inTurn(async () => this.#store.entries(projectPrefix(project)));
    const rows: [string, number][] = [];
    for (const [name, total] of entries) {
      const feature = featureOf(name, project, key);
      if (feature !== null) rows.push([feature, usdOf(this.#checked(name, total))]);
    }
    return reportOf(rows);
  }

  async total(project: string, key: string): Promise<number> {
    const name = totalKey(project, key);
    return this.#inTurn(async () => usdOf((await this.#read(name)) - this.#heldOf(name)));
  }

  /**
   * Takes the one place of a call that holds less than it may cost. Adding is all that the store
   * can do, so whoever counts to one has it.
   */
  async #takeLast(ask: Ask): Promise<string | null> {
    const key = lastKey(ask.project, ask.span.key);
    if ((await this.#add(key, ONE)) === ONE) return key;
    await this.#add(key, -ONE);
    return null;
  }

  #slip(ask: Ask, key: string, amount: number, last: string | null): Slip {
    this.#addHeld(key, amount);
    let done: Promise<number> | null = null;
    const finish = (spent: Spent | null): Promise<number> => {
      done ??= this.#inTurn(async () => {
        const total = await this.#finish(ask, key, amount, spent);
        if (last !== null) await this.#add(last, -ONE);
        return total;
      });
      return done;
    };
    return {
      heldUsd: usdOf(amount),
      settle: finish,
      release: async () => void (await finish(null)),
    };
  }

  async #finish(ask: Ask, key: string, amount: number, spent: Spent | null): Promise<number> {
    // From here on the amount counts as spent: should the store fail now, it stays in the total.
    this.#addHeld(key, -amount);
    const steps = spent === null ? 0 : stepsOf(spent.usd);
    const change = steps - amount;
    const total = change === 0 ? await this.#read(key) : await this.#add(key, change);
    if (steps > 0) {
      try {
        await this.#add(featureKey(ask.project, ask.feature, ask.span.key), steps);
      } catch (error) {
        warnOf(
          `Spend of ${usdOf(steps)} USD counts for ${ask.project} but not for its feature ` +
            `${ask.feature} (${reasonOf(error)})`,
          'PURSE_SETTLE_FAILED',
        );
      }
    }
    return usdOf(total - this.#heldOf(key));
  }

  #refusal(ask: Ask, key: string, total: number): Refusal {
    const held = this.#heldOf(key);
    const spentUsd = usdOf(total - held);
    const capUsd = ask.capUsd ?? 0;
    const denial = capDenial({
      project: ask.project,
      capUsd,
      spentUsd,
      heldUsd: usdOf(held),
      requestedUsd: ask.usd ?? 0,
      resetsAt: new Date(ask.span.endMs),
    });
    return { denials: [denial], spentUsd, capUsd };
  }

  #heldOf(key: string): number {
    return this.#held.get(key) ?? 0;
  }

  #addHeld(key: string, steps: number): void {
    const held = this.#heldOf(key) + steps;
    if (held === 0) this.#held.delete(key);
    else this.#held.set(key, held);
  }

  async #read(key: string): Promise<number> {
    return this.#checked(key, await this.#asked(async () => this.#store.get(key)));
  }

  async #add(key: string, steps: number): Promise<number> {
    const total = await this.#asked(async () => this.#store.add(key, usdOf(steps)));
    return this.#checked(key, total);
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      throw new StoreError(
        'STORE_UNAVAILABLE',
        'io',
        `The spend store failed (${reasonOf(cause)})`,
        { cause, retryable: true },
      );
    }
  }

  /** Steps of a total. A store that answers with none would let everything pass. */
  #checked(key: string, total: number): number {
    if (typeof total === 'number' && Number.isFinite(total)) return stepsOf(total);
    throw new StoreError(
      'STORE_CORRUPT',
      'corrupt',
      `The spend store says that ${JSON.stringify(key)} is ${shown(total)}; it must be a number`,
    );
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

/** A cap in whole steps; a part finer than a step cannot be spent. */
export function capSteps({ capUsd }: Ask): number {
  if (capUsd === null || capUsd === Number.POSITIVE_INFINITY) return MAX_ENVELOPE_STEPS;
  const nearest = Math.round(capUsd * 1e8);
  return Math.min(nearest / 1e8 > capUsd ? nearest - 1 : nearest, MAX_ENVELOPE_STEPS);
}
