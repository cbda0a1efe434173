import type { RetryStats } from './types.ts';

/** Pairs of feature and model that are watched at once; the oldest is forgotten. */
const MAX_STREAKS = 1_000;

/** Counts calls of one feature and model that fail in a row. */
export class RetryStorms {
  readonly #threshold: number | undefined;
  readonly #streaks = new Map<string, number>();
  #failures = 0;
  #storms = 0;

  constructor(threshold: number | undefined) {
    this.#threshold = threshold;
  }

  /** Counts a failure; answers with the length of the streak when it just became a storm. */
  failed(feature: string, model: string): number | null {
    const key = JSON.stringify([feature, model]);
    const streak = (this.#streaks.get(key) ?? 0) + 1;
    this.#streaks.delete(key);
    this.#streaks.set(key, streak);
    this.#failures += 1;
    if (this.#streaks.size > MAX_STREAKS) {
      for (const oldest of this.#streaks.keys()) {
        this.#streaks.delete(oldest);
        break;
      }
    }
    if (streak !== this.#threshold) return null;
    this.#storms += 1;
    return streak;
  }

  /** Ends a streak, and says how long it was. */
  succeeded(feature: string, model: string): number {
    const key = JSON.stringify([feature, model]);
    const streak = this.#streaks.get(key) ?? 0;
    this.#streaks.delete(key);
    return streak;
  }

  stats(): RetryStats {
    return { totalRetries: this.#failures, retryStorms: this.#storms };
  }
}
