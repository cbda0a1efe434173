import { PriceUnknownError } from '../errors.ts';
import { InvalidOptionError, PurseError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import type { CallFacts } from './estimate.ts';
import { holdFor } from './holding.ts';
import type { PriceBook } from './price.ts';
import { priceFinder } from './price-list.ts';
import type { CeilingPrice, PriceFinder } from './price-list.ts';
import { PROVIDERS, recognise, suspicion } from './providers/index.ts';
import { isObject } from './providers/provider.ts';
import type { Provider } from './providers/provider.ts';
import { refuse } from './refusal.ts';
import type { OnDenied } from './refusal.ts';
import { remade, withBody } from './read-response.ts';
import { readRequest } from './request.ts';
import type { FetchRequest } from './request.ts';
import { neverLeft } from './never-left.ts';
import { Settlement } from './settlement.ts';
import { meteredStream } from './stream.ts';

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
  readonly prices?: PriceBook;
  /**
   * Tokens from 1: the cap sent with a request that names none, to a model whose own maximum is
   * not known.
   */
  readonly outputCeiling?: number;
}

/**
 * Answers by a gateway that stopped waiting for the provider, which may have gone on and bill the
 * call.
 */
const UNKNOWN_STATUSES: ReadonlySet<number> = new Set([
  408, 499, 502, 504, 520, 521, 522, 523, 524,
]);

/**
 * Makes a `fetch` that holds the most a model call can cost before the call goes out, and settles
 * what it did cost when the answer is there. Give it to any SDK that takes a `fetch`.
 *
 * Metered: OpenAI's chat completions, JSON and streamed, on api.openai.com and at every URL whose
 * path ends in `/chat/completions`. The purse is asked for `usd`, `tokens` (input and output) and
 * `calls`; the charge carries the labels `provider`, `model` and `price` (where the price comes
 * from) beside yours. A denied call never leaves: at most one request goes out for one call of
 * this.
 *
 * Everything else: on a provider's own host a POST that nothing here understands is refused by
 * name, because it would spend unmetered; so is, at any other host, a POST that looks like a model
 * call by its path or by a `model` in its text body. All other requests pass as they are.
 *
 * What is charged, once per call:
 *
 * | the call | the charge |
 * |---|---|
 * | answered with a usage | its price, rounded up once to 1e-8 USD |
 * | answered with an error status | nothing, as the provider bills nothing |
 * | answered by a gateway in its stead (408, 499, 502, 504, 520 to 524) | all that was held |
 * | never left (no connection, aborted before) | nothing |
 * | lost, aborted or left before its usage was seen | all that was held: it may be billed |
 * | answered without a usage that can be read | all that was held |
 *
 * A stream is passed on unbuffered. The usage at its end is asked for, and hidden from a caller
 * that did not. Its hold is renewed while data flows; a stream that stalls is charged as its hold
 * expires. The output is bounded by the request's cap, else the model's published maximum, else
 * `outputCeiling` (which is then sent), else the model's context window.
 *
 * @throws InvalidOptionError, InvalidAmountError when an option is out of its range.
 * @throws (the fetch) TypeError and whatever the inner fetch rejects with; with `onDenied: 'throw'`
 * also BudgetExceededError, PriceUnknownError, StoreError and other PurseErrors. With `respond`
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
  const meter: Meter = { purse, options, findPrice: priceFinder(options) };
  checkOptions(options);
  return async (input, init) => {
    const send = options.fetch ?? globalThis.fetch;
    const onDenied = options.onDenied ?? 'respond';
    let provider = PROVIDERS[0] as Provider;
    let ready: Ready;
    try {
      const request = readRequest(input, init);
      const known = recognise(request.method, request.url);
      if (known === null) refuseSuspicious(request);
      if (known === null || known.route === 'free') return request.sendAsGiven(send);
      provider = known.provider;
      ready = await prepare(meter, request, provider);
    } catch (error) {
      return refuse(error, provider, onDenied);
    }
    return call(ready, send);
  };
}

interface Meter {
  readonly purse: Purse;
  readonly options: MeterOptions;
  readonly findPrice: PriceFinder;
}

/** A call whose money is held, and which can go out. */
interface Ready {
  readonly request: FetchRequest;
  readonly facts: CallFacts;
  readonly settlement: Settlement;
  /** The body to send. */
  readonly text: string;
}

