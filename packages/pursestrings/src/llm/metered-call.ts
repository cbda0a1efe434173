import { PurseError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import { readFacts } from './call-facts.ts';
import { beginSpan, observerOf, reportRefused } from './call-span.ts';
import type { CallPlace } from './call-span.ts';
import type { CallFacts } from './estimate.ts';
import { mayBeBilled } from './gateway-status.ts';
import { coverOf } from './held-around.ts';
import type { Cover } from './held-around.ts';
import { holdFor } from './holding.ts';
import type { LoopBreaker, LoopEntry } from './loop-breaker.ts';
import type { MeterOptions } from './metered-fetch.ts';
import { neverLeft } from './never-left.ts';
import type { PriceFinder } from './prices/price-list.ts';
import { hostOf } from './providers/hosts.ts';
import type { Provider } from './providers/provider.ts';
import { parseJson } from './providers/read-json.ts';
import { remade, withBody } from './read-response.ts';
import { refuse } from './refusal.ts';
import type { FetchRequest, Payload, RequestBody } from './request.ts';
import { Settlement } from './settlement.ts';
import { openFilter } from './streams/stream-filter.ts';
import { passedThrough, streamEnd, StreamedText } from './streams/stream.ts';
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
  let go: () => Promise<Response>;
  try {
    const call = await readCall(meter, request, provider);
    const cover = coverOf(meter.purse, call.facts.shape.model);
    if (cover === null) {
      const ready = await prepare(meter, call);
      go = () => sent(ready, send);
    } else {
      go = () => sentUnder(cover, call, send);
    }
  } catch (error) {
    return refuse(error, provider, meter.options.onDenied ?? 'respond');
  }
  return go();
}

/** A call that is understood, and what it is to be charged as. */
interface ReadCall {
  readonly request: FetchRequest;
  readonly body: RequestBody;
  readonly rewritable: boolean;
  readonly facts: CallFacts;
  readonly place: CallPlace & { readonly url: URL };
  readonly labels: Labels;
}

async function readCall(
  { options, findPrice, telemetry }: Meter,
  request: FetchRequest,
  provider: Provider,
): Promise<ReadCall> {
  const { url } = request;
  const { outputCeiling } = options;
  const body = await request.readBody();
  const rewritable = !request.signed && !body.isForm;
  const operation = operationOf(url.pathname);
  const place = { operation, provider: hostOf(url)?.name ?? provider.name, url };
  let labels: Labels = { ...options.labels };
  try {
    labels = { ...labels, ...request.readLabels() };
    const reading = { provider, url, findPrice, outputCeiling, rewritable };
    const facts = readFacts(reading, body.fields, body.text);
    return { request, body, rewritable, facts, place, labels };
  } catch (error) {
    reportRefused(telemetry, place, { model: body.fields?.model, labels }, error);
    throw error;
  }
}

/** Sends a call whose money is held around it, as it is. */
async function sentUnder(
  cover: Cover,
  { request, body }: ReadCall,
  send: typeof fetch,
): Promise<Response> {
  let response: Response;
  try {
    response = await request.sendWith(send, body.payload);
  } catch (error) {
    if (wasNotAnswered(error)) cover.giveBack();
    throw error;
  }
  if (!response.ok && !mayBeBilled(response.status)) cover.giveBack();
  return response;
}

async function prepare(meter: Meter, call: ReadCall): Promise<Ready> {
  const { purse, options, telemetry } = meter;
  const { request, body, rewritable, facts, place, labels } = call;
  const { url, signal } = request;
  const span = beginSpan(telemetry, place, facts, labels);
  let entry: LoopEntry | null = null;
  let held: Awaited<ReturnType<typeof holdFor>>;
  try {
    entry = meter.breaker?.admit(labels, `${request.method} ${url.href}\n${body.text}`) ?? null;
    const clamps = options.whenTight === 'clamp';
    held = await holdFor(facts, { purse, labels, signal, clamps });
  } catch (error) {
    entry?.withdrawn();
    span?.denied(error);
    span?.end();
    throw error;
  }
  const { hold, estimate } = held;
  span?.held(hold.id, hold.amounts.usd ?? 0, estimate.tokens);
  const observer = observerOf(span, facts);
  const settlement = new Settlement(hold, facts, estimate, place.provider, observer);
  const { provider, shape } = facts;
  const releases = options.ifAbandoned === 'release';
  const ready = { request, facts, settlement, releases, entry, span };
  const askUsage = rewritable && provider.asksUsage && shape.streamed && !shape.usageAsked;
  if (!askUsage && !estimate.sendCap) return { ...ready, payload: body.payload };
  const changes = { askUsage, ...(estimate.sendCap ? { outputCap: estimate.outputCap } : {}) };
  return { ...ready, payload: JSON.stringify(provider.rewrite(facts.body, changes, url)) };
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
    await (wasNotAnswered(error) ? settlement.free() : settlement.unknown());
    throw error;
  }
  return answered(ready, response);
}

/**
 * True when no provider has done what was asked: nothing left, or a `fetch` underneath, such as one
 * that pays for paywalls, met a price that it did not pay.
 */
function wasNotAnswered(error: unknown): boolean {
  return PurseError.isInstance(error) || neverLeft(error);
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
    span?.failed(error);
    await settlement.unknown();
    throw error;
  }
  const json = parseJson(Buffer.from(bytes).toString());
  if (span !== null) tellModel(span, provider, json);
  const workId = provider.work?.begunBy(json, shape) ?? null;
  if (workId === null) {
    const usage = provider.readUsage(json, shape);
    await (usage === null ? settlement.unknown() : settlement.used(usage));
  } else {
    await settlement.goesOn(workId);
  }
  return withBody(response, bytes, json);
}

function tellModel(span: CallSpan, provider: Provider, answer: unknown): void {
  const model = provider.answeredBy?.(answer) ?? null;
  if (model !== null) span.answeredBy(model);
}

/** An answer that holds no usage, and may be long: it is passed on as it comes. */
const BINARY = /^(?:audio|image|video)\/|^application\/octet-stream/i;

/** The stream to pass on, or null when the answer is none. */
function streamed(
  { facts, request, settlement, releases, span }: Ready,
  contentType: string,
  body: ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> | null {
  const text = releases ? new StreamedText() : null;
  const onText = text === null ? null : (piece: string): void => text.add(piece);
  const reader = facts.provider.openStream(facts.shape, onText);
  const filter = openFilter(contentType, reader, facts.shape.streamed);
  if (filter === null) return null;
  const end = streamEnd(reader, settlement, text, span);
  return passedThrough(body, filter, end, request.signal);
}
