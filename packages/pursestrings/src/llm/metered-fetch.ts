import { BudgetExceededError, PriceUnknownError } from '../errors.ts';
import { InvalidOptionError, PurseError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Hold } from '../hold.ts';
import type { Purse } from '../purse.ts';
import { affordableCap, estimate, recount, withOutputCap } from './estimate.ts';
import type { CallFacts, Estimate } from './estimate.ts';
import { attosOf, usdNumber } from './price.ts';
import type { PriceBook } from './price.ts';
import { priceFinder } from './price-list.ts';
import type { CeilingPrice, PriceFinder } from './price-list.ts';
import { PROVIDERS, recognise, suspicion } from './providers/index.ts';
import { isObject } from './providers/provider.ts';
import type { Provider } from './providers/provider.ts';
import { refuse } from './refusal.ts';
import type { OnDenied } from './refusal.ts';
import { withBody } from './read-response.ts';
import { readRequest } from './request.ts';
import type { FetchRequest } from './request.ts';
import { neverLeft } from './never-left.ts';
import { Settlement } from './settlement.ts';
import { meteredStream } from './stream.ts';

/** How calls are metered. Every field is optional. */
export interface MeterOptions {
  /** Labels of every spend. A request adds its own, which win, by the header `x-purse-labels: feature=chat, agent=a1`. */
  readonly labels?: Labels;
  /** Sends the requests. Default: the global `fetch`, at the time of the call. */
  readonly fetch?: typeof fetch;
  /**
   * `respond` (default): a refused call is answered with status 402 in the provider's error shape,
   * which SDKs raise at once and do not retry; `BudgetExceededError.from(error)` reads the denial
   * from what they raise. `throw`: the fetch rejects with the error, which SDKs may retry and wrap.
   */
  readonly onDenied?: OnDenied;
  /** `clamp`: where the money left does not cover the request's output cap, send the cap it does cover. Default `deny`. */
  readonly whenTight?: 'deny' | 'clamp';
  /** A price for models that nobody knows. Default `deny`: nothing goes out. */
  readonly unknownModel?: 'deny' | CeilingPrice;
  /** Prices that override the bundled list, or add to it. */
  readonly prices?: PriceBook;
  /** Tokens from 1: the cap sent with a request that names none, to a model whose own maximum is not known. */
  readonly outputCeiling?: number;
}

/** A clamped answer shorter than this is of no use to anybody: the call is refused instead. */
export const MIN_CLAMPED_TOKENS = 16;

/** While others spend too, what is left changes between looking and taking; then the answer is no. */
const MAX_CLAMP_ROUNDS = 4;

/** Answers by a gateway that stopped waiting for the provider, which may have gone on and bill the call. */
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
 * from) beside yours. A denied call never leaves: at most one request goes out for one call of this.
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
 * | answered with an error status | nothing, as the provider bills nothing; all that was held when a gateway answered in its stead (408, 499, 502, 504, 520 to 524) |
 * | never left (no connection, aborted before) | nothing |
 * | lost, aborted or left before its usage was seen | all that was held, since the provider may have generated it |
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
      'chat completions are metered; make other calls with a plain fetch and charge them by purse.charge()',
  );
}

async function prepare(meter: Meter, request: FetchRequest, provider: Provider): Promise<Ready> {
  const { purse, options } = meter;
  const text = await request.readText();
  const facts = readFacts(meter, request, provider, text);
  const labels = { ...options.labels, ...request.labels };
  const { hold, estimate: held } = await holdFor(purse, facts, labels, request.signal, options);
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
  const shape = isObject(body) ? provider.readCall(body) : null;
  if (!isObject(body) || shape === null) {
    throw new PurseError(
      'UNREADABLE_REQUEST',
      `The body sent to ${request.url.pathname} is no request of ${provider.name}: its cost cannot be known, so it was not sent`,
    );
  }
  const price = meter.findPrice(shape.model, request.url.href);
  if (price === null) {
    const model = JSON.stringify(shape.model);
    throw new PriceUnknownError(
      shape.model,
      `No price is known for the model ${model} at ${request.url.host}: add it to \`prices\`, or set \`unknownModel\``,
    );
  }
  return { provider, body, text, shape, price, outputCeiling: meter.options.outputCeiling };
}

/** Takes a hold: for the cheap estimate, for the counted one, or for what the money left affords. */
async function holdFor(
  purse: Purse,
  facts: CallFacts,
  labels: Labels,
  signal: AbortSignal | null,
  { whenTight }: MeterOptions,
): Promise<{ readonly hold: Hold; readonly estimate: Estimate }> {
  let current = await estimate(facts);
  for (let clamps = 0; ;) {
    try {
      const hold = await purse.reserve(
        { usd: usdNumber(current.attos), tokens: current.tokens, calls: 1 },
        labels,
        { ifAbandoned: 'charge', ...(signal === null ? {} : { signal }) },
      );
      return { hold, estimate: current };
    } catch (error) {
      if (!BudgetExceededError.isInstance(error) || !canShrink(error)) throw error;
      const counted = await recount(facts, current);
      if (counted !== null && counted.attos < current.attos) {
        current = counted;
        continue;
      }
      const cap = whenTight === 'clamp' ? affordableCap(facts, current, leftBy(error)) : 0;
      clamps += 1;
      if (cap < MIN_CLAMPED_TOKENS || cap >= current.outputCap || clamps > MAX_CLAMP_ROUNDS)
        throw error;
      current = withOutputCap(facts, current, cap);
    }
  }
}

/** A smaller call helps only where money or tokens are short. */
function canShrink(error: BudgetExceededError): boolean {
  return error.denials.every(
    ({ reason, unit }) => reason === 'exceeds' && (unit === 'usd' || unit === 'tokens'),
  );
}

/** What the tightest envelopes leave, by unit; null where none denied. */
function leftBy(error: BudgetExceededError): { attos: bigint | null; tokens: number | null } {
  const least = (unit: string): number | null => {
    const left = error.denials
      .filter((denial) => denial.unit === unit)
      .map(({ available }) => available);
    return left.length === 0 ? null : Math.min(...left);
  };
  const usd = least('usd');
  return { attos: usd === null ? null : attosOf(usd), tokens: least('tokens') };
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
    const { status, statusText, headers, url } = response;
    const body = meteredStream(response.body, reader, settlement, request.signal);
    const streamed = new Response(body, { status, statusText, headers });
    return Object.defineProperty(streamed, 'url', { value: url });
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
