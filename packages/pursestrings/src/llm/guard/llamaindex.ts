import { isObject } from '../providers/provider.ts';
import { guardedStream, isStream } from './guarded-stream.ts';
import { SpendGuard } from './spend-guard.ts';
import type { CallArgs, GuardOptions } from './types.ts';

/** A model of LlamaIndex.TS, as far as a guard needs to know it. */
export interface LlamaIndexModel {
  readonly metadata: { readonly model: string };
  chat(params: never): Promise<unknown>;
}

/** Methods that ask by `chat`; they are run on the guarded model. */
const HELPS: ReadonlySet<string | symbol> = new Set(['complete', 'exec', 'streamExec']);

/**
 * Puts a cap on what a model of LlamaIndex.TS may spend, by its shape: `@llamaindex/core` is not
 * needed here. `chat`, `complete` and `exec` are guarded, whole and streamed; all else is the
 * model's own.
 *
 * @throws InvalidOptionError for an option that cannot be meant.
 * @example
 * ```ts no-run
 * import { openai } from '@llamaindex/openai';
 * import { guardLlamaIndex } from 'pursestrings/guard';
 *
 * const llm = guardLlamaIndex(openai({ model: 'gpt-4o' }), { project: 'my-app', dailyCapUSD: 50 });
 * await llm.chat({ messages: [{ role: 'user', content: 'Name a river.' }] });
 * ```
 */
export function guardLlamaIndex<T extends LlamaIndexModel>(
  llm: T,
  options: GuardOptions & { readonly feature?: string },
): T {
  const guard = new SpendGuard<CallArgs, unknown>(options, {});
  const chat = (params: Readonly<Record<string, unknown>>): Promise<unknown> =>
    guardedChat(llm, guard, params, options);
  const guarded: T = new Proxy(llm, {
    get(target, name) {
      if (name === 'chat') return chat;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const self = HELPS.has(name) ? guarded : target;
      return (...parts: unknown[]): unknown => Reflect.apply(value, self, parts);
    },
  });
  return guarded;
}

async function guardedChat(
  llm: LlamaIndexModel,
  guard: SpendGuard<CallArgs, unknown>,
  params: Readonly<Record<string, unknown>>,
  options: GuardOptions & { readonly feature?: string },
): Promise<unknown> {
  const { model } = llm.metadata;
  const args = requestOf(llm, params, model);
  const call = await guard.admit({ args, model, feature: options.feature });
  const asksUsage = params['stream'] === true && takesUsageOption(llm, options);
  let answer: unknown;
  try {
    answer = await llm.chat((asksUsage ? withUsage(params) : params) as never);
  } catch (error) {
    await call.failed(error);
    throw error;
  }
  if (isStream(answer)) return guardedStream(answer, call, false, rawOf);
  await call.answered(rawOf(answer));
  return answer;
}

/** What is sent, as far as it can be told: the tools and the cap of the model are its own. */
function requestOf(
  llm: LlamaIndexModel,
  { messages, tools }: Readonly<Record<string, unknown>>,
  model: string,
): CallArgs {
  const cap: unknown = Reflect.get(llm, 'maxTokens') ?? Reflect.get(llm.metadata, 'maxTokens');
  const described = Array.isArray(tools)
    ? tools.map((tool) => (isObject(tool) && isObject(tool['metadata']) ? tool['metadata'] : tool))
    : [];
  return {
    model,
    prompt: { messages, tools: described },
    ...(typeof cap === 'number' && { max_tokens: cap }),
  };
}

/** OpenAI's chat says what a stream used only where it is asked to. */
function takesUsageOption(llm: LlamaIndexModel, { provider }: GuardOptions): boolean {
  return provider === undefined ? llm.constructor.name === 'OpenAI' : provider === 'openai';
}

function withUsage(params: Readonly<Record<string, unknown>>): object {
  const given = params['additionalChatOptions'];
  const stream_options = { include_usage: true };
  const additionalChatOptions = { stream_options, ...(isObject(given) ? given : {}) };
  return { ...params, additionalChatOptions };
}

/** The provider's own answer, or chunk, in LlamaIndex's. */
function rawOf(answer: unknown): unknown {
  return isObject(answer) ? answer['raw'] : null;
}
