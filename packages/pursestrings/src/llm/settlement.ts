import type { Hold } from '../hold.ts';
import { chargeLabels } from './charge-labels.ts';
import { recount } from './estimate.ts';
import type { CallFacts, Estimate } from './estimate.ts';
import { boundAttos, costAttos, lacksTier } from './prices/price.ts';
import { recordable, usdNumber } from './prices/rates.ts';
import { countTokens, TOKENS_PER_CUT } from './tokenizer.ts';
import type { Usage } from './usage.ts';

/** A hold's time is renewed when a third of it has passed. */
const RENEWALS_PER_TTL = 3;
const MIN_TTL_MS = 100;
const MAX_TTL_MS = 600_000;

/**
 * Work that goes on after the answer is given a day by those who sell it, and the reader an hour.
 * Source: https://platform.claude.com/docs/en/build-with-claude/batch-processing
 */
const WORK_TTL_MS = 25 * 3_600_000;

/** What a call came to, as far as it is known. */
interface Cost {
  readonly attos: bigint;
  readonly tokens: number;
  /** What the provider says was used; null where the cost is a bound. */
  readonly usage: Usage | null;
}

/** Whoever wants to know what becomes of a call. */
export interface CallObserver {
  charged(usd: number, usage: Usage | null): void;
  /** The call is resolved, whatever became of it. */
  end(): void;
}

/**
 * What becomes of one call's hold: settled or released, once, whichever way the call ends. Nothing
 * here throws: the caller paid for an answer and gets it. Should the store fail now, the hold
 * stands, and is charged when it expires, so the spend is never lost; a process warning says so.
 */
export class Settlement {
  readonly #hold: Hold;
  readonly #facts: CallFacts;
  readonly #estimate: Estimate;
  readonly #providerName: string;
  readonly #observer: CallObserver | null;
  readonly #ttlMs: number;
  readonly #renewBelowMs: number;
  #renewing = false;
  #done: Promise<void> | null = null;

  constructor(
    hold: Hold,
    facts: CallFacts,
    estimate: Estimate,
    providerName: string,
    observer: CallObserver | null = null,
  ) {
    this.#hold = hold;
    this.#facts = facts;
    this.#estimate = estimate;
    this.#providerName = providerName;
    this.#observer = observer;
    this.#ttlMs = Math.min(Math.max(hold.remainingMs(), MIN_TTL_MS), MAX_TTL_MS);
    this.#renewBelowMs = this.#ttlMs * (1 - 1 / RENEWALS_PER_TTL);
  }

  /** Charges what the provider says was used. */
  used(usage: Usage): Promise<void> {
    return this.#once(() => this.#settle(this.#costOf(usage)));
  }

  /**
   * Charges all that was held, for a call whose cost is not known; more if so many output tokens
   * were seen that they cost more.
   */
  unknown(tokensSeen: number = 0): Promise<void> {
    return this.#once(() => this.#settle(this.#mostFor(tokensSeen)));
  }

