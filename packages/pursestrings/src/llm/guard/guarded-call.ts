import { isObject } from '../providers/provider.ts';
import { guardedStream, isStream } from './guarded-stream.ts';
import type { AdmittedCall } from './spend-guard.ts';

/** What the SDKs of OpenAI and Anthropic answer a call with: a promise that can do more. */
interface SdkPromise extends Promise<unknown> {
  withResponse?(): Promise<object>;
  asResponse?(): Promise<Response>;
  /** How Anthropic's tool runners and threads look at a response before its body. */
  _responseProps?(): Promise<{ readonly response: Response }>;
  _thenUnwrap?(transform: Transform): Promise<unknown>;
}

type Transform = (data: unknown, props: unknown) => unknown;

/** A call that was let out: its money, and what the client answered at once. */
interface Begun {
  readonly call: AdmittedCall<never, never>;
  /** In an object of its own, for to await it is to read the answer. */
  readonly sent: SdkPromise;
}

/** How a call is let out. */
export interface CallPlan {
  /** Sets the money aside. */
  admit(): Promise<AdmittedCall<never, never>>;
  /** Sends the call, once. */
  send(): unknown;
  /** The extra chunk with the usage was asked for by the guard, and is hidden. */
  readonly hidesUsage: boolean;
}

/**
 * Runs a call under a guard: money is set aside, the call goes out, and what it cost is recorded
 * before the answer is handed over. The promise can do what the SDK's own promise can.
 */
export function guardedCall(plan: CallPlan): Promise<unknown> {
  const begun = begin(plan);
  return promiseOf(begun, plan.hidesUsage, []);
}

async function begin(plan: CallPlan): Promise<Begun> {
  const call = await plan.admit();
  let sent: unknown;
  try {
    sent = plan.send();
  } catch (error) {
    await call.failed(error);
    throw error;
  }
  const promise = isThenable(sent) ? sent : Promise.resolve(sent);
  return { call, sent: promise as SdkPromise };
}

function promiseOf(
  begun: Promise<Begun>,
  hidesUsage: boolean,
  transforms: readonly Transform[],
): Promise<unknown> {
  // Whoever wants the answer otherwise says so before it is read.
  let claimed = false;
  const answer = begun.then((started) =>
    claimed ? undefined : readAnswer(started, hidesUsage, transforms),
  );
  answer.catch(() => undefined);
  return Object.defineProperties(answer, {
    withResponse: hidden(async () => {
      const { sent } = await begun;
      if (sent.withResponse === undefined) throw new TypeError('withResponse is not a function');
      const whole = sent.withResponse();
      whole.catch(() => undefined);
      const data = await answer;
      return { ...(await whole), data };
    }),
    asResponse: hidden(async () => {
      claimed = true;
      return readResponse(await begun);
    }),
    _responseProps: hidden(async () => {
      const { sent } = await begun;
      if (sent._responseProps === undefined)
        throw new TypeError('_responseProps is not a function');
      try {
        const props = await sent._responseProps();
        if (isJson(props.response)) return props;
        // Whoever asks this way reads the stream; it is read here as well, for its usage.
        const response = props.response.clone();
        void drain(answer);
        return { ...props, response };
      } catch (error) {
        await answer.catch(() => undefined);
        throw error;
      }
    }),
    _thenUnwrap: hidden((transform: Transform) => {
      claimed = true;
      return promiseOf(begun, hidesUsage, [...transforms, transform]);
    }),
  });
}

/** Reads the answer, settles its call, and answers with what the caller is to have. */
async function readAnswer(
  { call, sent }: Begun,
  hidesUsage: boolean,
  transforms: readonly Transform[],
): Promise<unknown> {
  let source: unknown;
  let streamed = false;
  const guard = (data: unknown): unknown => {
    source = data;
    streamed = isStream(data);
    return streamed ? guardedStream(data as AsyncIterable<unknown>, call, hidesUsage) : data;
  };
  let answer: unknown;
  try {
    answer = await (transforms.length === 0
      ? sent.then(guard)
      : unwrapped(sent, guard, transforms));
  } catch (error) {
    // An answer that came, and could not be made into what was asked for, was paid for.
    await (source === undefined ? call.failed(error) : call.answered(source));
    throw error;
  }
  if (!streamed) await call.answered(source);
  return answer;
}

function unwrapped(
  sent: SdkPromise,
  guard: (data: unknown) => unknown,
  transforms: readonly Transform[],
): Promise<unknown> {
  const all: Transform = (data, props) =>
    transforms.reduce((value, transform) => transform(value, props), guard(data));
  return sent._thenUnwrap === undefined
    ? sent.then((data) => all(data, undefined))
    : sent._thenUnwrap(all);
}

/** The raw response, for who reads it himself: its usage is read from a copy. */
async function readResponse({ call, sent }: Begun): Promise<Response> {
  if (sent.asResponse === undefined) {
    await call.left();
    throw new TypeError('asResponse is not a function');
  }
  let response: Response;
  try {
    response = await sent.asResponse();
  } catch (error) {
    await call.failed(error);
    throw error;
  }
  const copy: unknown =
    isJson(response) && !response.bodyUsed
      ? await response
          .clone()
          .json()
          .catch(() => null)
      : null;
  await (isObject(copy) ? call.answered(copy) : call.left());
  return response;
}

/** Reads a stream to its end; what breaks it is told to who reads the other copy. */
async function drain(answer: Promise<unknown>): Promise<void> {
  try {
    const stream = await answer;
    if (!isStream(stream)) return;
    const chunks = stream[Symbol.asyncIterator]();
    while ((await chunks.next()).done !== true);
  } catch {
    // Its call is settled.
  }
}

function isJson({ headers }: Response): boolean {
  return headers.get('content-type')?.includes('json') === true;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof Reflect.get(value, 'then') === 'function'
  );
}

function hidden(value: unknown): PropertyDescriptor {
  return { value, enumerable: false, configurable: true, writable: true };
}
