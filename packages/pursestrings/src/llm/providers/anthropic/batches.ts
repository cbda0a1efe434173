import { boundAnthropicInput } from './input.ts';
import { readMessagesCall } from './messages.ts';
import { anthropicRefusalBody } from './refusal.ts';
import { openAnthropicStream } from './stream.ts';
import { readAnthropicUsage } from './usage.ts';
import { callShape, isObject } from '../provider.ts';
import type {
  CallPart,
  CallShape,
  JsonObject,
  Provider,
  ResultReader,
  Route,
  Work,
} from '../provider.ts';
import { decoded, parseJson } from '../read-json.ts';

/**
 * Anthropic's message batches: calls at half the price, answered within a day.
 * https://platform.claude.com/docs/en/build-with-claude/batch-processing
 */
export const anthropicBatches: Provider = {
  name: 'anthropic',
  recognise,
  readCall,
  boundInput: boundAnthropicInput,
  countInput: () => Promise.resolve(null),
  rewrite: (body) => body,
  readUsage: () => null,
  asksUsage: false,
  openStream: openAnthropicStream,
  work: { begunBy, resultOf, openResult },
  refusalBody: anthropicRefusalBody,
};

const ROUTE = /\/v1\/messages\/batches(?:\/([^/]+)(?:\/(results|cancel))?)?\/?$/;

function recognise(method: string, url: URL): Route | null {
  const route = ROUTE.exec(url.pathname);
  if (route === null) return null;
  const [, id, action] = route;
  if (method === 'GET') return id !== undefined && action !== 'cancel' ? 'result' : 'free';
  return method === 'POST' && id === undefined ? 'metered' : 'free';
}

/** Read only by its route: without it, nobody asks what a batch costs. */
function readCall(body: JsonObject, url: URL | null): CallShape | null {
  if (url === null || !Array.isArray(body.requests)) return null;
  const parts = (body.requests as readonly unknown[]).map(readPart);
  const [first] = parts;
  if (first === undefined || first === null || parts.includes(null)) return null;
  const { model } = first.shape;
  return callShape({ model, serviceTier: 'batch', parts: parts.filter((part) => part !== null) });
}

function readPart(request: unknown): CallPart | null {
  if (!isObject(request) || !isObject(request.params)) return null;
  const shape = readMessagesCall(request.params, true);
  return shape === null ? null : { body: request.params, shape };
}

function begunBy(answer: unknown): ReturnType<Work['begunBy']> {
  if (!isObject(answer) || answer.type !== 'message_batch') return null;
  return typeof answer.id === 'string' && answer.id !== '' ? answer.id : null;
}

function resultOf(method: string, url: URL): ReturnType<Work['resultOf']> {
  const id = recognise(method, url) === 'result' ? ROUTE.exec(url.pathname)?.[1] : undefined;
  return id === undefined ? null : decoded(id);
}

function openResult(used: Parameters<Work['openResult']>[0]): ResultReader {
  return new BatchReader(used);
}

/**
 * Reads a batch's results, a line for each of its requests, or the batch itself. What errored, was
 * canceled or expired is not billed.
 */
class BatchReader implements ResultReader {
  readonly #used: Parameters<Work['openResult']>[0];
  #lines = 0;
  #succeeded = 0;
  #torn = false;
  #unknown = false;
  /** The batch itself says that none of its requests is billed. */
  #free = false;

  constructor(used: Parameters<Work['openResult']>[0]) {
    this.#used = used;
  }

  read(data: string): void {
    const line = parseJson(data);
    if (!isObject(line)) {
      this.#torn = true;
    } else if (line.type === 'message_batch') {
      this.#free = isUnbilled(line);
    } else {
      this.#lines += 1;
      this.#readResult(isObject(line.result) ? line.result : {});
    }
  }

  #readResult({ type, message }: JsonObject): void {
    if (type === 'errored' || type === 'canceled' || type === 'expired') return;
    this.#succeeded += 1;
    const model = isObject(message) ? message.model : undefined;
    const usage =
      type === 'succeeded' && typeof model === 'string'
        ? readAnthropicUsage(message, callShape({ model, serviceTier: 'batch' }))
        : null;
    if (typeof model !== 'string' || usage === null) this.#unknown = true;
    else this.#used(model, usage);
  }

  outcome(ended: boolean): ReturnType<ResultReader['outcome']> {
    if (this.#free) return 'free';
    // What was cut off can be read again.
    if (!ended || this.#torn || this.#lines === 0) return 'pending';
    if (this.#unknown) return 'unknown';
    return this.#succeeded === 0 ? 'free' : 'done';
  }
}

/** True for a batch that has ended, and of whose requests none succeeded. */
function isUnbilled(batch: JsonObject): boolean {
  const counts = isObject(batch.request_counts) ? batch.request_counts : {};
  return batch.processing_status === 'ended' && counts.succeeded === 0 && counts.processing === 0;
}