function checkOptions({ onDenied, whenTight, outputCeiling }: MeterOptions): void {
  if (onDenied !== undefined && onDenied !== 'respond' && onDenied !== 'throw') {
    throw new InvalidOptionError(
      `\`onDenied\` is ${String(onDenied)}; it must be 'respond' or 'throw'`,
    );
  }
  if (whenTight !== undefined && whenTight !== 'deny' && whenTight !== 'clamp') {
    throw new InvalidOptionError(
      `\`whenTight\` is ${String(whenTight)}; it must be 'deny' or 'clamp'`,
    );
  }
  if (outputCeiling !== undefined && !(Number.isSafeInteger(outputCeiling) && outputCeiling >= 1)) {
    throw new InvalidOptionError(
      `\`outputCeiling\` is ${outputCeiling}; it must be a whole number from 1`,
    );
  }
}

function refuseSuspicious({ method, url, plainBody }: FetchRequest): void {
  const reason = suspicion(method, url, plainBody);
  if (reason === null) return;
  throw new PurseError(
    'UNMETERED_ROUTE',
    `${method} ${url.host}${url.pathname} would spend unmetered (${reason}), so it was not sent: ` +
      'chat completions are metered; make other calls with a plain fetch, and charge them by ' +
      'purse.charge()',
  );
}

async function prepare(meter: Meter, request: FetchRequest, provider: Provider): Promise<Ready> {
  const { purse, options } = meter;
  const text = await request.readText();
  const facts = readFacts(meter, request, provider, text);
  const labels = { ...options.labels, ...request.labels };
  const { signal } = request;
  const clamps = options.whenTight === 'clamp';
  const { hold, estimate: held } = await holdFor(facts, { purse, labels, signal, clamps });
  const settlement = new Settlement(hold, facts, held);
  const { shape } = facts;
  const askUsage = shape.streamed && !shape.usageAsked;
  if (!askUsage && !held.sendCap) return { request, facts, settlement, text };
  const changes = { askUsage, ...(held.sendCap ? { outputCap: held.outputCap } : {}) };
  const changed = JSON.stringify(provider.rewrite(facts.body, changes));
  return { request, facts, settlement, text: changed };
}

function readFacts(
  meter: Meter,
  request: FetchRequest,
  provider: Provider,
  text: string,
): CallFacts {
  const body = parse(text);
  const shape = isObject(body) ? provider.readCall(body, request.url) : null;
  if (!isObject(body) || shape === null) {
    throw new PurseError(
      'UNREADABLE_REQUEST',
      `The body sent to ${request.url.pathname} is no request of ${provider.name}: its cost ` +
        'cannot be known, so it was not sent',
    );
  }
  const price = meter.findPrice(shape.model, request.url.href);
  if (price === null) {
    const model = JSON.stringify(shape.model);
    throw new PriceUnknownError(
      shape.model,
      `No price is known for the model ${model} at ${request.url.host}: add it to ` +
        '`prices`, or set `unknownModel`',
    );
  }
  return { provider, body, text, shape, price, outputCeiling: meter.options.outputCeiling };
}

async function call(ready: Ready, send: typeof fetch): Promise<Response> {
  const { request, settlement, text } = ready;
  let response: Response;
  try {
    request.signal?.throwIfAborted();
  } catch (reason) {
    await settlement.free();
    throw reason;
  }
  try {
    response = await request.sendWith(send, text);
  } catch (error) {
    await (neverLeft(error) ? settlement.free() : settlement.unknown());
    throw error;
  }
  return settleBy(ready, response);
}

async function settleBy(ready: Ready, response: Response): Promise<Response> {
  const { facts, request, settlement } = ready;
  if (!response.ok) {
    await (UNKNOWN_STATUSES.has(response.status) ? settlement.unknown() : settlement.free());
    return response;
  }
  if (response.body === null) {
    await settlement.unknown();
    return response;
  }
  if (response.headers.get('content-type')?.includes('text/event-stream') === true) {
    const reader = facts.provider.openStream(facts.shape);
    return remade(response, meteredStream(response.body, reader, settlement, request.signal));
  }
  let bytes: ArrayBuffer;
  try {
    bytes = await response.arrayBuffer();
  } catch (error) {
    await settlement.unknown();
    throw error;
  }
  const json = parse(Buffer.from(bytes).toString());
  const usage = facts.provider.readUsage(json);
  await (usage === null ? settlement.unknown() : settlement.used(usage));
  return withBody(response, bytes, json);
}

/** What a text means as JSON; undefined when it is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
