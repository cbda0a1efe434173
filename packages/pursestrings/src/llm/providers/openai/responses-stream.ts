import type { Usage } from '../../usage.ts';
import { rememberedModel, rememberResponse } from './responses-memory.ts';
import { failedUncounted, hasEnded, readResponsesUsage, remember } from './responses-usage.ts';
import { isObject } from '../provider.ts';
import type {
  CallShape,
  JsonObject,
  OnText,
  ResultReader,
  StreamReader,
  Work,
} from '../provider.ts';
import { decoded, parseJson, textAt } from '../read-json.ts';

/**
 * The type of an event. Quotes inside of strings are escaped, so nothing that is generated looks
 * like it.
 */
const EVENT_TYPE = /"type"\s*:\s*"response\.([a-z_.]+)"/;

/** Events that each carry at least one token of what is billed as output. */
const DELTAS: ReadonlySet<string> = new Set([
  'output_text.delta',
  'refusal.delta',
  'function_call_arguments.delta',
  'custom_tool_call_input.delta',
  'code_interpreter_call_code.delta',
  'reasoning_text.delta',
]);

/** Events that carry the response as a whole, which the first of them names. */
const BEGUN: ReadonlySet<string> = new Set(['created', 'queued', 'in_progress']);
const ENDED: ReadonlySet<string> = new Set(['completed', 'incomplete', 'failed', 'cancelled']);

/** https://developers.openai.com/api/reference/resources/responses/streaming-events */
export function openResponsesStream(shape: CallShape, onText: OnText): StreamReader {
  let usage: Usage | null = null;
  let complete = false;
  let tokensSeen = 0;
  let workId: string | null | undefined;
  let model: string | null = null;
  return {
    read(data) {
      const type = EVENT_TYPE.exec(data)?.[1];
      if (type === undefined) return false;
      if (DELTAS.has(type)) {
        tokensSeen += 1;
        if (onText !== null) tellDelta(data, onText);
        return false;
      }
      if (!ENDED.has(type) && !(BEGUN.has(type) && workId === undefined)) return false;
      const event = responseEvent(data);
      if (event === null) return false;
      const { response } = event;
      model = textAt(response, 'model') ?? model;
      if (event.ended) {
        complete = true;
        usage = readResponsesUsage(response, shape);
        remember(response, shape.model, usage);
      } else {
        workId = response.background === true ? begun(response, shape) : null;
      }
      return false;
    },
    usage: () => usage,
    complete: () => complete,
    tokensSeen: () => tokensSeen,
    answeredBy: () => model,
    workId: () => (complete ? null : (workId ?? null)),
  };
}

/** The response that an event carries, and whether nothing more will be added to it. */
function responseEvent(data: string): { response: JsonObject; ended: boolean } | null {
  const event = parseJson(data);
  if (!isObject(event) || !isObject(event.response)) return null;
  const { response, type } = event;
  const name = typeof type === 'string' ? type.replace(/^response\./, '') : '';
  return { response, ended: ENDED.has(name) || hasEnded(response.status) };
}

/** The id of a response that goes on when its answer is over. */
function begun(response: JsonObject, shape: CallShape): string | null {
  if (typeof response.id !== 'string') return null;
  rememberResponse(response.id, shape.model, null);
  return response.id;
}

/** Tells the text of a delta; its characters stand for one byte each. */
function tellDelta(data: string, onText: (text: string) => void): void {
  const event = parseJson(Buffer.from(data, 'latin1').toString());
  if (isObject(event) && typeof event.delta === 'string') onText(event.delta);
}

/** `/responses/{id}` and `/responses/{id}/cancel`: both answer the response. */
const RESULT_PATH = /\/responses\/([^/]+?)(\/cancel)?\/?$/;

/**
 * A response in the background, which goes on after its answer:
 * https://developers.openai.com/api/docs/guides/background
 */
export const backgroundResponses: Work = {
  begunBy(answer, shape) {
    if (!isObject(answer)) return null;
    const goesOn = answer.status === 'queued' || answer.status === 'in_progress';
    return goesOn ? begun(answer, shape) : null;
  },

  resultOf(method, url) {
    const [, id, cancels] = RESULT_PATH.exec(url.pathname) ?? [];
    if (id === undefined || method !== (cancels === undefined ? 'GET' : 'POST')) return null;
    return decoded(id);
  },

  openResult: (used) => new BackgroundResult(used),
};

/** Reads a response as it is asked for again: whole, or as a stream of its events. */
class BackgroundResult implements ResultReader {
  readonly #used: (model: string, usage: Usage) => void;
  #outcome: ReturnType<ResultReader['outcome']> = 'pending';

  constructor(used: (model: string, usage: Usage) => void) {
    this.#used = used;
  }

  read(data: string): void {
    if (this.#outcome !== 'pending') return;
    const response = ended(data);
    if (response === null) return;
    if (failedUncounted(response)) {
      this.#outcome = 'free';
      return;
    }
    const usage = readResponsesUsage(response, null);
    this.#outcome = usage === null ? 'unknown' : 'done';
    if (usage === null) return;
    const model = nameOf(response);
    remember(response, model, usage);
    this.#used(model, usage);
  }

  outcome(): ReturnType<ResultReader['outcome']> {
    return this.#outcome;
  }
}

/** The response of an answer or an event, once it has ended; else null. */
function ended(data: string): JsonObject | null {
  const type = EVENT_TYPE.exec(data)?.[1];
  if (type !== undefined && !ENDED.has(type) && data.startsWith('{"type"')) return null;
  const event = responseEvent(data);
  if (event !== null) return event.ended ? event.response : null;
  const json = parseJson(data);
  return isObject(json) && hasEnded(json.status) ? json : null;
}

/** The model as its request named it, where that is known; else as the answer does. */
function nameOf({ id, model }: JsonObject): string {
  const known = typeof id === 'string' ? rememberedModel(id) : null;
  return known ?? (typeof model === 'string' ? model : '');
}
