import type { Hold } from '../hold.ts';
import { MAX_LABELS } from '../ledger/labels.ts';
import type { CallFacts, Estimate } from './estimate.ts';
import { boundAttos, costAttos, lacksTier, usdNumber } from './price.ts';
import type { Usage } from './price.ts';

/** A hold's time is renewed when a third of it has passed. */
const RENEWALS_PER_TTL = 3;
const MIN_TTL_MS = 100;
const MAX_TTL_MS = 600_000;

/** A model's name comes from the request, and a label's length is bounded. */
const MAX_MODEL_LENGTH = 256;

/**
 * What becomes of one call's hold: settled or released, once, whichever way the call ends. Nothing
 * here throws: the caller paid for an answer and gets it. Should the store fail now, the hold
 * stands,
 * and is charged when it expires, so the spend is never lost; a process warning says so.
 */
export class Settlement {
  readonly #hold: Hold;
  readonly #facts: CallFacts;
  readonly #estimate: Estimate;
  readonly #ttlMs: number;
  #renewAtMs: number;
  #done: Promise<void> | null = null;

  constructor(hold: Hold, facts: CallFacts, estimate: Estimate) {
    this.#hold = hold;
    this.#facts = facts;
    this.#estimate = estimate;
    const leftMs = hold.expiresAt.getTime() - Date.now();
    this.#ttlMs = Math.min(Math.max(leftMs, MIN_TTL_MS), MAX_TTL_MS);
    this.#renewAtMs = Date.now() + this.#ttlMs / RENEWALS_PER_TTL;
  }

  /** Charges what the provider says was used. */
  used(usage: Usage): Promise<void> {
    return this.#once(async () => this.#settle(...this.#cost(usage)));
  }

  /**
   * Charges all that was held, for a call whose cost is not known; more if so many output tokens
   * were seen that they cost more.
   */
  unknown(tokensSeen: number = 0): Promise<void> {
    const { bound } = this.#estimate;
    const outputTokens = Math.max(bound.outputTokens, tokensSeen);
    const attos = boundAttos(this.#facts.price, this.#facts.shape.serviceTier, {
      ...bound,
      outputTokens,
    });
    return this.#once(() => this.#settle(attos, bound.inputTokens + outputTokens));
  }

  /** Gives everything back, for a call that cost nothing. */
  free(): Promise<void> {
    return this.#once(() => this.#hold.release());
  }

  /** Keeps the hold of a call that is alive from expiring; costs nothing most of the time. */
  renew(): void {
    const nowMs = Date.now();
    if (nowMs < this.#renewAtMs || this.#done !== null) return;
    this.#renewAtMs = nowMs + this.#ttlMs / RENEWALS_PER_TTL;
    // A hold that expired is corrected when the call is settled, so a failure here changes nothing.
    this.#hold.extend(this.#ttlMs).catch(() => undefined);
  }

  #once(act: () => Promise<unknown>): Promise<void> {
    this.#done ??= act().then(
      () => undefined,
      (error: unknown) => warn(this.#hold.id, error),
    );
    return this.#done;
  }

  /** The cost of a usage, or the hold where that cannot be known or may be more. */
  #cost(usage: Usage): [attos: bigint, tokens: number] {
    const { price, shape } = this.#facts;
    const held = this.#estimate;
    const { webSearches } = held.bound;
    const cost = costAttos(price, webSearches === 0 ? usage : { ...usage, webSearches });
    const tokens = usage.inputTokens + usage.outputTokens;
    if (cost === null) return [held.attos, Math.max(held.tokens, tokens)];
    const premium =
      lacksTier(price, usage.serviceTier ?? null) && usage.serviceTier !== shape.serviceTier;
    return [premium && cost < held.attos ? held.attos : cost, tokens];
  }

  #settle(attos: bigint, tokens: number): Promise<unknown> {
    return this.#hold.settle(
      { usd: usdNumber(attos), tokens, calls: 1 },
      { labels: this.#labels() },
    );
  }

  /** What the charge says beside the user's own labels, of which none is touched. */
  #labels(): Record<string, string> {
    const { provider, price, shape } = this.#facts;
    const own = this.#hold.labels;
    const known = price.source.startsWith('genai-prices');
    const labels: Record<string, string> = {};
    let room = MAX_LABELS - Object.keys(own).length;
    const add = (name: string, value: string): void => {
      if (room <= 0 || Object.hasOwn(own, name)) return;
      labels[name] = value;
      room -= 1;
    };
    add('provider', known ? price.provider : provider.name);
    add('model', shape.model.slice(0, MAX_MODEL_LENGTH).toWellFormed());
    add('price', price.source.slice(0, MAX_MODEL_LENGTH));
    return labels;
  }
}

function warn(holdId: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  process.emitWarning(
    `The cost of a call could not be recorded now (${reason}); its hold ${holdId} stands, and is ` +
      'charged when it expires',
    { type: 'PurseWarning', code: 'PURSE_SETTLE_FAILED' },
  );
}
