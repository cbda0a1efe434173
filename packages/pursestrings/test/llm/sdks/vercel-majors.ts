import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAI as createOpenAIPrevious } from '@ai-sdk/openai-previous';
import * as current from 'ai';
import * as previous from 'ai-previous';
import { z } from 'zod';

import type { PurseMiddleware } from '../../../src/llm/ai-sdk/middleware.ts';

Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

/** How a major of the AI SDK is asked in these tests. */
export interface Asking {
  /** A base URL of OpenAI's format. */
  readonly url: string;
  readonly model?: string;
  readonly api?: 'chat' | 'responses';
  readonly fetch?: typeof fetch;
  readonly middleware?: PurseMiddleware;
  readonly maxRetries?: number;
  readonly maxOutputTokens?: number | null;
  readonly prompt?: string;
  /** Runs tools until the model answers in words. */
  readonly tools?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Leaves a stream after so many pieces of text. */
  readonly leaveAfter?: number;
}

export interface Said {
  readonly text: string;
  readonly steps: number;
}

/** One major of the AI SDK, asked in the same way as the others. */
export interface Major {
  readonly name: string;
  generate(asking: Asking): Promise<Said>;
  /** Rejects with the error that the stream tells. */
  stream(asking: Asking): Promise<Said>;
  /** An object with the field `river`. */
  object(asking: Asking): Promise<unknown>;
}

const River: z.ZodType<{ river: string }> = z.object({ river: z.string() });
const weather = {
  description: 'Says what the sky does over a city',
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }: { city: string }): Promise<string> => Promise.resolve(`rain over ${city}`),
};

function settings(asking: Asking) {
  const { labels, signal, prompt = 'Say some words', maxRetries = 0 } = asking;
  const maxOutputTokens = asking.maxOutputTokens === undefined ? 50 : asking.maxOutputTokens;
  return {
    prompt,
    maxRetries,
    ...(maxOutputTokens === null ? {} : { maxOutputTokens }),
    ...(signal === undefined ? {} : { abortSignal: signal }),
    providerOptions: labels === undefined ? {} : { purse: { labels: { ...labels } } },
  };
}

function server({ url, fetch }: Asking) {
  return { baseURL: url, apiKey: 'none', ...(fetch === undefined ? {} : { fetch }) };
}

interface Streamed {
  readonly fullStream: AsyncIterable<{ readonly type: string; readonly error?: unknown }>;
  readonly textStream: AsyncIterable<string>;
}

/** Reads a stream as callers do, and throws what its parts say went wrong. */
async function readAll(streamed: Streamed, { leaveAfter }: Asking): Promise<Said> {
  let text = '';
  let steps = 0;
  let pieces = 0;
  for await (const part of streamed.fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'abort') throw new DOMException('aborted', 'AbortError');
    if (part.type === 'finish-step') steps += 1;
    if (part.type === 'text-delta' && 'text' in part) {
      text += String(part.text);
      pieces += 1;
      if (pieces === leaveAfter) break;
    }
  }
  return { text, steps };
}

const quiet = { onError: (): void => undefined };

export const MAJORS: readonly Major[] = [
  {
    name: 'ai 7',
    async generate(asking) {
      const model = currentModel(asking);
      const { text, steps } = await current.generateText({
        ...settings(asking),
        model,
        ...(asking.tools === true ? { tools: { weather: current.tool(weather) } } : {}),
        stopWhen: current.isStepCount(500),
      });
      return { text, steps: steps.length };
    },
    stream: (asking) =>
      readAll(
        current.streamText({
          ...settings(asking),
          ...quiet,
          model: currentModel(asking),
          ...(asking.tools === true ? { tools: { weather: current.tool(weather) } } : {}),
          stopWhen: current.isStepCount(500),
        }),
        asking,
      ),
    async object(asking) {
      const model = currentModel(asking);
      return (await current.generateObject({ ...settings(asking), model, schema: River })).object;
    },
  },
  {
    name: 'ai 6',
    async generate(asking) {
      const model = previousModel(asking);
      const { text, steps } = await previous.generateText({
        ...settings(asking),
        model,
        ...(asking.tools === true ? { tools: { weather: previous.tool(weather) } } : {}),
        stopWhen: previous.stepCountIs(500),
      });
      return { text, steps: steps.length };
    },
    stream: (asking) =>
      readAll(
        previous.streamText({
          ...settings(asking),
          ...quiet,
          model: previousModel(asking),
          ...(asking.tools === true ? { tools: { weather: previous.tool(weather) } } : {}),
          stopWhen: previous.stepCountIs(500),
        }),
        asking,
      ),
    async object(asking) {
      const model = previousModel(asking);
      return (await previous.generateObject({ ...settings(asking), model, schema: River })).object;
    },
  },
];

function currentModel(asking: Asking): current.LanguageModel {
  const openai = createOpenAI(server(asking));
  const { middleware, model: name = 'gpt-4o', api = 'chat' } = asking;
  const model = openai[api](name);
  return middleware === undefined ? model : current.wrapLanguageModel({ model, middleware });
}

function previousModel(asking: Asking): previous.LanguageModel {
  const openai = createOpenAIPrevious(server(asking));
  const { middleware, model: name = 'gpt-4o', api = 'chat' } = asking;
  const model = openai[api](name);
  return middleware === undefined ? model : previous.wrapLanguageModel({ model, middleware });
}
