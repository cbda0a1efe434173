import type { Purse } from '../purse.ts';
import { readFacts } from './call-facts.ts';
import type { CallFacts } from './estimate.ts';
import { holdFor } from './holding.ts';
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
import { openFilter } from './stream-filter.ts';
import { passedThrough, streamEnd, StreamedText } from './stream.ts';

/** What all calls of one metered fetch have in common. */
export interface Meter {
  readonly purse: Purse;
  readonly options: MeterOptions;
  readonly findPrice: PriceFinder;
}

/** A call whose money is held, and which can go out. */
interface Ready {
  readonly request: FetchRequest;
  readonly facts: CallFacts;
  readonly settlement: Settlement;
  readonly payload: Payload;
  /** The rest of the hold comes back when the call is left. */
  readonly releases: boolean;
}

/**
 * Answers by a gateway that stopped waiting for the provider, which may have gone on and bill the
 * call.
 */
const UNKNOWN_STATUSES: ReadonlySet<number> = new Set([
  408, 499, 502, 504, 520, 521, 522, 523, 524,
]);

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
  const labels = { ...options.labels, ...request.readLabels() };
  const clamps = options.whenTight === 'clamp';
  const { hold, estimate } = await holdFor(facts, { purse, labels, signal, clamps, ifAbandoned });
  const settlement = new Settlement(hold, facts, estimate, hostOf(url)?.name ?? provider.name);
  const { shape } = facts;
  const askUsage = rewritable && provider.asksUsage && shape.streamed && !shape.usageAsked;
  const releases = ifAbandoned === 'release';
  if (!askUsage && !estimate.sendCap) {
    return { request, facts, settlement, payload: body.payload, releases };
  }
  const changes = { askUsage, ...(estimate.sendCap ? { outputCap: estimate.outputCap } : {}) };
  const payload = JSON.stringify(provider.rewrite(facts.body, changes, url));
  return { request, facts, settlement, payload, releases };
}

async function sent(ready: Ready, send: typeof fetch): Promise<Response> {
  const { request, settlement, payload } = ready;
  let response: Response;
  try {
    request.signal?.throwIfAborted();
  } catch (reason) {
    await settlement.free();
    throw reason;
  }
  try {
    response = await request.sendWith(send, payload);
  } catch (error) {
    await (neverLeft(error) ? settlement.free() : settlement.unknown());
    throw error;
  }
  return answered(ready, response);
}

async function answered(ready: Ready, response: Response): Promise<Response> {
  const { facts, settlement } = ready;
  const { provider, shape } = facts;
  if (!response.ok) {
    await (UNKNOWN_STATUSES.has(response.status) ? settlement.unknown() : settlement.free());
    return response;
  }
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
