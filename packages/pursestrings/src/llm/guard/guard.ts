import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import { guardClient } from './client-guard.ts';
import { SpendGuard } from './spend-guard.ts';
import type { CallArgs, CallTags, GuardInternals, GuardOptions, RetryStats } from './types.ts';

/** The overloads of a function, up to four; where there are fewer, some come twice. */
type Overloads<F> = F extends {
  (...parts: infer P1): infer R1;
  (...parts: infer P2): infer R2;
  (...parts: infer P3): infer R3;
  (...parts: infer P4): infer R4;
}
  ? Tagged<P1, R1> & Tagged<P2, R2> & Tagged<P3, R3> & Tagged<P4, R4>
  : unknown;

/** One overload, with the tags of a call among its options. */
type Tagged<P, R> = P extends readonly [infer Args, ...infer Rest]
  ? (args: Args, options?: CallTags & OptionsOf<Rest>) => R
  : (args?: CallArgs, options?: CallTags) => R;

type OptionsOf<Rest> = Rest extends readonly [(infer O)?, ...unknown[]] ? NonNullable<O> : unknown;

type CreateOf<C> = C extends { readonly create: infer F } ? F : never;

/** What the client's `create` takes; `CallArgs` where it is a whole client, or does not say. */
export type ArgsOf<C> =
  CreateOf<C> extends (args: infer Args, ...rest: never[]) => unknown
    ? unknown extends Args
      ? CallArgs
      : Args
    : CallArgs;

/** What the client's `create` answers. */
export type AnswerOf<C> = CreateOf<C> extends (...parts: never[]) => infer R ? Awaited<R> : unknown;

/** A client whose calls are guarded: its own type, and tags among the options of `create`. */
export type Guarded<C> = C &
  (C extends { readonly create: infer F } ? { readonly create: Overloads<F> } : unknown) & {
    /** What this guard has seen fail. */
    retryStats(): RetryStats;
  };

/**
 * Puts a cap on what a client may spend: money is set aside before each call, and what the call
 * cost is recorded before its answer is handed over. `client` is whatever has a `create(args)`, or
 * a whole client of OpenAI or Anthropic, whose every call is guarded, streams and helpers too. The
 * answer is used like the client itself; `create(args, { feature })` says what the call was for.
 *
 * With `estimateUsage` a call goes out when its estimate fits: spent + held + estimate <= cap.
 * Without, it goes out as long as anything is left, and holds what its request can cost, or all
 * that is left if that is less; so the last call may pass the cap. A call of a model that nobody
 * knows the price of is refused. What becomes of a call's hold:
 *
 * | the call | what is recorded |
 * |---|---|
 * | answered with a usage | its cost |
 * | answered without one | what was held, or as `onMissingUsage` says |
 * | a stream that is left or breaks before its usage | what was held |
 * | refused by the provider, or never sent | nothing |
 * | aborted, timed out, cut off, or answered by a gateway (408, 499, 502, 504, 520 to 524) | what was held |
 *
 * A callback that throws loses nothing: its error becomes a process warning.
 *
 * @throws InvalidOptionError for an option that cannot be meant, such as a cap of NaN.
 * @throws (each call) BudgetExceededError, UnknownModelError, InvalidAmountError, StoreError,
 * before it is sent; what the client throws.
 * @example
 * ```ts
 * import OpenAI from 'openai';
 * import { guard } from 'pursestrings/guard';
 *
 * const openai = new OpenAI({ apiKey: 'sk-of-nobody' });
 * const ai = guard(openai.chat.completions, { project: 'my-app', dailyCapUSD: 50 });
 *
 * const answer = async (question: string) => {
 *   const messages = [{ role: 'user' as const, content: question }];
 *   const completion = await ai.create({ model: 'gpt-4o', messages }, { feature: 'chat' });
 *   return completion.choices[0]?.message.content;
 * };
 * ```
 */
export function guard<C extends object>(
  client: C,
  options: GuardOptions<ArgsOf<C>>,
  internals?: GuardInternals<AnswerOf<C>>,
): Guarded<C>;
export function guard<C extends object>(
  client: C,
  options: GuardOptions,
  internals?: GuardInternals<AnswerOf<C>>,
): Guarded<C>;
export function guard<C extends object>(
  client: C,
  options: GuardOptions<never>,
  internals: GuardInternals<AnswerOf<C>> = {},
): Guarded<C> {
  const given: unknown = client;
  if ((typeof given !== 'object' && typeof given !== 'function') || given === null) {
    throw new InvalidOptionError(
      `The client is ${shown(client)}; give guard() an object with a create(args), or an SDK's client`,
    );
  }
  const spending = new SpendGuard(options, internals);
  return guardClient(client, spending as never) as Guarded<C>;
}

/** `guard` for a client that speaks OpenAI's format, where the client does not show it. */
export const guardOpenAI: typeof guard = guardFor('openai');

/** `guard` for a client that speaks Anthropic's format, where the client does not show it. */
export const guardAnthropic: typeof guard = guardFor('anthropic');

/** `guard` for a client that speaks Gemini's format, where the client does not show it. */
export const guardGemini: typeof guard = guardFor('gemini');

function guardFor(provider: NonNullable<GuardOptions['provider']>): typeof guard {
  return <C extends object>(client: C, options: GuardOptions, internals?: GuardInternals) =>
    guard(client, { ...options, provider }, internals);
}