  /**
   * Charges the input and the text that was seen, and gives the rest back: for a stream without a
   * usage, where the user wants it so. `beyondBytes` is the length of what was not kept.
   */
  counted(text: string, tokensSeen: number, beyondBytes: number): Promise<void> {
    return this.#once(async () => {
      const { model, serviceTier } = this.#facts.shape;
      const { bound } = (await recount(this.#facts, this.#estimate)) ?? this.#estimate;
      const counted = await countTokens(model, [text]);
      const outputTokens = Math.max((counted ?? Buffer.byteLength(text)) + beyondBytes, tokensSeen);
      const attos = boundAttos(this.#facts.price, serviceTier, { ...bound, outputTokens });
      // Bytes say nothing for certain, and a count is a little too high.
      const certain = counted === null ? 0 : counted - TOKENS_PER_CUT;
      const most = this.#mostFor(Math.max(certain, tokensSeen));
      const cost = { attos, tokens: bound.inputTokens + outputTokens, usage: null };
      return this.#settle(cost.attos < most.attos ? cost : most);
    });
  }

  /** Gives everything back, for a call that cost nothing. */
  free(): Promise<void> {
    return this.#once(() => this.#hold.release());
  }

  /** Keeps the hold, under the id of work that goes on: who reads its result settles it. */
  goesOn(workId: string): Promise<void> {
    return this.#once(() => this.#hold.rename(workId, { ttlMs: WORK_TTL_MS }));
  }

  /** Keeps the hold of a call that is alive from expiring; costs nothing most of the time. */
  renew(): void {
    if (this.#done !== null || this.#renewing) return;
    if (this.#hold.remainingMs() > this.#renewBelowMs) return;
    this.#renewing = true;
    // A hold that expired is corrected when the call is settled, so a failure here changes nothing.
    this.#hold
      .extend(this.#ttlMs)
      .catch(() => undefined)
      .finally(() => (this.#renewing = false));
  }

  #once(act: () => Promise<unknown>): Promise<void> {
    this.#done ??= this.#resolve(act);
    return this.#done;
  }

  async #resolve(act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#hold.failed(error);
      warn(this.#hold.id, error);
    }
    this.#observer?.end();
  }

  /** The cost of a usage, or the hold where that cannot be known or may be more. */
  #costOf(said: Usage): Cost {
    const { price, shape } = this.#facts;
    const held = this.#estimate;
    const usage = withRequest(said, this.#facts);
    const tokens = usage.inputTokens + usage.outputTokens;
    const attos = costAttos(price, usage);
    if (attos === null) return { attos: held.attos, tokens: Math.max(held.tokens, tokens), usage };
    const tier = usage.serviceTier ?? null;
    const guessed =
      usage.reportedUsd === undefined && lacksTier(price, tier) && tier !== shape.serviceTier;
    return { attos: guessed && attos < held.attos ? held.attos : attos, tokens, usage };
  }

  #mostFor(tokensSeen: number): Cost {
    const { attos, tokens, bound } = this.#estimate;
    if (tokensSeen <= bound.outputTokens) return { attos, tokens, usage: null };
    const seen = { ...bound, outputTokens: tokensSeen };
    return {
      attos: boundAttos(this.#facts.price, this.#facts.shape.serviceTier, seen),
      tokens: bound.inputTokens + tokensSeen,
      usage: null,
    };
  }

  async #settle({ attos, tokens, usage }: Cost): Promise<void> {
    const { price, shape } = this.#facts;
    const held = this.#estimate;
    if (!recordable(attos, tokens)) {
      return this.#settle({ attos: held.attos, tokens: held.tokens, usage: null });
    }
    const { calls } = held;
    const usd = usdNumber(attos);
    const labels = chargeLabels(this.#hold.labels, this.#providerName, shape.model, price);
    await this.#hold.settle({ usd, tokens, calls }, { labels });
    this.#observer?.charged(usd, usage);
  }
}

/** A usage, with what the request says of it where the answer is silent. */
function withRequest(usage: Usage, { shape }: CallFacts): Usage {
  const { serviceTier } = shape;
  const tier = usage.serviceTier ?? (serviceTier === 'auto' ? null : serviceTier);
  const pieces = Object.keys(shape.pieces).length === 0 ? null : shape.pieces;
  if (tier === (usage.serviceTier ?? null) && pieces === null) return usage;
  return {
    ...usage,
    ...(tier === null ? {} : { serviceTier: tier }),
    ...(pieces === null ? {} : { pieces: { ...pieces, ...usage.pieces } }),
  };
}

function warn(holdId: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  process.emitWarning(
    `The cost of a call could not be recorded now (${reason}); its hold ${holdId} stands, and is ` +
      'charged when it expires',
    { type: 'PurseWarning', code: 'PURSE_SETTLE_FAILED' },
  );
}
