import { outputCapOf } from './hold-estimate.ts';
import type { Usage } from './types.ts';

/** How input is counted before a call. */
export interface EstimatorOptions {
  /** Counts the tokens of a text, such as `countTokens` of `gpt-tokenizer`. Default: a quarter of its length. */
  readonly countTokens?: (text: string) => number;
  /** Output assumed of a request that names no cap. Default 0. */
  readonly defaultOutput?: number;
}

/** Newer Claude models make about so many times the tokens of older ones from the same text. */
export const NEW_TOKENIZER_MULTIPLIER = 1.3;

const NEW_CLAUDE = /^claude-(?:fable|mythos|(?:sonnet|haiku|opus)-(?:[5-9]|\d\d)|opus-4-[7-9])/;
const KNOWN_FAMILY = /^(?:gpt-|o\d|chatgpt-|claude-|gemini-|grok-|deepseek-|mistral)/;

/**
 * Tokens that Anthropic adds to a request with tools:
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview (looked up 2026-11-22; the
 * most of any model listed).
 */
const CLAUDE_TOOLS_TOKENS = 346;

/**
 * Makes an `estimateUsage`: the request's text counted as tokens, its tools, and its own output
 * cap. Fast and rough; without an `estimateUsage` a guard counts closer by itself, and lets the last
 * call pass the cap.
 *
 * @example
 * ```ts
 * import { estimator, guard } from 'pursestrings/guard';
 *
 * const client = { create: async (_: { model: string }) => ({ usage: { input: 9, output: 9 } }) };
 * const ai = guard(client, { project: 'my-app', dailyCapUSD: 5, estimateUsage: estimator() });
 * await ai.create({ model: 'gpt-4o' });
 * ```
 */
export function estimator(options: EstimatorOptions = {}): (args: object) => Usage {
  const count = options.countTokens ?? ((text: string): number => Math.ceil(text.length / 4));
  return (args) => {
    const model = String(Reflect.get(args, 'model') ?? '');
    const texts: string[] = [];
    for (const name of INPUT_FIELDS) collectText(Reflect.get(args, name), texts, 0);
    let input = texts.length === 0 ? 0 : count(texts.join('\n'));
    const tools: unknown = Reflect.get(args, 'tools');
    if (Array.isArray(tools) && tools.length > 0) {
      input += count(JSON.stringify(tools));
      if (/claude/.test(model)) input += CLAUDE_TOOLS_TOKENS;
    }
    return {
      input: Math.ceil(input * tokenizerMultiplier(model)),
      output: outputCapOf(args) ?? options.defaultOutput ?? 0,
    };
  };
}

/** How many times the usual tokens a model makes of a text; 1.3 for a family nobody knows. */
export function tokenizerMultiplier(model: string): number {
  return KNOWN_FAMILY.test(model) && !NEW_CLAUDE.test(model) ? 1 : NEW_TOKENIZER_MULTIPLIER;
}

const INPUT_FIELDS = ['system', 'instructions', 'prompt', 'messages', 'input', 'contents'];

/** Requests nest text in content, parts and tool results; nothing nests deeper. */
const MAX_DEPTH = 12;

function collectText(value: unknown, texts: string[], depth: number): void {
  if (typeof value === 'string') texts.push(value);
  else if (typeof value === 'object' && value !== null && depth < MAX_DEPTH) {
    for (const [name, inside] of Object.entries(value)) {
      if (name !== 'role' && name !== 'type') collectText(inside, texts, depth + 1);
    }
  }
}
