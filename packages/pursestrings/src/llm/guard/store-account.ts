import { StoreError } from '../../errors.ts';
import { MAX_ENVELOPE_STEPS } from '../../ledger/amount.ts';
import { shown } from '../../ledger/invalid.ts';
import { reasonOf, warnOf } from './announce.ts';
import { capDenial } from './errors.ts';
import { usdOf, stepsOf } from './memory-store.ts';
import { featureKey, featureOf, lastKey, projectPrefix, totalKey } from './store-keys.ts';
import {
  type HoldRequest,
  type Refusal,
  reportOf,
  type GuardHold,
  type Spent,
  type HoldAnswer,
  type Account,
} from './account.ts';
import type { SpendStore } from './types.ts';

const accounts = new WeakMap<SpendStore, StoreAccount>();

/** The account of a store: one for each, so that all guards of a store wait for each other. */
export function storeAccount(store: SpendStore): Account {
  const account = accounts.get(store) ?? new StoreAccount(store);
  accounts.set(store, account);
  return account;
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
class StoreAccount implements Account {
  readonly #store: SpendStore;
  /** Steps held by this process, by the key that they are part of. */
  readonly #held = new Map<string, number>();
  /** Places of last calls that the store failed to take back. */
  readonly #unreturned = new Set<string>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: SpendStore) {
    this.#store = store;
  }

  hold(request: HoldRequest): Promise<HoldAnswer> {
    return this.#inTurn(async () => {
      const key = totalKey(request.project, request.span.key);
      const cap = capSteps(request);
      const wanted = request.usd === null ? Number.POSITIVE_INFINITY : stepsOf(request.usd);
      let total = await this.#read(key);
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        const fits = total + wanted <= cap;
        if (request.whole ? !fits : total >= cap) break;
        const last = fits ? null : await this.#takeLast(request);
        if (!fits && last === null) break;
        const amount = fits ? wanted : cap - total;
        let held = false;
        try {
          const after = await this.#addUnder(cap, key, amount, total);
          held = after <= cap;
          if (held) return { ok: true, hold: this.#hold(request, key, amount, last) };
          total = after - amount;
        } finally {
          if (!held) await this.#giveBackLast(last);
        }
      }
      return { ok: false, refusal: this.#refusal(request, key, total) };
    });
  }

  holdAnyway(request: HoldRequest): Promise<GuardHold> {
    return this.#inTurn(async () => {
      const key = totalKey(request.project, request.span.key);
      const amount = request.usd === null ? 0 : stepsOf(request.usd);
      if (amount > 0) await this.#add(key, amount);
      return this.#hold(request, key, amount, null);
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

  /** Adds a hold, and answers with the total it made; past the cap it is taken back at once. */
  async #addUnder(cap: number, key: string, amount: number, total: number): Promise<number> {
    const after = amount === 0 ? total : await this.#add(key, amount);
    if (after > cap) await this.#add(key, -amount);
    return after;
  }

  /**
   * Takes the one place of a call that holds less than it may cost. Adding is all that the store
   * can do, so whoever counts to one has it.
   */
  async #takeLast(request: HoldRequest): Promise<string | null> {
    const key = lastKey(request.project, request.span.key);
    if (this.#unreturned.has(key)) {
      const places = await this.#read(key);
      if (places > ONE) return null;
      this.#unreturned.delete(key);
      if (places === ONE) return key;
    }
    if ((await this.#add(key, ONE)) === ONE) return key;
    await this.#giveBackLast(key);
    return null;
  }

  /** While the store fails, the place stays this process's, and its next such call has it. */
  async #giveBackLast(key: string | null): Promise<void> {
    if (key === null) return;
    try {
      await this.#add(key, -ONE);
    } catch {
      this.#unreturned.add(key);
    }
  }

  #hold(request: HoldRequest, key: string, amount: number, last: string | null): GuardHold {
    this.#addHeld(key, amount);
    let done: Promise<number> | null = null;
    const finish = (spent: Spent | null): Promise<number> => {
      done ??= this.#inTurn(async () => {
        try {
          return await this.#finish(request, key, amount, spent);
        } finally {
          await this.#giveBackLast(last);
        }
      });
      return done;
    };
    return {
      heldUsd: usdOf(amount),
      settle: finish,
      release: async () => void (await finish(null)),
    };
  }

  async #finish(
    request: HoldRequest,
    key: string,
    amount: number,
    spent: Spent | null,
  ): Promise<number> {
    // From here on the amount counts as spent: should the store fail now, it stays in the total.
    this.#addHeld(key, -amount);
    const steps = spent === null ? 0 : stepsOf(spent.usd);
    const change = steps - amount;
    const total = change === 0 ? await this.#read(key) : await this.#add(key, change);
    if (spent !== null) {
      try {
        await this.#add(featureKey(request.project, request.feature, request.span.key), steps);
      } catch (error) {
        warnOf(
          `Spend of ${usdOf(steps)} USD counts for ${request.project} but not for its feature ` +
            `${request.feature} (${reasonOf(error)})`,
          'PURSE_SETTLE_FAILED',
        );
      }
    }
    return usdOf(total - this.#heldOf(key));
  }

  #refusal(request: HoldRequest, key: string, total: number): Refusal {
    const held = this.#heldOf(key);
    const spentUsd = usdOf(total - held);
    const capUsd = request.capUsd ?? 0;
    const denial = capDenial({
      project: request.project,
      capUsd,
      spentUsd,
      heldUsd: usdOf(held),
      requestedUsd: request.usd ?? 0,
      resetsAt: new Date(request.span.endMs),
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

  async #asked<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question();
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
export function capSteps({ capUsd }: HoldRequest): number {
  if (capUsd === null || capUsd === Number.POSITIVE_INFINITY) return MAX_ENVELOPE_STEPS;
  const nearest = Math.round(capUsd * 1e8);
  return Math.min(nearest / 1e8 > capUsd ? nearest - 1 : nearest, MAX_ENVELOPE_STEPS);
}
