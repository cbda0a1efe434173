import { labelsAround } from '../../ambient-labels.ts';
import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import { announce, reasonOf, warnOf } from './announce.ts';
import { BudgetExceededError, UnknownUsageShapeError } from './errors.ts';
import { mayBeBilled } from './failed-call.ts';
import { estimateRequest, type HoldEstimate } from './hold-estimate.ts';
import type { PeriodSpan } from './period.ts';
import { costOf, findPrice, isFree, type KnownPrice, unknownPrice } from './prices.ts';
import { RetryStorms } from './retry-storms.ts';
import { checkedOptions, type GuardSettings } from './settings.ts';
import type { HoldRequest, Refusal, GuardHold } from './account.ts';
import { type SpendSource, accountOf } from './accounts.ts';
import type { GuardInternals, GuardOptions, RetryStats, SpendEvent, Usage } from './types.ts';
import { toCallUsage, usageIn } from './usage.ts';
import type { Usage as CallUsage } from '../usage.ts';

/** A call as it is asked for. */
export interface GuardedRequest {
  readonly args: object;
  readonly model: string;
  /** Default: the surrounding label, else `'default'`. */
  readonly feature?: string | undefined;
  /** Where the call goes, for hosts with prices of their own. */
  readonly url?: string | null;
}

/** One guard: admits calls, and records what they cost. */
export class SpendGuard<Args, Answer> {
  readonly options: GuardOptions<Args>;
  readonly internals: GuardInternals<Answer>;
  readonly settings: GuardSettings;
  readonly #source: SpendSource;
  readonly #storms: RetryStorms;
  readonly #estimates: boolean;
  #warnedOf: PeriodSpan | null = null;

  constructor(options: GuardOptions<Args>, internals: GuardInternals<Answer>) {
    this.settings = checkedOptions(options);
    this.options = options;
    this.internals = internals;
    this.#source = options.purse ?? options.store;
    this.#estimates = typeof Reflect.get(options, 'estimateUsage') === 'function';
    this.#storms = new RetryStorms(options.retryStormThreshold);
    // What is wrong with a store is said here, not at the first call.
    accountOf(this.#source);
  }

  retryStats(): RetryStats {
    return this.#storms.stats();
  }

  /**
   * Sets money aside for a call, which may go out once this answers.
   *
   * @throws BudgetExceededError, UnknownModelError, InvalidAmountError, StoreError: it must not go.
   */
  async admit(asked: GuardedRequest): Promise<AdmittedCall<Args, Answer>> {
    const { args, model, url = null } = asked;
    const feature = featureOf(asked.feature);
    const span = this.settings.periodOf(this.internals.now?.() ?? new Date());
    const policy = this.options.onUnknownModel ?? 'throw';
    const known = findPrice(model, url) ?? unknownPrice(model, policy);
    const estimate = await this.#estimate(args as Args, model, known);
    const { project, capUsd, period, timezone } = this.settings;
    const request: HoldRequest = {
      project,
      feature,
      model,
      span,
      period,
      timezone,
      capUsd,
      usd: estimate?.usd ?? null,
      tokens: estimate?.tokens ?? 0,
      whole: this.#estimates,
    };
    const account = accountOf(this.#source);
    const taken = await account.hold(request);
    if (taken.ok) return new AdmittedCall(this, request, known, estimate, taken.hold);
    this.#refused(request, args as Args, taken.refusal);
    return new AdmittedCall(this, request, known, estimate, await account.holdAnyway(request));
  }

  /** Tells who listens that a call was paid for. */
  spent(request: HoldRequest, usd: number, dayTotalUsd: number): void {
    const { project, feature, model } = request;
    const retryCount = this.#storms.succeeded(feature, model);
    const event: SpendEvent = {
      project,
      feature,
      model,
      usd,
      dayTotalUsd,
      ...(retryCount > 0 && { retryCount }),
    };
    announce('onSpend', () =>
      this.options.onSpend === undefined
        ? this.internals.onSpend?.(event)
        : this.options.onSpend(event),
    );
    this.#tellThreshold(request, dayTotalUsd);
  }

  /** Counts a call that failed. */
  failed({ project, feature, model }: HoldRequest): void {
    const consecutiveFailures = this.#storms.failed(feature, model);
    if (consecutiveFailures === null) return;
    const event = { project, feature, model, consecutiveFailures };
    announce('onRetryStorm', () => this.options.onRetryStorm?.(event));
  }

  async #estimate(args: Args, model: string, known: KnownPrice): Promise<HoldEstimate | null> {
    if (!this.#estimates) {
      // What costs nothing, however long it is, needs no bound.
      if (isFree(known.price)) return { usd: 0, tokens: 0 };
      return estimateRequest(args as object, model, known);
    }
    const usage = toCallUsage((await this.options.estimateUsage?.(args)) as Usage);
    const usd = costOf(known.price, usage);
    if (usd === null) unknownPrice(model, 'throw');
    return { usd: usd ?? 0, tokens: usage.inputTokens + usage.outputTokens };
  }

  /** Throws for a call that must not go out; under `'warn'` it writes its one warning. */
  #refused(request: HoldRequest, args: Args, refusal: Refusal): void {
    const { project, feature, model } = request;
    const { spentUsd, capUsd, denials } = refusal;
    const estimatedUsd = request.usd ?? undefined;
    announce('onExceeded', () => this.options.onExceeded?.({ project, spentUsd, capUsd }));
    const error = new BudgetExceededError(project, spentUsd, capUsd, {
      feature,
      model,
      estimatedUsd,
      denials,
    });
    if (this.settings.warns) {
      console.warn(
        `Project ${JSON.stringify(project)} has spent ${spentUsd} USD of its cap of ${capUsd} USD; ` +
          "the call goes ahead, because onCap is 'warn'.",
      );
      return;
    }
    const asked = { project, feature, model, spentUsd, capUsd, args };
    const event = estimatedUsd === undefined ? asked : { ...asked, estimatedUsd };
    announce('onRejected', () => this.options.onRejected?.(event));
    throw error;
  }

