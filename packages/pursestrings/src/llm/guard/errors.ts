import type { Denial } from '../../denial.ts';
import {
  BudgetExceededError as PurseBudgetExceededError,
  PriceUnknownError,
} from '../../errors.ts';
import { PurseError } from '../../ledger/invalid.ts';

/** What more is known of a refused call. */
export interface RefusalDetails {
  readonly feature?: string | undefined;
  readonly model?: string | undefined;
  readonly estimatedUsd?: number | undefined;
  readonly denials?: readonly [Denial, ...(readonly Denial[])] | undefined;
  readonly cause?: unknown;
}

/**
 * A call was refused before it went out, and no money moved. It extends the error of this name that
 * `pursestrings` exports, so `instanceof` works with either import.
 *
 * @example
 * ```ts
 * import { BudgetExceededError, guard } from 'pursestrings/guard';
 *
 * const client = { create: async (_: { model: string }) => ({ usage: { input: 0, output: 1_000 } }) };
 * const ai = guard(client, { project: 'my-app', dailyCapUSD: 0 });
 * try {
 *   await ai.create({ model: 'gpt-4o' });
 * } catch (error) {
 *   if (!(error instanceof BudgetExceededError)) throw error;
 *   console.log(error.project, error.spentUsd, error.capUsd); // my-app 0 0
 * }
 * ```
 */
export class BudgetExceededError extends PurseBudgetExceededError {
  static override readonly brand: string = 'GuardBudgetExceededError';
  readonly project: string;
  /** What the project had spent in the period, without what is held for calls under way. */
  readonly spentUsd: number;
  readonly capUsd: number;
  readonly feature: string | undefined;
  readonly model: string | undefined;
  readonly estimatedUsd: number | undefined;

  constructor(project: string, spentUsd: number, capUsd: number, details: RefusalDetails = {}) {
    const { feature, model, estimatedUsd, cause } = details;
    const asked = estimatedUsd ?? 0;
    const denials = details.denials ?? [
      capDenial({ project, capUsd, spentUsd, heldUsd: 0, requestedUsd: asked, resetsAt: null }),
    ];
    super(denials, cause === undefined ? {} : { cause });
    this.name = 'BudgetExceededError';
    this.project = project;
    this.spentUsd = spentUsd;
    this.capUsd = capUsd;
    this.feature = feature;
    this.model = model;
    this.estimatedUsd = estimatedUsd;
  }

  /** Finds the refusal in whatever an SDK or a framework made of it; `null` when there is none. */
  static override from(error: unknown): BudgetExceededError | null {
    const found = PurseBudgetExceededError.from(error);
    if (found === null || found instanceof BudgetExceededError) return found;
    const { labels, spent, cap } = found.denial;
    return new BudgetExceededError(labels['project'] ?? '', spent, cap, {
      feature: labels['feature'],
      model: labels['model'],
      denials: found.denials as readonly [Denial, ...Denial[]],
      cause: error,
    });
  }
}

/** Nobody knows what a model costs: register it by `definePrice`, or choose by `onUnknownModel`. */
export class UnknownModelError extends PriceUnknownError {
  static override readonly brand: string = 'UnknownModelError';

  constructor(model: string) {
    super(
      model,
      `No price is known for the model ${JSON.stringify(model)}: register it by definePrice(), ` +
        'or say what to do by onUnknownModel',
    );
  }
}

/** An answer holds no usage that can be read. The call was charged all the same. */
export class UnknownUsageShapeError extends PurseError {
  static override readonly brand: string = 'UnknownUsageShapeError';
  /** The answer, or the usage, as it came. */
  readonly received: unknown;

  constructor(received: unknown) {
    super(
      'USAGE_UNKNOWN',
      'The answer holds no usage that can be read: give guard() a usageOf(), or choose by ' +
        'onMissingUsage',
    );
    this.received = received;
  }
}

/** A cap that a call does not fit, in USD. */
export interface CapShortfall {
  readonly project: string;
  readonly capUsd: number;
  readonly spentUsd: number;
  readonly heldUsd: number;
  readonly requestedUsd: number;
  readonly resetsAt: Date | null;
}

/** The name that denials give the cap of a guard. */
export const CAP_NAME = 'guard';

/** Says that a call does not fit a guard's cap. */
export function capDenial(shortfall: CapShortfall): Denial {
  const { project, capUsd, spentUsd, heldUsd, requestedUsd, resetsAt } = shortfall;
  const available = Math.max(0, Math.round((capUsd - spentUsd - heldUsd) * 1e8) / 1e8);
  const held = heldUsd > 0 ? ` and ${heldUsd} USD held for calls under way` : '';
  const resets = resetsAt === null ? '' : `; it resets at ${resetsAt.toISOString()}`;
  return {
    reason: 'exceeds',
    limit: CAP_NAME,
    unit: 'usd',
    labels: { project },
    cap: capUsd,
    spent: spentUsd,
    held: heldUsd,
    requested: requestedUsd,
    available,
    resetsAt,
    message:
      `The cap of project ${JSON.stringify(project)} is ${capUsd} USD, with ${spentUsd} USD ` +
      `spent${held}; the call was not sent${resets}.`,
  };
}
