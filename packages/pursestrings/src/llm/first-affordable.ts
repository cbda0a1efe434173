import { withLabels } from '../ambient-labels.ts';
import type { Denial } from '../denial.ts';
import { BudgetExceededError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import type { Amounts } from '../ledger/amount.ts';
import { InvalidOptionError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';

/** What a candidate may say of its spend. Everything else in it is the user's own. */
export interface CandidateSpend {
  /**
   * What to hold while the work runs, for work that nothing else meters. Leave it out where the
   * work goes through `meteredFetch`, which holds by itself: the money would be held twice.
   */
  readonly amounts?: Amounts | undefined;
  /** Labels of every spend inside the work, as `withLabels` sets them. */
  readonly labels?: Labels | undefined;
}

/** The hold that work is given: one where its candidate names `amounts`, else `null`. */
export type CandidateHold<T> = T extends { readonly amounts: Amounts }
  ? Hold
  : T extends { readonly amounts?: Amounts | undefined }
    ? Hold | null
    : null;

/**
 * Does work with the first candidate that the purse affords: with the dear model, else with the
 * cheaper ones, in the order given. Candidates are whatever the work understands: names of models,
 * clients, or objects that may also say `amounts` and `labels`.
 *
 * A candidate is refused when its `amounts` are, or when the work throws something in which
 * `BudgetExceededError.from` finds a denial: the error of an SDK under `meteredFetch` too. Then the
 * next one's work begins. Any other error ends it, as does a refusal that no cheaper model
 * helps: labels that are frozen, a unit that no limit covers, envelopes without room for more. Those
 * still go to the next candidate where the one refused had `labels` of its own, for they may be why.
 *
 * Each refusal counts as a denial of its own. A fetch that answers a refusal instead of throwing
 * it must be told to throw: `meteredFetch(purse, { onDenied: 'throw' })`.
 *
 * @param candidates At least one, the most wanted first.
 * @param work Is given the candidate, its index, and the hold of its `amounts`. The hold is
 * settled as held when the work ends, unless the work settled it, and released when it throws.
 * @throws InvalidOptionError when there is no candidate.
 * @throws BudgetExceededError when all are refused, with the denials of all, the first
 * candidate's first; its `cause` is what was thrown for the first one.
 * @throws whatever else the work throws, and what `Purse.run` throws for `amounts`.
 * @example
 * ```ts
 * import OpenAI from 'openai';
 * import { openPurse } from 'pursestrings';
 * import { firstAffordable, meteredFetch } from 'pursestrings/llm';
 *
 * const purse = await openPurse({ limits: [{ name: 'daily', cap: { usd: 5 }, per: 'day' }] });
 * const openai = new OpenAI({ fetch: meteredFetch(purse) });
 *
 * async function ask(question: string): Promise<string | null> {
 *   const answer = await firstAffordable(purse, ['gpt-5', 'gpt-4o-mini'], (model) =>
 *     openai.chat.completions.create({
 *       model,
 *       max_completion_tokens: 500,
 *       messages: [{ role: 'user', content: question }],
 *     }),
 *   );
 *   return answer.choices[0]?.message.content ?? null;
 * }
 * ```
 */
export async function firstAffordable<const T, R>(
  purse: Purse,
  candidates: readonly T[],
  work: (candidate: T, index: number, hold: CandidateHold<T>) => R | PromiseLike<R>,
): Promise<R> {
  if (candidates.length === 0) {
    throw new InvalidOptionError('`candidates` is empty; name at least one model to try');
  }
  const denials: Denial[] = [];
  let cause: unknown;
  for (const [index, candidate] of candidates.entries()) {
    const spend = spendOf(candidate);
    try {
      return await attempt(purse, spend, async (hold) =>
        work(candidate, index, hold as CandidateHold<T>),
      );
    } catch (error) {
      const refusal = BudgetExceededError.from(error);
      if (refusal === null) throw error;
      cause ??= error;
      denials.push(...refusal.denials);
      if (!nextMayHelp(refusal, spend)) break;
    }
  }
  throw new BudgetExceededError(denials as [Denial, ...Denial[]], { cause });
}

function attempt<R>(
  purse: Purse,
  { amounts, labels }: CandidateSpend,
  work: (hold: Hold | null) => Promise<R>,
): Promise<R> {
  const begin = (): Promise<R> =>
    amounts === undefined ? work(null) : purse.run(amounts, undefined, work);
  return labels === undefined ? begin() : withLabels(labels, begin);
}

/** A model that costs less fits where money is short, and nowhere else. */
function nextMayHelp({ denials }: BudgetExceededError, { labels }: CandidateSpend): boolean {
  return labels !== undefined || denials.every(({ reason }) => reason === 'exceeds');
}

const NO_SPEND: CandidateSpend = {};

/**
 * Reads what a candidate says of its spend. Clients and models of SDKs are candidates too, and may
 * have `labels` of another meaning: those of plain objects count, and of what names `amounts`.
 */
function spendOf(candidate: unknown): CandidateSpend {
  if (typeof candidate !== 'object' || candidate === null) return NO_SPEND;
  const spend: CandidateSpend = candidate;
  return isPlain(candidate) || spend.amounts !== undefined ? spend : NO_SPEND;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
