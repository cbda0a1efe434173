import type { Denial } from '../../denial.ts';
import { StoreError } from '../../errors.ts';
import type { Hold } from '../../hold.ts';
import type { Amounts } from '../../ledger/amount.ts';
import type { Labels } from '../../ledger/labels.ts';
import type { Purse } from '../../purse.ts';
import {
  type HoldRequest,
  type Refusal,
  reportOf,
  type GuardHold,
  type Spent,
  type HoldAnswer,
  type Account,
} from './account.ts';

/** While others spend too, what is left changes between looking and taking. */
const MAX_ROUNDS = 100;

/** More than any envelope holds: asked for, it is denied with what is left. In USD. */
const EVERYTHING_USD = 11_000_000;

const STEP_USD = 1e-8;

/** Where an account's purse comes from: a ledger of guards alone, or the user's own purse. */
export interface PurseSource {
  /** The purse that tests a request; a `soft` one counts and never refuses for the guard's cap. */
  purseFor(request: HoldRequest, soft: boolean): Promise<Purse>;
  labelsFor(request: HoldRequest): Labels;
  /** What a call holds besides that holds less than it may cost, so that it is the only one. */
  readonly lastAmounts: Amounts;
  /** A denial as this guard's users are to see it. */
  shown(denial: Denial, request: HoldRequest): Denial;
  /** The spend of a call's project in its period, once the call is settled. */
  spent(request: HoldRequest): Promise<number>;
  report(project: string, key: string): Promise<readonly (readonly [string, number])[]>;
  total(project: string, key: string): Promise<number>;
}

/** Spend through a purse. */
export class PurseAccount implements Account {
  readonly #source: PurseSource;
  /** Projects and periods in which a call of this process holds all that was left. */
  readonly #last = new Set<string>();
  readonly #holdsLast = new WeakMap<Hold, string>();

  constructor(source: PurseSource) {
    this.#source = source;
  }

  async hold(request: HoldRequest): Promise<HoldAnswer> {
    const purse = await this.#source.purseFor(request, false);
    const labels = this.#labels(request);
    const taken = request.whole
      ? await reserveWhole(purse, request, labels)
      : await this.#reserveWhatIsLeft(purse, request, labels);
    if (isDenied(taken)) return { ok: false, refusal: this.#refusal(request, taken) };
    return { ok: true, hold: this.#hold(request, taken) };
  }

  async holdAnyway(request: HoldRequest): Promise<GuardHold> {
    const purse = await this.#source.purseFor(request, true);
    const taken = await reserve(purse, request, this.#labels(request), request.usd ?? 0);
    if (!isDenied(taken)) return this.#hold(request, taken);
    // Limits of the purse's own stay in the way of a hold; what is spent is charged in full.
    return {
      heldUsd: 0,
      settle: async ({ usd, tokens, labels }) => {
        const who = { ...this.#labels(request), ...labels };
        await purse.charge({ usd, tokens, calls: 1 }, who);
        return this.#source.spent(request);
      },
      release: async () => undefined,
    };
  }

  async report(project: string, key: string): Promise<Record<string, number>> {
    return reportOf(await this.#source.report(project, key));
  }

  total(project: string, key: string): Promise<number> {
    return this.#source.total(project, key);
  }

  /**
   * Holds the estimate, or what is left if that is less, as long as anything is. One call at a time
   * holds less than it may cost: only that one can pass the cap.
   */
  async #reserveWhatIsLeft(
    purse: Purse,
    request: HoldRequest,
    labels: Labels,
  ): Promise<Hold | Denials> {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const wanted = Math.max(request.usd ?? EVERYTHING_USD, STEP_USD);
      const { denials } = await purse.check({ usd: wanted, calls: 1 }, labels);
      const short = denials.filter(isShort);
      const left = Math.min(...short.map(({ available }) => available));
      const whole = denials.length === 0;
      if (!whole && (short.length < denials.length || left <= 0)) {
        // Something else is in the way, or nothing is left: so little is refused too, and counted.
        return reserve(purse, request, labels, Math.max(request.usd ?? STEP_USD, STEP_USD));
      }
      const taken = whole
        ? await reserve(purse, request, labels, request.usd ?? 0)
        : await this.#reserveLast(purse, request, labels, left);
      if (taken !== null && !(isDenied(taken) && whole && taken.every(isShort))) return taken;
    }
    throw contended();
  }

  /** Holds all that is left, unless a call that does is under way. Null: what is left has changed. */
  async #reserveLast(
    purse: Purse,
    request: HoldRequest,
    labels: Labels,
    left: number,
  ): Promise<Hold | Denials | null> {
    const key = JSON.stringify([request.project, request.span.key]);
    if (!this.#last.has(key)) {
      this.#last.add(key);
      const taken = await reserve(purse, request, labels, left, this.#source.lastAmounts);
      if (!isDenied(taken)) {
        this.#holdsLast.set(taken, key);
        return taken;
      }
      this.#last.delete(key);
      if (taken.every(isShort)) return null;
    }
    // What the call may cost does not fit, which is why it is refused.
    const beyond = await reserve(
      purse,
      request,
      labels,
      Math.max(request.usd ?? 0, left + STEP_USD),
    );
    if (isDenied(beyond)) return beyond;
    await beyond.release();
    return null;
  }

  #ended(hold: Hold): void {
    const key = this.#holdsLast.get(hold);
    if (key !== undefined) this.#last.delete(key);
  }

  #labels(request: HoldRequest): Labels {
    return this.#source.labelsFor(request);
  }

  #hold(request: HoldRequest, hold: Hold): GuardHold {
    return {
      heldUsd: hold.amounts['usd'] ?? 0,
      settle: async ({ usd, tokens, labels }: Spent) => {
        try {
          await hold.settle({ usd, tokens, calls: 1 }, { labels });
        } finally {
          this.#ended(hold);
        }
        return this.#source.spent(request);
      },
      release: async () => {
        this.#ended(hold);
        await hold.release();
      },
    };
  }

