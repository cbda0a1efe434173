import { PurseError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import { LoopBreaker } from './loop-breaker.ts';
import type { LoopBreakerOptions } from './loop-breaker.ts';
import { meteredCall } from './metered-call.ts';
import type { Meter } from './metered-call.ts';
import { checkChoice, checkOutputCeiling } from './option-checks.ts';
import { priceFinder } from './prices/price-list.ts';
import type { CeilingPrice, PriceSources } from './prices/price-list.ts';
import { speakerOf, recognise, suspiciousBody, suspiciousRoute } from './providers/index.ts';
import { refuse } from './refusal.ts';
import type { OnDenied } from './refusal.ts';
import { readRequest } from './request.ts';
import type { FetchRequest } from './request.ts';
import { resultRead } from './result-reading.ts';
import { callTelemetry } from './telemetry.ts';

/** How calls are metered. Every field is optional. */
export interface MeterOptions {
  /**
   * Labels of every spend. A request adds its own, which win, by the header `x-purse-labels:
   * feature=chat, agent=a1`.
   */
  readonly labels?: Labels;
  /** Sends the requests. Default: the global `fetch`, at the time of the call. */
  readonly fetch?: typeof fetch;
  /**
   * `respond` (default): a refused call is answered with status 402 in the provider's error shape,
   * which SDKs raise at once and do not retry; `BudgetExceededError.from(error)` reads the denial
   * from what they raise. `throw`: the fetch rejects with the error, which SDKs may retry and wrap.
   */
  readonly onDenied?: OnDenied;
  /**
   * `clamp`: where the money left does not cover the request's output cap, send the cap it does
   * cover, divided among the choices of `n`; below 16 tokens the call is denied. Default `deny`.
   */
  readonly whenTight?: 'deny' | 'clamp';
  /** A price for models that nobody knows. Default `deny`: nothing goes out. */
  readonly unknownModel?: 'deny' | CeilingPrice;
  /** Prices that override the bundled list, or add to it. */
  readonly prices?: PriceSources['prices'];
  /**
   * Tokens from 1: the cap sent with a request that names none, to a model whose own maximum is
   * not known.
   */
  readonly outputCeiling?: number;
  /**
   * What becomes of the rest of a hold when a stream is left, cut or aborted before its usage came.
   * `charge` (default): all of it is charged, as the provider may go on and bill the whole answer.
   * `release`: the input and what was streamed are counted and charged, the rest comes back. A hold
   * that expires, as where the process dies, is charged either way.
   */
  readonly ifAbandoned?: 'charge' | 'release';
  /**
   * What becomes of a request that would spend and that nothing here understands. `deny` (default):
   * it is refused by name. `allow`: it goes out unmetered. A function decides for each.
   */
  readonly unmetered?: 'deny' | 'allow' | ((request: { method: string; url: URL }) => boolean);
  /**
   * Stops the same request that repeats, or fails, too often in a window under the same labels, by
   * a `LoopDetectedError`. Default: nothing is stopped for that.
   */
  readonly loopBreaker?: LoopBreakerOptions;
}

/**
 * Makes a `fetch` that holds the most a model call can cost before the call goes out, and settles
 * what it did cost when the answer is there. Give it to any SDK that takes a `fetch`.
 *
 * Metered, whole and streamed, wherever the path is theirs: OpenAI's chat completions, responses,
 * completions, embeddings, images and audio; Anthropic's messages and message batches; Gemini's
 * generateContent and embedContent; Bedrock's Converse. The hosts that speak OpenAI's formats are
 * known by name, with their departures from them. The purse is asked for `usd`, `tokens` (input and
 * output) and `calls`; the charge carries the labels `provider`, `model` and `price` (where the
 * price comes from) beside yours. A denied call never leaves: at most one request goes out for one
 * call of this.
 *
 * Everything else: on a provider's own host a POST that nothing here understands is refused by
 * name, because it would spend unmetered; so is, at any other host, a POST that looks like a model
 * call by its path or by a `model` in its JSON body, unless `unmetered` lets it pass. All other
 * requests pass as they are.
 *
 * Work that goes on after its answer, such as a batch or a background response, keeps its hold for
 * 25 hours under its own id. Whoever reads its result first through a metered fetch settles it, in
 * any process.
 *
 * What is charged, once per call:
 *
 * | the call | the charge |
 * |---|---|
 * | answered with a usage | its price, rounded up once to 1e-8 USD |
 * | answered with an error status | nothing, as the provider bills nothing |
 * | answered by a gateway in its stead (408, 499, 502, 504, 520 to 524) | all that was held |
 * | never left (no connection, aborted before, a price of the inner `fetch` that is not paid) | nothing |
 * | lost, aborted or left before its usage was seen | all that was held: it may be billed |
 * | answered without a usage that can be read | all that was held |
 * | a stream without a usage, under `ifAbandoned: 'release'` | its input, and what was streamed |
 *
 * A stream is passed on unbuffered. The usage at its end is asked for, and hidden from a caller
 * that did not. Its hold is renewed while data flows; a stream that stalls is charged as its hold
 * expires. The output is bounded by the request's cap, else the model's published maximum, else
 * `outputCeiling` (which is then sent), else the model's context window.
 *
 * @throws InvalidOptionError, InvalidAmountError when an option is out of its range.
 * @throws (the fetch) TypeError and whatever the inner fetch rejects with; with `onDenied: 'throw'`
 * also BudgetExceededError, PriceUnknownError, LoopDetectedError, StoreError and other PurseErrors. With `respond`
 * those come as answers: 402 for a denial, 503 where a retry may help, else 400.
 * @example
 * ```ts
 * import OpenAI from 'openai';
 * import { BudgetExceededError, openPurse } from 'pursestrings';
 * import { meteredFetch } from 'pursestrings/llm';
 *
 * const purse = await openPurse({ limits: [{ name: 'daily', cap: { usd: 5 }, per: 'day' }] });
 * const openai = new OpenAI({ fetch: meteredFetch(purse, { labels: { agent: 'researcher' } }) });
 *
 * async function ask(question: string): Promise<string | null> {
 *   try {
 *     const answer = await openai.chat.completions.create({
 *       model: 'gpt-4o-mini',
 *       max_completion_tokens: 500,
 *       messages: [{ role: 'user', content: question }],
 *     });
 *     return answer.choices[0]?.message.content ?? null;
 *   } catch (error) {
 *     const denied = BudgetExceededError.from(error);
 *     if (denied === null) throw error;
 *     return `Out of money until ${denied.denial.resetsAt?.toISOString()}`;
 *   }
 * }
 * ```
 */
export function meteredFetch(purse: Purse, options: MeterOptions = {}): typeof fetch {
  checkOptions(options);
  const meter: Meter = {
    purse,
    options,
    findPrice: priceFinder(options),
    breaker: options.loopBreaker === undefined ? null : new LoopBreaker(options.loopBreaker),
    telemetry: callTelemetry(),
  };
  return async (input, init) => {
    const send = options.fetch ?? globalThis.fetch;
    const onDenied = options.onDenied ?? 'respond';
    const request = readRequest(input, init);
    const known = recognise(request.method, request.url);
    if (known?.route === 'metered') return meteredCall(meter, request, known.provider, send);
    if (known === null) {
      const refusal = await unmeteredRefusal(request, options.unmetered);
      if (refusal !== null) return refuse(refusal, speakerOf(request.url), onDenied);
    }
    const response = await request.sendAsGiven(send);
    const work = known?.route === 'result' ? known.provider.work : undefined;
    const workId = work?.resultOf(request.method, request.url) ?? null;
    if (known === null || work === undefined || workId === null) return response;
    const { provider } = known;
    const { url, signal } = request;
    const { findPrice } = meter;
    return resultRead({ purse, findPrice, provider, work, workId, url, signal }, response);
  };
}

function checkOptions(options: MeterOptions): void {
  const { onDenied, whenTight, outputCeiling, ifAbandoned, unmetered } = options;
  checkChoice('onDenied', onDenied, ['respond', 'throw']);
  checkChoice('whenTight', whenTight, ['deny', 'clamp']);
  checkChoice('ifAbandoned', ifAbandoned, ['charge', 'release']);
  if (typeof unmetered !== 'function') checkChoice('unmetered', unmetered, ['deny', 'allow']);
  checkOutputCeiling(outputCeiling);
}

async function unmeteredRefusal(
  request: FetchRequest,
  unmetered: MeterOptions['unmetered'],
): Promise<PurseError | null> {
  const { method, url } = request;
  if (method !== 'POST' || unmetered === 'allow') return null;
  const reason = suspiciousRoute(url) ?? suspiciousBody(await request.peekBody());
  if (reason === null) return null;
  if (typeof unmetered === 'function' && unmetered({ method, url })) return null;
  return new PurseError(
    'UNMETERED_ROUTE',
    `${method} ${url.host}${url.pathname} would spend unmetered (${reason}), so it was not sent: ` +
      'let it pass by the option `unmetered`, and charge it by purse.charge()',
  );
}
