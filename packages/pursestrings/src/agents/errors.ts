import { PurseError } from '../errors.ts';

/**
 * An agent worked longer than it may. Its signal has aborted, and the journal says so.
 *
 * @example
 * ```ts
 * import { AgentTimeLimitError } from 'pursestrings/agents';
 *
 * function ranTooLong(error: unknown): boolean {
 *   return AgentTimeLimitError.isInstance(error);
 * }
 * ```
 */
export class AgentTimeLimitError extends PurseError {
  static override readonly brand: string = 'AgentTimeLimitError';
  /** The limit that passed, in milliseconds. */
  readonly maxDurationMs: number;

  constructor(who: string, maxDurationMs: number, cause?: unknown) {
    super(
      'TIME_LIMIT',
      `The run of ${who} passed its time limit of ${maxDurationMs} ms; give it longer, or smaller tasks`,
      { cause },
    );
    this.maxDurationMs = maxDurationMs;
  }
}