  #refusal(request: HoldRequest, denials: Denials): Refusal {
    const [first, ...others] = denials.map((denial) => this.#source.shown(denial, request));
    const shownFirst = first as Denial;
    return {
      denials: [shownFirst, ...others],
      spentUsd: shownFirst.spent,
      capUsd: shownFirst.cap,
    };
  }
}

type Denials = readonly [Denial, ...(readonly Denial[])];

function isDenied(taken: Hold | Denials): taken is Denials {
  return Array.isArray(taken);
}

/** True for a refusal that a smaller amount of money would not have met. */
function isShort({ reason, unit }: Denial): boolean {
  return reason === 'exceeds' && unit === 'usd';
}

/**
 * Holds the whole estimate or nothing. A ledger does not test amounts of zero, and a call that
 * costs nothing is to be refused all the same where more is spent than the cap.
 */
async function reserveWhole(
  purse: Purse,
  request: HoldRequest,
  labels: Labels,
): Promise<Hold | Denials> {
  if (request.usd === 0) {
    const { denials } = await purse.check({ usd: STEP_USD }, labels);
    const [first, ...others] = denials.filter(({ spent, held, cap }) => spent + held > cap);
    if (first !== undefined) return [first, ...others];
  }
  return reserve(purse, request, labels, request.usd ?? 0);
}

async function reserve(
  purse: Purse,
  request: HoldRequest,
  labels: Labels,
  usd: number,
  more: Amounts = {},
): Promise<Hold | Denials> {
  const amounts = { ...more, usd, tokens: request.tokens, calls: 1 };
  const answer = await purse.tryReserve(amounts, labels, { ifAbandoned: 'charge' });
  if (answer.ok) return answer.hold;
  const [first, ...others] = answer.denials;
  return [first as Denial, ...others];
}

function contended(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'contended',
    `What is left changed ${MAX_ROUNDS} times while one call was admitted; try again`,
    { retryable: true },
  );
}
