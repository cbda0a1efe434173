import type { Usage } from '../../usage.ts';
import { readGeminiUsage } from './usage.ts';
import { isObject } from '../provider.ts';
import type { CallShape, JsonObject, OnText, StreamReader } from '../provider.ts';
import { parseJson } from '../read-json.ts';

const HAS_USAGE = /"usageMetadata"\s*:\s*\{/;
const HAS_GROUNDING = /"groundingMetadata"\s*:\s*\{/;
const OUTPUT_COUNTS = /"(?:candidates|thoughts)TokenCount"\s*:\s*(\d+)/g;
const VERSION = /"modelVersion"\s*:\s*"([^"]+)"/;
const MAY_FINISH = /"(?:finish|block)Reason"\s*:\s*"/;

/** Models that say why they end in every chunk. */
const ALWAYS_FINISHED = /gemini-(?:1\.|pro)/;

/**
 * Reads a stream whose every chunk tells what was used so far: only the last one is parsed, and
 * those that tell of searches.
 */
export function openGeminiStream(
  shape: CallShape,
  onText: OnText,
): StreamReader & { readonly takesArray: true } {
  let last: string | null = null;
  let tokensSeen = 0;
  let finished = 0;
  const searches: unknown[] = [];
  const usage = (): Usage | null => {
    const chunk = last === null || finished === 0 ? null : parseJson(utf8(last));
    if (!isObject(chunk)) return null;
    const candidates = searches.length === 0 ? chunk.candidates : searches;
    const read = readGeminiUsage({ ...chunk, candidates }, shape);
    // What was used only grows: a last chunk that says less is not to be believed.
    return read === null || read.outputTokens < tokensSeen ? null : read;
  };
  return {
    takesArray: true,
    read(data) {
      if (MAY_FINISH.test(data)) finished += finishesOf(data);
      if (HAS_GROUNDING.test(data)) keepCandidates(data, searches);
      if (onText !== null) tellText(data, onText);
      if (!HAS_USAGE.test(data)) return false;
      last = data;
      tokensSeen = Math.max(tokensSeen, outputCount(data));
      return false;
    },
    usage,
    complete: () => finished >= shape.choices && !ALWAYS_FINISHED.test(shape.model),
    tokensSeen: () => tokensSeen,
    answeredBy: () => VERSION.exec(last ?? '')?.[1] ?? null,
  };
}

/** What is before the usage may be the model's own words. */
function outputCount(data: string): number {
  const said = data.slice(data.lastIndexOf('"usageMetadata"'));
  let sum = 0;
  for (const [, digits] of said.matchAll(OUTPUT_COUNTS)) sum += Number(digits);
  return Number.isSafeInteger(sum) ? sum : 0;
}

/** How many candidates end in a chunk; all of them, where the prompt was blocked. */
function finishesOf(data: string): number {
  const chunk = parseJson(utf8(data));
  if (!isObject(chunk)) return 0;
  const { promptFeedback } = chunk;
  if (isObject(promptFeedback) && promptFeedback.blockReason !== undefined) {
    return Number.POSITIVE_INFINITY;
  }
  return candidatesIn(chunk).filter(({ finishReason }) => typeof finishReason === 'string').length;
}

/** Characters stand for one byte each. */
function utf8(data: string): string {
  return Buffer.from(data, 'latin1').toString();
}

function candidatesOf(data: string): readonly JsonObject[] {
  const chunk = parseJson(utf8(data));
  return isObject(chunk) ? candidatesIn(chunk) : [];
}

function candidatesIn({ candidates }: JsonObject): readonly JsonObject[] {
  return Array.isArray(candidates) ? (candidates as readonly unknown[]).filter(isObject) : [];
}

function keepCandidates(data: string, searches: unknown[]): void {
  for (const { groundingMetadata } of candidatesOf(data)) searches.push({ groundingMetadata });
}

/** Tells the text of a chunk, its calls of functions and its code. */
function tellText(data: string, onText: (text: string) => void): void {
  for (const { content } of candidatesOf(data)) {
    const parts = isObject(content) ? content.parts : null;
    for (const part of Array.isArray(parts) ? (parts as readonly unknown[]) : []) {
      if (!isObject(part)) continue;
      if (typeof part.text === 'string') onText(part.text);
      for (const written of [part.functionCall, part.executableCode]) {
        if (isObject(written)) onText(JSON.stringify(written));
      }
    }
  }
}
