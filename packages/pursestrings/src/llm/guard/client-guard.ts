import { PurseError } from '../../ledger/invalid.ts';
import { isObject } from '../providers/provider.ts';
import { guardedCall } from './guarded-call.ts';
import type { SpendGuard } from './spend-guard.ts';

/** Methods that send a call which is paid for. */
const SENDS: ReadonlySet<string> = new Set([
  'create',
  'generate',
  'edit',
  'createVariation',
  'compact',
  'generateContent',
  'generateContentStream',
  'generateImages',
  'embedContent',
]);

/** Methods that call `create` in an SDK, and send by themselves in a client of anybody's own. */
const HELPS: ReadonlySet<string> = new Set(['parse', 'stream', 'runTools', 'toolRunner']);

/** Things that a request may name a model for and that cost nothing to make. */
const FREE_RESOURCES =
  /(?:^|\.)(?:moderations|assistants|conversations|files|uploads|skills|containers|vectorStores|webhooks|threads)$/;

/** Work whose cost its answer does not say. */
const UNMETERED =
  /(?:^|\.)(?:batches|fineTuning\.jobs|realtime\.\w+|videos|runs|evals|sessions|dreams)$/;
const UNMETERED_METHODS =
  /(?:threads|runs|fineTuning).*\.createAnd(?:Run|Poll|Stream)|videos\.(?:extend|remix)$/;

/** Resources all of whose calls are paid for, with or without a model in the request. */
const PAID =
  /^$|(?:^|\.)(?:completions|responses|messages|embeddings|images|speech|transcriptions|translations)$/;

type AnyGuard = SpendGuard<unknown, unknown>;

/**
 * A client like the one given, whose calls are guarded wherever in it they stand. Other members are
 * its own.
 */
export function guardClient(client: object, guard: AnyGuard): object {
  return new ClientGuard(guard).wrap(client, rootPathOf(client));
}

class ClientGuard {
  readonly #guard: AnyGuard;
  readonly #wrapped = new WeakMap<object, object>();

  constructor(guard: AnyGuard) {
    this.#guard = guard;
  }

  wrap(target: object, path: string): object {
    const known = this.#wrapped.get(target);
    if (known !== undefined) return known;
    // The proxy stands before an empty object: a frozen client may answer with guarded members too.
    const wrapped = new Proxy(Object.create(null) as object, {
      get: (_, name) => this.#read(target, path, name),
      set: (_, name, value) => Reflect.set(target, name, value),
      defineProperty: (_, name, descriptor) =>
        Reflect.defineProperty(target, name, { ...descriptor, configurable: true }),
      has: (_, name) => Reflect.has(target, name),
      ownKeys: () => Reflect.ownKeys(target),
      getPrototypeOf: () => Reflect.getPrototypeOf(target),
      deleteProperty: (_, name) => Reflect.deleteProperty(target, name),
      getOwnPropertyDescriptor: (_, name) => {
        const descriptor = Reflect.getOwnPropertyDescriptor(target, name);
        return descriptor && { ...descriptor, configurable: true };
      },
    });
    this.#wrapped.set(target, wrapped);
    return wrapped;
  }

