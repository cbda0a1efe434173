import { isObject } from '../providers/provider.ts';
import { type AdmittedCall, SpendGuard } from './spend-guard.ts';
import type { CallArgs, GuardOptions, RetryStats, Usage } from './types.ts';
import { toCallUsage } from './usage.ts';

/** How LangChain's calls are guarded. */
export interface BudgetGuardHandlerOptions extends GuardOptions {
  /** Attributes the cost of all calls. Default: the surrounding label, else `'default'`. */
  readonly feature?: string;
  /** The model that calls are priced as. Default: what LangChain says of each call. */
  readonly model?: string;
}

/** Calls that begin and never end are forgotten, oldest first, and counted as spent. */
const MAX_RUNS = 10_000;

/**
 * A callback handler for LangChain.js: sets money aside before each call of a model, and settles it
 * when the call ends. It is a handler by its shape, so `@langchain/core` is not needed here.
 *
 * A call that begins when the cap is used up throws, and the model is not asked. Caching and
 * retries of LangChain's own lie inside one call.
 *
 * @example
 * ```ts no-run
 * import { ChatOpenAI } from '@langchain/openai';
 * import { BudgetGuardHandler } from 'pursestrings/guard';
 *
 * const handler = new BudgetGuardHandler({ project: 'my-app', dailyCapUSD: 50 });
 * const model = new ChatOpenAI({ model: 'gpt-4o', maxTokens: 500 });
 * await model.invoke('Name a river.', { callbacks: [handler] });
 * ```
 */
export class BudgetGuardHandler {
  readonly name: string = 'budget_guard';
  /** LangChain waits for this handler, and lets what it throws stop the call. */
  readonly awaitHandlers: boolean = true;
  readonly raiseError: boolean = true;
  readonly ignoreLLM: boolean = false;
  readonly ignoreChain: boolean = true;
  readonly ignoreAgent: boolean = true;
  readonly ignoreRetriever: boolean = true;
  readonly ignoreCustomEvent: boolean = true;
  readonly #options: BudgetGuardHandlerOptions;
  readonly #guard: SpendGuard<CallArgs, unknown>;
  readonly #runs = new Map<string, AdmittedCall<CallArgs, unknown>>();

  constructor(options: BudgetGuardHandlerOptions) {
    this.#options = options;
    this.#guard = new SpendGuard<CallArgs, unknown>(options, {});
  }

  retryStats(): RetryStats {
    return this.#guard.retryStats();
  }

  /** @internal Called by LangChain. */
  async handleLLMStart(
    llm: unknown,
    prompts: string[],
    runId: string,
    _parentRunId?: string,
    extraParams?: Record<string, unknown>,
    _tags?: string[],
    metadata?: Record<string, unknown>,
  ): Promise<void> {
    await this.#begin(runId, { prompt: prompts.join('\n') }, llm, extraParams, metadata);
  }

  /** @internal Called by LangChain. */
  async handleChatModelStart(
    llm: unknown,
    messages: unknown[][],
    runId: string,
    _parentRunId?: string,
    extraParams?: Record<string, unknown>,
    _tags?: string[],
    metadata?: Record<string, unknown>,
  ): Promise<void> {
    const said = messages.flat().map((message) => ({ role: 'user', content: textOf(message) }));
    await this.#begin(runId, { messages: said }, llm, extraParams, metadata);
  }

  /** @internal Called by LangChain. */
  async handleLLMEnd(output: unknown, runId: string): Promise<void> {
    const call = this.#end(runId);
    if (call === undefined) return;
    const usage = usageOf(output);
    await (usage === null ? call.unseen(output) : call.used(toCallUsage(usage)));
  }

  /** @internal Called by LangChain. */
  async handleLLMError(error: unknown, runId: string): Promise<void> {
    await this.#end(runId)?.failed(error);
  }

  async #begin(
    runId: string,
    said: object,
    llm: unknown,
    extraParams: Record<string, unknown> | undefined,
    metadata: Record<string, unknown> | undefined,
  ): Promise<void> {
    const invocation = extraParams?.['invocation_params'];
    const params = isObject(invocation) ? invocation : {};
    const model = this.#options.model ?? modelOf(params, metadata, llm);
    const args = { ...params, ...said, model };
    const { feature } = this.#options;
    const call = await this.#guard.admit({ args, model, feature });
    this.#runs.set(runId, call);
    if (this.#runs.size <= MAX_RUNS) return;
    for (const [oldest, forgotten] of this.#runs) {
      this.#runs.delete(oldest);
      await forgotten.left();
      break;
    }
  }

  #end(runId: string): AdmittedCall<CallArgs, unknown> | undefined {
    const call = this.#runs.get(runId);
    this.#runs.delete(runId);
    return call;
  }
}

/** Makes a `BudgetGuardHandler`. */
export function budgetGuardHandler(options: BudgetGuardHandlerOptions): BudgetGuardHandler {
  return new BudgetGuardHandler(options);
}

function modelOf(
  params: Readonly<Record<string, unknown>>,
  metadata: Readonly<Record<string, unknown>> | undefined,
  llm: unknown,
): string {
  const kwargs = isObject(llm) && isObject(llm['kwargs']) ? llm['kwargs'] : {};
  const places = [params['model'], metadata?.['ls_model_name'], params['model_name']];
  const found = [...places, kwargs['model'], kwargs['model_name']];
  return found.find((name): name is string => typeof name === 'string') ?? '';
}

function textOf(message: unknown): string {
  const content = isObject(message) ? message['content'] : message;
  return typeof content === 'string' ? content : (JSON.stringify(content) ?? '');
}

/**
 * The usage of a message, whose counts hold their parts, else of the whole output:
 * https://reference.langchain.com/javascript/types/_langchain_core.messages.UsageMetadata.html
 */
function usageOf(output: unknown): Usage | null {
  if (!isObject(output)) return null;
  const counted = sumOf(output['generations']);
  if (counted !== null) return counted;
  const tokens = isObject(output['llmOutput']) ? output['llmOutput']['tokenUsage'] : undefined;
  if (!isObject(tokens)) return null;
  const { promptTokens: input, completionTokens: written } = tokens;
  return typeof input === 'number' && typeof written === 'number'
    ? { input, output: written }
    : null;
}

/** Each prompt has generations of its own, of which the first says what all of them used. */
function sumOf(generations: unknown): Usage | null {
  if (!Array.isArray(generations)) return null;
  const sum = { input: 0, output: 0, cachedInput: 0, cacheWrite: 0, reasoning: 0 };
  let found = false;
  for (const group of generations as readonly unknown[]) {
    const first: unknown = Array.isArray(group) ? group[0] : undefined;
    const message = isObject(first) ? first['message'] : undefined;
    const usage = isObject(message) ? message['usage_metadata'] : undefined;
    if (!isObject(usage)) continue;
    const inputs = isObject(usage['input_token_details']) ? usage['input_token_details'] : {};
    const outputs = isObject(usage['output_token_details']) ? usage['output_token_details'] : {};
    sum.input += countOf(usage['input_tokens']);
    sum.output += countOf(usage['output_tokens']);
    sum.cachedInput += countOf(inputs['cache_read']);
    sum.cacheWrite += countOf(inputs['cache_creation']);
    sum.reasoning += countOf(outputs['reasoning']);
    found = true;
  }
  return found && sum.input + sum.output > 0 ? sum : null;
}

function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