  #tellThreshold(request: HoldRequest, spentUsd: number): void {
    const { capUsd, threshold, project } = this.settings;
    if (this.options.onThreshold === undefined || capUsd === null) return;
    if (this.#warnedOf === request.span || !reaches(spentUsd, threshold, capUsd)) return;
    this.#warnedOf = request.span;
    announce('onThreshold', () =>
      this.options.onThreshold?.({ project, spentUsd, capUsd, threshold }),
    );
  }
}

/** A call that may go out, and the money that is held for it. It is settled once. */
export class AdmittedCall<Args, Answer> {
  readonly #guard: SpendGuard<Args, Answer>;
  readonly #request: HoldRequest;
  readonly #known: KnownPrice;
  readonly #estimate: HoldEstimate | null;
  readonly #hold: GuardHold;
  #done: Promise<void> | null = null;

  constructor(
    guard: SpendGuard<Args, Answer>,
    request: HoldRequest,
    known: KnownPrice,
    estimate: HoldEstimate | null,
    hold: GuardHold,
  ) {
    this.#guard = guard;
    this.#request = request;
    this.#known = known;
    this.#estimate = estimate;
    this.#hold = hold;
  }

  /**
   * Records what an answer says it used.
   *
   * @throws UnknownUsageShapeError when the guard is told to throw; the call is recorded then too.
   */
  async answered(answer: unknown): Promise<void> {
    let usage: CallUsage | null = null;
    try {
      const own = await this.#guard.internals.usageOf?.(answer as Answer);
      usage = own === undefined ? usageIn(answer) : toCallUsage(own);
    } catch (error) {
      warnOf(
        `The usage of a call of ${this.#request.model} could not be read (${reasonOf(error)})`,
        'PURSE_USAGE_UNREADABLE',
      );
    }
    await (usage === null ? this.unseen(answer) : this.used(usage));
  }

  /** Records a usage. */
  used(usage: CallUsage): Promise<void> {
    return this.#once(async () => {
      const usd = costOf(this.#known.price, usage);
      const tokens = usage.inputTokens + usage.outputTokens;
      await this.#settle(usd ?? this.#assumedUsd(), tokens);
    });
  }

  /** Records a call that was answered without a usage. */
  async unseen(answer: unknown): Promise<void> {
    const policy = this.#guard.options.onMissingUsage ?? 'hold';
    if (policy === 'zero') {
      warnOf(
        `A call of ${this.#request.model} was answered without a usage and counts as free`,
        'PURSE_USAGE_MISSING',
      );
    }
    await this.#once(() => this.#settle(policy === 'zero' ? 0 : this.#assumedUsd(), this.#tokens));
    if (policy === 'throw') throw new UnknownUsageShapeError(answer);
  }

  /** Records a call that was left before its usage was seen: it may be billed in full. */
  left(): Promise<void> {
    return this.#once(() => this.#settle(this.#assumedUsd(), this.#tokens));
  }

  /** Records a call that failed: as spent where the provider may have billed it. */
  async failed(error: unknown): Promise<void> {
    if (this.#done === null) this.#guard.failed(this.#request);
    if (mayBeBilled(error)) return this.left();
    return this.#once(() => this.#hold.release());
  }

  get #tokens(): number {
    return this.#estimate?.tokens ?? 0;
  }

  /** What a call counts as whose cost nobody knows. */
  #assumedUsd(): number {
    const { heldUsd } = this.#hold;
    return heldUsd > 0 ? heldUsd : (this.#estimate?.usd ?? 0);
  }

  async #settle(usd: number, tokens: number): Promise<void> {
    const labels = { price: this.#known.price.source.slice(0, 256).toWellFormed() };
    const total = await this.#hold.settle({ usd, tokens, labels });
    this.#guard.spent(this.#request, usd, total);
  }

  /** A failure is told as a warning: whoever paid for an answer gets it. */
  #once(act: () => Promise<unknown>): Promise<void> {
    this.#done ??= act().then(
      () => undefined,
      (error: unknown) =>
        warnOf(
          `What a call of ${this.#request.model} for ${this.#request.project} cost could not be recorded ` +
            `(${reasonOf(error)}); what was held for it counts as spent`,
          'PURSE_SETTLE_FAILED',
        ),
    );
    return this.#done;
  }
}

function featureOf(given: string | undefined): string {
  const feature: unknown = given ?? labelsAround(undefined)['feature'] ?? 'default';
  if (typeof feature === 'string' && feature.length <= 1_024 && feature.isWellFormed()) {
    return feature;
  }
  throw new InvalidOptionError(
    `feature is ${shown(feature)}; it must be text of at most 1,024 characters`,
  );
}

const FRACTION_STEPS = 1e12;

/** True when an amount is at least a fraction of a cap, reckoned without rounding. */
function reaches(usd: number, fraction: number, capUsd: number): boolean {
  if (capUsd === Number.POSITIVE_INFINITY) return false;
  const spent = BigInt(Math.round(usd * 1e8)) * BigInt(FRACTION_STEPS);
  return spent >= BigInt(Math.round(capUsd * 1e8)) * BigInt(Math.round(fraction * FRACTION_STEPS));
}