  #read(target: object, path: string, name: string | symbol): unknown {
    const value: unknown = Reflect.get(target, name, target);
    if (name === 'constructor') return value;
    if (typeof name === 'symbol') return typeof value === 'function' ? value.bind(target) : value;
    if (name === 'retryStats' && value === undefined) return () => this.#guard.retryStats();
    if (typeof value === 'function') return this.#method(target, path, name, value);
    if (!isResource(value)) return value;
    // What a resource calls its client is the client again.
    const inner = path === '' ? name : `${path}.${name}`;
    return this.wrap(value, name === '_client' ? '' : inner);
  }

  #method(target: object, path: string, name: string, method: Function): unknown {
    if (SENDS.has(name)) return (...parts: unknown[]) => this.#send(target, path, method, parts);
    const inSdk = isSdkResource(target);
    if (HELPS.has(name) && !inSdk) {
      return (...parts: unknown[]) => this.#send(target, path, method, parts);
    }
    if (UNMETERED_METHODS.test(`${path}.${name}`)) {
      return () => Promise.reject(unmetered(`${path}.${name}`));
    }
    if (name === 'withOptions') {
      return (...parts: unknown[]): unknown => {
        const other: unknown = Reflect.apply(method, target, parts);
        return isResource(other) ? this.wrap(other, path) : other;
      };
    }
    if (isClass(method)) return method;
    // An SDK's helpers, its tool runners among them, send by the client that they find on `this`.
    const self = inSdk && !FREE_RESOURCES.test(path) ? this.wrap(target, path) : target;
    return (...parts: unknown[]): unknown => Reflect.apply(method, self, parts);
  }

  #send(target: object, path: string, method: Function, parts: readonly unknown[]): unknown {
    const [first, given, ...others] = parts;
    const args = isObject(first) ? first : {};
    const model = typeof args['model'] === 'string' ? args['model'] : '';
    if (UNMETERED.test(path)) return Promise.reject(unmetered(path));
    if (FREE_RESOURCES.test(path) || (model === '' && !PAID.test(path))) {
      return Reflect.apply(method, target, parts);
    }
    const { feature, rest } = tagsOf(given);
    const askUsage = this.#takesUsageOption(target, args) && !asksForUsage(args);
    const sent = askUsage ? withUsage(args) : args;
    // A client that writes its own requests may show whatever chunks it likes.
    const hidesUsage = askUsage && isChat(args);
    const options = rest === undefined && others.length === 0 ? [] : [rest, ...others];
    const url = baseUrlOf(target);
    return guardedCall({
      hidesUsage,
      admit: async () => {
        signalOf(rest)?.throwIfAborted();
        return this.#guard.admit({ args, model, feature, url });
      },
      send: () => {
        signalOf(rest)?.throwIfAborted();
        return Reflect.apply(method, target, [sent, ...options]);
      },
    });
  }

  /** True where a stream has a usage only if the request asks for it: in OpenAI's chat. */
  #takesUsageOption(target: object, args: Readonly<Record<string, unknown>>): boolean {
    if (args['stream'] !== true) return false;
    if (!isChat(args) && OTHER_FORMATS.some((field) => field in args)) return false;
    const { provider } = this.#guard.options;
    if (provider !== undefined) return provider === 'openai';
    const client: unknown = Reflect.get(target, '_client');
    if (isObject(client)) return 'chat' in client;
    return !/claude|gemini/i.test(String(args['model']));
  }
}

/** Where formats other than OpenAI's chat say what is asked. */
const OTHER_FORMATS: readonly string[] = ['input', 'contents', 'message'];

/** True for a request of OpenAI's chat, or of the completions before it. */
function isChat({ messages, prompt }: Readonly<Record<string, unknown>>): boolean {
  return Array.isArray(messages) || typeof prompt === 'string' || Array.isArray(prompt);
}

/** True for a part of an SDK's client, such as `openai.chat`: it reaches the client it is of. */
function isSdkResource(target: object): boolean {
  const client: unknown = Reflect.get(target, '_client');
  return isObject(client) && 'baseURL' in client;
}

/** The name of a resource that is guarded alone, such as `batches`; '' for what is a client itself. */
function rootPathOf(client: object): string {
  if (!('_client' in client)) return '';
  const { name } = client.constructor;
  return `${name.charAt(0).toLowerCase()}${name.slice(1)}`;
}

function unmetered(path: string): PurseError {
  return new PurseError(
    'UNMETERED_ROUTE',
    `A guard does not know what ${path} costs, so it was not sent: call it on the client itself, ` +
      'and charge it by purse.charge()',
  );
}

/** Objects that a client is made of; data and what the platform gives are left as they are. */
function isResource(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const text = Object.prototype.toString.call(value);
  return text === '[object Object]' && !(value instanceof Error) && !isThenable(value);
}

function isThenable(value: object): boolean {
  return typeof Reflect.get(value, 'then') === 'function';
}

function isClass(method: Function): boolean {
  return /^class\b/.test(Function.prototype.toString.call(method));
}

/** The tag among the options of a call; what is left of them goes on to the client. */
function tagsOf(given: unknown): { feature: string | undefined; rest: unknown } {
  if (!isObject(given) || !('feature' in given)) return { feature: undefined, rest: given };
  const { feature, ...rest } = given;
  return {
    feature: feature as string,
    rest: Object.keys(rest).length === 0 ? undefined : rest,
  };
}

function signalOf(options: unknown): AbortSignal | undefined {
  const signal = isObject(options) ? options['signal'] : undefined;
  return signal instanceof AbortSignal ? signal : undefined;
}

function asksForUsage(args: Readonly<Record<string, unknown>>): boolean {
  const options = args['stream_options'];
  return isObject(options) && options['include_usage'] === true;
}

function withUsage(args: Readonly<Record<string, unknown>>): object {
  const options = args['stream_options'];
  return {
    ...args,
    stream_options: { ...(isObject(options) ? options : {}), include_usage: true },
  };
}

/** The address of a client of the known SDKs, for hosts with prices of their own. */
function baseUrlOf(target: object): string | null {
  const client: unknown = Reflect.get(target, '_client') ?? target;
  const url: unknown = isObject(client) ? client['baseURL'] : undefined;
  return typeof url === 'string' && URL.canParse(url) ? url : null;
}
