import { itemIdOf } from './input.ts';
import type { AnswerSaid } from './usage.ts';
import { isObject } from '../providers/provider.ts';
import type { OnText } from '../providers/provider.ts';
import { textAt } from '../providers/read-json.ts';
import type { StreamEnd } from '../streams/stream.ts';
import type { Usage } from '../usage.ts';

/** Reads the parts of a stream: `LanguageModelV4StreamPart`, or V3, or V2. */
export class PartReader {
  readonly #usageOf: (said: AnswerSaid) => Usage | null;
  readonly #onText: OnText;
  readonly #toolsRun: string[] = [];
  readonly #items: string[] = [];
  #usage: Usage | null = null;
  #model: string | null = null;
  #complete = false;
  #tokensSeen = 0;

  constructor(usageOf: (said: AnswerSaid) => Usage | null, onText: OnText) {
    this.#usageOf = usageOf;
    this.#onText = onText;
  }

  see(part: unknown): void {
    if (!isObject(part)) return;
    const { type, delta } = part;
    if (typeof delta === 'string' && delta !== '') {
      this.#tokensSeen += 1;
      this.#onText?.(delta);
    } else if (type === 'tool-call' && part.providerExecuted === true) {
      this.#toolsRun.push(String(part.toolName));
    } else if (type === 'response-metadata') {
      this.#model = textAt(part, 'modelId');
    } else if (type === 'reasoning-start') {
      const id = itemIdOf(part.providerMetadata);
      if (id !== null) this.#items.push(id);
    } else if (type === 'finish') {
      const { usage, providerMetadata } = part;
      const [toolsRun, items] = [this.#toolsRun, this.#items];
      this.#usage = this.#usageOf({ usage, providerMetadata, toolsRun, items });
      this.#complete = true;
    }
  }

  /** Never hides anything. */
  read(): boolean {
    return false;
  }

  usage(): Usage | null {
    return this.#usage;
  }

  answeredBy(): string | null {
    return this.#model;
  }

  complete(): boolean {
    return this.#complete;
  }

  tokensSeen(): number {
    return this.#tokensSeen;
  }
}

/**
 * Passes a stream of parts on as they come, and settles it once: before its `finish` is passed on,
 * or when its consumer leaves, the signal aborts or the source fails.
 */
export function settledParts<Part>(
  source: ReadableStream<Part>,
  reader: PartReader,
  end: StreamEnd,
  signal: AbortSignal | null,
): ReadableStream<Part> {
  const upstream = source.getReader();
  const settle = (ended: boolean): Promise<void> => {
    signal?.removeEventListener('abort', onAbort);
    return end.settle(ended);
  };
  const onAbort = (): void => void settle(false);
  signal?.addEventListener('abort', onAbort, { once: true });
  return new ReadableStream<Part>(
    {
      async pull(controller) {
        let next: Awaited<ReturnType<typeof upstream.read>>;
        try {
          next = await upstream.read();
        } catch (error) {
          if (signal?.aborted !== true) end.failed?.(error);
          await settle(false);
          throw error;
        }
        if (next.done) {
          await settle(true);
          controller.close();
          return;
        }
        end.alive();
        if (isObject(next.value) && next.value.type === 'error') end.failed?.(next.value.error);
        reader.see(next.value);
        if (reader.complete()) await settle(true);
        controller.enqueue(next.value);
      },
      async cancel(reason) {
        await Promise.all([settle(false), upstream.cancel(reason)]);
      },
    },
    { highWaterMark: 0 },
  );
}
