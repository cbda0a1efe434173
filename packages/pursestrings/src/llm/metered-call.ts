import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import { readFacts } from './call-facts.ts';
import type { CallFacts } from './estimate.ts';
import { mayBeBilled } from './gateway-status.ts';
import { holdFor } from './holding.ts';
import type { LoopBreaker, LoopEntry } from './loop-breaker.ts';
import type { MeterOptions } from './metered-fetch.ts';
import { neverLeft } from './never-left.ts';
import type { PriceFinder } from './price-list.ts';
import { hostOf } from './providers/hosts.ts';
import type { Provider } from './providers/provider.ts';
import { parseJson } from './providers/read-json.ts';
import { remade, withBody } from './read-response.ts';
import { refuse } from './refusal.ts';
import type { FetchRequest, Payload } from './request.ts';
import { Settlement } from './settlement.ts';
import type { CallObserver } from './settlement.ts';
import { openFilter } from './stream-filter.ts';
import { passedThrough, streamEnd, StreamedText } from './stream.ts';
import { operationOf } from './telemetry.ts';
import type { CallSpan, CallTelemetry } from './telemetry.ts';

/** What all calls of one metered fetch have in common. */
export interface Meter {
  readonly purse: Purse;
  readonly options: MeterOptions;
  readonly findPrice: PriceFinder;
  readonly breaker: LoopBreaker | null;
  readonly telemetry: CallTelemetry | null;
}

/** A call whose money is held, and which can go out. */
interface Ready {
  readonly request: FetchRequest;
  readonly facts: CallFacts;
  readonly settlement: Settlement;
  readonly payload: Payload;
  /** The rest of the hold comes back when the call is left. */
  readonly releases: boolean;
  /** How this try counts with the loop breaker. */
  readonly entry: LoopEntry | null;
  readonly span: CallSpan | null;
}

/** Holds money for a call, sends it, and settles it by its answer. */
export async function meteredCall(
  meter: Meter,
  request: FetchRequest,
  provider: Provider,
  send: typeof fetch,
): Promise<Response> {
  let ready: Ready;
  try {
    ready = await prepare(meter, request, provider);
  } catch (error) {
    return refuse(error, provider, meter.options.onDenied ?? 'respond');
  }
  return sent(ready, send);
}

async function prepare(meter: Meter, request: FetchRequest, provider: Provider): Promise<Ready> {
  const { purse, options, findPrice } = meter;
  const { url, signal } = request;
  const { outputCeiling, ifAbandoned = 'charge' } = options;
  const body = await request.readBody();
  const rewritable = !request.signed && !body.isForm;
  const reading = { provider, url, findPrice, outputCeiling, rewritable };
  const facts = readFacts(reading, body.fields, body.text);
  const providerName = hostOf(url)?.name ?? provider.name;
  const labels = { ...options.labels, ...request.readLabels() };
  const span = beginSpan(meter, facts, providerName, url, labels);
  let entry: LoopEntry | null = null;
  let held: Awaited<ReturnType<typeof holdFor>>;
  try {
    entry = meter.breaker?.admit(labels, `${request.method} ${url.href}\n${body.text}`) ?? null;
    const clamps = options.whenTight === 'clamp';
    held = await holdFor(facts, { purse, labels, signal, clamps, ifAbandoned });
  } catch (error) {
    entry?.withdrawn();
    span?.denied(error);
    span?.end();
    throw error;
  }
  const { hold, estimate } = held;
  span?.held(hold.id, hold.amounts.usd ?? 0, estimate.tokens);
  const observer = span === null ? null : observerOf(span, facts);
  const settlement = new Settlement(hold, facts, estimate, providerName, observer);
  const { shape } = facts;
  const releases = ifAbandoned === 'release';
  const ready = { request, facts, settlement, releases, entry, span };
  const askUsage = rewritable && provider.asksUsage && shape.streamed && !shape.usageAsked;
  if (!askUsage && !estimate.sendCap) return { ...ready, payload: body.payload };
  const changes = { askUsage, ...(estimate.sendCap ? { outputCap: estimate.outputCap } : {}) };
  return { ...ready, payload: JSON.stringify(provider.rewrite(facts.body, changes, url)) };
}

function beginSpan(
  { telemetry }: Meter,
  { shape }: CallFacts,
  provider: string,
  url: URL,
  labels: Labels,
): CallSpan | null {
  if (telemetry === null) return null;
  const { model, streamed, outputCap: maxOutputTokens } = shape;
  const operation = operationOf(url.pathname);
  return telemetry.begin({ operation, provider, model, url, streamed, maxOutputTokens, labels });
}

function observerOf(span: CallSpan, { price }: CallFacts): CallObserver {
  return {
    charged: (usd, usage) => span.charged({ usd, price: price.source, ...usage }),
    end: () => span.end(),
  };
}

async function sent(ready: Ready, send: typeof fetch): Promise<Response> {
  const { request, settlement, payload, entry, span } = ready;
  let response: Response;
  try {
    request.signal?.throwIfAborted();
  } catch (reason) {
    entry?.withdrawn();
    span?.failed(reason);
    await settlement.free();
    throw reason;
  }
  const sendIt = (): Promise<Response> => request.sendWith(send, payload);
  try {
    response = await (span === null ? sendIt() : span.withSpan(sendIt));
  } catch (error) {
    if (request.signal?.aborted !== true) entry?.failed();
    span?.failed(error);
    await (neverLeft(error) ? settlement.free() : settlement.unknown());
    throw error;
  }
  return answered(ready, response);
}

async function answered(ready: Ready, response: Response): Promise<Response> {
  const { facts, settlement, entry, span } = ready;
  const { provider, shape } = facts;
  if (!response.ok) {
    entry?.failed();
    span?.failed(response.status);
    await (mayBeBilled(response.status) ? settlement.unknown() : settlement.free());
    return response;
  }
  entry?.succeeded();
  if (shape.fixedUsage !== null) {
    await settlement.used(shape.fixedUsage);
    return response;
  }
  const { body } = response;
  if (body === null) {
    await settlement.unknown();
    return response;
  }
  const contentType = response.headers.get('content-type') ?? '';
  const stream = streamed(ready, contentType, body);
  if (stream !== null) return remade(response, stream);
  if (BINARY.test(contentType)) {
    await settlement.unknown();
    return response;
  }
  let bytes: ArrayBuffer;
  try {
    bytes = await response.arrayBuffer();
  } catch (error) {
    await settlement.unknown();
    throw error;
  }
  const json = parseJson(Buffer.from(bytes).toString());
  const workId = provider.work?.begunBy(json, shape) ?? null;
  if (workId === null) {
    const usage = provider.readUsage(json, shape);
    await (usage === null ? settlement.unknown() : settlement.used(usage));
  } else {
    await settlement.goesOn(workId);
  }
  return withBody(response, bytes, json);
}

/** An answer that holds no usage, and may be long: it is passed on as it comes. */
const BINARY = /^(?:audio|image|video)\/|^application\/octet-stream/;

/** The stream to pass on, or null when the answer is none. */
function streamed(
  { facts, request, settlement, releases }: Ready,
  contentType: string,
  body: ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> | null {
  const text = releases ? new StreamedText() : null;
  const onText = text === null ? null : (piece: string): void => text.add(piece);
  const reader = facts.provider.openStream(facts.shape, onText);
  const filter = openFilter(contentType, reader, facts.shape.streamed);
  if (filter === null) return null;
  const end = streamEnd(reader, settlement, text);
  return passedThrough(body, filter, end, request.signal);
}
