import { readUsage } from '../cost.ts';
import { isObject } from '../providers/provider.ts';
import type { Usage as CallUsage } from '../usage.ts';
import { usageIn } from './usage.ts';

type Chunk = Readonly<Record<string, unknown>>;

/**
 * Gathers the usage of a stream from its chunks, as SDKs hand them out: a `usage` or
 * `usageMetadata` of which the last is whole (OpenAI's chat, Gemini), a `response` that is complete
 * (https://platform.openai.com/docs/api-reference/responses-streaming), or one that begins in
 * `message_start` and is added to by `message_delta`
 * (https://platform.claude.com/docs/en/build-with-claude/streaming).
 */
export class StreamUsage {
  #usage: CallUsage | null = null;
  #started: Chunk | null = null;
  /** The model has said why it stopped: what may follow is its usage. */
  #finished = false;

  readonly #rawOf: (chunk: unknown) => unknown;

  constructor(rawOf: (chunk: unknown) => unknown) {
    this.#rawOf = rawOf;
  }

  observe(given: unknown): void {
    const chunk = this.#rawOf(given);
    if (!isObject(chunk)) return;
    if (chunk['type'] === 'message_start' && isObject(chunk['message'])) {
      this.#started = chunk['message'];
      return;
    }
    if (chunk['type'] === 'message_delta') {
      this.#usage = this.#added(chunk) ?? this.#usage;
      return;
    }
    const whole = isObject(chunk['response']) ? chunk['response'] : metadataOf(chunk);
    this.#usage = usageIn(whole) ?? this.#usage;
    if (finishes(chunk)) this.#finished = true;
  }

  /** What the whole stream used; null as long as nobody has said. */
  usage(): CallUsage | null {
    return this.#usage;
  }

  /** True when only the usage can be missing. */
  lacksOnlyUsage(): boolean {
    return this.#finished && this.#usage === null;
  }

  /** The counts of a delta stand for the whole so far; what it leaves out is as it began. */
  #added(delta: Chunk): CallUsage | null {
    const began = isObject(this.#started?.['usage']) ? this.#started['usage'] : {};
    const usage: Record<string, unknown> = { ...began };
    for (const [name, count] of Object.entries(isObject(delta['usage']) ? delta['usage'] : {})) {
      if (count !== null && count !== undefined) usage[name] = count;
    }
    return readUsage({ ...this.#started, usage });
  }
}

/** Bedrock says the usage in an event of its own: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamMetadataEvent.html */
function metadataOf(chunk: Chunk): Chunk {
  const { metadata } = chunk;
  return isObject(metadata) && isObject(metadata['usage']) ? metadata : chunk;
}

function finishes({ choices }: Chunk): boolean {
  if (!Array.isArray(choices) || choices.length === 0) return false;
  return choices.every((choice) => isObject(choice) && typeof choice['finish_reason'] === 'string');
}
