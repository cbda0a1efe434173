import { InvalidAmountError, shown } from '../../ledger/invalid.ts';
import { readUsage } from '../cost.ts';
import { isObject } from '../providers/provider.ts';
import type { Usage as CallUsage } from '../usage.ts';
import { UnknownUsageShapeError } from './errors.ts';
import type { Usage } from './types.ts';

const PARTS = ['input', 'output', 'cachedInput', 'reasoning', 'cacheWrite'] as const;

/**
 * Reads the usage object of any provider. What a provider counts beside its input or output, such
 * as Anthropic's cache reads and writes or Gemini's thoughts, is added to it, so `input` and
 * `output` are whole.
 *
 * @param raw A usage object, or a whole answer that has one.
 * @throws UnknownUsageShapeError when there is none, or it contradicts itself.
 * @example
 * ```ts
 * import { normalizeUsage } from 'pursestrings/guard';
 *
 * const usage = normalizeUsage({ prompt_tokens: 1_000, completion_tokens: 20 });
 * console.log(usage.input, usage.output); // 1000 20
 * ```
 */
export function normalizeUsage(raw: unknown): Usage {
  const own = ownUsage(raw);
  if (own !== null) return own;
  const read = usageIn(raw);
  if (read === null) throw new UnknownUsageShapeError(raw);
  return {
    input: read.inputTokens,
    output: read.outputTokens,
    ...(positive(read.cachedInputTokens) && { cachedInput: read.cachedInputTokens }),
    ...(positive(read.reasoningTokens) && { reasoning: read.reasoningTokens }),
    ...(positive(read.cacheWriteTokens) && { cacheWrite: read.cacheWriteTokens }),
  };
}

/** The usage of an answer, or of a usage object, with all that its provider says; null for none. */
export function usageIn(answer: unknown): CallUsage | null {
  if (!isObject(answer)) return null;
  const own = ownUsage(answer) ?? ownUsage(answer['usage']);
  if (own !== null) return toCallUsage(own);
  return readUsage(answer) ?? readCohere(answer) ?? readInside(answer);
}

/**
 * Translates a usage to the one that prices are reckoned with.
 *
 * @throws InvalidAmountError for a count that is not a finite number from 0.
 */
export function toCallUsage(usage: Usage): CallUsage {
  if (!isObject(usage)) {
    throw new InvalidAmountError(`The usage is ${shown(usage)}; it must be { input, output }`);
  }
  const { input, output, cachedInput, reasoning, cacheWrite } = counts(usage);
  const besides = cachedInput + cacheWrite > input ? cachedInput + cacheWrite : 0;
  const hidden = reasoning > output ? reasoning : 0;
  return {
    inputTokens: input + besides,
    outputTokens: output + hidden,
    cachedInputTokens: cachedInput,
    cacheWriteTokens: cacheWrite,
    reasoningTokens: reasoning,
  };
}

function counts(usage: Usage): Readonly<Record<(typeof PARTS)[number], number>> {
  const found = { input: 0, output: 0, cachedInput: 0, reasoning: 0, cacheWrite: 0 };
  for (const part of PARTS) {
    const given: unknown = usage[part];
    if (given === undefined && part !== 'input' && part !== 'output') continue;
    const count = typeof given === 'number' ? Math.ceil(given) : Number.NaN;
    if (!Number.isSafeInteger(count) || count < 0) {
      throw new InvalidAmountError(
        `\`${part}\` of the usage is ${shown(given)}; it must be a number of tokens from 0`,
      );
    }
    found[part] = count;
  }
  return found;
}

/** A usage that is in this module's own shape already. */
function ownUsage(raw: unknown): Usage | null {
  if (!isObject(raw)) return null;
  const { input, output } = raw;
  return typeof input === 'number' && typeof output === 'number' ? (raw as unknown as Usage) : null;
}

/** Cohere bills by these units: https://docs.cohere.com/reference/chat */
function readCohere(raw: Readonly<Record<string, unknown>>): CallUsage | null {
  const usage = isObject(raw['usage']) ? raw['usage'] : raw;
  const meta = isObject(raw['meta']) ? raw['meta'] : usage;
  const billed = meta['billed_units'];
  if (!isObject(billed)) return null;
  return readUsage({
    prompt_tokens: billed['input_tokens'],
    completion_tokens: billed['output_tokens'] ?? 0,
  });
}

/** Frameworks put the provider's usage under their own names. */
function readInside(raw: Readonly<Record<string, unknown>>): CallUsage | null {
  for (const name of ['usage', 'usageMetadata', 'usage_metadata']) {
    const inside = raw[name];
    if (isObject(inside)) return readUsage(inside) ?? readUsage({ [name]: inside });
  }
  return null;
}

function positive(count: number | undefined): count is number {
  return count !== undefined && count > 0;
}
