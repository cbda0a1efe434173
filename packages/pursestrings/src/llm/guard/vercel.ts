import type {
  MiddlewareAnswer,
  MiddlewareModel,
  MiddlewareParams,
  PurseMiddleware,
} from '../ai-sdk/middleware.ts';
import { isObject } from '../providers/provider.ts';
import type { Usage as CallUsage } from '../usage.ts';
import { type AdmittedCall, SpendGuard } from './spend-guard.ts';
import type { CallArgs, GuardOptions, Usage } from './types.ts';
import { toCallUsage } from './usage.ts';

type Guard = SpendGuard<CallArgs, unknown>;
type Call = AdmittedCall<CallArgs, unknown>;

/**
 * Makes a middleware for `wrapLanguageModel` of the Vercel AI SDK, 5 and later, that guards every
 * call of the model: each step of a tool loop, and each try of a retry, is one.
 *
 * @throws InvalidOptionError for an option that cannot be meant.
 * @example
 * ```ts no-run
 * import { openai } from '@ai-sdk/openai';
 * import { generateText, wrapLanguageModel } from 'ai';
 * import { budgetGuardMiddleware } from 'pursestrings/guard';
 *
 * const middleware = budgetGuardMiddleware({ project: 'my-app', dailyCapUSD: 50, feature: 'chat' });
 * const model = wrapLanguageModel({ model: openai('gpt-4o'), middleware });
 * await generateText({ model, prompt: 'Name a river.' });
 * ```
 */
export function budgetGuardMiddleware(
  options: GuardOptions & { readonly feature?: string },
): PurseMiddleware {
  const guard = new SpendGuard<CallArgs, unknown>(options, {});
  const { feature } = options;
  return {
    specificationVersion: 'v3',
    async wrapGenerate({ doGenerate, params, model }) {
      const { call, answer } = await begin(guard, feature, params, model, doGenerate);
      await settle(call, answer.usage, answer);
      return answer;
    },
    async wrapStream({ doStream, params, model }) {
      const { call, answer } = await begin(guard, feature, params, model, doStream);
      return { ...answer, stream: settledStream(answer.stream, call) };
    },
  };
}

async function begin<Answer extends object>(
  guard: Guard,
  feature: string | undefined,
  params: MiddlewareParams | undefined,
  { modelId }: MiddlewareModel,
  ask: () => PromiseLike<Answer>,
): Promise<{ readonly call: Call; readonly answer: Answer }> {
  const { abortSignal, ...said } = params ?? {};
  abortSignal?.throwIfAborted();
  const args: CallArgs = { ...said, model: modelId };
  const call = await guard.admit({ args, model: modelId, feature });
  try {
    return { call, answer: await ask() };
  } catch (error) {
    await call.failed(error);
    throw error;
  }
}

function settle(call: Call, usage: unknown, answer: MiddlewareAnswer | null): Promise<void> {
  const read = usageOf(usage);
  return read === null ? call.unseen(answer) : call.used(read);
}

function settledStream<Part>(stream: ReadableStream<Part>, call: Call): ReadableStream<Part> {
  const reader = stream.getReader();
  let usage: unknown = null;
  return new ReadableStream<Part>({
    async pull(parts) {
      try {
        const { done, value } = await reader.read();
        if (!done) {
          if (isObject(value) && value['type'] === 'finish') usage = value['usage'];
          parts.enqueue(value);
          return;
        }
        await settle(call, usage, null);
        parts.close();
      } catch (error) {
        await call.left();
        throw error;
      }
    },
    async cancel(reason) {
      const read = usageOf(usage);
      await (read === null ? call.left() : call.used(read));
      await reader.cancel(reason);
    },
  });
}

/**
 * The usage as the AI SDK counts it: totals with their parts, or in version 5 plain counts.
 * https://github.com/vercel/ai/tree/main/packages/provider/src/language-model
 */
function usageOf(said: unknown): CallUsage | null {
  if (!isObject(said)) return null;
  const { inputTokens: input, outputTokens: output } = said;
  const inputs = isObject(input) ? input : { total: input, cacheRead: said['cachedInputTokens'] };
  const outputs = isObject(output) ? output : { total: output, reasoning: said['reasoningTokens'] };
  const counted = {
    input: countOf(inputs['total']),
    output: countOf(outputs['total']),
    cachedInput: countOf(inputs['cacheRead']) ?? 0,
    cacheWrite: countOf(inputs['cacheWrite']) ?? 0,
    reasoning: countOf(outputs['reasoning']) ?? 0,
  };
  if (counted.input === null || counted.output === null) return null;
  return counted.input + counted.output === 0 ? null : toCallUsage(counted as Usage);
}

function countOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
