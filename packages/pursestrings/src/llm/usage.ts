import type { Decimal } from '../ledger/amount.ts';
import { InvalidAmountError } from '../ledger/invalid.ts';

/**
 * What one model call used, in tokens: whole numbers from 0. The parts lie inside their whole:
 * cached, cache-writing, audio, image and video tokens inside `inputTokens`, reasoning, audio and
 * image tokens inside `outputTokens`. A provider that counts otherwise is translated to this when
 * its answer is read.
 */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Input that the provider read from its prompt cache. */
  readonly cachedInputTokens?: number;
  /** Input that the provider wrote to its prompt cache. */
  readonly cacheWriteTokens?: number;
  /** Those of `cacheWriteTokens` that are kept for an hour, which is dearer. */
  readonly cacheWrite1hTokens?: number;
  readonly inputAudioTokens?: number;
  /** Those of `cachedInputTokens` that are audio. */
  readonly cachedAudioTokens?: number;
  readonly inputImageTokens?: number;
  /** Those of `cachedInputTokens` that are images. */
  readonly cachedImageTokens?: number;
  readonly inputVideoTokens?: number;
  readonly outputAudioTokens?: number;
  readonly outputImageTokens?: number;
  /** Hidden output; priced as output where the price names no rate of its own. */
  readonly reasoningTokens?: number;
  /** What is billed by the piece, such as `{ web_searches: 2 }` or `{ audio_seconds: 31 }`. */
  readonly pieces?: Pieces;
  /** The processing tier that served the call, such as `flex`, `priority` or `batch`. */
  readonly serviceTier?: string;
  /** What the provider itself says the call cost, in USD: it comes before every price. */
  readonly reportedUsd?: Decimal;
}

/** Counts of what is billed by the piece, by name: whole numbers from 0. */
export type Pieces = Readonly<Record<string, number>>;

const COUNTS = [
  'inputTokens',
  'outputTokens',
  'cachedInputTokens',
  'cacheWriteTokens',
  'cacheWrite1hTokens',
  'inputAudioTokens',
  'cachedAudioTokens',
  'inputImageTokens',
  'cachedImageTokens',
  'inputVideoTokens',
  'outputAudioTokens',
  'outputImageTokens',
  'reasoningTokens',
] as const satisfies readonly (keyof Usage)[];

/**
 * Checks a usage before it is priced.
 *
 * @throws InvalidAmountError when a count is no whole number, or a part exceeds its whole.
 */
export function checkUsage(usage: Usage): void {
  for (const name of COUNTS) {
    const count = usage[name];
    if (count !== undefined && !(Number.isSafeInteger(count) && count >= 0)) {
      throw new InvalidAmountError(
        `\`${name}\` is ${String(count)}; it must be a whole number from 0`,
      );
    }
  }
  for (const [name, count] of Object.entries(usage.pieces ?? {})) {
    if (!(Number.isSafeInteger(count) && count >= 0)) {
      throw new InvalidAmountError(
        `\`pieces.${name}\` is ${String(count)}; it must be a whole number from 0`,
      );
    }
  }
  if (!isConsistent(usage)) {
    throw new InvalidAmountError(
      'The usage is inconsistent: cached, cache-writing, audio, image and video tokens are counted ' +
        'inside `inputTokens`, reasoning, audio and image tokens inside `outputTokens`',
    );
  }
}

/** True when both wholes are there and no part exceeds its whole. */
export function isConsistent(usage: Usage): boolean {
  const { inputTokens, outputTokens } = usage;
  const audio = usage.inputAudioTokens ?? 0;
  const image = usage.inputImageTokens ?? 0;
  const written = usage.cacheWriteTokens ?? 0;
  const cached = usage.cachedInputTokens ?? 0;
  const cachedAudio = usage.cachedAudioTokens ?? 0;
  const cachedImage = usage.cachedImageTokens ?? 0;
  return (
    Number.isSafeInteger(inputTokens) &&
    Number.isSafeInteger(outputTokens) &&
    cached <= inputTokens &&
    audio + image + (usage.inputVideoTokens ?? 0) + written <= inputTokens &&
    (usage.cacheWrite1hTokens ?? 0) <= written &&
    cachedAudio <= audio &&
    cachedImage <= image &&
    cachedAudio + cachedImage <= cached &&
    (usage.outputAudioTokens ?? 0) + (usage.outputImageTokens ?? 0) <= outputTokens &&
    (usage.reasoningTokens ?? 0) <= outputTokens
  );
}
